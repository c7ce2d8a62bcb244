"""Porosities by name: what share of which voxels, and how it was found."""

from lithax.images import Connectivity
from lithax.report._number import Number, grouped


def porosity_numbers(found: Connectivity, region: str) -> list[Number]:
    """Return total, connected, percolating and isolated porosity, all of the voxels of the region
    of interest.

    Parameters
    ----------
    found
        What `lithax.images.connectivity` found in the pores.
    region
        What the region of interest is, in words.
    """
    of = f"{grouped(found.selected)} voxels of {region}"

    def number(key: str, name: str, voxels: int, method: str) -> Number:
        return Number(
            f"porosity.{key}",
            name,
            voxels / found.selected,
            "-",
            "measured",
            denominator=of,
            method=method,
            evidence=f"{grouped(voxels)} voxels",
            percent=True,
        )

    joined = "connected through voxel faces (6 neighbours)"
    numbers = [
        number("total", "Total porosity", found.total, "pore voxels over all voxels"),
        number(
            "connected",
            "Connected porosity",
            found.connected,
            f"pores {joined} to the border of the region of interest, from where they may go on",
        ),
    ]
    numbers += [
        number(
            f"percolating.{axis}",
            f"Percolating porosity along {axis}",
            voxels,
            f"pores {joined} from the first to the last layer of voxels along {axis}",
        )
        for axis, voxels in zip("xyz", found.percolating, strict=True)
    ]
    numbers.append(
        number(
            "isolated",
            "Isolated porosity",
            found.isolated,
            "pores without such a way to the border: total minus connected",
        )
    )
    numbers.append(
        Number(
            "porosity.components",
            "Separate pores",
            found.components,
            "-",
            "measured",
            method=f"components {joined}; the largest has {grouped(found.largest)} voxels",
        )
    )
    return numbers

"""Permeability in a report: values, wall rule, error budget, and where the fluid flows."""

from collections.abc import Iterator

import numpy as np

from lithax.errors import MemoryLimitError
from lithax.report._number import Number
from lithax.report._picture import Picture
from lithax.report._steps import Steps
from lithax.report._transport_part import TransportPart
from lithax.report._transport_sample import TransportSample
from lithax.solve import Permeability, permeability
from lithax.viz import encode, flow_slice

TITLE = "Permeability"
_WALLS = {
    "accurate": "wall rule “accurate” (exact for slits, close for staircases)",
    "half_voxel": "wall rule “half_voxel” (no slip half a voxel from the first solid centre)",
}


def permeability_part(sample: TransportSample, steps: Steps) -> TransportPart:
    """Solve Stokes flow through the pores along the three axes."""
    steps("Flow: permeability along x, y and z")
    if sample.empty or sample.voxels.all():
        return TransportPart(
            TITLE, f"Nothing to solve: {sample.name} holds no pore or no grain, or is one voxel thick."
        )
    try:
        found = permeability(
            sample.pores, axis="all", fields=True, budget=("resolution",), segmentation=sample.segmentation
        )
    except MemoryLimitError as error:
        return TransportPart(TITLE, f"Not solved: {error}")
    text = (
        f"Slow flow of one fluid (Stokes) through the imaged pores alone. Solved on {sample.name}: pressures on the two ends, symmetric "
        f"sides, as for a piece of a larger rock; {_WALLS[found.wall]}. The rule moves k of a coarse image by a fifth: quote it with k."
    )
    notes = [
        "Of a rock without stress. Compare with brine or Klinkenberg-corrected values, not with air permeability; under confining stress "
        "laboratory values are usually smaller.",
        "The grid line (voxels split in two) takes eight times the work: lx.solve.permeability(..., budget=('grid',)).",
        sample.said,
        *found.notes[1:],
    ]
    if not np.all(np.asarray(found.converged)):
        notes.insert(0, "Not converged: the line of the solver says how far the estimates of k still differ.")
    return TransportPart(
        TITLE, text, tuple(_numbers(found)), _pictures(found), found.error_budget.lines(), tuple(notes)
    )


def _numbers(found: Permeability) -> Iterator[Number]:
    in_darcy = found.voxel_area is not None
    values = np.asarray(found.millidarcy if in_darcy else found.value_voxel, float)
    unit = "mD" if in_darcy else "voxel²"
    for n, axis in enumerate("xyz"):
        narrow = float(np.asarray(found.narrow_share)[n])
        if values[n] == 0:
            evidence = "nothing joins the two ends through voxel faces"
        else:
            square = [f"{np.asarray(found.to('um²'))[n]:.4g} µm²"] if in_darcy else []
            square += [f"{np.asarray(found.value_voxel)[n]:.4g} voxel²"] if in_darcy else []
            square += [f"{int(np.asarray(found.iterations)[n])} iterations"]
            evidence = "; ".join(square)
        yield Number(
            f"transport.permeability.{axis}", f"k along {axis}", float(values[n]), unit, "measured",
            method=f"Stokes flow, walls {found.wall}, ends {found.ends}, sides {found.sides}", evidence=evidence,
        )  # fmt: skip
        if found.breakthrough_diameter is not None:  # soft walls have none
            width = float(np.asarray(found.breakthrough_diameter)[n])
            yield Number(
                f"transport.breakthrough_diameter.{axis}", f"Breakthrough diameter along {axis}", width, "voxel", "measured",
                method="largest ball that passes from end to end", evidence="below about 10, voxels decide k",
            )  # fmt: skip
        yield Number(
            f"transport.narrow_share.{axis}", f"Flux through narrow throats along {axis}", narrow, "-", "measured",
            denominator="flux through the slice where the share is largest", percent=True,
            method="flux through openings of one or two voxels", evidence="above 5 % the image is too coarse",
        )  # fmt: skip
    p = found.porosities
    assert p is not None  # pores of a report are sharp
    least = int(np.argmin(p.percolating))
    for key, name, values_of_axes in (
        ("percolating", "Porosity that carries flow", p.percolating),
        ("accessible", "Porosity that touches an end", p.accessible),
        ("isolated", "Porosity that touches no end", p.isolated),
    ):
        yield Number(
            f"transport.porosity.{key}", name, float(values_of_axes[least]), "-", "measured", denominator="voxels that were solved",
            percent=True, method="along the axis where least of it carries flow",
        )  # fmt: skip
    if found.surface and values.any():
        scale = values.mean() / np.asarray(found.value_voxel, float).mean()
        rule = p.macro**3 / (5 * found.surface**2) * scale
        yield Number(
            "transport.permeability.kozeny_carman", "Kozeny–Carman, beside k", rule, unit, "measured",
            method="φ³/(5 S²), S by counting voxel faces times 2/3: a rule of thumb",
        )  # fmt: skip


def _pictures(found: Permeability) -> tuple[tuple[Picture, str], ...]:
    values = np.asarray(found.value_voxel, float)
    if values.max() == 0:
        return ()
    axis = int(values.argmax())
    along, across = "xyz"[axis], "z" if axis != 2 else "y"
    figure = flow_slice(found, across=across, direction=along).figure
    words = f"Speed of the flow along {along} in a slice through the middle, over the mean velocity."
    caption = (
        f"Where the fluid flows along {along}, in the slice through the middle: its speed over the mean velocity of the image, on a "
        "logarithmic scale. White voxels carry none."
    )
    return ((Picture("flow", words, "png", encode(figure, "png", dpi=110)), caption),)

"""Permeability of the segmented pack beside what Kozeny and Carman expect of its spheres."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.images import VoxelImage, from_array
from lithax.ops import coarsen
from lithax.report._finney_demo import RADIUS
from lithax.report._number import Number
from lithax.report._truth import Criterion

KOZENY_CARMAN_TOLERANCE = 0.2
"""How far k may be from Kozeny and Carman's [-]: their constant, 180, is known no better from
packs of spheres.
"""

_ACROSS = 12
"""Voxels across a sphere: the whole pack in seconds. On voxelised spheres k is 4 % below what it
tends to with finer voxels (9, 14 and 18 voxels: 23.4, 24.0, 24.2 µm²).
"""


@dataclass(frozen=True)
class PackPermeability:
    """What was solved; permeabilities [µm²]."""

    found: Any
    """`lithax.solve.Permeability` along the three axes."""
    porosity: float
    """Of the voxels that were solved [-]."""
    shape: tuple[int, ...]
    """Voxels that were solved."""
    coarsened: int
    """Voxels of the segmentation along an edge of those that were solved."""

    @property
    def mean(self) -> float:
        """Of the three axes."""
        return float(np.mean(np.asarray(self.found.value, float)))

    @property
    def kozeny_carman(self) -> float:
        """Of spheres of this diameter, at this porosity."""
        return kozeny_carman(self.porosity, 2 * RADIUS)

    @property
    def ratio(self) -> float:
        """Solved over expected [-]."""
        return self.mean / self.kozeny_carman


def kozeny_carman(porosity: float, diameter: float) -> float:
    """Return ``φ³ d² / (180 (1 − φ)²)``, the permeability of a random pack of equal spheres
    [diameter²].

    Carman, Trans. Inst. Chem. Eng. 15 (1937) 150, with his constant 5 = 180/36.
    """
    return porosity**3 * diameter**2 / (180 * (1 - porosity) ** 2)


def pack_permeability(pores: VoxelImage) -> PackPermeability:
    """Solve Stokes flow through the segmented pack along the three axes."""
    from lithax.solve import permeability  # solvers are loaded by those who ask for them

    factor = max(1, int(2 * RADIUS / (_ACROSS * max(pores.voxel_length))))
    whole = tuple(slice(n // factor * factor) for n in pores.shape)
    share = coarsen("mean", factor)(np.asarray(pores[whole], np.float32))
    voxels = np.asarray(share > 0.5)
    lengths = tuple(factor * h for h in pores.voxel_length)
    image = from_array(voxels, voxel_length=lengths, voxel_unit=pores.voxel_unit)
    found = permeability(image, axis="all", unit="um²")
    return PackPermeability(found, float(voxels.mean()), voxels.shape, factor)


def pack_numbers(pack: PackPermeability) -> list[Number]:
    """Return k along the three axes, and Kozeny and Carman's."""
    shape = " × ".join(map(str, pack.shape))
    of = f"segmentation coarsened {pack.coarsened}× (majority), porosity {100 * pack.porosity:.2f} %"
    method = f"Stokes flow through the {of}; walls accurate, ends pressure, sides symmetric"
    values, iterations = (np.asarray(v, float) for v in (pack.found.value, pack.found.iterations))
    numbers = [
        Number(
            f"pack.permeability.{axis}", f"k along {axis}", float(values[n]), "µm²", "measured", method=method,
            evidence=f"{float(pack.found.millidarcy[n]):.0f} mD; {iterations[n]:.0f} iterations; {shape} voxels",
        )
        for n, axis in enumerate("xyz")
    ]  # fmt: skip
    expected = Number(
        "pack.permeability.kozeny_carman", "k by Kozeny and Carman", pack.kozeny_carman, "µm²", "assumed",
        method="φ³d²/(180 (1 − φ)²), the spheres' diameter and the porosity that was solved",
        evidence=f"d = {2 * RADIUS:g} µm, φ = {100 * pack.porosity:.2f} %",
    )  # fmt: skip
    ratio = Number(
        "pack.permeability.ratio", "k over Kozeny and Carman's", pack.ratio, "-", "measured",
        method="mean of the three axes; the constant 180 is good to ± 20 %",
    )  # fmt: skip
    narrow = Number(
        "pack.narrow_share", "Flux through narrow throats", float(np.max(pack.found.narrow_share)), "-", "measured",
        denominator="flux through the slice where the share is largest", percent=True,
        method="flux through openings of one or two voxels, the largest of the three axes",
        evidence="above 5 % compare with finer voxels",
    )  # fmt: skip
    return [*numbers, expected, ratio, narrow]


def pack_criterion(pack: PackPermeability) -> Criterion:
    """Return whether k is what Kozeny and Carman expect, within 20 %."""
    off = 100 * abs(pack.ratio - 1)
    limit = 100 * KOZENY_CARMAN_TOLERANCE
    name = f"permeability within {limit:g} % of Kozeny and Carman's, |k/k_KC − 1|"
    return Criterion(name, off, limit, off <= limit, "%")

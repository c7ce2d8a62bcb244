"""Closed forms for the conductivity of composites, as objects: voxels, and what must come out."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ConductionCase:
    """Voxels whose effective conductivity is known.

    The conductivities, and the effective one along x, y and z; NaN where it is not known in closed
    form.
    """

    name: str
    voxels: Any
    effective: tuple[float, float, float]


def conduction_uniform(shape: tuple[int, int, int] = (6, 5, 4), conductivity: float = 3.0) -> ConductionCase:
    """Return one conductivity everywhere."""
    return ConductionCase(
        "uniform", np.full(shape, conductivity, np.float32), (conductivity, conductivity, conductivity)
    )


def conduction_layers(
    conductivities: tuple[float, ...] = (1.0, 5.0, 0.5, 2.0), thickness: int = 3, width: int = 5
) -> ConductionCase:
    """Return layers across x: in series along x (harmonic mean), in parallel along y and z
    (arithmetic mean).
    """
    line = np.repeat(np.asarray(conductivities, np.float32), thickness)
    voxels = np.broadcast_to(line[:, None, None], (len(line), width, width)).copy()
    series = len(conductivities) / sum(1 / s for s in conductivities)
    parallel = sum(conductivities) / len(conductivities)
    return ConductionCase("layers", voxels, (series, parallel, parallel))


# F of a simple cubic array of insulating spheres: Sangani & Acrivos, Proc. R. Soc. Lond. A 386
# (1983), 263.
_SPHERES = ((0.216, 1.4148), (0.343, 1.7998), (0.45, 2.3071))


def conduction_spheres(voxels_per_cell: int, fraction: float) -> ConductionCase:
    """Return one cell of a simple cubic array of insulating spheres in a medium that conducts 1:
    booleans, True conducts.

    The conductivity is that of Sangani & Acrivos (1983) at the fraction of solid that the voxels
    have.
    """
    centre = (np.arange(voxels_per_cell) + 0.5) / voxels_per_cell - 0.5
    x, y, z = np.meshgrid(centre, centre, centre, indexing="ij", sparse=True)
    radius = (3 * fraction / (4 * math.pi)) ** (1 / 3)
    pore = x**2 + y**2 + z**2 > radius**2
    factor = spheres_formation_factor(1 - float(pore.mean()))
    return ConductionCase("spheres", pore, (1 / factor, 1 / factor, 1 / factor))


def spheres_formation_factor(fraction: float) -> float:
    """Return F of a simple cubic array of insulating spheres [-], for fractions of solid of 0.2 to
    0.46.

    The published values, and between them Maxwell's formula with a correction (of the order of the
    published 10/3rd power of the fraction) that is interpolated linearly in logarithms.

    >>> [round(spheres_formation_factor(c), 4) for c in (0.216, 0.343, 0.45)]
    [1.4148, 1.7998, 2.3071]
    """
    if not 0.2 <= fraction <= 0.46:
        raise ValueError(f"fraction={fraction!r} must lie between 0.2 and 0.46, where there are published values.")
    known = [(math.log(c), math.log(2 + c - 3 * c / (1 - 1 / f))) for c, f in _SPHERES]
    at = math.log(fraction)
    (c0, d0), (c1, d1) = known[:2] if at < known[1][0] else known[1:]
    correction = math.exp(d0 + (d1 - d0) * (at - c0) / (c1 - c0))
    return 1 / (1 - 3 * fraction / (2 + fraction - correction))


def conduction_discs(voxels_per_cell: int, fraction: float) -> ConductionCase:
    """Return one cell of a square array of insulating discs, one voxel thick along z: booleans,
    True conducts.

    F = 1/(1 − 2f/(1 + f − 0.305827 f⁴/(1 − 1.402958 f⁸) − 0.013362 f⁸)) at the fraction that the
    voxels have: Perrins, McKenzie & McPhedran, Proc. R. Soc. Lond. A 369 (1979), 207, for
    insulating cylinders (1.8602 at f = 0.3, 3.0802 at 0.5).
    """
    centre = (np.arange(voxels_per_cell) + 0.5) / voxels_per_cell - 0.5
    pore = (centre[:, None] ** 2 + centre[None, :] ** 2 > fraction / math.pi)[:, :, None]
    f = 1 - float(pore.mean())
    factor = 1 / (1 - 2 * f / (1 + f - 0.305827 * f**4 / (1 - 1.402958 * f**8) - 0.013362 * f**8))
    return ConductionCase("discs", pore, (1 / factor, 1 / factor, 1 - f))


def conduction_checkerboard(cells: int = 4, contrast: float = 4.0) -> ConductionCase:
    """Return a chequerboard in x and y: √(σ₁σ₂) as the voxels become fine (Keller, J. Math. Phys. 5
    (1964), 548).
    """
    i, j = np.indices((2 * cells, 2 * cells)) // cells
    voxels = np.where((i + j) % 2 == 0, 1.0, contrast).astype(np.float32)[:, :, None]
    return ConductionCase("checkerboard", voxels, (math.sqrt(contrast), math.sqrt(contrast), (1 + contrast) / 2))


def conduction_tubes(length: int = 7, sections: tuple[int, ...] = (1, 4, 9), width: int = 16) -> ConductionCase:
    """Return straight square tubes along x in an insulator: booleans; conductivity = their share of
    the cross-section.
    """
    plane, start = np.zeros((width, width), bool), 1
    for section in sections:
        edge = math.isqrt(section)
        plane[start : start + edge, 1 : 1 + edge] = True
        start += edge + 1
    voxels = np.broadcast_to(plane, (length, width, width)).copy()
    return ConductionCase("tubes", voxels, (float(plane.mean()), 0.0, 0.0))


def dense_conductivity(field: Any, axis: int = 0) -> float:
    """Return the effective conductivity of a small field between held ends by a dense matrix, in
    float64: slow, and plain.

    Parameters
    ----------
    field
        Conductivities, shape (nx, ny, nz), all above zero; voxels are cubes.
    axis
        Axis of the current.
    """
    s = np.moveaxis(np.asarray(field, np.float64), axis, 0)
    number = np.arange(s.size).reshape(s.shape)
    matrix, b = np.zeros((s.size, s.size)), np.zeros(s.size)
    for index in itertools.product(*(range(n) for n in s.shape)):
        here = number[index]
        for a in range(3):
            if index[a] + 1 < s.shape[a]:
                beyond = tuple(i + (k == a) for k, i in enumerate(index))
                there, weight = number[beyond], 2 / (1 / s[index] + 1 / s[beyond])
                matrix[here, here] += weight
                matrix[there, there] += weight
                matrix[here, there] -= weight
                matrix[there, here] -= weight
    first, last = number[0].reshape(-1), number[-1].reshape(-1)
    matrix[first, first] += 2 * s[0].reshape(-1)
    matrix[last, last] += 2 * s[-1].reshape(-1)
    b[first] = 2 * s[0].reshape(-1)
    potential = np.linalg.solve(matrix, b)
    current = float((2 * s[-1].reshape(-1) * potential[last]).sum())
    return current * s.shape[0] / (s.shape[1] * s.shape[2])

"""Grey levels in shells about the surface between pores and grains."""

import math
from dataclasses import dataclass

import numpy as np

from lithax.measure import DepthProfile


@dataclass(frozen=True)
class Shell:
    """Voxels whose depth lies between two whole numbers, at one side of the surface."""

    position: float
    """Mean signed distance from the surface, positive in the grains [voxel]."""
    count: int
    mean: float
    deviation: float
    """Standard deviation of the grey levels."""


def shells(profile: DepthProfile, reach: int) -> list[Shell]:
    """Return the voxels in shells of one voxel thickness, from the deepest pore to the deepest
    grain.

    The centres of two neighbouring voxels of different phases lie one voxel apart, and the surface
    midway: half a voxel is subtracted from the distance between centres. What lies deeper than
    `reach` is left out, its distance is not known.
    """
    found = []
    for sign in (-1, 1):
        part = profile.phase(sign)
        depth = np.sqrt(part.square)
        for low in range(1, reach):
            own = (depth >= low) & (depth < low + 1)
            count = int(part.count[own].sum())
            if not count:
                continue
            weight = part.count[own] / count
            mean = float(weight @ part.mean[own])
            variance = float(weight @ (part.variance[own] + (part.mean[own] - mean) ** 2))
            found.append(Shell(sign * (float(weight @ depth[own]) - 0.5), count, mean, math.sqrt(max(variance, 0.0))))
    return sorted(found, key=lambda shell: shell.position)

"""PoreSpy: finite differences, which hold the centres of the first and last voxels, and local thickness."""

from importlib.metadata import version

import numpy as np
import porespy


def versions():
    return lambda: {name: version(name) for name in ("porespy", "numpy")}


def solve(pores):
    rock = np.load(pores).astype(bool)
    return lambda: {"tortuosity factor": float(porespy.simulations.tortuosity_fd(rock, axis=0).tortuosity)}


def thickness(pores):
    """By its default, radii in whole voxels around the centres of voxels."""
    rock = np.load(pores).astype(bool)
    return lambda: {"largest": float(porespy.filters.local_thickness(rock).max())}


CASES = {"versions": versions, "solve": solve, "thickness": thickness}

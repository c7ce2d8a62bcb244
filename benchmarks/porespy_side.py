"""PoreSpy's finite differences, which hold the centres of the first and last voxels."""

from importlib.metadata import version

import numpy as np
import porespy


def versions():
    return lambda: {name: version(name) for name in ("porespy", "numpy")}


def solve(pores):
    rock = np.load(pores).astype(bool)
    return lambda: {"tortuosity factor": float(porespy.simulations.tortuosity_fd(rock, axis=0).tortuosity)}


CASES = {"versions": versions, "solve": solve}

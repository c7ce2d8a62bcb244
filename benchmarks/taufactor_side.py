"""TauFactor on the CPU, by its own stopping rule."""

from importlib.metadata import version

import numpy as np
import taufactor
import torch
from shared_values import check

torch.set_num_threads(2)


def versions():
    return lambda: {name: version(name) for name in ("taufactor", "torch", "numpy")}


def solve(pores):
    rock = np.load(pores)

    def run():
        solver = taufactor.Solver(rock, device="cpu")
        solver.solve(verbose=False, conv_crit=0.01)
        tau = float(np.asarray(solver.tau).reshape(()))  # a number, or an array of one
        check(pores, tau)
        return {"tortuosity factor": tau}

    return run


CASES = {"versions": versions, "solve": solve}

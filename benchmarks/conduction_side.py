"""Our conduction solver, arrays in memory."""

from importlib.metadata import version

import numpy as np
from shared_values import check, remember

import lithax as lx


def versions():
    return lambda: {name: version(name) for name in ("lithax", "jax", "numpy")}


def solve(pores, tolerance=5e-3, axis="x"):
    """A solve by its own stopping rule, set-up in; the peers find the converged value beside the input."""
    rock = np.load(pores).astype(bool)
    if axis == "x":
        remember(pores, float(lx.solve.conductivity(rock, tolerance=1e-6).tortuosity_factor))

    def run():
        found = lx.solve.conductivity(rock, axis=axis, tolerance=tolerance)
        if axis == "x":
            check(pores, float(found.tortuosity_factor))
        return {"formation factor": np.asarray(found.formation_factor).tolist()}

    return run


def from_disk(pores, folder, memory_limit):
    """An image that does not fit, from its store; the value is checked by the solve in memory beside it."""
    image = lx.from_array(np.load(pores).astype(bool), store=f"{folder}/pores.zarr", overwrite=True)

    def run():
        found = lx.solve.conductivity(image, memory_limit=memory_limit, scratch=folder)
        if not any(note.startswith("larger than memory") for note in found.notes):
            raise ValueError("it was solved in memory; take a larger image")
        return {"formation factor": float(found.formation_factor)}

    return run


def gradient(pores):
    rock = np.load(pores).astype(bool)
    return lambda: {"sum": float(np.sum(lx.solve.conductivity(rock, gradient=True).gradient))}


def thresholds(grey, count):
    """Porosities from 0.25 to 0.4, each to 0.5 %; with one, the first by a solve of its own."""
    field = np.load(grey)
    levels = np.quantile(field[::2, ::2, ::2], 1 - np.linspace(0.25, 0.4, 10))[:count]
    if count == 1:
        return lambda: {"values": [float(lx.solve.conductivity(field > levels[0]).formation_factor)]}

    def run():
        table = lx.solve.threshold_sweep(field, levels, pores="brighter")
        return {"values": table.formation_factor.tolist(), "iterations": table.iterations.tolist()}

    return run


def subvolumes(pores, edge):
    rock = np.load(pores).astype(bool)
    return lambda: {"count": len(lx.solve.subvolumes(rock, edge=edge).value)}


CASES = {
    "versions": versions,
    "solve": solve,
    "from_disk": from_disk,
    "gradient": gradient,
    "thresholds": thresholds,
    "subvolumes": subvolumes,
}

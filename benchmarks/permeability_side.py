"""Our solver of Stokes flow, arrays in memory."""

from importlib.metadata import version

import jax
import numpy as np
from whole_images_side import watched

import lithax as lx

PERIODIC = {"ends": "periodic", "sides": "periodic"}


def versions():
    return lambda: {name: version(name) for name in ("lithax", "jax", "numpy")}


def solve(pores, tolerance):
    """Iterations until k along x of a periodic image stays within the tolerance of where it ends, found beforehand.

    So the peer is timed, too. Left alone a solve goes on until its flux is the same through every slice.
    """
    rock = np.load(pores).astype(bool)

    def after(most, tight=1e-4):
        return lx.solve.permeability(rock, axis="x", **PERIODIC, tolerance=tight, max_iterations=most)

    converged = after(60)
    every = [float(after(most).value) for most in range(1, int(converged.iterations))]
    away = np.abs(np.array(every) / float(converged.value) - 1) > tolerance
    enough = int(np.flatnonzero(away)[-1]) + 2 if away.any() else 1

    def run():
        return {"k": float(after(enough).value), "iterations": enough}

    return run


def _tensor(rock, tolerance):
    return lx.solve.permeability(rock, axis="all", **PERIODIC, tolerance=tolerance, gradient_tolerance=0.5).tensor


def tensor(pores, tolerance):
    rock = jax.numpy.asarray(np.load(pores), np.float32)  # soft walls, which have derivatives
    return lambda: {"trace": float(np.trace(_tensor(rock, tolerance)))}


def tensor_and_gradient(pores, tolerance):
    """The derivative of the sum of the entries; the solve ends by the rule of the values, as for them alone."""
    rock = jax.numpy.asarray(np.load(pores), np.float32)
    both = jax.value_and_grad(lambda field: _tensor(field, tolerance).sum())

    def run():
        value, slope = both(rock)
        return {"sum": float(value), "gradient": float(np.abs(np.asarray(slope)).sum())}

    return run


def watched_solve(pores, tolerance, axis="x"):
    rock = np.load(pores).astype(bool)
    warm = np.ascontiguousarray(rock[:48, :48, :48])
    return watched(
        lambda: lx.solve.permeability(warm, axis=axis, tolerance=tolerance),
        lambda: lx.plan(lx.solve.permeability, rock, axis=axis).memory,
        lambda: lx.solve.permeability(rock, axis=axis, tolerance=tolerance, throw=True),
    )


def watched_subvolumes(pores, edge):
    rock = np.load(pores).astype(bool)
    warm = np.ascontiguousarray(rock[:48, :48, :48])

    def work():
        found = lx.solve.subvolumes(rock, edge=edge, flow=True)
        if not np.isfinite(found.permeability).all():
            raise ValueError("a sub-volume has no permeability")

    plan = lambda: lx.plan(lx.solve.subvolumes, rock, edge=edge, flow=True).memory  # noqa: E731
    return watched(lambda: lx.solve.subvolumes(warm, edge=48, flow=True), plan, work)


CASES = {
    "versions": versions,
    "solve": solve,
    "tensor": tensor,
    "tensor and gradient": tensor_and_gradient,
    "watched solve": watched_solve,
    "watched subvolumes": watched_subvolumes,
}

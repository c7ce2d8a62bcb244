"""The pressure of a step of the flow: solved for by as many cycles as a pore space needs."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.solve._flow_cycle import widened
from lithax.solve._flow_input import read_input
from lithax.solve._flow_medium import operator_of
from lithax.solve._flow_pressure import CYCLES, cycles_for, pressure_of
from lithax.solve._flow_problem import prepare
from lithax.solve._stokes import make_preconditioner


def single_voxels(edge: int, porosity: float = 0.4, seed: int = 0) -> np.ndarray:
    """Each voxel for itself, a little above the percolation threshold of 0.31."""
    return np.random.default_rng(seed).random((edge,) * 3) < porosity


def preconditioner(pores: np.ndarray):
    problem = prepare(read_input(pores, None, None, None, None), ("pressure", "mirror", "mirror"), "accurate", 0, None)
    return make_preconditioner(operator_of(problem.geometry, problem.medium))


def matrix_of(level) -> np.ndarray:
    """Gᵀ W G in the open voxels, written face by face."""
    number = np.arange(level.open.size).reshape(level.open.shape)
    found = np.zeros((number.size,) * 2)
    for axis, stored in enumerate(level.given):
        weights = np.asarray(widened(stored, np.float32), np.float64)
        for index in zip(*np.nonzero(weights), strict=True):
            here = number[index]
            found[here, here] += weights[index]
            if index[axis]:  # else a held pressure
                there = number[tuple(i - (a == axis) for a, i in enumerate(index))]
                found[there, there] += weights[index]
                found[here, there] -= weights[index]
                found[there, here] -= weights[index]
    inside = np.asarray(level.open, bool).ravel()
    return found[np.ix_(inside, inside)]


def test_many_cycles_solve_for_the_pressure(rng):
    made = preconditioner(single_voxels(10, 0.5))
    inside = np.asarray(made.schur.open, bool)
    excess = np.zeros(inside.shape, "f4")
    excess[inside] = rng.standard_normal(inside.sum())
    found = pressure_of(made.pressure, made.schur, jnp.asarray(excess), 0.0, 40)
    expected = np.linalg.solve(matrix_of(made.schur), excess[inside])
    assert np.all(np.asarray(found)[~inside] == 0)
    # Forty steps in float32 of a matrix whose condition is some hundreds.
    np.testing.assert_allclose(np.asarray(found)[inside], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("cycles", [1, 3])
def test_compiled_or_not_it_is_the_same_pressure(rng, cycles):
    made = preconditioner(single_voxels(10, 0.5))
    excess = jnp.where(made.schur.open, jnp.asarray(rng.standard_normal(made.schur.open.shape), "f4"), 0)
    plain = excess + made.pressure(excess, made.schur)
    compiled = jax.jit(lambda e, n: pressure_of(made.pressure, made.schur, e, 1.0, n))(excess, cycles)
    alone = pressure_of(made.pressure, made.schur, excess, 1.0, cycles)
    size = float(jnp.abs(alone).max())
    np.testing.assert_allclose(compiled, alone, atol=1e-5 * size)  # sums of a few hundred numbers in another order
    if cycles == 1:  # as it is
        np.testing.assert_allclose(alone, plain, atol=1e-6 * size)  # rounding of one sum


def test_a_duct_takes_one_cycle_and_single_voxels_several():
    duct = np.zeros((10, 10, 10), bool)
    duct[:, 2:8, 2:8] = True
    assert preconditioner(duct).cycles == 1
    made = preconditioner(single_voxels(24))
    assert made.cycles == CYCLES
    assert jax.jit(cycles_for)(made.pressure, made.schur) == CYCLES


def test_single_voxels_take_no_more_iterations_than_a_rock():
    """Twenty-seven with one cycle for the pressure of a step."""
    k = lx.solve.permeability(single_voxels(32), axis="x", tolerance=1e-3)
    assert k.converged
    assert k.iterations <= 10

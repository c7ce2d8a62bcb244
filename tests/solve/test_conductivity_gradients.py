"""Derivatives of the value, the tensor and the fields, against differences of solves in double precision."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.testing import dense_conductivity

SHAPE = (6, 5, 7)  # 210 voxels: two levels
EXACT = {"tolerance": 1e-12, "gradient_tolerance": 1e-7}


@pytest.fixture
def field(rng):
    return np.exp(0.7 * rng.standard_normal(SHAPE))


def value(s, **options):
    return lx.solve.conductivity(s, **(EXACT | options)).value


@pytest.fixture(scope="module")
def gradient_of_value():
    with jax.enable_x64(True):
        return jax.jit(jax.grad(value))


def test_value_and_gradient_as_by_a_dense_matrix(field, gradient_of_value):
    with jax.enable_x64(True):
        found = np.asarray(gradient_of_value(field))
        assert float(jax.jit(value)(field)) == pytest.approx(dense_conductivity(field), rel=1e-9)
    for index in ((0, 0, 0), (3, 2, 4), (5, 4, 6), (2, 0, 3)):
        step = np.zeros(SHAPE)
        step[index] = 1e-4
        difference = (dense_conductivity(field + step) - dense_conductivity(field - step)) / 2e-4
        assert found[index] == pytest.approx(difference, rel=1e-5)  # central differences: second order in 1e-4
    # Conductivity is homogeneous of degree one.
    assert float((found * field).sum()) == pytest.approx(dense_conductivity(field), rel=1e-8)


def test_second_derivative_forward_over_reverse(field, rng, gradient_of_value):
    direction = rng.standard_normal(SHAPE)
    with jax.enable_x64(True):
        _, found = jax.jvp(jax.jit(jax.grad(value)), (field,), (direction,))
        plus, minus = (gradient_of_value(field + step * direction) for step in (1e-4, -1e-4))
    found, difference = np.asarray(found), (np.asarray(plus) - np.asarray(minus)) / 2e-4
    assert np.linalg.norm(found - difference) < 1e-5 * np.linalg.norm(difference)


def test_fields_are_differentiated_by_an_adjoint_solve(field):
    """Never silent zeros: a potential inside, and a current, against differences."""

    def probe(s):
        result = lx.solve.conductivity(s, fields=True, **EXACT)
        return result.potential[2, 3, 1] + 0.1 * result.flux[1][3, 2, 2]

    with jax.enable_x64(True):
        probe = jax.jit(probe)
        found = np.asarray(jax.grad(probe)(field))
        for index in ((2, 3, 1), (4, 0, 6)):
            step = np.zeros(SHAPE)
            step[index] = 1e-4
            difference = float(probe(field + step) - probe(field - step)) / 2e-4
            assert found[index] == pytest.approx(difference, rel=1e-4, abs=1e-8)
    assert np.count_nonzero(found) == found.size


@pytest.mark.slow
def test_the_tolerance_of_the_gradient_holds_at_its_default(rng):
    field = np.exp(1.5 * rng.standard_normal((12, 12, 12))).astype("f4")
    rough = jax.grad(lambda s: lx.solve.conductivity(s).value)(field)
    exact = jax.grad(lambda s: lx.solve.conductivity(s, gradient_tolerance=3e-4).value)(field)
    assert np.linalg.norm(rough - exact) < 1e-2 * np.linalg.norm(exact)


@pytest.mark.slow
def test_values_of_phases_and_transformations(rng):
    """One compiled function: jit, vmap and grad of the conductivities of two phases; the same as on the host."""
    rock = (rng.random(SHAPE) < 0.6).astype(np.uint8)

    def of(pore, clay):
        return lx.solve.conductivity(rock, values={1: pore, 0: clay}, tolerance=1e-6, gradient_tolerance=1e-3).value

    numbers = jnp.asarray([0.3, 1.0, 2.0])
    many = jax.jit(jax.vmap(jax.value_and_grad(of, argnums=1), in_axes=(None, 0)))(2.0, numbers)
    for n, clay in enumerate((0.3, 1.0, 2.0)):
        alone = lx.solve.conductivity(rock, values={1: 2.0, 0: clay}, tolerance=1e-6)
        assert float(many[0][n]) == pytest.approx(float(alone.value), rel=1e-5)  # tolerance, and float32
    exact = partial(lambda clay: dense_conductivity(np.where(rock == 1, 2.0, clay)))
    difference = (exact(0.3 + 1e-4) - exact(0.3 - 1e-4)) / 2e-4
    assert float(many[1][0]) == pytest.approx(difference, rel=2e-3)  # gradient_tolerance


@pytest.mark.slow
def test_nothing_joins_the_ends_under_jit():
    rock = np.ones(SHAPE, np.float32)
    rock[3] = 0
    result = jax.jit(lx.solve.conductivity)(rock)
    assert float(result.value) == 0
    assert float(result.porosities.percolating) == 0
    assert np.all(np.isfinite(jax.jit(jax.grad(lambda s: lx.solve.conductivity(s).value))(rock)))


@pytest.mark.parametrize("wrong", [-0.5, np.nan, np.inf])
def test_what_is_no_conductivity_is_not_a_number_under_jit(wrong):
    """What would be refused if it were seen: in a voxel, or as that of a phase."""
    field = np.ones((4, 4, 4), np.float32)
    field[1, 2, 3] = wrong
    result = jax.jit(lx.solve.conductivity)(field)
    assert np.isnan(float(result.value))
    assert not bool(result.converged)
    assert np.isnan(jax.grad(lambda s: lx.solve.conductivity(s).value)(field)).all()
    sample = field == 1
    assert float(jax.jit(lambda s: lx.solve.conductivity(s, where=sample, area=16.0).value)(field)) > 0.9
    rock = np.asarray(field == 1, np.uint8)

    def of(number):
        return lx.solve.conductivity(rock, values={0: number, 1: 1.0}).value

    value, slope = jax.jit(jax.value_and_grad(of))(wrong)
    assert np.isnan(value)
    assert np.isnan(slope)


@pytest.mark.parametrize("values", [{0: 1.0, 1: 2.0}, {0: 1.0, 3: 2.0}], ids=str)
def test_a_phase_without_a_conductivity_is_not_a_number_under_jit(values):
    def of(rock):
        return lx.solve.conductivity(rock, values=values).value

    rock = np.zeros((4, 4, 4), np.uint8)
    assert float(jax.jit(of)(rock)) == pytest.approx(1, rel=1e-5)
    rock[1, 2, 3] = 2
    assert np.isnan(float(jax.jit(of)(rock)))


@pytest.mark.slow
def test_the_derivative_in_the_grey_scan_is_a_finite_difference(rng):
    """Through denoising and a soft segmentation, for every voxel: along a random direction, in float64."""
    grey = rng.standard_normal(SHAPE)
    way = rng.standard_normal(grey.shape)

    def log_factor(grey):
        pore = 1 - lx.ops.soft_threshold(lx.ops.gaussian(grey, sigma=0.8), value=0.1, width=0.3)
        return -jnp.log(lx.solve.conductivity(pore, tolerance=1e-12, gradient_tolerance=1e-6).value)

    with jax.enable_x64(True):
        slope = float(jnp.sum(jax.grad(log_factor)(jnp.asarray(grey)) * way))
        step = 1e-4
        ahead, behind = (float(log_factor(jnp.asarray(grey + sign * step * way))) for sign in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)  # step² and the solver's 1e-6

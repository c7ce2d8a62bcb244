"""Gradients against differences, first-order errors against Monte Carlo, three energies against two."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.dect import Coefficients

sys.path.insert(0, str(Path(__file__).parent))
from scans import HIGH, LOW, attenuations, one_draw, scattered

sys.path.pop(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_the_same_as_solve(rng):
    coefficients = scattered(rng, 5, 0.01)
    low, high = attenuations(rng.uniform(0.5, 3, (4, 3)), rng.uniform(6, 20, (4, 3)))
    density, number, _ = lx.dect.solve(low, high, coefficients)
    found = lx.dect.estimate((low, high), coefficients)
    np.testing.assert_allclose(found[0], density, rtol=1e-11)
    np.testing.assert_allclose(found[1], number, rtol=1e-11)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_gradients_against_differences(mode):
    one = one_draw()
    low, high = attenuations(2.3, 11.0)

    @jax.jit
    def both(scan, air, a, b, n):
        density, number = lx.dect.estimate((scan[:1], scan[1:]), Coefficients(air, a, b, n, np.ones(1, bool)))
        return jnp.stack([density[0, 0], number[0, 0]])

    at = (np.array([low, high]), one.air, one.A, one.B, one.n)
    exact = mode(both, argnums=range(5))(*map(jnp.asarray, at))
    for position, (value, found) in enumerate(zip(at, exact, strict=True)):
        for index in np.ndindex(value.shape):
            step = 1e-6 * max(abs(value[index]), 1e-2 if position < 2 else 0)
            moved = []
            for sign in (1, -1):
                changed = value.copy()
                changed[index] += sign * step
                moved.append(both(*(changed if k == position else v for k, v in enumerate(at))))
            difference = (moved[0] - moved[1]) / (2 * step)
            # A central difference with a step of 1e-6 is good to about 1e-8 of the largest entry.
            np.testing.assert_allclose(found[(slice(None), *index)], difference, rtol=1e-5)


def test_more_energies_than_unknowns(rng):
    """Exact data give back what was put in; noisy data are fitted better than by two energies."""
    middle = tuple(0.5 * (x + y) for x, y in zip(LOW, HIGH, strict=True))
    rows = (LOW, middle, HIGH)
    three = Coefficients(*([[r[k] for r in rows]] for k in range(4)))
    density, number = rng.uniform(1, 3, 64), rng.uniform(8, 18, 64)
    scans = [air + density * (a + b * number**n) for air, a, b, n in rows]
    found = lx.dect.estimate(tuple(scans), three)
    np.testing.assert_allclose(found[0][:, 0], density, rtol=1e-6)
    np.testing.assert_allclose(found[1][:, 0], number, rtol=1e-6)
    noisy = [s + 1e-3 * rng.standard_normal(64) for s in scans]
    of_three = lx.dect.estimate(tuple(noisy), three)[1][:, 0]
    of_two = lx.dect.estimate((noisy[0], noisy[1]), three.select("energy 0", "energy 1"))[1][:, 0]
    assert np.nanstd(of_three - number) < np.nanstd(of_two - number)


def test_first_order_errors_are_those_of_monte_carlo(rng):
    """Errors of a thousandth, where the model is straight across them; 20 000 draws know a deviation to 0.5 %."""
    best = np.array([LOW, HIGH]).ravel()
    deviations = np.array([1e-3, 2e-4, 1e-3 * best[2], 1e-3] * 2)
    correlated = np.eye(8) + 0.3 * (np.eye(8, k=1) + np.eye(8, k=-1))
    covariance = deviations[:, None] * correlated * deviations
    draws = rng.multivariate_normal(best, covariance, 20_000).reshape(-1, 2, 4)
    many = Coefficients(*(draws[:, :, k] for k in range(4)))
    low, high = attenuations(np.array([1.0, 2.65, 2.7]), np.array([7.5, 11.8, 15.7]))
    _, _, density, number = lx.dect.propagate(low, high, one_draw(), covariance, voxel_noise=(2e-3, 1e-3))
    result = lx.dect.invert(low, high, many, moments=True, voxel_noise=(2e-3, 1e-3), seed=2)
    np.testing.assert_allclose(result.electron_density.standard_deviation, density, rtol=0.03)
    np.testing.assert_allclose(result.atomic_number.standard_deviation, number, rtol=0.03)


def test_bad_arguments():
    with pytest.raises(ValueError, match="1 attenuations"):
        lx.dect.estimate((np.ones(3),), one_draw())
    with pytest.raises(ValueError, match="noise="):
        lx.dect.estimate((np.ones(3), np.ones(3)), one_draw(), noise=(1.0, 0.0))
    with pytest.raises(ValueError, match="8 x 8"):
        lx.dect.propagate(np.ones(3), np.ones(3), one_draw(), np.eye(4))

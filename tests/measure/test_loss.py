"""Losses: their value against NumPy, their gradient against calculus, and what is left out left out of both."""

import jax
import numpy as np
import pytest

from lithax import measure

from .cases import pair

SHAPE = (4, 5, 6)
# float64 sums of 120 numbers.
ROUNDING = 1e-12


def gain(parameters, x):
    return parameters["gain"] * x + parameters["shift"]


PARAMETERS = {"gain": 1.5, "shift": -3.0}


def test_mean_squared_error(xp, rng):
    x, y = pair(rng, SHAPE)
    where = rng.random(SHAPE) < 0.6
    with jax.enable_x64(True):  # else JAX would round the arrays to float32
        given = [xp.asarray(v) for v in (x, y, where)]
    found = measure.MeanSquaredError(gain)(PARAMETERS, *given[:2], valid=given[2])
    np.testing.assert_allclose(float(found), np.mean((1.5 * x - 3 - y)[where] ** 2), rtol=ROUNDING)
    plain = measure.MeanSquaredError()(None, *given[:2])
    np.testing.assert_allclose(float(plain), np.mean((x - y) ** 2), rtol=ROUNDING)


def test_mean_loss(xp, rng):
    x, y = pair(rng, SHAPE)
    with jax.enable_x64(True):
        given = [xp.asarray(v) for v in (x, y)]
    found = measure.MeanLoss(lambda p, x, y: abs(p * x - y))(1.5, *given)
    np.testing.assert_allclose(float(found), np.mean(np.abs(1.5 * x - y)), rtol=ROUNDING)


def test_the_target_takes_the_dtype_of_the_prediction(rng):
    x, y = pair(rng, SHAPE)
    y = np.abs(y).astype(np.uint16)
    found = measure.MeanSquaredError()(None, x, y)
    np.testing.assert_allclose(found, np.mean((x - y) ** 2), rtol=ROUNDING)


def test_gradient(rng):
    """d/dgain mean((gain x + shift - y)²) = 2 mean(x r), d/dshift = 2 mean(r)."""
    x, y = pair(rng, SHAPE)
    where = rng.random(SHAPE) < 0.6
    loss = measure.MeanSquaredError(gain)
    with jax.enable_x64(True):
        found = jax.grad(lambda p: loss(p, x, y, valid=where))(PARAMETERS)
    residual = (1.5 * x - 3 - y)[where]
    np.testing.assert_allclose(found["gain"], 2 * np.mean(x[where] * residual), rtol=ROUNDING)
    np.testing.assert_allclose(found["shift"], 2 * np.mean(residual), rtol=ROUNDING)


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -1.0])
def test_what_is_left_out_poisons_no_gradient(hidden, rng):
    """A logarithm of a hidden NaN, infinity or negative number: gradients by parameters and by voxels stay finite."""
    x = 1 + rng.random(SHAPE)
    where = rng.random(SHAPE) < 0.6
    spoilt = np.where(where, x, hidden)
    loss = measure.MeanLoss(lambda p, v: jax.numpy.log(p * v) ** 2)
    with jax.enable_x64(True):
        value, (by_parameter, by_voxel) = jax.value_and_grad(
            lambda p, v: loss(p, v, valid=jax.numpy.asarray(where)), argnums=(0, 1)
        )(1.5, jax.numpy.asarray(spoilt))
    inside = np.log(1.5 * x[where])
    np.testing.assert_allclose(value, np.mean(inside**2), rtol=ROUNDING)
    np.testing.assert_allclose(by_parameter, np.mean(2 * inside / 1.5), rtol=ROUNDING)
    assert (np.asarray(by_voxel)[~where] == 0).all()
    np.testing.assert_allclose(np.asarray(by_voxel)[where], 2 * inside / x[where] / where.sum(), rtol=ROUNDING)


def test_no_voxel():
    loss = measure.MeanSquaredError()
    nothing = np.zeros(SHAPE, bool)
    assert np.isnan(loss(None, np.ones(SHAPE), np.ones(SHAPE), valid=nothing))


def test_a_state_can_be_finished_inside_a_gradient(rng):
    """What the combinators do: the state from blocks, the end differentiated by the state."""
    loss = measure.MeanLoss(lambda p, v: p * v)
    state = loss.of(2.0, rng.random(SHAPE))
    with jax.enable_x64(True):
        by_sum = jax.grad(lambda s: loss.finish({"sum": s, "count": state["count"]}))(state["sum"])
    np.testing.assert_allclose(by_sum, 1 / np.prod(SHAPE), rtol=ROUNDING)


def test_mistakes_are_named():
    x = np.ones(SHAPE)
    with pytest.raises(ValueError, match=r"one number per voxel"):
        measure.MeanLoss(lambda p, v: v.mean())(None, x)
    with pytest.raises(ValueError, match=r"give model= or two arrays"):
        measure.MeanSquaredError()(None, x)
    with pytest.raises(ValueError, match=r"one shape"):
        measure.MeanSquaredError()(None, x, x[0])

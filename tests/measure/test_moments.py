"""Moments, sums and extremes against scipy and NumPy."""

import math

import jax
import numpy as np
import pytest
import scipy.stats

from lithax import measure

from .cases import grey

SHAPE = (8, 9, 10)
# Two-pass moments in float64 of 720 numbers: rounding of the order 1e-15 of the powers.
ROUNDING = 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, np.int32, np.bool_])
def test_moments(dtype, xp, rng):
    x = np.abs(grey(rng, SHAPE)).astype(dtype)
    if dtype == np.bool_:
        x = rng.random(SHAPE) < 0.3
    where = rng.random(SHAPE) < 0.6
    result = measure.moments(xp.asarray(x.copy()), where=xp.asarray(where))
    own = x[where].astype(np.float64)
    assert result.count == own.size
    np.testing.assert_allclose(result.mean, own.mean(), rtol=ROUNDING)
    np.testing.assert_allclose(result.variance, own.var(), rtol=ROUNDING)
    np.testing.assert_allclose(result.standard_deviation, own.std(), rtol=ROUNDING)
    np.testing.assert_allclose(result.skewness, scipy.stats.skew(own), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(result.kurtosis, scipy.stats.kurtosis(own), rtol=0, atol=ROUNDING)


def test_a_small_spread_about_a_large_mean(rng):
    """Where the difference of sums of powers would be noise."""
    deviation = rng.normal(0, 1, (41, 40, 42))
    result = measure.moments(1e8 + deviation)
    # The numbers themselves are rounded to 1.5e-8.
    np.testing.assert_allclose(result.variance, deviation.var(), rtol=1e-6)


def test_moments_of_a_constant_image():
    result = measure.moments(np.full(SHAPE, 7, np.uint8))
    assert (result.mean, result.variance) == (7, 0)
    assert math.isnan(result.skewness)
    assert math.isnan(result.kurtosis)


def test_moments_of_nothing():
    result = measure.moments(np.ones(SHAPE), where=np.zeros(SHAPE, bool))
    assert result.count == 0
    assert math.isnan(result.mean)
    assert math.isnan(measure.mean(np.ones(SHAPE), where=np.zeros(SHAPE, bool)))


def test_nan_propagates_unless_it_is_skipped(rng):
    x = grey(rng, SHAPE)
    x[2, 3, 4] = np.nan
    clean = x[~np.isnan(x)].astype(np.float64)
    assert math.isnan(measure.moments(x).mean)
    assert math.isnan(measure.mean(x))
    assert math.isnan(measure.minimum_maximum(x).minimum)
    assert math.isnan(measure.minimum_maximum(x).maximum)
    result = measure.moments(x, skip_nan=True)
    assert result.count == clean.size
    np.testing.assert_allclose(result.mean, clean.mean(), rtol=ROUNDING)
    extremes = measure.minimum_maximum(x, skip="nan")
    assert (extremes.minimum, extremes.maximum, extremes.skipped) == (clean.min(), clean.max(), 1)
    where = ~np.isnan(x)
    assert measure.moments(x, where=where).count == clean.size
    assert measure.minimum_maximum(x, where=where).maximum == clean.max()


def test_infinities():
    x = np.asarray([[[1.0, np.inf, -np.inf, 3.0]]])
    both = measure.minimum_maximum(x)
    assert (both.minimum, both.maximum) == (-np.inf, np.inf)
    finite = measure.minimum_maximum(x, skip="nonfinite")
    assert (finite.minimum, finite.maximum, finite.count, finite.skipped) == (1, 3, 4, 2)


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.float16, np.float64]
)
def test_extremes_keep_their_kind(dtype, rng):
    x = rng.integers(0, 2, SHAPE).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        x[1, 1, 1], x[2, 2, 2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    result = measure.minimum_maximum(x)
    assert (result.minimum, result.maximum) == (x.min().item(), x.max().item())
    assert isinstance(result.maximum, float if np.dtype(dtype).kind == "f" else int)


def test_a_rule_for_nan_that_there_is_not():
    with pytest.raises((TypeError, ValueError)):
        measure.minimum_maximum(np.ones(SHAPE), skip="infinity")


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_integers_are_summed_exactly(dtype, rng):
    x = rng.integers(0, 2, SHAPE).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        x[0, 0, :3] = min(np.iinfo(dtype).max, 2**60)
    total = measure.Sum()(x)
    assert total == int(x.sum(dtype=np.uint64 if np.dtype(dtype).kind == "u" else np.int64))
    assert isinstance(total, int)
    assert measure.mean(x) == total / x.size


def test_float32_is_summed_in_float64():
    """10⁸ and a million ones: float32 would lose every one of them."""
    x = np.ones((100, 100, 100), np.float32)
    x[0, 0, 0] = 1e8
    assert measure.Sum()(x) == 1e8 + 999_999
    assert measure.Sum()(jax.numpy.asarray(x)) == 1e8 + 999_999


def test_count(rng):
    x = grey(rng, SHAPE)
    where = rng.random(SHAPE) < 0.4
    assert measure.Count()(x) == x.size
    assert measure.Count()(x, valid=where) == where.sum()

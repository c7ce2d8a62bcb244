from fractions import Fraction

import jax
import numpy as np
import pytest

from lithax import ops

VALUES = np.array([0, 1, 127, 128, 254, 255])
BOUNDS = [-1, 0, 0.5, 127, 127.5, 255, 255.5, 300, -1e30, 1e30, float("inf"), float("-inf")]


def column(values, dtype):
    return np.asarray(values, dtype=dtype).reshape(-1, 1, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("bound", BOUNDS)
def test_whole_numbers_are_compared_exactly(dtype, bound, xp):
    x = xp.asarray(column(VALUES, dtype)) if not (dtype == np.int64 and xp is jax.numpy) else column(VALUES, dtype)
    exact = [Fraction(v) if np.isfinite(bound) else float(v) for v in VALUES.tolist()]
    flags = lambda y: np.asarray(y).ravel().tolist()  # noqa: E731
    assert flags(ops.threshold(x, value=bound)) == [v > bound for v in exact]
    assert flags(ops.threshold(x, lower=bound)) == [v >= bound for v in exact]
    assert flags(ops.threshold(x, upper=bound)) == [v <= bound for v in exact]


def test_beyond_the_precision_of_floats():
    big = 2**62 + 1
    x = column([big - 1, big, big + 1], np.int64)
    assert ops.threshold(x, value=big).ravel().tolist() == [False, False, True]
    assert ops.threshold(x, lower=big, upper=big).ravel().tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bounds_may_be_traced(dtype):
    x = column([0, 10, 20], dtype)
    inside = jax.jit(lambda x, low, high: ops.threshold(x, lower=low, upper=high))
    assert inside(x, 9.5, 10.5).ravel().tolist() == [False, True, False]
    assert inside(x, 10, 300).ravel().tolist() == [False, True, True]  # 300 does not wrap in uint8


def test_unsigned_16_bits_on_every_library(xp):
    x = xp.asarray(column([0, 10, 65535], np.uint16))
    assert np.asarray(ops.threshold(x, value=9.5)).ravel().tolist() == [False, True, True]


def test_nan_is_nowhere():
    x = column([np.nan, 1.0], np.float64)
    for parameters in ({"value": -np.inf}, {"lower": -np.inf}, {"upper": np.inf}):
        assert ops.threshold(x, **parameters).ravel().tolist() == [False, True]
    for name in ("value", "lower", "upper"):
        for nan in (np.nan, np.float32("nan")):
            with pytest.raises(ValueError, match=f"{name}=.*nan.* is no grey level"):
                ops.threshold(column([1, 2], np.uint8), **{name: nan})


def test_booleans():
    assert ops.threshold(column([0, 1], bool), value=0.5).ravel().tolist() == [False, True]


def test_soft_threshold_approaches_the_sharp_one(rng):
    x = rng.standard_normal((5, 5, 5))
    x = x[np.abs(x - 0.2) > 1e-3].reshape(-1, 1, 1)
    soft = ops.soft_threshold(x, value=0.2, width=1e-5)
    np.testing.assert_array_equal(soft, ops.threshold(x, value=0.2).astype(float))  # tanh(50) rounds to 1
    middle = ops.soft_threshold(column([0.2, 0.3], np.float64), value=0.2, width=0.1).ravel()
    np.testing.assert_allclose(middle, [0.5, 1 / (1 + np.exp(-1))], rtol=1e-14)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give value, for block > value, or lower and upper"),
        ({"value": 1.0, "lower": 0.0}, "give value, for block > value, or lower and upper"),
        ({"lower": 2.0, "upper": 1.0}, r"lower=2.0 exceeds upper=1.0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ops.threshold(np.zeros((2, 2, 2)), **parameters)


def test_bad_width_and_complex_images():
    with pytest.raises(ValueError, match="width=0 must be positive"):
        ops.soft_threshold(np.zeros((2, 2, 2)), value=0.0, width=0)
    with pytest.raises(TypeError, match="an array of complex128 has no order"):
        ops.threshold(np.zeros((2, 2, 2), complex), value=0.0)

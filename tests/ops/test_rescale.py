import jax
import numpy as np
import pytest

from lithax import ops


def column(values, dtype=np.float64):
    return np.asarray(values, dtype=dtype).reshape(-1, 1, 1)


def test_rescale_maps_the_ends_onto_the_ends():
    x = column([10, 15, 20, 30], np.uint8)
    np.testing.assert_array_equal(ops.rescale(x, input_range=(10, 20)).ravel(), np.float32([0, 0.5, 1, 2]))
    np.testing.assert_array_equal(
        ops.rescale(x, input_range=(10, 20), output_range=(255, 0), clip=True).ravel(), np.float32([255, 127.5, 0, 0])
    )
    assert ops.rescale(x, input_range=(10, 20)).dtype == np.float32
    assert ops.rescale(x.astype(np.int32), input_range=(10, 20)).dtype == np.float64


def test_rescale_near_a_large_offset():
    # x * scale + shift would lose 1e6 * eps = 0.1 of the output here.
    x = column([1e6, 1e6 + 0.5, 1e6 + 1], np.float32)
    np.testing.assert_array_equal(ops.rescale(x, input_range=(1e6, 1e6 + 1)).ravel(), np.float32([0, 0.5, 1]))


def test_standardize(rng):
    x = rng.normal(7.0, 2.0, (5, 6, 7))
    y = ops.standardize(x, mean=x.mean(), standard_deviation=x.std())
    assert abs(y.mean()) < 1e-14
    assert abs(y.std() - 1) < 1e-14


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32])
def test_clip_is_that_of_numpy_and_keeps_the_dtype(dtype, xp, rng):
    if dtype == np.int64 and xp is jax.numpy:
        pytest.skip("JAX has no int64 outside an x64 scope")
    x = rng.integers(0, 100, (4, 5, 6)).astype(dtype)
    for lower, upper in ((20, 60), (None, 60), (20, None), (-1000, 60), (20, 2**70), (float("-inf"), 7.0)):
        y = ops.clip(xp.asarray(x), lower=lower, upper=upper)
        assert str(np.dtype(dtype)) in str(y.dtype)
        expected = np.clip(x.astype(float), lower, upper)
        np.testing.assert_array_equal(np.asarray(y), expected)


def test_clip_by_traced_bounds():
    limit = jax.jit(lambda x, low, high: ops.clip(x, lower=low, upper=high))
    x = column([0, 100, 255], np.uint8)
    assert limit(x, -5, 300).ravel().tolist() == [0, 100, 255]  # neither bound wraps
    assert limit(x, 50, 200).ravel().tolist() == [50, 100, 200]
    assert limit(x.astype(np.float32), 50.5, 200.0).ravel().tolist() == [50.5, 100, 200]


def test_clip_leaves_nan():
    np.testing.assert_array_equal(ops.clip(column([np.nan, 3.0]), upper=2.0).ravel(), [np.nan, 2.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.clip(x), ValueError, "give clip at least one end"),
        (lambda x: ops.clip(x, lower=3, upper=2), ValueError, "lower=3 exceeds upper=2"),
        (lambda x: ops.clip(x, upper=np.nan), ValueError, "upper=nan bounds nothing"),
        (lambda x: ops.clip(x.astype(np.uint8), lower=300), ValueError, "lower=300: uint8 reaches from 0 to 255"),
        (lambda x: ops.clip(x.astype(np.uint8), upper=-1), ValueError, "upper=-1: uint8 reaches from 0 to 255"),
        (lambda x: ops.clip(x.astype(np.uint8), lower=1.5), TypeError, "lower=1.5 is not whole, the image is uint8"),
        (lambda x: ops.clip(x.astype(np.uint8), lower=np.array(1.5)), TypeError, "lower is an array of float64"),
        (lambda x: ops.clip(x > 0, lower=0), TypeError, "an array of bool cannot be clipped"),
        (lambda x: ops.rescale(x, input_range=(1, 1)), ValueError, r"input_range=\(1, 1\) has no width"),
        (lambda x: ops.rescale(x, input_range=3), ValueError, "input_range=3 must be two numbers"),
        (lambda x: ops.standardize(x, mean=0, standard_deviation=0), ValueError, "standard_deviation=0 must be positive"),
    ],
)  # fmt: skip
def test_bad_parameters(call, error, message):
    with pytest.raises(error, match=message):
        call(column([1.0, 2.0]))

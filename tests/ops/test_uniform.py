import numpy as np
import pytest

from lithax import ops


@pytest.mark.parametrize("op", [ops.uniform, ops.minimum, ops.maximum, ops.local_standard_deviation], ids=repr)
def test_nan_reaches_the_boxes_that_hold_it(op):
    x = np.zeros((7, 7, 7))
    x[3, 3, 3] = np.nan
    y = op(x)
    assert np.isnan(y[2:5, 2:5, 2:5]).all()
    assert np.isnan(y).sum() == 27


@pytest.mark.parametrize("op", [ops.uniform, ops.minimum, ops.maximum, ops.local_standard_deviation], ids=repr)
def test_size_and_radius_say_the_same(op, rng):
    x = rng.standard_normal((6, 5, 7))
    np.testing.assert_array_equal(op(x, radius=(1, 0, 2)), op(x, size=(3, 1, 5)))
    np.testing.assert_array_equal(op(x), op(x, radius=1))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": 3, "radius": 1}, r"size=3 and radius=1 both set the window; give one"),
        ({"size": 0}, r"size=0 must be at least 1 voxel"),
        ({"size": 2.5}, r"size=2.5 must be a number of voxels"),
        ({"radius": -1}, r"radius=-1 must be a number of voxels >= 0"),
        ({"radius": (1, 2)}, r"radius=\(1, 2\) must be .* a tuple of three"),
    ],
)
def test_bad_windows(parameters, message):
    with pytest.raises(ValueError, match=message):
        ops.uniform(np.zeros((4, 4, 4)), **parameters)


def test_deviation_survives_a_large_mean(rng):
    # <x^2> - <x>^2 in float32 would have an error of 1e5**2 * eps = 1200 here.
    noise = rng.standard_normal((8, 8, 8)).astype(np.float32)
    x = noise + np.float32(1e5)
    small = x.astype(np.float64) - 1e5
    expected = ops.local_standard_deviation(small)
    # Means of 27 numbers near 1e5 are rounded by 1e5 * eps/2 = 0.006 a few times, deviations are of order 1.
    np.testing.assert_allclose(ops.local_standard_deviation(x), expected, atol=0.03)


def test_order_statistics_need_an_order():
    with pytest.raises(TypeError, match="an array of complex128 has no order"):
        ops.minimum(np.zeros((3, 3, 3), complex))

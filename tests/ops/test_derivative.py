import numpy as np
import pytest

from lithax import ops

SHAPE = (9, 8, 7)
SPACING = (0.5, 2.0, 3.0)
SLOPE = (4.0, -1.0, 0.25)
INNER = (slice(4, 5), slice(3, 5), slice(3, 4))  # away from the faces: the ramp does not continue across them


@pytest.fixture
def ramp():
    x, y, z = (h * np.arange(n) for h, n in zip(SPACING, SHAPE, strict=True))
    return SLOPE[0] * x[:, None, None] + SLOPE[1] * y[:, None] + SLOPE[2] * z


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ramp_has_its_slope(ramp, axis):
    order = tuple(int(a == axis) for a in range(3))
    for found in (
        ops.derivative(ramp, axis=axis, spacing=SPACING),
        ops.derivative(ramp, axis="xyz"[axis], spacing=SPACING),
        # The samples of G', cut off at 3, make 1.0000 of a ramp of 1 only approximately: 3e-3 for sigma 0.8.
        ops.gaussian_derivative(ramp, order=order, sigma=0.8, radius=3, spacing=SPACING),
    ):
        np.testing.assert_allclose(found[INNER], SLOPE[axis], rtol=5e-3)
    np.testing.assert_allclose(ops.sobel(ramp, axis=axis)[INNER], 32 * SLOPE[axis] * SPACING[axis], rtol=1e-12)


def test_the_magnitude_of_a_ramp(ramp):
    length = np.linalg.norm(SLOPE)
    np.testing.assert_allclose(ops.gradient_magnitude(ramp, spacing=SPACING)[INNER], length, rtol=1e-12)
    np.testing.assert_allclose(
        ops.gradient_magnitude(ramp, sigma=0.8, radius=3, spacing=SPACING)[INNER], length, rtol=5e-3
    )


def test_the_laplacian_of_a_parabola():
    x, y, z = (h * np.arange(n) for h, n in zip(SPACING, SHAPE, strict=True))
    field = 3 * x[:, None, None] ** 2 - y[:, None] ** 2 + 0.5 * z**2
    np.testing.assert_allclose(ops.laplacian(field, spacing=SPACING)[INNER], 2 * (3 - 1 + 0.5), rtol=1e-12)


def test_the_gradient_knows_no_direction(rng):
    x = rng.standard_normal(SHAPE)
    for parameters in ({}, {"sigma": 1.0}):
        turned = ops.gradient_magnitude(x.transpose(2, 0, 1), **parameters).transpose(1, 2, 0)
        np.testing.assert_allclose(ops.gradient_magnitude(x, **parameters), turned, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.derivative(x, axis=3), "axis=3 must be 0, 1, 2 or 'x', 'y', 'z'"),
        (lambda x: ops.sobel(x, axis="t"), "axis='t' must be"),
        (lambda x: ops.derivative(x, axis=0, spacing=0), "spacing=0 must be positive"),
        (lambda x: ops.laplacian(x, spacing=(1, 2)), r"spacing=\(1, 2\) must be a number, or three"),
        (lambda x: ops.gradient_magnitude(x, sigma=0), "sigma=0 must be positive along every axis"),
        (lambda x: ops.gradient_magnitude(x, sigma=0.1), "no neighbour is left to take a difference with"),
        (lambda x: ops.gaussian_derivative(x, sigma=1.0, order=(1, -1, 0)), r"order=\(1, -1, 0\) must be"),
    ],
)
def test_bad_parameters(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros(SHAPE))


@pytest.mark.parametrize("axis", [3, -4, 1.0, True, None, "X", "xy", [0]])
def test_what_is_no_axis(axis):
    with pytest.raises(ValueError, match=r"axis=.* must be 0, 1, 2 or 'x', 'y', 'z'"):
        ops.derivative(np.zeros((2, 2, 2)), axis=axis)

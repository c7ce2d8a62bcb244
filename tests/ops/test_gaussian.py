import jax
import numpy as np
import pytest
from scipy import ndimage

from lithax import ops

SHAPE = (6, 5, 7)


def test_radius_is_that_of_scipy():
    assert ops.gaussian_radius(1.5) == (6, 6, 6)
    assert ops.gaussian_radius((0.0, 0.1, 2.0), truncate=3) == (0, 0, 6)
    assert ops.gaussian_radius(1.5, radius=(2, 3, 4)) == (2, 3, 4)
    assert ops.gaussian.halos({"sigma": 1.0, "truncate": 2.0}, 1) == ((2, 2, 2),)


def test_a_constant_stays(rng):
    np.testing.assert_allclose(ops.gaussian(np.full(SHAPE, 7.0), sigma=1.3), 7.0, rtol=1e-14)  # the weights add to 1


@pytest.mark.parametrize("sigma", [0.8, (0.5, 1.0, 1.5)], ids=["one", "three"])
def test_sigma_may_be_traced(sigma, rng):
    x = rng.standard_normal(SHAPE).astype(np.float32)
    smooth = jax.jit(lambda x, s: ops.gaussian(x, sigma=s, radius=3))
    expected = ndimage.gaussian_filter(x.astype(float), sigma, radius=3)
    for value in (np.asarray(sigma, np.float32), np.asarray(sigma, np.float64)):
        # float32: 21 weights and sums, each with eps/2
        np.testing.assert_allclose(smooth(x, value), expected, atol=21 * 2.0**-23 * np.abs(x).max())
    assert smooth._cache_size() == 1


def test_sweep_over_sigma(rng):
    x = rng.standard_normal(SHAPE).astype(np.float32)
    sigmas = np.array([0.5, 1.0], np.float32)
    both = jax.vmap(lambda s: ops.gaussian(x, sigma=s, radius=2))(sigmas)
    for one, sigma in zip(both, sigmas, strict=True):
        np.testing.assert_allclose(
            one, ops.gaussian(x, sigma=float(sigma), radius=2), atol=15 * 2.0**-23 * np.abs(x).max()
        )


def test_nan_spreads_over_the_window_only():
    x = np.zeros((7, 7, 7))
    x[3, 3, 3] = np.nan
    y = ops.gaussian(x, sigma=1.0, radius=1)
    assert np.isnan(y[2:5, 2:5, 2:5]).all()
    assert np.isnan(y).sum() == 27


def test_complex_images_are_smoothed(rng):
    x = rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)
    np.testing.assert_allclose(ops.gaussian(x, sigma=1.0), ndimage.gaussian_filter(x, 1.0), atol=1e-14)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma": -1.0}, r"sigma=-1.0 must be a finite number of voxels >= 0"),
        ({"sigma": float("nan")}, r"sigma=nan must be a finite number"),
        ({"sigma": (1.0, 2.0)}, r"sigma=\(1.0, 2.0\) must be a number, or three of them"),
        ({"sigma": "wide"}, r"sigma='wide' of gaussian\(\) is no length; give numbers of voxels"),
        ({"sigma": jax.numpy.ones(3)}, r"is an array, so the width of the filter is unknown .* give radius="),
        ({"sigma": 1.0, "radius": 1.5}, r"radius=1.5 must be a number of voxels"),
        ({"sigma": 1.0, "truncate": 0.0}, r"truncate=0.0 must be a positive number of standard deviations"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ops.gaussian(np.zeros(SHAPE), **parameters)


def test_traced_sigma_needs_a_radius():
    with pytest.raises(ValueError, match="is traced, so the width of the filter is unknown"):
        jax.jit(lambda s: ops.gaussian(np.zeros(SHAPE, np.float32), sigma=s))(1.0)


def test_traced_radius_is_refused():
    with pytest.raises(TypeError, match="cannot be traced"):
        jax.jit(lambda r: ops.gaussian(np.zeros(SHAPE, np.float32), sigma=1.0, radius=r))(2)

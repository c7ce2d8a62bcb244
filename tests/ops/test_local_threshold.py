"""Thresholds that follow the surroundings, beside scikit-image and on a scan that drifts."""

import numpy as np
import pytest

import lithax as lx
from lithax import ops


def test_as_scikit_image(rng):
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed: pip install scikit-image")
    x = rng.random((9, 10, 11)) * 200
    # Its variances are <x²> - <x>²: of values up to 200, roots of 200² times float64's rounding.
    close = {"rtol": 0, "atol": 1e-5}
    for size in (5, (3, 1, 7)):
        ours = ops.niblack(x, window_size=size, k=0.4, boundary="mirror")
        np.testing.assert_allclose(ours, filters.threshold_niblack(x, size, 0.4), **close)
        ours = ops.sauvola(x, window_size=size, k=0.4, r=60.0, boundary="mirror")
        np.testing.assert_allclose(ours, filters.threshold_sauvola(x, size, 0.4, 60.0), **close)
    levels = x.astype(np.uint8)
    expected = filters.threshold_sauvola(levels, 5)
    # There the range of uint8 is that of img_as_float's input, 255; float32 arithmetic.
    np.testing.assert_allclose(ops.sauvola(levels, window_size=5, boundary="mirror"), expected, rtol=0, atol=1e-3)
    for method in ("gaussian", "mean", "median"):
        ours = ops.adaptive(x, block_size=5, method=method, offset=3.0)
        np.testing.assert_allclose(ours, filters.threshold_local(x, 5, method, 3.0), **close)


def test_drift_does_not_matter(rng):
    """A scan whose grey levels rise by twice the contrast: no single threshold can, a local one does."""
    i, j, k = np.indices((20, 20, 60))
    pores = (i // 4 + j // 4 + k // 4) % 2 == 0
    x = (np.where(pores, 60.0, 140.0) + 160.0 * k / 60 + rng.normal(0, 8, pores.shape)).astype(np.float32)
    found = ops.local_threshold(x, method="niblack", window_size=9, k=0.0)
    inner = (slice(4, -4),) * 3
    assert np.mean(found[inner] == pores[inner]) < 0.03
    assert np.mean((x > lx.measure.otsu(x)) == pores) > 0.2
    image = lx.from_array(x, chunks=16)
    out = lx.chunk_map(ops.local_threshold, image, method="niblack", window_size=9, k=0.0, progress=False)
    assert np.mean(out[...] != found) < 1e-4  # fused, a mean may round another way
    assert ops.local_threshold(x, window_size=3, offset=1000.0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.niblack(x, window_size=4), r"window_size=4 must be an odd number of voxels"),
        (lambda x: ops.local_threshold(x, window_size=4), r"window_size=4 must be an odd number of voxels"),
        (lambda x: ops.niblack(x, k=np.nan), r"k=nan would leave no voxel a number"),
        (lambda x: ops.sauvola(x), r"r=None: the range of standard deviations is unknown for floats"),
        (lambda x: ops.sauvola(x, r=0), r"r=0 must be positive"),
        (
            lambda x: ops.adaptive(x, method="mode"),
            r"method='mode' is not known; use one of 'gaussian', 'mean', 'median'",
        ),
        (lambda x: ops.adaptive(x, method="mean", sigma=1.0), r"sigma=1.0 is that of method='gaussian'"),
        (lambda x: ops.local_threshold(x, method="otsu"), r"method='otsu' is not known; use one of 'adaptive'"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((4, 4, 4)))

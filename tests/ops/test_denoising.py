"""What the edge-preserving filters promise beyond the table of cases."""

import numpy as np
import pytest

import lithax as lx
from lithax import measure, ops


def grains(rng, sigma, shape=(24, 25, 26)):
    """Two grey levels, 0 and 1, in blocks of 6 voxels, and noise."""
    i, j, k = np.indices(shape) // 6
    clean = ((i + j + k) % 2).astype(np.float64)
    return clean, clean + rng.normal(0, sigma, shape)


@pytest.mark.parametrize(
    ("mode", "boundary"),
    [("constant", "constant"), ("edge", "nearest"), ("symmetric", "reflect"), ("reflect", "mirror")],
)
def test_bilateral_as_scikit_image(mode, boundary, rng):
    """In a plane, and with all distances weighted alike: for odd windows scikit-image reads its table of distances askew."""
    restoration = pytest.importorskip("skimage.restoration", reason="scikit-image is not installed")
    x = rng.random((15, 16))
    expected = restoration.denoise_bilateral(x, 5, 0.3, 1e9, bins=10**6, mode=mode)
    found = ops.bilateral(x[..., None], sigma_color=0.3, sigma_spatial=1e9, radius=(2, 2, 0), boundary=boundary)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)  # its table has 10⁶ entries: steps of 10⁻⁶ / 0.3


def test_bilateral_window(rng):
    """By default the window is scikit-image's: 2 * max(2, ceil(3 sigma)) + 1."""
    x = rng.random((6, 6, 6))
    expected = ops.bilateral(x, sigma_color=0.3, sigma_spatial=0.8, radius=3)
    np.testing.assert_array_equal(ops.bilateral(x, sigma_color=0.3, sigma_spatial=0.8), expected)
    np.testing.assert_array_equal(ops.bilateral(x, sigma_color=0.3, sigma_spatial=0.8, win_size=7), expected)


def test_edges_stay_and_noise_goes(rng):
    clean, x = grains(rng, 0.15)
    inner = (slice(6, -6),) * 3
    before = np.sqrt(np.mean((x - clean)[inner] ** 2))
    smooth = {
        "gaussian": ops.gaussian(x, sigma=1.0),
        "bilateral": ops.bilateral(x, sigma_color=0.3, sigma_spatial=1.5, radius=3),
        "non-local means": ops.non_local_means(x, sigma=0.15, patch_distance=3),
    }
    left = {name: np.sqrt(np.mean((y - clean)[inner] ** 2)) / before for name, y in smooth.items()}
    assert left["bilateral"] < 0.5  # in corners few voxels are alike
    assert left["non-local means"] < 0.4
    assert left["gaussian"] > 1.0  # the edges are gone


def test_non_local_means_estimates_the_noise(rng):
    x = rng.normal(0, 0.1, (9, 8, 7))
    image = lx.from_array(x, chunks=(4, 8, 3))
    some = rng.random(x.shape) < 0.9
    for valid in (None, some):
        options = {} if valid is None else {"valid": valid}
        told = ops.non_local_means(x, sigma=measure.noise(x, valid), patch_distance=1, **options)
        # The estimate of images is good to the bins of its histogram, 2⁻¹⁶ of the largest difference.
        np.testing.assert_allclose(ops.non_local_means(x, patch_distance=1, **options), told, rtol=1e-3, atol=1e-4)
        where = None if valid is None else lx.from_array(valid, chunks=4)
        found = lx.chunk_map(ops.non_local_means, image, patch_distance=1, where=where, progress=False)[...]
        np.testing.assert_allclose(found, told, atol=1e-12)
    flat = np.full((3, 3, 3), 7.0)
    np.testing.assert_array_equal(ops.non_local_means(flat, patch_distance=1), flat)
    later = lx.chain(lambda v: 2 * v, ops.non_local_means)
    for call in (lambda: ops.non_local_means(x[:1]), lambda: lx.chunk_map(later, image, progress=False)):
        with pytest.raises(ValueError, match=r"h=None, sigma=None: .* give sigma=lx.measure.noise\(image\)"):
            call()


def test_non_local_means_takes_the_noise_for_its_strength(rng):
    x, sigma = rng.random((5, 5, 5)), 0.3
    ours = ops.non_local_means(x, sigma=sigma, patch_distance=1)
    np.testing.assert_array_equal(ours, ops.non_local_means(x, sigma=sigma, h=0.8 * sigma, patch_distance=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.bilateral(x, sigma_color=0), r"sigma_color=0 must be a positive difference"),
        (lambda x: ops.bilateral(x, sigma_color=1, sigma_spatial=-1), r"sigma_spatial=-1 must be a positive"),
        (lambda x: ops.bilateral(x, sigma_color=1, win_size=4), r"win_size=4 must be an odd number of voxels"),
        (lambda x: ops.bilateral(x, sigma_color=1, win_size=3, radius=1), r"both set the window"),
        (lambda x: ops.non_local_means(x, sigma=1, patch_size=2), r"patch_size=2 must be an odd number"),
        (lambda x: ops.non_local_means(x, sigma=1, patch_distance=-1), r"patch_distance=-1"),
        (lambda x: ops.non_local_means(x, sigma=-1), r"sigma=-1 must be a standard deviation"),
        (lambda x: ops.non_local_means(x, h=0), r"h=0 must be positive"),
        (lambda x: ops.unsharp_mask(x, radius=-1), r"radius=-1 must be a finite number of voxels"),
        (lambda x: ops.unsharp_mask(x, amount=np.nan), r"amount=nan would leave no voxel a number"),
        (lambda x: ops.percentile(x, percentile=101), r"percentile=101 must be a number from 0 to 100"),
        (lambda x: ops.percentile(x, percentile=50, size=3, footprint="ball"), r"size=3 is that of a box"),
        (lambda x: ops.rank(x, rank=27), r"rank=27 must be an integer from -27 to 26"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((4, 4, 4)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, no: ops.bilateral(x, sigma_color=no),
        lambda x, no: ops.total_variation(x, weight=no),
        lambda x, no: ops.anisotropic_diffusion(x, kappa=no),
        lambda x, no: ops.unsharp_mask(x, amount=no),
        lambda x, no: ops.niblack(x, window_size=3, k=no),
        lambda x, no: ops.soft_threshold(x, value=no, width=1),
    ],
)
def test_what_is_no_number_is_named(call):
    """Text and lists, which no array library can compute with, in any parameter that may be traced."""
    for no in ("1", [1.0]):
        with pytest.raises(TypeError, match=r"=(\[1\.0\]|'1') must be a number, or an array"):
            call(np.zeros((4, 4, 4)), no)


def test_what_has_no_order_is_not_smoothed():
    with pytest.raises(TypeError, match="complex128 has no edges of one kind"):
        ops.bilateral(np.zeros((4, 4, 4), complex), sigma_color=1)
    with pytest.raises(TypeError, match="features\\(\\) takes one array or more, got none"):
        ops.features()


def test_noise_of_a_scan(rng):
    clean, x = grains(rng, 0.15, (36, 36, 36))
    # 46 656 dependent differences: the median of their size is good to about 1 %.
    assert abs(measure.noise(rng.normal(0, 0.15, x.shape)) / 0.15 - 1) < 0.03
    # One group of eight in 216 stands on a corner of blocks, where all three differences meet.
    assert abs(measure.noise(x) / 0.15 - 1) < 0.05
    ramp = clean + np.indices(x.shape).sum(axis=0)
    large = (rng.normal(0, 1e38, x.shape)).clip(-3.4e38, 3.4e38).astype(np.float32)
    assert abs(measure.noise(large) / 1e38 - 1) < 0.03
    assert measure.noise(ramp) < 1e-4  # the width of a bin: the largest difference over 2¹⁶
    image = lx.from_array(x.astype(np.float32), chunks=20)
    assert abs(measure.noise(image) / measure.noise(x) - 1) < 1e-4
    valid = np.zeros(x.shape, bool)
    valid[:20] = True
    dirty = np.where(valid, x, np.nan)
    assert measure.noise(dirty, where=valid) == pytest.approx(measure.noise(x[:20]), rel=0.03)
    with pytest.raises(ValueError, match="at least 2 voxels"):
        measure.noise(x[:1])
    with pytest.raises(ValueError, match="taken in completely"):
        measure.noise(x, where=np.zeros(x.shape, bool))

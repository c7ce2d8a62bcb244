"""Thresholds against a search of all of them, and against scikit-image where it is installed."""

import itertools
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import lithax as lx
from lithax import measure

SHAPE = (20, 21, 22)


def scan(rng, shape=SHAPE, noise=12.0, porosity=0.3):
    """Two grey levels, 60 and 140, with noise."""
    return (np.where(rng.random(shape) < porosity, 60.0, 140.0) + rng.normal(0, noise, shape)).astype(np.float32)


def best(counts, centers, classes):
    """The division of the bins with the largest variance between classes, by trying them all."""
    mean = np.average(centers, weights=counts)
    found = (-1.0, ())
    for cuts in itertools.combinations(range(1, counts.size), classes - 1):
        variance = 0.0
        for part in np.split(np.arange(counts.size), cuts):
            if counts[part].sum() == 0:
                break
            variance += counts[part].sum() * (np.average(centers[part], weights=counts[part]) - mean) ** 2
        else:
            if variance > found[0] * (1 + 1e-12):
                found = (variance, tuple(centers[cut - 1] for cut in cuts))
    return found[1]


@hypothesis.given(counts=st.lists(st.integers(0, 50), min_size=3, max_size=12), classes=st.integers(2, 4))
def test_otsu_is_the_best_of_all(counts, classes):
    counts = np.asarray(counts)
    hypothesis.assume(np.count_nonzero(counts) >= classes)
    x = np.repeat(np.arange(counts.size), counts).astype(np.uint8)
    result = measure.histogram(x, "values")
    found = measure.otsu(result, classes=classes)
    expected = best(result.counts, result.centers, classes)
    levels = np.asarray(found if classes > 2 else (found,))
    if not np.array_equal(levels, expected):  # two divisions of the same variance
        parts = [np.digitize(x, np.asarray(cut) + 0.5) for cut in (levels, expected)]
        between = [sum(np.sum(p == k) * (x[p == k].mean() - x.mean()) ** 2 for k in range(classes)) for p in parts]
        np.testing.assert_allclose(*between, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16, np.int32])
def test_otsu_as_scikit_image(dtype, rng):
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed: pip install scikit-image")
    x = scan(rng).astype(dtype)
    np.testing.assert_allclose(measure.otsu(x), filters.threshold_otsu(x), rtol=1e-6)  # its centres are float32
    result = measure.histogram(x, 100)
    expected = filters.threshold_otsu(hist=(result.counts, result.centers))
    np.testing.assert_allclose(measure.otsu(result), expected, rtol=1e-12)
    np.testing.assert_allclose(measure.otsu(x, 100), expected, rtol=1e-12)
    if dtype == np.uint8:
        np.testing.assert_array_equal(measure.otsu(x, classes=3), filters.threshold_multiotsu(x, 3))


def test_otsu_separates_the_phases(xp, rng):
    x = scan(rng)
    threshold = measure.otsu(xp.asarray(x.copy()))
    assert abs(threshold - 100) < 10  # the middle; porosity 0.3 moves it a little
    where = rng.random(SHAPE) < 0.5
    x[~where] = np.nan
    assert abs(measure.otsu(xp.asarray(x), where=xp.asarray(where)) - 100) < 10


def test_otsu_of_few_values():
    assert measure.otsu(np.full(SHAPE, 7, np.uint8)) == 7
    assert measure.otsu(np.asarray([[[False, True]]])) == 0
    assert measure.otsu(np.asarray([[[3, 9, 9]]], np.uint16)) == 3
    with pytest.raises(ValueError, match=r"only 2 occupied bins"):
        measure.otsu(np.asarray([[[3, 9, 9]]], np.uint16), classes=3)


def test_half_contrast_finds_the_middle_where_otsu_does_not(rng):
    """With one pore in fifty voxels the variance is in the noise of the grains, the peaks are where they are."""
    x = scan(rng, (40, 40, 40), noise=14.0, porosity=0.02)
    peaks = measure.peaks(x)
    assert abs(measure.otsu(x) - 100) > 4
    # 1280 pore voxels: 5 / sqrt(1280) of a standard deviation of 14 is 2; for the middle half of it, twice for safety.
    assert abs(measure.half_contrast(x) - 100) < 4
    assert peaks.middle == measure.half_contrast(x)
    assert abs(peaks.contrast - 80) < 8


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16])
def test_peaks(dtype, rng):
    x = scan(rng)
    scale = 100 if dtype == np.uint16 else 1
    peaks = measure.peaks((x * scale).astype(dtype))
    # 5 / sqrt(2800) of a standard deviation of 12, twice; and half a grey level, as the cast rounds down.
    assert abs(peaks.low / scale - 60) < 2.8
    assert abs(peaks.high / scale - 140) < 2.8


def test_peaks_without_noise():
    x = np.repeat(np.asarray([10, 200], np.uint8), [40, 60])
    assert measure.peaks(x) == measure.Peaks(10.0, 200.0)
    assert measure.half_contrast(x) == 105


def test_no_second_peak(rng):
    x = rng.exponential(10, SHAPE)
    with pytest.raises(ValueError, match=r"no second peak"):
        measure.half_contrast(x)
    with pytest.raises(ValueError, match=r"no second peak"):
        measure.half_contrast(scan(rng, noise=40.0))  # a shoulder
    with pytest.raises(ValueError, match=r"no second peak"):
        measure.half_contrast(np.full(SHAPE, 3, np.uint8))
    with pytest.raises(ValueError, match=r"equal bins"):
        measure.peaks(measure.histogram(x, [0, 1, 10, 100]))


def test_on_an_image(rng):
    x = scan(rng)
    image = lx.from_array(x, chunks=12)
    assert measure.otsu(image) == measure.otsu(x)
    assert measure.half_contrast(image) == measure.half_contrast(x)


def test_mistakes_are_named(rng):
    x = scan(rng)
    with pytest.raises(ValueError, match=r"No voxel was counted"):
        measure.otsu(x, where=np.zeros(SHAPE, bool))
    with pytest.raises(ValueError, match=r"leave them out"):
        measure.otsu(measure.histogram(x), bins=10)
    with pytest.raises(ValueError, match=r"at least 2"):
        measure.otsu(x, classes=1)
    with pytest.raises(ValueError, match=r"method='best' is not known; use one of 'otsu'"):
        measure.threshold(x, "best")
    with pytest.raises(ValueError, match=r"bins=7 has no meaning with method='mean'"):
        measure.threshold(x, "mean", bins=7)
    with pytest.raises(ValueError, match=r"peaks instead of two"):
        measure.threshold_minimum(np.repeat(np.arange(9, dtype=np.uint8), range(90, 0, -10)))


def peaks_of_16_bits(rng, shape=(24, 25, 26)):
    """Three overlapping peaks over some 10 000 grey levels."""
    levels = np.asarray([9000.0, 15000.0, 26000.0])[rng.choice(3, shape, p=[0.25, 0.6, 0.15])]
    return (levels + rng.normal(0, 2200, shape)).astype(np.uint16)


def between_classes(x, thresholds):
    """The variance between classes, as an exact fraction (times the number of voxels, plus a constant)."""
    x = np.sort(x.ravel().astype(int))
    parts = np.split(x, np.searchsorted(x, thresholds, side="right"))
    return sum(Fraction(int(part.sum()) ** 2, part.size) for part in parts if part.size)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_otsu_of_16_bits_is_exact(classes, rng):
    """No threshold can be moved by a level to either side, nor all to those of a coarse search."""
    x = peaks_of_16_bits(rng)
    levels = np.unique(x)
    found = np.atleast_1d(measure.otsu(x, classes=classes)).astype(int)
    best = between_classes(x, found)
    for k in range(classes - 1):
        for step in (-1, 1):
            other = found.copy()
            other[k] = levels[np.searchsorted(levels, found[k]) + step]
            assert between_classes(x, other) <= best
    if classes <= 3:
        coarse = levels[:: 700 if classes == 3 else 80]
        assert max(between_classes(x, np.asarray(c)) for c in itertools.combinations(coarse, classes - 1)) <= best


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_otsu_of_any_integer_type(dtype, rng):
    """The thresholds follow the values when they are moved and stretched, beyond what a table of counters could hold."""
    x = peaks_of_16_bits(rng, (12, 13, 14)).astype(np.int64) // 8
    low, middle = measure.otsu(x, classes=3)
    scale, origin = {np.int16: (1, -3000), np.int32: (40_000, -7), np.uint32: (900_000, 5)}.get(dtype, (2**40, 2**62))
    moved = (x * scale + origin).astype(dtype)
    expected = (int(low) * scale + origin, int(middle) * scale + origin)
    assert measure.otsu(moved, classes=3) == expected
    assert measure.otsu(lx.from_array(moved, chunks=8), classes=3) == expected


SIBLINGS = ["li", "yen", "isodata", "triangle", "minimum", "mean"]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16, np.int32])
def test_siblings_as_scikit_image(dtype, rng):
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed: pip install scikit-image")
    x = scan(rng, porosity=0.25).astype(dtype)
    image = lx.from_array(x, chunks=16)
    for method in SIBLINGS:
        expected = getattr(filters, f"threshold_{method}")(x.copy())
        tolerance = 1e-6 * 256  # its bin centres of floats are float32, as its means are for li
        assert measure.threshold(x, method) == pytest.approx(
            expected, abs=tolerance if dtype == np.float32 else 1e-9
        ), method
        assert measure.threshold(image, method) == pytest.approx(measure.threshold(x, method), rel=1e-12), method


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cross_entropy_takes_every_float(dtype, rng):
    """Voxels far out would fill a histogram of the range with one bin; huge ones overflow sums."""
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed: pip install scikit-image")
    x = (scan(rng, porosity=0.25) / 100 - 3.0).astype(dtype)
    far = {np.float16: 6e4, np.float32: 1e9, np.float64: 1e9}[dtype]
    for value in (x[0, 0, 0], far):
        x[0, 0, 0] = value
        low = float(x.min())
        # In float64 and until the threshold stands still.
        expected = filters.threshold_li(x.astype(np.float64), tolerance=1e-30)
        between = x[x > expected].mean(dtype=float) - x[x <= expected].mean(dtype=float)
        found = measure.li(x)
        # What is promised.
        assert found == pytest.approx(expected, abs=1e-7 * between)
        assert measure.li(lx.from_array(x, chunks=16)) == pytest.approx(found, abs=1e-7 * between)
        gaps = x.copy()
        gaps[1, 1] = np.nan, *[np.inf] * (x.shape[2] - 1)
        assert measure.li(gaps) == pytest.approx(
            filters.threshold_li(gaps[np.isfinite(gaps)].astype(np.float64), tolerance=1e-30),
            abs=1e-7 * between,
        )
        assert low <= found
    if dtype == np.float64:
        y = scan(rng, porosity=0.25).astype(dtype)
        assert measure.li(y * 2.0**1015) == pytest.approx(measure.li(y) * 2.0**1015, rel=1e-12)
    assert measure.li(np.full((4, 4, 4), 3, dtype)) == 3
    with pytest.raises(ValueError, match="No voxel was counted"):
        measure.li(np.full((4, 4, 4), np.nan, dtype))


def test_minimum_error_of_two_normal_peaks(rng):
    """Where two weighted normal densities cross: Bayes' threshold, which the error rate of Kittler and Illingworth is about."""
    x = np.concatenate([rng.normal(50, 4, 40_000), rng.normal(100, 12, 160_000)]).reshape(50, 40, 100)
    grid = np.linspace(50, 100, 5001)
    densities = [w / s * np.exp(-0.5 * ((grid - m) / s) ** 2) for w, m, s in ((0.2, 50, 4), (0.8, 100, 12))]
    crossing = grid[np.argmin(np.abs(np.log(densities[0] / densities[1])))]
    # The criterion is flat about its minimum: a few hundred voxels lie between.
    assert abs(measure.kittler_illingworth(x, 1024) - crossing) < 2.5
    assert abs(measure.otsu(x) - crossing) > 4
    assert measure.kittler_illingworth(np.full((3, 3, 3), 7, np.uint8)) == 7
    two = np.repeat(np.asarray([3, 9], np.uint8), [20, 7])
    assert measure.kittler_illingworth(two) == 3


def test_minimum_error_of_integers_that_floats_do_not_tell_apart():
    x = np.asarray([[[-(2**63), 0, 5, 2**63 - 1]]])
    assert measure.kittler_illingworth(x) in x  # and no logarithm of zero

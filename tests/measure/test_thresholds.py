"""Thresholds against a search of all of them, and against scikit-image where it is installed."""

import itertools

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
    with pytest.raises(ValueError, match=r"use bins=256"):
        measure.otsu((x * 100).astype(np.uint16), bins="values", classes=3)

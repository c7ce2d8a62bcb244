"""Filter and threshold: the same as scipy and NumPy, chosen from the histogram of the filtered scan."""

import numpy as np
import pytest
import scipy.ndimage

from lithax import measure
from lithax.cli._report import report_command
from lithax.images import chunk_map, from_array
from lithax.regions import Box
from lithax.report._segmentation import (
    FILTERS,
    HISTOGRAM_THRESHOLDS,
    choose_threshold,
    follows_noise,
    grey_histogram,
    make_filter,
    segment,
    share_up_to,
    values_of,
)


@pytest.fixture(scope="module")
def grey():
    rng = np.random.default_rng(3)
    pore = scipy.ndimage.gaussian_filter(rng.normal(size=(26, 24, 21)), 2) < 0
    return (np.where(pore, 1000, 3000) + rng.normal(0, 300, pore.shape)).astype("u2")


@pytest.mark.parametrize("chunks", [32, 10])
def test_filter_and_threshold_in_one_pass_are_the_two_after_each_other(grey, chunks):
    image = from_array(grey, chunks=chunks)
    filtered = scipy.ndimage.median_filter(grey, 3)
    levels = grey_histogram(image, make_filter("median"), None, progress=False)
    np.testing.assert_array_equal(np.repeat(levels.centers, levels.counts).astype(int), np.sort(filtered, axis=None))
    pores = segment(image, make_filter("median"), 2000, progress=False)
    np.testing.assert_array_equal(pores[:], filtered <= 2000)
    assert share_up_to(levels, 2000) == pores[:].mean()


def test_a_region_is_filtered_by_itself(grey):
    """Voxels outside of the region of interest are no neighbours."""
    image = from_array(grey, chunks=10)
    region = Box((4, 4, 4), (18, 18, 15))
    filtered = chunk_map(make_filter("median"), image, where=region)
    levels = grey_histogram(image, make_filter("median"), region, progress=False)
    pores = segment(image, make_filter("median"), 2000, region, progress=False)
    assert levels.total == 15 * 15 * 12
    assert not pores[0].any()
    inside = (slice(4, 19), slice(4, 19), slice(4, 16))
    np.testing.assert_array_equal(pores[inside], filtered[inside] <= 2000)
    assert share_up_to(levels, 2000) == pores[inside].mean()


def test_floats_have_shares_within_a_bin(grey):
    image = from_array(grey.astype("f4"), chunks=32)
    levels = grey_histogram(image, make_filter("gaussian:0.8"), None, progress=False)
    smooth = scipy.ndimage.gaussian_filter(grey.astype("f4"), 0.8)
    # A bin of 1/1024 of the range holds at most a few of 10^4 voxels.
    assert share_up_to(levels, 2000.0) == pytest.approx((smooth <= 2000).mean(), abs=1e-3)


@pytest.mark.parametrize("dtype", ["i4", "i8"])
def test_wide_integers_of_few_values_are_counted_one_by_one(dtype):
    image = from_array((np.arange(1000) % 3).reshape(10, 10, 10).astype(dtype))
    assert values_of(grey_histogram(image, None, None, progress=False)) == [0, 1, 2]


def test_a_scan_is_not_taken_for_segmented(grey):
    assert values_of(grey_histogram(from_array(grey), None, None, progress=False)) is None


def test_thresholds(grey):
    levels = grey_histogram(from_array(grey), make_filter("median"), None, progress=False)
    found = choose_threshold(levels, "otsu")
    assert (found.used, found.name) == (found.otsu, "otsu")
    assert found.half_contrast == pytest.approx(
        2000, abs=100
    )  # the middle of 1000 and 3000; peaks of 10^4 noisy voxels
    assert choose_threshold(levels, "half").used == found.half_contrast
    assert choose_threshold(levels, 1234).used == 1234


def test_wrong_choices_are_named(grey):
    levels = grey_histogram(from_array(grey), None, None, progress=False)
    with pytest.raises(ValueError, match=r"threshold=90000 lies outside the grey levels.*Otsu's is"):
        choose_threshold(levels, 90_000)
    with pytest.raises(ValueError, match="threshold='best' must be"):
        choose_threshold(levels, "best")
    decaying = np.random.default_rng(0).exponential(300, (24, 24, 24)).astype("u2")
    one_peak = grey_histogram(from_array(decaying), None, None, progress=False)
    assert choose_threshold(one_peak, "otsu").half_contrast is None
    with pytest.raises(ValueError, match="needs the two peaks"):
        choose_threshold(one_peak, "half")
    for name in ("mean", "median:", "none:2"):
        with pytest.raises(ValueError, match=f"filter='{name}' is not known"):
            make_filter(name)
    for name, why in {
        "median:x": "'x' is no number",
        "gaussian:wide": "'wide' is no number",
        "bilateral:-1": "sigma_spatial",
        "non_local_means:1.5": "'1.5' is no whole number",
        "median:nan": "'nan' is no whole number",
        "median:inf": "'inf' is no whole number",
    }.items():
        with pytest.raises(ValueError, match=f"filter='{name}' has a parameter that does not fit: .*{why}"):
            make_filter(name)


@pytest.mark.parametrize(
    "name", ["bilateral", "non_local_means:2", "total_variation", "anisotropic_diffusion:3", "tensor_diffusion"]
)
def test_filters_that_follow_the_noise_reduce_it(grey, name):
    assert follows_noise(name)
    noise = measure.noise(grey)
    filtered = chunk_map(make_filter(name, noise), from_array(grey), progress=False)[...]
    assert 0 < measure.noise(filtered) < 0.8 * noise


@pytest.mark.parametrize("name", HISTOGRAM_THRESHOLDS)
def test_other_thresholds_are_those_of_measure(grey, name):
    levels = grey_histogram(from_array(grey), make_filter("median"), None, progress=False)
    found = choose_threshold(levels, name)
    assert found.used == measure.threshold(levels, name)
    assert found.name not in ("otsu", "given")
    assert make_filter("none") is None


def test_the_darkest_of_three_phases(grey):
    levels = grey_histogram(from_array(grey), None, None, progress=False)
    assert choose_threshold(levels, "otsu:3").used == measure.otsu(levels, classes=3)[0]
    with pytest.raises(ValueError, match="'otsu:9' must be one of"):
        choose_threshold(levels, "otsu:9")


def test_the_command_offers_all_of_them_by_name():
    shown = {parameter.name: getattr(parameter, "help", "") for parameter in report_command.params}
    for name in FILTERS:
        assert name in shown["filter_"]
        assert repr(make_filter(name)).startswith(f"functools.partial(<voxel_op {name}>")
    for name in ("otsu", "half", "otsu:3", *HISTOGRAM_THRESHOLDS):
        assert name in shown["threshold"]

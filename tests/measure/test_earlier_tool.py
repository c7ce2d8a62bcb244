"""What a histogram of an earlier digital-rock tool got wrong: each of its defects, found by running it, must not come back."""

import tracemalloc

import numpy as np

from lithax import measure

from .cases import grey

SHAPE = (8, 8, 8)


def test_the_maximum_voxel_is_counted(rng):
    """The counts of a float32 image summed to n - 1."""
    x = grey(rng, SHAPE)
    assert measure.histogram(x).counts.sum() == x.size


def test_true_is_counted(rng):
    """A boolean image had one bin, and 133 of 512 voxels."""
    x = rng.random(SHAPE) < 0.26
    assert measure.histogram(x).counts.tolist() == [x.size - x.sum(), x.sum()]


def test_a_masked_voxel_at_the_origin_is_not_the_minimum(rng):
    """The minimum was taken from voxel (0, 0, 0), masked or not."""
    x = grey(rng, SHAPE)
    x[0, 0, 0] = -1e6
    where = np.ones(SHAPE, bool)
    where[0, 0, 0] = False
    result = measure.histogram(x, where=where)
    assert result.minimum == result.edges[0] == x[where].min()
    assert result.total == x.size - 1


def test_a_value_outside_the_region_does_not_set_the_maximum(rng):
    x = grey(rng, SHAPE)
    where = np.zeros(SHAPE, bool)
    where[2:6, 2:6, 2:6] = True
    x[7, 7, 7] = 1e6
    result = measure.histogram(x, where=where)
    assert result.maximum == result.edges[-1] == x[where].max()


def test_a_constant_image_is_counted():
    """It counted nothing."""
    assert measure.histogram(np.full(SHAPE, 3.5, np.float32)).total == 512
    assert measure.histogram(np.full(SHAPE, 3.5, np.float32)).counts.sum() == 512


def test_ten_bins_are_ten_bins(rng):
    """``bins=10`` gave nine."""
    assert measure.histogram(grey(rng, SHAPE), bins=10).counts.size == 10


def test_one_nan_does_not_empty_every_bin(rng):
    x = grey(rng, SHAPE)
    x[1, 2, 3] = np.nan
    result = measure.histogram(x)
    assert (result.counts.sum(), result.nan) == (511, 1)


def test_labels_of_32_bits_take_no_table_of_32_bits(rng):
    """It asked for 32 GiB; the counters of one pass are 4 MiB here."""
    x = grey(rng, SHAPE)
    labels = np.asarray([0, 7, 2**32 - 1], np.uint32)[rng.integers(0, 3, SHAPE)]
    tracemalloc.start()
    result = measure.histogram(x, segmentation=labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(result.phases) == [0, 7, 2**32 - 1]
    assert sum(part.total for part in result.phases.values()) == x.size
    assert peak < 100e6


def test_a_boolean_segmentation(rng):
    """It raised a TypingError."""
    x = grey(rng, SHAPE)
    result = measure.histogram(x, segmentation=x > 100)
    assert [part.total for part in result.phases.values()] == [np.sum(x <= 100), np.sum(x > 100)]


def test_percentiles_do_not_interpolate_a_binned_cdf_silently(rng):
    """Exact where values can be counted, with an error bound elsewhere, exact when asked for."""
    x = grey(rng, SHAPE)
    result = measure.histogram(x, 16)
    assert abs(result.percentile(50) - np.percentile(x, 50)) <= result.percentile_error(50)
    assert measure.histogram(x, 16, exact=True).percentile(50) == np.percentile(x.astype(np.float64), 50)
    assert measure.histogram(x.astype(np.uint8), 16).percentile(50) == np.percentile(x.astype(np.uint8), 50)

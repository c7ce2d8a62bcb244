"""Totals beyond the range of what they are summed in: on arrays, and block by block."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest
import scipy.stats

import lithax as lx
from lithax import measure

LARGEST = float(np.finfo(np.float64).max)
# Of one shape: programs for JAX are compiled once for each type.
INTEGERS = {
    "2**63": np.full((2, 3, 2), 2**63, np.uint64),
    "largest unsigned": np.full((2, 3, 2), 2**64 - 1, np.uint64),
    "mixed": np.asarray(2 * [2**64 - 1, 2**63 + 5, 7, 2**33, 2**32 - 1, 2**31], np.uint64).reshape(2, 3, 2),
    "smallest signed": np.full((2, 3, 2), -(2**63), np.int64),
    "largest signed": np.full((2, 3, 2), 2**63 - 1, np.int64),
    "signed": np.asarray(2 * [-(2**63), 2**63 - 1, -1, 1, -(2**32), 2**40 + 3], np.int64).reshape(2, 3, 2),
    "32 bits": np.full((2, 3, 2), 2**32 - 1, np.uint32),
    "8 bits": np.full((2, 3, 2), -128, np.int8),
    "booleans": np.ones((2, 3, 2), bool),
}
FLOATS = {
    "constant": np.full((2, 3, 2), 1.5e308),
    "largest": np.full((2, 3, 2), LARGEST),
    "cancelling": np.asarray([1.5e308, 1.5e308, -1.5e308, -1.5e308, 1e307, 0] * 2).reshape(2, 3, 2),
    "float32": np.full((2, 3, 2), np.finfo(np.float32).max, np.float32),
    "float16": np.full((2, 3, 2), 65504, np.float16),
}


def forms(array):
    """The array by NumPy, by JAX, and as an image in chunks that do not divide it."""
    with jax.enable_x64(True):  # no generator: two of them at a time would leave their scopes in the wrong order
        compiled = jax.numpy.asarray(array)
    return array, compiled, lx.from_array(array, chunks=2)


def exact(array):
    return sum((Fraction(value) for value in array.ravel().tolist()), Fraction(0))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_summed_exactly(name):
    array = INTEGERS[name]
    total = exact(array)
    for form in forms(array):
        found = form.reduce(measure.Sum()) if hasattr(form, "voxel_length") else measure.Sum()(form)
        assert (found, type(found)) == (int(total), int)
        assert measure.mean(form) == float(total / array.size)  # correctly rounded: every digit
        # Moments are sums of rounded floats.
        assert measure.moments(form).mean == pytest.approx(float(total / array.size), rel=1e-15, abs=1e-15 * 2**64)
        rows = measure.profile(form, 0).mean
        assert rows == pytest.approx([float(exact(row) / row.size) for row in array], rel=1e-15, abs=2e3)


@pytest.mark.parametrize("name", FLOATS)
def test_the_mean_of_finite_numbers_is_finite(name):
    array = FLOATS[name]
    total = exact(array)
    for form in forms(array):
        found = form.reduce(measure.Sum()) if hasattr(form, "voxel_length") else measure.Sum()(form)
        assert found == pytest.approx(float(total) if abs(total) <= LARGEST else math.inf)
        rounding = 4e-16 * float(np.abs(array).max())  # of the largest number in the sum
        mean = pytest.approx(float(total / array.size), rel=1e-15, abs=rounding)
        assert measure.mean(form) == mean
        assert measure.moments(form).mean == mean
        assert measure.profile(form, 2).mean == pytest.approx(
            [float(exact(part) / part.size) for part in np.moveaxis(array, 2, 0)], rel=1e-15, abs=rounding
        )
        cells = measure.CellSums(max(array.shape))
        cells = form.reduce(cells) if hasattr(form, "voxel_length") else cells(form)
        assert cells.mean.ravel() == mean


def test_voxels_left_out_add_nothing_to_a_total():
    array = np.asarray([2**64 - 1, 3, 2**63], np.uint64).reshape(3, 1, 1)
    chosen = np.asarray([True, True, False]).reshape(3, 1, 1)
    assert measure.mean(array, chosen) == float(2**63 + 1)
    assert measure.mean(lx.from_array(array, chunks=1), lx.domain(include=chosen)) == float(2**63 + 1)


@pytest.mark.parametrize("scale", [1e-90, 1.0, 1e90, 1e300])
def test_the_shape_of_a_distribution_has_no_unit(scale):
    """Fourth powers of 1e90 and 1e-90 leave float64; skewness and kurtosis are numbers of order one all the same."""
    x = np.random.default_rng(4).gamma(2.0, size=(7, 6, 5))
    for form in forms(x * scale):
        found = measure.moments(form)
        assert found.skewness == pytest.approx(scipy.stats.skew(x.ravel()), rel=1e-10)
        assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(x.ravel()), rel=1e-10)
        assert found.mean == pytest.approx(x.mean() * scale, rel=1e-14)


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**53 + 1, 1.5e308, -1.5e308, 1e17, LARGEST, 5.25, 0.0])
def test_a_constant_image_of_any_size_has_a_histogram_and_its_value_is_the_threshold(value):
    array = np.full((2, 3, 2), value, np.float64 if isinstance(value, float) else np.uint64)
    for form in forms(array):
        found = measure.histogram(form, 5, exact=True)
        assert found.counts.sum() == array.size
        assert found.percentile(50) == float(value)
        assert measure.otsu(form) in (value, float(value))  # a large integer where no float holds it


def test_histograms_and_percentiles_between_the_largest_numbers():
    array = np.asarray([-1.5e308, -1.5e308, 1.0, 1.5e308, 1.5e308]).reshape(5, 1, 1)
    for form in forms(array):
        found = measure.histogram(form, 3, exact=True)
        assert found.counts.tolist() == [2, 1, 2]
        assert found.percentile([0, 50, 100]) == pytest.approx([-1.5e308, 1.0, 1.5e308])
        assert np.isfinite(measure.otsu(form))
    wide = np.asarray([1, 2**64 - 1, 2**64 - 2, 2**63], np.uint64).reshape(4, 1, 1)
    for form in forms(wide):
        assert measure.histogram(form, 3, exact=True).percentile(0) == 1
        # Between the two in the middle, to the precision of float64.
        assert measure.histogram(form, 3, exact=True).percentile(50) == pytest.approx(1.5 * 2**63, rel=1e-15)


def test_integers_that_float64_does_not_hold_have_no_bin_each():
    with pytest.raises(ValueError, match=r"from 2\*\*52 on; give a number of bins"):
        measure.histogram(np.full((2, 2, 2), 2**60, np.int64), "values")
    with pytest.raises(ValueError, match=r"from 2\*\*52 on cannot have a bin each"):
        measure.ValueCounts(2**60, 2**60 + 1)


def test_squared_differences_of_integers_do_not_wrap():
    a, b = np.full((2, 2, 2), 3, np.uint8), np.full((2, 2, 2), 250, np.uint8)
    for first, second in zip(forms(a), forms(b), strict=True):
        loss = measure.MeanSquaredError()
        images = hasattr(first, "voxel_length")
        found = lx.chunk_value_and_grad(loss, 1.0, first, second)[0] if images else loss(None, first, second)
        assert float(found) == 247.0**2

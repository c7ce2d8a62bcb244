"""Are the counts those of numpy.histogram, to the voxel, whatever the dtype and the bins?"""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lithax import measure
from lithax.arrays import to_numpy
from lithax.measure._edges import proven

from .cases import grey

SHAPE = (8, 9, 10)
LONG = (41, 40, 42)


def compiled(x, *arguments, **keywords):
    """The same on JAX arrays: eager here, but the kernels are those of the combinators."""
    return measure.histogram(jax.numpy.asarray(x), *arguments, **keywords)


@pytest.mark.parametrize("bins", [1, 10, 256, 1024])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64]
)
@pytest.mark.parametrize("bounds", [None, (60, 150)], ids=["full", "range"])
def test_equal_bins_are_those_of_numpy(bins, dtype, bounds, rng):
    x = np.abs(grey(rng, SHAPE)).astype(dtype)
    counts, edges = np.histogram(x, bins, bounds)
    result = measure.histogram(x, bins, bounds)
    np.testing.assert_array_equal(result.edges, edges)
    np.testing.assert_array_equal(result.counts, counts)
    assert result.total == x.size
    assert (result.minimum, result.maximum) == (x.min(), x.max())


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int32])
def test_equal_bins_on_jax(dtype, rng):
    x = grey(rng, LONG).astype(dtype)
    result = compiled(x)
    np.testing.assert_array_equal(result.counts, np.histogram(x, 256)[0])
    assert (result.minimum, result.maximum) == (x.min(), x.max())


@hypothesis.given(
    low=st.floats(-1e6, 1e6, width=32),
    width=st.floats(2.0**-10, 1e6, width=32),
    bins=st.integers(1, 300),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_values_on_the_edges_and_beside_them(low, width, bins, dtype):
    """The worst case of any arithmetic: every edge, and the numbers just below and above it."""
    values = np.linspace(dtype(low), dtype(low) + dtype(width), bins + 1, dtype=dtype)
    values = np.concatenate([values, np.nextafter(values, dtype(-np.inf)), np.nextafter(values, dtype(np.inf))])
    bounds = (float(dtype(low)), float(dtype(low) + dtype(width)))
    hypothesis.assume(bounds[0] < bounds[1])
    try:
        counts, edges = np.histogram(values, bins, bounds)
    except ValueError:  # too many bins between the two numbers
        hypothesis.reject()
    hypothesis.assume(np.all(np.diff(edges) > 0))
    result = measure.histogram(values, bins, bounds)
    np.testing.assert_array_equal(result.counts, counts)
    assert result.below + result.above + counts.sum() == values.size


def test_narrow_bins_are_searched_for():
    """Where float32 arithmetic cannot find a bin, the edges decide all the same."""
    low = np.float32(1e6)
    x = np.asarray([low + np.float32(k) / 16 for k in range(17)], np.float32)
    assert proven(np.linspace(1e6, 1e6 + 1, 17)) == ("float64",)
    assert proven(np.linspace(0, 1, 257)) == ("float32", "float64")
    for given in (x, jax.numpy.asarray(x)):
        result = measure.histogram(given, 16)
        np.testing.assert_array_equal(result.counts, np.histogram(x, 16)[0])


def test_bins_that_cannot_be_told_apart():
    with pytest.raises(ValueError, match=r"cannot be told apart in float32; use fewer bins"):
        measure.histogram(np.asarray([1e6, 1e6 + 1], np.float32), 1000)


EDGES = [
    [0.0, 1.0, 100.0, 100.5, 200.0],
    [60, 70, 80],
    np.geomspace(1, 500, 40),
    [-np.inf, 100.0, np.inf],
]


@pytest.mark.parametrize("edges", EDGES, ids=range(len(EDGES)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.uint16, np.int32])
def test_given_edges(edges, dtype, rng):
    x = np.abs(grey(rng, SHAPE)).astype(dtype)
    results = [measure.histogram(x, edges)]
    if dtype == np.float32:
        results.append(compiled(x, edges))
    for result in results:
        np.testing.assert_array_equal(result.counts, np.histogram(x, edges)[0])
        assert result.below == np.sum(x < edges[0])
        assert result.above == np.sum(x > edges[-1])


@hypothesis.given(
    x=npst.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1000, 1000, width=32)),
    edges=st.lists(st.floats(-1000, 1000, width=32), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_any_edges(x, edges):
    result = measure.histogram(x, edges)
    np.testing.assert_array_equal(result.counts, np.histogram(x, edges)[0])
    assert result.total == x.size


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_one_bin_per_value(dtype, rng):
    x = rng.integers(5, 90, SHAPE).astype(dtype)
    result = measure.histogram(x, "values")
    np.testing.assert_array_equal(result.centers, np.arange(x.min(), x.max() + 1))
    np.testing.assert_array_equal(result.counts, np.bincount(x.ravel().astype(int))[x.min() :])
    assert (result.widths == 1).all()


def test_values_of_wide_integers_far_from_zero():
    x = np.asarray([2**40 + 5, 2**40, 2**40 + 5], np.int64)
    result = measure.histogram(x, "values")
    assert (result.minimum, result.maximum, result.counts.tolist()) == (2**40, 2**40 + 5, [1, 0, 0, 0, 0, 2])


def test_the_maximum_is_in_the_last_bin():
    assert measure.histogram(np.asarray([0.0, 0.5, 1.0], np.float32), 2).counts.tolist() == [1, 2]


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
def test_a_constant_image(dtype, value):
    x = np.full(SHAPE, value, dtype)
    result = measure.histogram(x, 10)
    counts, edges = np.histogram(x, 10)
    np.testing.assert_array_equal(result.counts, counts)
    np.testing.assert_array_equal(result.edges, edges)
    assert (result.minimum, result.maximum, result.percentile(50)) == (value, value, value)


@pytest.mark.parametrize("x", [True, False, None], ids=["all", "none", "some"])
def test_booleans_have_two_bins(x, rng):
    x = rng.random(SHAPE) < 0.3 if x is None else np.full(SHAPE, x)
    result = measure.histogram(x)
    assert result.edges.tolist() == [-0.5, 0.5, 1.5]
    assert result.counts.tolist() == [x.size - x.sum(), x.sum()]


def test_nan_and_infinities_are_counted_apart(rng):
    x = grey(rng, SHAPE)
    good = x.copy()
    x.flat[[3, 5]] = np.nan
    x.flat[7] = np.inf
    x.flat[[11, 12, 13]] = -np.inf
    result = measure.histogram(x, 32)
    finite = np.isfinite(x)
    np.testing.assert_array_equal(result.counts, np.histogram(good[finite], 32)[0])
    assert (result.nan, result.above, result.below) == (2, 1, 3)
    assert (result.minimum, result.maximum, result.total) == (-np.inf, np.inf, x.size - 2)
    assert "3 below, 1 above, 2 NaN" in repr(result)


def test_nothing_to_count():
    x = np.full((2, 2, 2), np.nan, np.float32)
    for result in (
        measure.histogram(x, 4),
        measure.histogram(np.ones((2, 2, 2), np.uint8), 4, where=np.zeros((2, 2, 2), bool)),
    ):
        assert result.total == 0
        assert result.counts.tolist() == [0, 0, 0, 0]
        assert np.isnan([result.minimum, result.maximum, result.percentile(50)]).all()
        assert np.isnan(result.pdf).all()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int32])
def test_where(dtype, xp, rng):
    """A voxel left out sets neither the range nor a count."""
    x = np.abs(grey(rng, SHAPE)).astype(dtype)
    where = rng.random(SHAPE) < 0.6
    x[0, 0, 0], where[0, 0, 0] = 0, False
    result = measure.histogram(xp.asarray(x.copy()), 20, where=xp.asarray(where))
    np.testing.assert_array_equal(result.counts, np.histogram(x[where], 20)[0])
    assert result.minimum == x[where].min()


LABELS = {
    "uint8": np.asarray([0, 1, 7], np.uint8),
    "bool": np.asarray([False, True]),
    "uint16": np.asarray([0, 300, 65535], np.uint16),
    "uint32": np.asarray([0, 5, 2**31, 2**32 - 1], np.uint32),
    "uint64": np.asarray([3, 2**63 + 5, 2**64 - 1], np.uint64),
    "int32": np.asarray([0, 1, 2**31 - 1], np.int32),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_per_phase(labels, dtype, rng):
    on_jax = labels in ("uint8", "uint32") and dtype == np.float32
    labels = LABELS[labels]
    x = np.abs(grey(rng, SHAPE)).astype(dtype)
    segmentation = labels[rng.integers(0, labels.size, SHAPE)]
    results = [measure.histogram(x, 16, segmentation=segmentation)]
    if on_jax:
        results.append(compiled(x, 16, segmentation=jax.numpy.asarray(segmentation)))
    for result in results:
        assert list(result.phases) == labels.tolist()
        np.testing.assert_array_equal(result.counts, np.histogram(x, 16)[0])
        for label in labels:
            part, own = result.phases[int(label)], x[segmentation == label]
            np.testing.assert_array_equal(part.counts, np.histogram(own, 16, (x.min(), x.max()))[0])
            assert (part.minimum, part.maximum, part.total) == (own.min(), own.max(), own.size)


def test_named_phases(rng):
    x = grey(rng, SHAPE)
    segmentation = rng.integers(0, 5, SHAPE).astype(np.uint8)
    result = measure.histogram(x, 16, segmentation=segmentation, phases=(4, 2, 77))
    assert list(result.phases) == [2, 4, 77]
    assert result.total == x.size
    assert result.phases[4].total == np.sum(segmentation == 4)
    assert result.phases[77].total == 0


def test_many_phases_of_sixteen_bits(rng):
    """Value by value would take 2000 times 65536 counters: equal bins, and percentiles within their error, do instead."""
    x = rng.integers(0, 2**16, SHAPE).astype(np.uint16)
    segmentation = rng.integers(0, 2000, SHAPE).astype(np.uint16)
    result = measure.histogram(x, 64, segmentation=segmentation)
    np.testing.assert_array_equal(result.counts, np.histogram(x, 64)[0])
    assert list(result.phases) == np.unique(segmentation).tolist()
    label = int(segmentation[0, 0, 0])
    own = x[segmentation == label]
    np.testing.assert_array_equal(result.phases[label].counts, np.histogram(own, 64, (x.min(), x.max()))[0])


def test_phases_that_occur_where_voxels_are_taken_in():
    segmentation = np.asarray([[[1, 2, 3]]], np.uint8)
    result = measure.histogram(np.ones((1, 1, 3), np.float32), 4, where=segmentation > 1, segmentation=segmentation)
    assert list(result.phases) == [2, 3]


@hypothesis.given(
    labels=npst.arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.int64]),
        st.integers(1, 50),
        elements={"min_value": 0},
    )
)
@hypothesis.settings(max_examples=30)
def test_phases_are_found_whatever_their_size(labels):
    from lithax.measure._phases import find_phases

    np.testing.assert_array_equal(find_phases(labels), np.unique(labels))


def test_too_many_labels_ask_for_names(monkeypatch):
    from lithax.measure import _phases

    monkeypatch.setattr(_phases, "COUNTERS", 64)
    with pytest.raises(ValueError, match=r"name those of interest with phases"):
        _phases.find_phases(np.arange(200, dtype=np.uint32))


def test_densities(rng):
    x = grey(rng, SHAPE)
    edges = [50.0, 70.0, 100.0, 180.0]
    result = measure.histogram(x, edges)
    inside = np.sum((x >= 50) & (x <= 180)) / x.size
    np.testing.assert_allclose(np.sum(result.pdf * result.widths), inside, rtol=1e-14)  # rounding
    np.testing.assert_allclose(result.cdf, [np.mean(x < 70), np.mean(x < 100), np.mean(x <= 180)], rtol=1e-14)
    whole = measure.histogram(x, 20)
    np.testing.assert_allclose(whole.pdf, np.histogram(x, 20, density=True)[0], rtol=1e-6)  # its widths are float32
    assert whole.cdf[-1] == 1


def test_rebinning_is_exact(rng):
    x = rng.integers(0, 200, SHAPE).astype(np.uint8)
    values = measure.histogram(x, "values", segmentation=x > 100)
    for bins, bounds in ((7, None), (10, (50, 100)), ([0, 3, 60.5, 150], None)):
        result = values.rebin(bins, bounds)
        np.testing.assert_array_equal(result.counts, np.histogram(x, bins, bounds)[0])
        assert result.total == x.size
        np.testing.assert_array_equal(result.phases[1].counts, np.histogram(x[x > 100], result.edges)[0])
    with pytest.raises(ValueError, match=r"measure again"):
        measure.histogram(x.astype(np.float32), 10).rebin(5)


def test_pandas(rng):
    pandas = pytest.importorskip("pandas")
    x = grey(rng, SHAPE)
    result = measure.histogram(x, 8, segmentation=x > 100)
    for quantity in ("counts", "pdf", "cdf"):
        frame = result.to_pandas(quantity)
        assert isinstance(frame, pandas.DataFrame)
        assert frame.columns.tolist() == ["full", 0, 1]
        np.testing.assert_array_equal(frame["full"], getattr(result, quantity))
        np.testing.assert_array_equal(frame[1], getattr(result.phases[1], quantity))
    with pytest.raises(ValueError, match=r"use 'counts', 'pdf' or 'cdf'"):
        result.to_pandas("mass")


def test_a_histogram_says_what_it_is(rng):
    x = rng.integers(0, 200, SHAPE).astype(np.uint8)
    x[0, 0, :2] = (0, 199)
    assert repr(measure.histogram(x, 10, segmentation=x > 100)) == (
        "HistogramResult(10 bins over [0, 199]; 720 voxels from 0 to 199; phases 0, 1)"
    )


X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((X, 0), {}, ValueError, r"bins=0 must be at least 1"),
        ((X, [1.0, 1.0]), {}, ValueError, r"strictly ascending"),
        ((X, [1.0, np.nan]), {}, ValueError, r"strictly ascending"),
        ((X, "auto"), {}, TypeError, r"bins='auto' is neither"),
        ((X, "values"), {}, TypeError, r"needs integers"),
        ((X, 10, (1, 0)), {}, ValueError, r"ascending"),
        ((X, 10, (0, np.inf)), {}, ValueError, r"finite"),
        ((X, 10, (1, 2, 3)), {}, TypeError, r"two numbers"),
        ((X, [1, 2], (0, 1)), {}, ValueError, r"no meaning"),
        ((X,), {"phases": (1,)}, ValueError, r"give segmentation="),
        ((X,), {"segmentation": X}, TypeError, r"unsigned integers or booleans"),
        ((X,), {"segmentation": X > 1, "phases": ()}, ValueError, r"phases is empty"),
        ((X,), {"segmentation": X > 1, "phases": (-1,)}, ValueError, r"phases contains -1"),
        ((X,), {"segmentation": X[0] > 1}, ValueError, r"one shape"),
        ((X,), {"where": X}, TypeError, r"booleans"),
        ((X,), {"where": X[0] > 1}, ValueError, r"shape"),
        ((X,), {"where": "pore"}, TypeError, r"where is a str"),
        ((X + 1j,), {}, TypeError, r"real numbers or booleans"),
        ((X.astype(np.int64) * 2**40, "values"), {}, ValueError, r"give a number of bins"),
    ],
)
def test_mistakes_are_named(arguments, keywords, error, message):
    with pytest.raises(error, match=message):
        measure.histogram(*arguments, **keywords)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: measure.Histogram(10), r"range is missing"),
        (lambda: measure.Histogram([0, 1], (0, 1)), r"no meaning"),
        (lambda: measure.Histogram(2**20, (0, 1), phases=range(100)), r"counters"),
        (lambda: measure.ValueCounts(3, 2), r"must not exceed"),
        (lambda: measure.Histogram(4, (0, 1), phases=(1,))(X), r"not a segmentation"),
        (lambda: measure.Histogram(4, (0, 1))(X, X > 1), r"not phases="),
    ],
)
def test_measurements_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_values_of_floats_cannot_be_listed():
    with pytest.raises(TypeError, match=r"use Histogram"):
        measure.ValueCounts(0, 3)(X)


def test_lists_and_other_objects_become_arrays():
    assert measure.histogram([[[1, 2, 2]]], "values").counts.tolist() == [1, 2]


def test_inside_a_compiled_function():
    with pytest.raises(TypeError, match=r"traced by JAX"):
        jax.jit(lambda x: measure.histogram(x).counts)(X)


def test_jax_results_are_on_the_host(rng):
    result = compiled(grey(rng, SHAPE), 8)
    assert isinstance(to_numpy(result.counts), np.ndarray)
    assert result.counts.dtype == np.int64

"""Are percentiles exact where they are said to be, and within their stated error elsewhere?"""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import lithax as lx
from lithax import measure
from lithax.measure._order_statistics import bisected

from .cases import grey

Q = [0, 0.05, 1, 25, 50, 75, 99, 99.95, 100]
SHAPE = (8, 9, 10)
NUMBERS = {"allow_nan": False, "allow_subnormal": False}


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int16, np.uint16])
def test_exact_for_small_integers(dtype, rng):
    x = grey(rng, SHAPE).astype(np.int64).astype(dtype)
    result = measure.histogram(x, 10)
    np.testing.assert_array_equal(result.percentile(Q), np.percentile(x.astype(np.float64), Q))
    assert (result.percentile_error(Q) == 0).all()


@hypothesis.given(
    x=npst.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e5, 1e5, width=32)),
    q=st.lists(st.floats(0, 100), min_size=1, max_size=5),
    bins=st.sampled_from([1, 7, 64]),
    bounds=st.sampled_from([None, (-100.0, 100.0)]),
)
def test_within_the_stated_error(x, q, bins, bounds):
    try:
        result = measure.histogram(x, bins, bounds)
    except ValueError:  # bins that cannot be told apart
        hypothesis.reject()
    truth = np.percentile(x.astype(np.float64), q)
    error = np.abs(result.percentile(q) - truth)
    # Rounding of the interpolation in float64, for values up to 1e5.
    assert (error <= result.percentile_error(q) + 1e-10).all()
    if bounds is None:
        assert (result.percentile_error(q) <= result.widths[0] * (1 + 1e-12)).all()


@hypothesis.given(
    x=npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int32]),
        st.integers(1, 40),
    ),
    q=st.lists(st.floats(0, 100), min_size=1, max_size=4),
)
def test_exact_when_asked_for(x, q):
    finite = np.isfinite(x) & (np.abs(x.astype(np.float64)) < 1e30)
    hypothesis.assume(finite.any())
    try:
        result = measure.histogram(x, 4, where=finite, exact=True)
    except ValueError:  # bins that cannot be told apart
        hypothesis.reject()
    np.testing.assert_array_equal(result.percentile(q), np.percentile(x[finite].astype(np.float64), q))


def counter(x):
    """Counts between edges, as a histogram gives them."""

    def count(edges):
        return int(np.sum(x < edges[0])), np.histogram(x, edges)[0]

    return count


@hypothesis.example(x=np.array([np.inf, np.finfo(np.float32).max], np.float32), edges=3)
@hypothesis.given(
    x=st.one_of(
        npst.arrays(dtype, st.integers(1, 40), elements=npst.from_dtype(np.dtype(dtype), **NUMBERS))
        for dtype in (np.float16, np.float32, np.float64, np.int32)
    ),
    edges=st.sampled_from([3, 16, 1000]),
)
def test_bisection_finds_any_rank(x, edges):
    """Infinities, zeros of both signs, the largest and the smallest numbers included; however few edges a pass has."""
    ranks = sorted({0, x.size // 2, x.size - 1})
    found = bisected(counter(x), ranks, x.min().item(), x.max().item(), x.dtype, edges)
    if x.max() == np.inf:  # the last bin of a histogram does not tell the largest finite number from infinity
        x = np.where(x == np.finfo(x.dtype).max, np.inf, x)
    np.testing.assert_array_equal(found, np.sort(x)[ranks].astype(np.float64))


def test_bisection_takes_few_passes(rng):
    """Two for float32 and four for float64, however the values are spread."""
    for dtype, limit in ((np.float32, 2), (np.float64, 4)):
        x = (10.0 ** rng.uniform(-30, 30, 500)).astype(dtype)
        passes = []
        count = counter(x)
        bisected(lambda edges: passes.append(1) or count(edges), [250], x.min().item(), x.max().item(), x.dtype)  # noqa: B023
        assert len(passes) <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_exact_on_an_image(dtype, rng):
    """The image is read again, by the same combinator; zeros are many, and must come out as zeros."""
    x = grey(rng, SHAPE).astype(dtype)
    x[:5] = 0
    segmentation = rng.integers(0, 2, SHAPE).astype(np.uint8)
    image, labels = lx.from_array(x, chunks=5), lx.from_array(segmentation, chunks=5)
    result = measure.histogram(image, 4, segmentation=labels, exact=True)
    q = [1, 50, 90]
    np.testing.assert_array_equal(result.percentile(q), np.percentile(x.astype(np.float64), q))
    assert (result.percentile_error(q) == 0).all()
    own = x[segmentation == 1].astype(np.float64)
    np.testing.assert_array_equal(result.phases[1].percentile(q), np.percentile(own, q))


def test_exact_per_phase(rng):
    x = grey(rng, SHAPE)
    segmentation = rng.integers(0, 3, SHAPE).astype(np.uint8)
    where = rng.random(SHAPE) < 0.7
    x[~where] = np.nan
    result = measure.histogram(x, 4, where=where, segmentation=segmentation, exact=True)
    own = x[where & (segmentation == 2)].astype(np.float64)
    np.testing.assert_array_equal(result.phases[2].percentile(Q), np.percentile(own, Q))


def test_shapes_follow_the_question(rng):
    result = measure.histogram(grey(rng, SHAPE), 16)
    assert np.ndim(result.percentile(50)) == 0
    assert result.percentile([[1, 2], [3, 4]]).shape == (2, 2)
    assert result.percentile_error([[1, 2], [3, 4]]).shape == (2, 2)


def test_infinite_tails():
    result = measure.histogram(np.asarray([-np.inf, 0.0, 1.0, np.inf, np.inf]), 4)
    assert (result.percentile(0), result.percentile(100)) == (-np.inf, np.inf)
    assert np.isfinite(result.percentile(30))


def test_percentages_outside():
    with pytest.raises(ValueError, match=r"between 0 and 100"):
        measure.histogram(np.arange(8.0), 4).percentile(101)

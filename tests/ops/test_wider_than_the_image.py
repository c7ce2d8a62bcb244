"""Filters wider than the image: folded onto it, equal to scipy's, and as cheap as the image is small."""

from functools import partial

import numpy as np
import pytest
import scipy.ndimage

import lithax as lx
from lithax.arrays import BOUNDARIES
from lithax.errors import MemoryLimitError
from lithax.ops import Program, as_steps
from lithax.ops._folded import fold, fold_box
from lithax.testing import assert_chunk_invariant

SHAPE = (4, 3, 5)


@pytest.fixture
def field(rng):
    return rng.random(SHAPE)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_folded_weights_are_the_weights_on_the_continued_row(rng, boundary, odd, size):
    row = rng.random(size)
    for radius in (size, size + 1, 5 * size + 2):
        weights = [0.0 if odd else 2.0, *rng.random(radius)]
        wide = [*((-1 if odd else 1) * w for w in weights[:0:-1]), *weights]
        expected = scipy.ndimage.correlate1d(row, wide, mode=boundary, cval=0.7)
        folded = fold(weights, size, boundary, odd)
        assert len(folded) - 1 <= size
        narrow = [*((-1 if odd else 1) * w for w in folded[:0:-1]), *folded]
        found = scipy.ndimage.correlate1d(row, narrow, mode=boundary, cval=0.7)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_folded_box_holds_every_voxel_as_often_as_the_box(rng, boundary, size):
    row = rng.random(size)
    for box in (2 * size + 3, 2 * size + 4, 11 * size, 11 * size + 1):
        expected = scipy.ndimage.correlate1d(row, np.ones(box), mode=boundary, cval=0.7, origin=0)
        found = scipy.ndimage.correlate1d(row, fold_box(box, size, boundary), mode=boundary, cval=0.7)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_on_arrays_it_is_scipy(field, boundary):
    rule = {"boundary": boundary, "boundary_value": 0.5}
    like = {"mode": boundary, "cval": 0.5}
    pairs = [
        (lx.ops.gaussian(field, sigma=5.0, **rule), scipy.ndimage.gaussian_filter(field, 5.0, **like)),
        (  # scipy pads again before each pass, by a constant that is no derivative
            lx.ops.gaussian_derivative(field, order=(1, 0, 2), sigma=4.0, boundary=boundary),
            scipy.ndimage.gaussian_filter(field, 4.0, order=(1, 0, 2), mode=boundary),
        ),
        (lx.ops.uniform(field, size=(12, 3, 31), **rule), scipy.ndimage.uniform_filter(field, (12, 3, 31), **like)),
        (lx.ops.minimum(field, size=(12, 3, 31), **rule), scipy.ndimage.minimum_filter(field, (12, 3, 31), **like)),
        (lx.ops.maximum(field, radius=40, **rule), scipy.ndimage.maximum_filter(field, 81, **like)),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("boundary", ["reflect", "constant"])
def test_over_chunks_and_under_a_selection(field, boundary):
    op = partial(lx.ops.gaussian, sigma=5.0, boundary=boundary)
    assert_chunk_invariant(op, field, chunks=[(2, 3, 2)])
    where = np.arange(60).reshape(SHAPE) % 3 > 0
    assert_chunk_invariant(op, field, chunks=[(2, 3, 2)], where=where, ulp=4)


def test_the_halo_is_that_of_the_image():
    def halo(op):
        return Program(as_steps(op)).on_images((13, 17, 11)).halos(1)[0]

    assert halo(partial(lx.ops.gaussian, sigma=50)) == (13, 17, 11)
    assert halo(partial(lx.ops.gaussian, sigma=2)) == (8, 8, 8)
    assert halo(partial(lx.ops.maximum, size=10**9)) == (13, 17, 11)
    assert halo(lx.ops.repeat(partial(lx.ops.gaussian, sigma=50, boundary="wrap"), 2)) == (12, 16, 10)


def test_a_wide_filter_on_a_small_image(rng):
    small = rng.random((13, 17, 11)).astype(np.float32)
    found = lx.chunk_map(lx.ops.gaussian, lx.from_array(small), sigma=50, progress=False)
    np.testing.assert_allclose(np.asarray(found), scipy.ndimage.gaussian_filter(small, 50), rtol=1e-4)


def test_without_bound_it_is_refused():
    image = lx.from_array(np.zeros((8, 8, 8), np.float32))
    for call in (
        lambda: lx.chunk_map(lx.ops.gaussian, image, sigma=1e9),
        lambda: lx.ops.gaussian(np.zeros((8, 8, 8)), sigma=1e9),
        lambda: lx.ops.gaussian(np.zeros((8, 8, 8)), sigma=1.0, radius=10**7),
    ):
        with pytest.raises(ValueError, match="at most 1000000 are possible"):
            call()


@pytest.mark.parametrize("halo", [10**6, 10**12, (0, 0, 10**13)])
def test_a_halo_that_no_memory_holds_is_refused_before_anything_is_compiled(halo):
    image = lx.from_array(np.zeros((8, 8, 8), np.float32))

    def never(block):
        raise AssertionError("traced")

    with pytest.raises(MemoryLimitError, match="halo"):
        lx.chunk_map(never, image, halo=halo)
    op = lx.voxel_op(never, halo=halo)
    with pytest.raises(MemoryLimitError, match="halo"):
        lx.chunk_reduce(lx.measure.Moments(), image, fn=op)
    with pytest.raises(MemoryLimitError, match="halo"):
        lx.chunk_value_and_grad(lx.measure.MeanLoss(lambda p, v: p * v), 1.0, image, model=lambda p: op)
    with pytest.raises(MemoryLimitError, match="halo"):
        lx.plan(lx.chunk_map, never, image, halo=halo)


@pytest.mark.parametrize("halo", [10**6, 10**12])
def test_arrays_are_not_padded_beyond_all_memory(halo, xp):
    op = lx.voxel_op(lambda block: block, halo=halo)
    with pytest.raises(MemoryLimitError, match=f"looks \\({halo}"):
        op(xp.zeros((8, 8, 8), dtype=xp.float32))
    with pytest.raises(ValueError, match="at most 501 are possible"):
        lx.ops.local_standard_deviation(xp.zeros((8, 8, 8), dtype=xp.float32), size=10**6)

"""``chunk_reduce(measure, image, fn=f)`` measures what ``chunk_map(f, image)`` would have written."""

from functools import partial

import numpy as np
import pytest

import lithax as lx
from lithax.errors import NotElementwiseError


@pytest.fixture
def image(rng):
    return lx.from_array(rng.integers(0, 1000, (37, 29, 23)).astype("u2"), chunks=10)


@pytest.mark.parametrize("where", [None, lx.regions.Sphere((15, 15, 12), 11)], ids=["everything", "sphere"])
@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_the_same_as_measuring_the_stored_result(image, where, backend):
    filtered = lx.chain(partial(lx.ops.median, radius=1, boundary="mirror"), lambda v: v // 2)
    stored = lx.chunk_map(filtered, image, where=where, backend=backend)
    edges = np.arange(0, 501, 10.0)
    expected = lx.chunk_reduce(lx.measure.Histogram(edges), stored, where=where)
    result = lx.chunk_reduce(lx.measure.Histogram(edges), image, fn=filtered, where=where, backend=backend)
    np.testing.assert_array_equal(result.counts, expected.counts)


def test_two_images_of_which_the_first_is_filtered(image):
    labels = lx.chunk_map(lambda v: (v % 3).astype("uint8"), image)
    pair = lx.measure.ValueCounts(0, 999, phases=[0, 1, 2])
    result = lx.chunk_reduce(pair, image, labels, fn=partial(lx.ops.median, radius=1))
    stored = lx.chunk_map(lx.ops.median, image)
    assert {k: v.total for k, v in result.phases.items()} == {k: int((labels[:] == k).sum()) for k in (0, 1, 2)}
    np.testing.assert_array_equal(result.counts, np.bincount(stored[:].ravel(), minlength=1000))


def test_what_cannot_be_cut_into_blocks_is_refused(image):
    with pytest.raises(NotElementwiseError, match="reduce_sum"):
        lx.chunk_reduce(lx.measure.Moments(), image, fn=lambda v: v - v.mean())
    with pytest.raises(ValueError, match=r"fn gives halve\(\), whose result is on another grid"):
        lx.chunk_reduce(lx.measure.Moments(), image, fn=halve)
    with pytest.raises(ValueError, match="has no masked form"):
        lx.chunk_reduce(lx.measure.Moments(), image, fn=lx.ops.sobel_magnitude, where=lx.regions.Sphere((9, 9, 9), 5))


@lx.voxel_op(scale=(2, 1, 1))
def halve(block):
    return block[::2]

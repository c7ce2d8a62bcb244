"""A host function runs on NumPy arrays under every backend, in one block as in many."""

import jax
import numpy as np
import pytest
import scipy.ndimage

import lithax as lx
from lithax.testing import assert_chunk_invariant

SHAPE = (9, 7, 10)


@lx.voxel_op(halo=lambda radius: radius, host=True)
def rank_filter(block, *, radius):
    """The second smallest value, by a compiled kernel that JAX does not have."""
    assert type(block) is np.ndarray
    core = tuple(slice(radius, n - radius) for n in block.shape)
    return scipy.ndimage.rank_filter(block, 1, size=2 * radius + 1)[core]


@pytest.fixture
def field(rng):
    return rng.random(SHAPE).astype(np.float32)


def test_on_arrays_of_any_library(field, xp):
    expected = scipy.ndimage.rank_filter(field, 1, size=3, mode="nearest")
    found = rank_filter(xp.asarray(field), radius=1, boundary="nearest")
    assert type(found) is type(xp.asarray(field))
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("backend", ["jax", "numpy"])
@pytest.mark.parametrize("chunks", [(9, 7, 10), (4, 3, 5)])
def test_over_chunks(field, backend, chunks):
    image = lx.from_array(field, chunks=chunks)
    made = lx.chunk_map(rank_filter, image, radius=1, boundary="mirror", backend=backend, progress=False)
    np.testing.assert_array_equal(np.asarray(made), scipy.ndimage.rank_filter(field, 1, size=3, mode="mirror"))


def test_in_a_chain_with_operations_of_any_backend(field):
    steps = lx.chain(rank_one, lambda v: v > 0.2)
    assert_chunk_invariant(steps, field, backend="numpy")
    image = lx.from_array(field, chunks=(4, 3, 5))
    found = np.asarray(lx.chunk_map(steps, image, progress=False))
    np.testing.assert_array_equal(found, scipy.ndimage.rank_filter(field, 1, size=3, mode="reflect") > 0.2)


@lx.voxel_op(halo=1, host=True)
def rank_one(block):
    return rank_filter.body(block, radius=1)


def test_before_a_measurement(field):
    image = lx.from_array(field, chunks=(4, 3, 5))
    largest = lx.chunk_reduce(lx.measure.MinimumMaximum(), image, fn=rank_one, progress=False).maximum
    assert largest == scipy.ndimage.rank_filter(field, 1, size=3, mode="reflect").max()


def test_a_measurement_on_the_host(field):
    class Distinct(lx.measure.AbstractMeasurement):
        host = True

        def of(self, block, *, valid=None):
            assert type(block) is np.ndarray
            return {"values": np.bincount(block[valid], minlength=8)}

        def combine(self, a, b):
            return {"values": a["values"] + b["values"]}

        def finish(self, state):
            return int(np.count_nonzero(state["values"]))

    phases = (field * 8).astype(np.uint8)
    image = lx.from_array(phases, chunks=(4, 3, 5))
    assert lx.chunk_reduce(Distinct(), image, progress=False) == len(np.unique(phases))


def test_integers_keep_their_64_bits(field):
    @lx.voxel_op(host=True)
    def large(block):
        return np.full(block.shape, 2**40, np.int64)

    found = large(jax.numpy.asarray(field))
    assert found.dtype == np.int64
    assert int(np.asarray(found)[0, 0, 0]) == 2**40


def test_it_is_refused_where_jax_would_have_to_compile_it(field):
    with pytest.raises(TypeError, match="host function"):
        jax.jit(rank_one)(field)
    loss = lx.measure.MeanLoss(lambda p, v: v * p)
    with pytest.raises(TypeError, match="host function"):
        lx.chunk_value_and_grad(loss, 1.0, lx.from_array(field), model=lambda p: rank_one)

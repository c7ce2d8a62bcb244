"""A moving window as a loop gives what one slice per displacement gives."""

import jax
import numpy as np
import pytest
import scipy.ndimage

import lithax as lx
from lithax.ops import displaced, fold_displacements
from lithax.testing import assert_chunk_invariant


@pytest.fixture
def field(rng):
    return rng.random((9, 7, 10)).astype(np.float32)


def sum_of_squared_differences(block, radius):
    core = displaced(block, (0, 0, 0), radius)
    return fold_displacements(lambda s, w, _: s + (w - core) ** 2, core * 0, block, radius)


op = lx.voxel_op(lambda block: sum_of_squared_differences(block, (2, 1, 3)), halo=(2, 1, 3))


def test_every_displacement_comes_once(field, xp):
    found = np.asarray(op(xp.asarray(field), boundary="nearest"))
    ones = np.ones((5, 3, 7))
    s1, s2 = (scipy.ndimage.correlate(field.astype(float) ** p, ones, mode="nearest") for p in (1, 2))
    np.testing.assert_allclose(found, s2 - 2 * field * s1 + ones.size * field**2, rtol=1e-4, atol=1e-4)


def test_over_chunks(field):
    assert_chunk_invariant(op, field, chunks=[(4, 7, 3)])


def test_the_offset_says_where_the_window_is(field):
    def step(state, window, offset):
        dx, dy, dz = offset
        return state + dx * 100 + dy * 10 + dz + 0 * window[0, 0, 0]

    for run in (
        lambda b: fold_displacements(step, np.float32(0), b, 1),
        jax.jit(lambda b: fold_displacements(step, np.float32(0), b, 1)),
    ):
        assert float(run(field)) == 0
    where = jax.jit(lambda b, o: displaced(b, o, (2, 1, 3)))(field, (-2, 1, 3))
    np.testing.assert_array_equal(where, field[0:5, 2:7, 6:10])


def test_a_search_over_11_cubed_displacements_is_one_loop():
    block = jax.ShapeDtypeStruct((14, 14, 14), np.float32)
    jaxprs = [jax.make_jaxpr(lambda b, r=r: sum_of_squared_differences(b, r))(block).jaxpr for r in (1, 5)]
    assert len(jaxprs[0].eqns) == len(jaxprs[1].eqns)


def test_a_window_that_is_too_large():
    with pytest.raises(ValueError, match="leaves nothing"):
        displaced(np.ones((4, 4, 4)), (0, 0, 0), 2)

"""Measurements that look at neighbours: the same on arrays and over blocks, whatever the chunks and the selection."""

import numpy as np
import pytest

import lithax as lx
from lithax.arrays import namespace

SHAPE = (9, 7, 10)


class Faces(lx.measure.AbstractMeasurement):
    """Pairs of voxels side by side along x that differ, each counted by the lower one."""

    halo = (1, 0, 0)
    exact = True

    def of(self, block, *, valid):
        xp = namespace(block)
        differ = (block[1:-1, ...] != block[2:, ...]) & valid[1:-1, ...] & valid[2:, ...]
        return {"faces": xp.sum(xp.astype(differ, xp.int64))}

    def combine(self, a, b):
        return {"faces": a["faces"] + b["faces"]}

    def finish(self, state):
        return int(state["faces"])


class OnHost(Faces):
    host = True


@pytest.fixture
def phases(rng):
    return rng.random(SHAPE) < 0.4


def expected(phases, where=None):
    where = np.ones(SHAPE, bool) if where is None else where
    return int(np.count_nonzero((phases[1:] != phases[:-1]) & where[1:] & where[:-1]))


@pytest.mark.parametrize("measurement", [Faces(), OnHost()], ids=["compiled", "host"])
@pytest.mark.parametrize("chunks", [(9, 7, 10), (4, 7, 3), (2, 3, 10)])
def test_over_blocks(phases, rng, measurement, chunks):
    image = lx.from_array(phases, chunks=chunks)
    assert lx.chunk_reduce(measurement, image, progress=False) == expected(phases)
    where = rng.random(SHAPE) < 0.7
    assert lx.chunk_reduce(measurement, image, where=where, progress=False) == expected(phases, where)


def test_on_arrays(phases, rng, xp):
    where = rng.random(SHAPE) < 0.7
    assert Faces()(xp.asarray(phases)) == expected(phases)
    assert Faces()(xp.asarray(phases), valid=xp.asarray(where)) == expected(phases, where)


def test_on_numpy(phases):
    image = lx.from_array(phases, chunks=(4, 7, 3))
    assert lx.chunk_reduce(Faces(), image, backend="numpy", progress=False) == expected(phases)


def test_what_it_cannot_be_combined_with(phases):
    image = lx.from_array(phases, chunks=(4, 7, 3))
    with pytest.raises(ValueError, match="write what fn gives with chunk_map"):
        lx.chunk_reduce(Faces(), image, fn=lambda v: ~v)

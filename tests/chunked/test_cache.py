"""Decoded chunks are kept for the blocks that ask for them again, and no more is decoded than is asked for."""

import threading
from collections import Counter
from functools import partial

import numpy as np
import pytest

import lithax as lx
from lithax.chunked._cache import ChunkCache
from lithax.chunked._pool import run_all
from lithax.storage import StoredArray
from lithax.testing import on_threads


def test_a_chunk_that_two_threads_want_is_decoded_once():
    decoded = []
    gate = threading.Barrier(4)

    class Source:
        def read_chunk(self, index):
            decoded.append(index)
            return np.full((4, 4), index[0])

    source, cache = Source(), ChunkCache(10**6)

    def want(n):
        gate.wait()
        return [cache.get(source, (k, 0, 0))[0, 0] for k in range(20)]

    results = []
    run_all(range(4), want, 4, lambda _, found: results.append(found))
    assert results == [list(range(20))] * 4
    assert sorted(decoded) == [(k, 0, 0) for k in range(20)]


def test_the_cache_keeps_what_it_may_and_survives_failures():
    class Source:
        fails = True

        def read_chunk(self, index):
            if self.fails and index == (1,):
                raise OSError("unreadable")
            return np.zeros(100, np.uint8)

    source, cache = Source(), ChunkCache(250)
    with pytest.raises(OSError, match="unreadable"):
        cache.get(source, (1,))
    source.fails = False
    for k in range(5):
        cache.get(source, (k,))
    assert cache._bytes <= 250
    assert [index for _, index in cache._kept] == [(3,), (4,)]
    assert ChunkCache(0).get(source, (0,)).shape == (100,)


def test_a_chunk_at_an_upper_face_does_not_hold_what_lies_beyond(tmp_path):
    image = lx.from_array(np.arange(9**3, dtype="f4").reshape(9, 9, 9), chunks=8, store=tmp_path / "a.zarr")
    cache = ChunkCache(10**6)
    kept = cache.get(image.stored, (1, 1, 0))
    np.testing.assert_array_equal(kept, image[8:, 8:, :8])
    assert kept.base is None or kept.base.nbytes == kept.nbytes
    assert cache._bytes == kept.nbytes


def decoded_of(monkeypatch):
    """Count how often each chunk is decoded as a whole."""
    counted = Counter()
    real = StoredArray.read_chunk

    def read_chunk(array, index):
        counted[index] += 1
        return real(array, index)

    monkeypatch.setattr(StoredArray, "read_chunk", read_chunk)
    return counted


@pytest.mark.parametrize("count", [2, 3])
def test_processes_decode_a_few_layers_of_each_others_chunks(count, tmp_path, rng, monkeypatch):
    values = rng.random((64, 32, 32)).astype("f4")
    image = lx.from_array(values, store=tmp_path / "image", chunks=16)
    expected = lx.chunk_map(partial(lx.ops.uniform, size=5), image, backend="numpy", progress=False)[:]
    counted = decoded_of(monkeypatch)

    def work(world):
        own = lx.open(tmp_path / "image", mode="r", world=world)
        lx.chunk_map(partial(lx.ops.uniform, size=5), own, store=tmp_path / "out", backend="numpy", progress=False)

    on_threads(count, work)
    if count == 2:  # stretches end where a layer of chunks does
        assert set(counted.values()) == {1}
    assert sum(counted.values()) < 2 * 16
    np.testing.assert_array_equal(lx.open(tmp_path / "out")[:], expected)


def test_without_room_for_layers_of_chunks_each_is_still_decoded_once(tmp_path, rng, monkeypatch):
    values = rng.random((64, 32, 48)).astype("f4")
    image = lx.from_array(values, store=tmp_path / "image", chunks=16)
    expected = lx.chunk_map(partial(lx.ops.uniform, size=5), image, backend="numpy", progress=False)[:]
    chunk = 4 * 16**3
    monkeypatch.setattr("lithax.images._call.CACHE_BYTES", 9 * chunk)  # a layer across x has 6
    counted = decoded_of(monkeypatch)
    found = lx.chunk_map(partial(lx.ops.uniform, size=5), image, backend="numpy", workers=1, progress=False)[:]
    assert set(counted.values()) == {1}
    np.testing.assert_array_equal(found, expected)

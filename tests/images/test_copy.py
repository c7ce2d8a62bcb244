"""Copies: the same voxels and metadata under any two grids, in bounded memory."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import ZstdCodec

import lithax as lx
from lithax.images._copy import transfer_block

SHAPE = (7, 8, 9)
VALUES = np.arange(7 * 8 * 9, dtype="u2").reshape(SHAPE)
EDGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=20)
@given(EDGES, EDGES, st.booleans(), st.integers(1, 2000))
def test_any_two_grids(one, other, sharded, memory):
    image = lx.from_array(VALUES, chunks=one)
    copy = image.copy(chunks=other, shards=tuple(2 * c for c in other) if sharded else None, memory=memory)
    np.testing.assert_array_equal(copy[...], VALUES)
    assert copy.chunks == other


@given(st.tuples(*[st.integers(1, 300)] * 3), EDGES, EDGES, st.integers(1, 10**6))
def test_blocks_are_whole_units_within_memory(shape, chunks, unit, memory):
    block = transfer_block(shape, chunks, unit, 2, memory)
    assert all(b % u == 0 for b, u in zip(block, unit, strict=True))
    size = math.prod(min(b, n) for b, n in zip(block, shape, strict=True)) * 2
    assert size <= memory or block == unit


def test_slabs_are_turned_into_cubes_by_decoding_each_chunk_once(monkeypatch):
    image = lx.from_array(np.zeros((64, 64, 64), "u1") + np.uint8(1), chunks=(1, 64, 64))
    count = []
    original = type(image.stored)._decode
    monkeypatch.setattr(type(image.stored), "_decode", lambda self, *a: count.append(a) or original(self, *a))
    image.copy(chunks=16)
    assert len(count) == 64
    count.clear()
    image.copy(chunks=16, memory=2 * 16 * 64 * 64)  # room for one layer of cubes
    assert len(count) == 64


def test_what_a_copy_takes_over(tmp_path):
    image = lx.from_array(
        VALUES,
        4,
        tmp_path / "a",
        shards=8,
        compressors=[ZstdCodec(level=3)],
        order="F",
        field_name="CT",
        field_unit="HU",
        description="a",
        voxel_length=2,
        voxel_origin=3,
        voxel_unit="um",
        fill_value=7,
        attributes={"well": 1},
    )
    digest = image.content_hash()
    copy = image.copy(tmp_path / "b")
    assert copy.metadata == image.metadata
    assert (copy.chunks, copy.shards, copy.dtype, copy.fill_value) == ((4, 4, 4), (8, 8, 8), image.dtype, 7)
    assert copy.zarray.compressors == image.zarray.compressors
    assert copy.zarray.filters == image.zarray.filters
    assert dict(copy.attrs) == {"well": 1}
    assert copy.content_hash() == digest
    assert lx.open(tmp_path / "b").metadata.content_hash == digest
    np.testing.assert_array_equal(copy[...], VALUES)

    other = image.copy(tmp_path / "c", chunks=3, order="C", compressors=None, description="b", dtype="i4")
    assert (other.chunks, other.shards, other.description, other.dtype) == ((3, 3, 3), None, "b", np.dtype("i4"))
    assert (other.zarray.compressors, other.zarray.filters) == ((), ())
    assert other.metadata.content_hash is None
    np.testing.assert_array_equal(other[...], VALUES)

    memory = image.copy()
    assert memory.stored.in_memory
    assert memory.zarray.compressors == ()


def test_a_copy_is_independent(tmp_path):
    image = lx.from_array(VALUES, 4)
    copy = image.copy()
    copy[...] = 0
    np.testing.assert_array_equal(image[...], VALUES)


def test_equal_encodings_are_copied_as_they_are(tmp_path, monkeypatch):
    image = lx.from_array(VALUES, 4, tmp_path / "a", shards=8)
    monkeypatch.setattr(type(image.stored), "_decode", lambda *a: pytest.fail("a chunk was decoded"))
    copy = image.copy(tmp_path / "b")
    monkeypatch.undo()
    np.testing.assert_array_equal(copy[...], VALUES)


def test_a_copy_to_a_place_that_is_taken(tmp_path):
    image = lx.from_array(VALUES, 4, tmp_path / "a")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        image.copy(tmp_path / "a")
    with pytest.raises(OverflowError, match="does not fit"):
        image.copy(tmp_path / "b", dtype="u1")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(ValueError, match="itself"):
        image.copy(tmp_path / "a", overwrite=True)
    np.testing.assert_array_equal(lx.open(tmp_path / "a")[...], VALUES)

"""How an image is cut: chunks divide shards, cubes stay cubes, and what cannot be is refused by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithax.storage import resolve_chunks

AXIS = st.integers(1, 3000)
SHAPE = st.tuples(AXIS, AXIS, AXIS)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((256, 256, 256), (128, 128, 128)),
        ((512, 512, 512), (128, 128, 128)),
        ((100, 100, 100), (100, 100, 100)),
        ((130, 130, 130), (130, 130, 130)),  # one chunk, rather than a second of two voxels
        ((300, 300, 300), (100, 100, 100)),
        ((1, 2000, 2000), (1, 1000, 1000)),  # a thin axis lets the others grow
        ((6, 6, 6), (6, 6, 6)),
    ],
)
def test_automatic_chunks(shape, expected):
    assert resolve_chunks(shape) == (expected, None)


@given(SHAPE)
def test_automatic_chunks_are_of_bounded_volume_and_waste_little(shape):
    chunk, _ = resolve_chunks(shape)
    assert all(1 <= c <= n for c, n in zip(chunk, shape, strict=True))
    assert math.prod(chunk) <= 1.125**3 * 128**3 + 1
    # Equal parts: what the last chunk holds in vain is less than one voxel per chunk along each axis.
    assert all(-(-n // c) * c - n < -(-n // c) for c, n in zip(chunk, shape, strict=True))


@given(SHAPE, st.tuples(*[st.integers(1, 600)] * 3))
def test_automatic_chunks_divide_the_shard(shape, shards):
    chunk, shard = resolve_chunks(shape, "auto", shards)
    assert shard == shards
    assert all(s % c == 0 for c, s in zip(chunk, shard, strict=True))


def test_automatic_chunks_of_a_shard_are_near_the_usual_ones():
    assert resolve_chunks((2000, 2000, 2000), "auto", 512)[0] == (128, 128, 128)
    assert resolve_chunks((2000, 2000, 2000), "auto", (300, 512, 257))[0] == (150, 128, 257)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (2, (2, 2, 2)),
        (64, (10, 20, 30)),  # an edge length is cut to the image
        ((3, 4, 5), (3, 4, 5)),
        ((64, 4, 5), (64, 4, 5)),  # three are kept as they are
        ((5, -1, 7), (5, 20, 7)),
        (None, (10, 20, 30)),
    ],
)
def test_given_chunks(chunks, expected):
    assert resolve_chunks((10, 20, 30), chunks)[0] == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 12, 24, 256, 1000])
@pytest.mark.parametrize("shape", [(256, 256, 256), (300, 200, 100), (1000, 10, 10)])
def test_one_chunk_for_each_process(shape, count):
    chunk, _ = resolve_chunks(shape, "nprocs", processes=count)
    made = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    assert count <= made < 1.2 * count + 1


def test_one_chunk_for_each_process_where_no_grid_has_that_many():
    # Ten voxels cannot be cut into seven equal parts: eight cubes of five are the nearest grid.
    assert resolve_chunks((10, 10, 10), "nprocs", processes=7)[0] == (5, 5, 5)


def test_an_even_split_is_near_cubic():
    assert resolve_chunks((256, 256, 256), "nprocs", processes=8)[0] == (128, 128, 128)
    assert resolve_chunks((400, 100, 100), "nprocs", processes=4)[0] == (100, 100, 100)


@pytest.mark.parametrize(
    ("chunks", "shards", "error", "message"),
    [
        ("half", None, ValueError, "chunks='half' must be 'auto', 'nprocs', an edge length"),
        (2.5, None, TypeError, r"chunks=2\.5 must be an edge length, or three"),
        (True, None, TypeError, "chunks=True must be an edge length"),
        ((2, 2), None, ValueError, r"chunks=\(2, 2\) .* it holds 2"),
        (0, None, ValueError, "chunks=0 must be positive"),
        ((2, -2, 2), None, ValueError, "must be positive along every axis"),
        ((4, 4, 4), (8, 10, 8), ValueError, r"4 does not divide 10 along y; use chunks='auto'"),
        ("nprocs", 8, ValueError, "'nprocs' cannot be combined with shards"),
        ("auto", "big", TypeError, "shards='big' must be an edge length"),
    ],
)
def test_wrong_chunks_are_named(chunks, shards, error, message):
    with pytest.raises(error, match=message):
        resolve_chunks((10, 10, 10), chunks, shards)


def test_more_processes_than_voxels():
    with pytest.raises(ValueError, match="cannot be cut into 9 parts"):
        resolve_chunks((2, 2, 2), "nprocs", processes=9)

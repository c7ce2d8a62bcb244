"""A few layers of a chunk: the same voxels, without decoding or reading the rest of it."""

import os

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from lithax.storage import StoredArray
from lithax.storage._blosc import read_part
from lithax.storage._foreign_array import ForeignArray
from lithax.storage._schema import Metadata

SHAPE, CHUNK = (70, 40, 50), (32, 40, 32)


def scan(rng, shape, dtype="u2"):
    """Grey values with noise, in which blosc finds something to compress."""
    return (1000 + 500 * (np.arange(shape[0]) % 7 > 3)[:, None, None] + rng.integers(0, 40, shape)).astype(dtype)


def permuted(encoded, order):
    """The same blosc buffer with its blocks in another order, as several threads may write them."""
    held, block, total = np.frombuffer(encoded[4:16], "<u4").tolist()
    count = -(-held // block)
    begins = np.frombuffer(encoded[16 : 16 + 4 * count], "<u4").tolist()
    ends = [*begins[1:], total]
    index, blocks, at = [0] * count, b"", 16 + 4 * count
    for k in sorted(range(count), key=lambda k: order[k % len(order)]):
        index[k] = at + len(blocks)
        blocks += encoded[begins[k] : ends[k]]
    return encoded[:16] + np.array(index, "<u4").tobytes() + blocks


@settings(max_examples=60)
@given(st.data())
def test_a_part_of_a_blosc_buffer_is_that_of_the_whole(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    codec = Blosc(
        data.draw(st.sampled_from(["lz4", "lz4hc", "zstd", "zlib", "blosclz"])),
        data.draw(st.integers(0, 9)),
        data.draw(st.sampled_from([Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE])),
        data.draw(st.sampled_from([0, 128, 1000, 4096])),
    )
    dtype = data.draw(st.sampled_from(["u1", "u2", "f4", "f8"]))
    values = rng.integers(0, data.draw(st.sampled_from([1, 9, 250])), data.draw(st.integers(1, 9000))).astype(dtype)
    encoded = codec.encode(values)
    if not encoded[2] & 2:
        encoded = permuted(encoded, data.draw(st.permutations(range(5))))
    buffer = np.frombuffer(encoded, np.uint8)
    expected = values.view(np.uint8)
    start = data.draw(st.integers(0, expected.size - 1))
    stop = data.draw(st.integers(start + 1, expected.size))
    found = read_part(lambda a, b: buffer[a:b], len(buffer), expected.size, start, stop, codec.decode)
    np.testing.assert_array_equal(found, expected[start:stop])


@settings(max_examples=80)
@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 40000))
def test_damage_is_an_error_or_wrong_voxels_and_never_worse(place, value, length):
    """A byte changed in header, index or the first block; or the end cut off."""
    values = scan(np.random.default_rng(0), (16, 32, 32)).reshape(-1)
    codec = Blosc("lz4", 5, Blosc.SHUFFLE, 2048)
    buffer = np.frombuffer(codec.encode(values), np.uint8).copy()
    buffer[place] = value
    buffer = buffer[: max(length, 1)]
    try:
        found = read_part(lambda a, b: buffer[a:b], len(buffer), values.nbytes, 3000, 9000, codec.decode)
    except (ValueError, RuntimeError):
        return
    assert found.size == 6000


def make(store, chunks=CHUNK, dtype="u2", **options):
    # Zstandard keeps to small blocks; LZ4 makes them of at least 64 KiB.
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=4096)
    options = {"compressors": [codec], "filters": [], "serializer": BytesCodec()} | options
    return StoredArray(zarr.create_array(store, shape=SHAPE, dtype=dtype, chunks=chunks, fill_value=0, **options))


LAYOUTS = {
    "chunks": ({}, 0),
    "shards": ({"shards": (64, 40, 64)}, 0),
    "turned": ({"filters": [TransposeCodec(order=(2, 1, 0))]}, 2),
    "turned twice": ({"filters": [TransposeCodec(order=(1, 2, 0)), TransposeCodec(order=(2, 0, 1))]}, 0),
    "plain": ({"compressors": []}, 0),
    "plain shards": ({"compressors": [], "shards": (64, 40, 64)}, 0),
    "plain, turned": ({"compressors": [], "filters": [TransposeCodec(order=(1, 2, 0))]}, 1),
    "zstd": ({"compressors": [ZstdCodec()]}, None),
    "with a sum": ({"compressors": [BloscCodec(cname="lz4"), Crc32cCodec()]}, None),
    "other bytes": ({"serializer": BytesCodec(endian="big")}, None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["directory", "memory", "other store"])
def test_thin_boxes_of_every_layout(layout, kind, tmp_path, rng):
    options, axis = LAYOUTS[layout]
    store = {"directory": LocalStore(tmp_path), "memory": MemoryStore(), "other store": WrapperStore(MemoryStore())}
    array = make(store[kind], **options)
    expected = scan(rng, SHAPE)
    expected[:64, :, 32:] = 0  # chunks that are not stored
    array.zarray[...] = expected
    assert array.layered_axis == axis
    for begin in ((0, 0, 0), (33, 3, 30), (69, 39, 49)):
        for extent in ((1, 40, 50), (70, 1, 50), (70, 40, 1), (9, 9, 9), (16, 40, 33)):
            box = tuple(slice(b, min(b + e, n)) for b, e, n in zip(begin, extent, SHAPE, strict=True))
            np.testing.assert_array_equal(array.read(box), expected[box])


@pytest.mark.parametrize("options", [{}, {"shards": (64, 40, 64)}, {"compressors": []}], ids=str)
def test_a_layer_reads_a_small_part_of_a_file(options, tmp_path, rng, monkeypatch):
    array = make(LocalStore(tmp_path), **options)
    expected = scan(rng, SHAPE)
    array.zarray[...] = expected
    read = [0]
    real = os.preadv

    def counting(descriptor, buffers, offset):
        count = real(descriptor, buffers, offset)
        read[0] += count
        return count

    monkeypatch.setattr(os, "preadv", counting)
    box = (slice(40, 41), slice(0, 40), slice(0, 32))
    np.testing.assert_array_equal(array.read(box), expected[box])
    layer = read[0]
    array.read_chunk((1, 0, 0))
    # A layer is 2560 bytes and lies in one or two of 20 blocks; the header and the indices come to it.
    assert layer < 0.2 * (read[0] - layer)


@pytest.mark.parametrize("options", [{}, {"shards": (64, 40, 64)}], ids=str)
def test_a_truncated_object_is_named(options, tmp_path, rng):
    array = make(LocalStore(tmp_path), **options)
    array.zarray[...] = scan(rng, SHAPE)
    file = tmp_path / "c/0/0/0"
    data = file.read_bytes()
    for length in (0, 10, 40, len(data) // 2, len(data) - 3):
        file.write_bytes(data[:length])
        with pytest.raises(OSError, match=r"'c/0/0/0' of the image at .* cannot be decoded.*damaged or was cut off"):
            array.read((slice(3, 5), slice(0, 40), slice(0, 32)))


def test_the_axis_of_another_programs_image(tmp_path, rng):
    """Its axes are stored z, y, x: its layers are those of z."""
    values = scan(rng, SHAPE)
    array = make(LocalStore(tmp_path))
    array.zarray[...] = values
    foreign = ForeignArray(array.zarray, Metadata(), axes=(2, 1, 0), kind="OME-Zarr")
    assert foreign.layered_axis == 2
    box = (slice(0, 50), slice(5, 39), slice(9, 11))
    np.testing.assert_array_equal(foreign.read(box), values.T[box])

"""The content hash: of the voxels alone, and never stale."""

import hashlib
import json

import numpy as np
import pytest
from zarr.codecs import ZstdCodec

import lithax as lx


def reference(values):
    """The definition, as plainly as it can be written: tiles of 128³ in C order, each little-endian in C order."""
    little = values.dtype.newbyteorder("<")
    header = {"lithax-content": 1, "shape": list(values.shape), "dtype": little.str, "tile": [128, 128, 128]}
    total = hashlib.sha256(json.dumps(header).encode())
    for x in range(0, values.shape[0], 128):
        for y in range(0, values.shape[1], 128):
            for z in range(0, values.shape[2], 128):
                tile = values[x : x + 128, y : y + 128, z : z + 128]
                total.update(hashlib.sha256(tile.astype(little).tobytes(order="C")).digest())
    return total.hexdigest()


@pytest.mark.parametrize("dtype", ["u1", ">i2", "f4", "?", "c8"])
def test_the_same_for_every_grid_codec_and_store(tmp_path, rng, dtype):
    values = (rng.random((140, 5, 260)) * 3).astype(dtype)
    expected = reference(values)
    for position, options in enumerate(
        [
            {"chunks": 64},
            {"chunks": (140, 5, 1)},
            {"chunks": 20, "shards": 40, "store": tmp_path / "a"},
            {"chunks": 128, "store": tmp_path / "b", "compressors": [ZstdCodec()], "order": "F"},
            {"chunks": (128, 128, 128), "store": "memory://hash", "fill_value": 1, "overwrite": True},
        ]
    ):
        assert lx.from_array(values, **options).content_hash() == expected, position


def test_shape_and_type_are_part_of_it():
    hashes = {lx.zeros(s, d).content_hash() for s in ((2, 2, 4), (4, 2, 2)) for d in ("u1", "u2", "?", "i1")}
    assert len(hashes) == 8


def test_it_is_stored_and_dropped_on_any_write(tmp_path):
    image = lx.zeros((4, 4, 4), "u1", store=tmp_path / "a")
    first = image.content_hash()
    other = lx.open(tmp_path / "a")
    assert other.metadata.content_hash == first
    stale = lx.open(tmp_path / "a")
    mask = np.zeros((4, 4, 4), bool)
    for index in (np.s_[0, 0, 0], mask, ([0], [0], [0])):
        other.content_hash()
        stale[index] = 1
        assert lx.open(tmp_path / "a").metadata.content_hash is None
    assert other.content_hash() != first
    assert other.content_hash() == stale.content_hash() == reference(other[...])


def test_a_read_only_image_has_one_too(tmp_path):
    lx.ones((4, 4, 4), "u1", store=tmp_path / "a")
    image = lx.open(tmp_path / "a", mode="r")
    assert image.content_hash() == reference(np.ones((4, 4, 4), "u1"))
    assert lx.open(tmp_path / "a").metadata.content_hash is None


def test_metadata_does_not_change_it(tmp_path):
    image = lx.ones((4, 4, 4), "u1", store=tmp_path / "a")
    first = image.content_hash()
    image.update(voxel_length=2)
    image.attrs["a"] = 1
    assert image.metadata.content_hash == first

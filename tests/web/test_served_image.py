"""What a browser is given is the image: read back by zarr, whatever the store, the data type and the levels."""

import asyncio
import json

import numpy as np
import pytest
import zarr
from zarr.core.buffer import default_buffer_prototype

import lithax as lx
from lithax.web import ServedImage


def as_zarr(served):
    """Ask for every document and chunk, and open what comes as Zarr."""
    store = zarr.storage.MemoryStore()
    prototype = default_buffer_prototype()

    def put(name):
        content = served.document(name)
        assert content is not None, name
        asyncio.run(store.set(name, prototype.buffer.from_bytes(content)))
        return content

    group = json.loads(put("zarr.json"))
    for entry in group["attributes"]["ome"]["multiscales"][0]["datasets"]:
        array = json.loads(put(f"{entry['path']}/zarr.json"))
        for place in np.ndindex(*(-(-n // 64) for n in array["shape"])):
            put(f"{entry['path']}/c/{'/'.join(map(str, place))}")
    return zarr.open_group(store, mode="r")


@pytest.mark.parametrize(
    ("dtype", "shown"),
    [("u2", "uint16"), ("bool", "uint8"), ("f8", "float32"), ("i4", "int32"), ("u8", "uint64"), ("f2", "float32")],
)
def test_voxels_and_place(rng, tmp_path, dtype, shown):
    values = rng.integers(0, 2 if dtype == "bool" else 200, (70, 20, 65)).astype(dtype)
    place = {"voxel_length": (1, 2, 3), "voxel_origin": (4, 5, 6), "voxel_unit": "mm"}
    image = lx.from_array(values, store=tmp_path / "a", chunks=(30, 7, 64), **place)
    group = as_zarr(ServedImage(image))
    assert group["0"].dtype == shown
    np.testing.assert_array_equal(group["0"][:], values.transpose(2, 1, 0).astype(shown))
    entry = group.attrs["ome"]["multiscales"][0]
    assert entry["axes"][0]["unit"] == "millimeter"
    assert entry["datasets"][0]["coordinateTransformations"][0]["scale"] == [3, 2, 1]
    # Without levels of its own every second voxel is a level, and lies where these voxels do.
    np.testing.assert_array_equal(group["1"][:], group["0"][::2, ::2, ::2])
    assert entry["datasets"][1]["coordinateTransformations"][0]["scale"] == [6, 4, 2]
    assert entry["datasets"][1]["coordinateTransformations"][1]["translation"] == [6, 5, 4]


def test_stored_levels_are_served(rng, tmp_path):
    image = lx.from_array(rng.random((40, 40, 40), "f4"), store=tmp_path / "a")
    lx.pyramid(image, smallest=10, progress=False)
    group = as_zarr(ServedImage(image))
    for name, level in zip("012", (image, *image.levels), strict=True):
        np.testing.assert_array_equal(group[name][:], level[:].transpose(2, 1, 0))


def test_complex_voxels_are_asked_for_their_part(rng):
    values = rng.random((4, 4, 4)) + 1j * rng.random((4, 4, 4))
    image = lx.from_array(values)
    with pytest.raises(ValueError, match="say which part to show, one of real, imaginary, magnitude, angle"):
        ServedImage(image)
    with pytest.raises(ValueError, match="leave part out"):
        ServedImage(lx.from_array(values.real), part="real")
    group = as_zarr(ServedImage(image, part="angle"))
    np.testing.assert_allclose(group["0"][:], np.angle(values).transpose(2, 1, 0), rtol=1e-6)  # rounded to float32


@pytest.mark.parametrize(
    "name", ["", "1/zarr.json", "0/c/0/0/1", "0/c/0/0", "-1/zarr.json", "0/c/0/0/0/..", "../zarr.json"]
)
def test_nothing_else_is_answered(name):
    assert ServedImage(lx.zeros((4, 4, 4), "u1")).document(name) is None


def test_chunks_of_one_voxel_and_images_of_one_value(tmp_path):
    image = lx.full((3, 1, 2), "f4", np.nan, store=tmp_path / "a", chunks=1)
    group = as_zarr(ServedImage(image))
    assert np.isnan(group["0"][:]).all()

"""Images of other programs: RockVerse, plain Zarr of both formats, OME-Zarr."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from lithax.errors import MetadataError
from lithax.storage import ForeignArray, Metadata, StoredArray, locate, open_array

DATA = Path(__file__).parent / "data"
VALUES = np.arange(4 * 5 * 6, dtype="u2").reshape(4, 5, 6)


def full(array):
    return tuple(slice(0, n) for n in array.shape)


def test_an_image_of_rockverse(tmp_path):
    shutil.copytree(DATA / "rockverse_image", tmp_path / "image")
    array = open_array(locate(tmp_path / "image"))
    assert array.kind == "RockVerse"
    assert array.metadata == Metadata(
        field_name="attenuation",
        field_unit="HU",
        description="test image",
        voxel_origin=(1, 2, 3),
        voxel_length=(0.5, 0.25, 2),
        voxel_unit="mm",
    )
    i, j, k = np.indices((6, 5, 4))
    np.testing.assert_array_equal(array.read(full(array)), 100 * i + 10 * j + k)
    assert (array.shape, array.chunks, array.dtype) == ((6, 5, 4), (3, 3, 4), np.dtype("u2"))

    # It may be written to; its own attributes stay beside ours.
    array.write(full(array), np.zeros((6, 5, 4), "u2"))
    array.update_metadata(voxel_unit="um")
    again = open_array(locate(tmp_path / "image"))
    assert again.kind == "lithax"
    assert again.metadata.voxel_unit == "um"
    assert again.metadata.voxel_length == (0.5, 0.25, 2)
    assert again.zarray.attrs["_ROCKVERSE_DATATYPE"] == "VoxelImage"


def test_a_damaged_image_of_rockverse(tmp_path):
    shutil.copytree(DATA / "rockverse_image", tmp_path / "image")
    document = json.loads((tmp_path / "image/zarr.json").read_text())
    document["attributes"]["voxel_length"] = [1, 1]
    (tmp_path / "image/zarr.json").write_text(json.dumps(document))
    with pytest.raises(MetadataError, match=r"attribute 'voxel_length' .* must be three positive numbers"):
        open_array(locate(tmp_path / "image"))


def test_a_dual_energy_group_of_rockverse():
    with pytest.raises(MetadataError, match="is a dual-energy group of RockVerse"):
        open_array(locate(DATA / "rockverse_dual_energy"))


def test_a_plain_array(tmp_path):
    zarray = zarr.create_array(tmp_path / "a", data=VALUES, chunks=(2, 2, 2), attributes={"scanner": "A"})
    array = open_array(locate(zarray))
    assert isinstance(array, StoredArray)
    assert (array.kind, array.metadata) == ("Zarr", Metadata())
    np.testing.assert_array_equal(array.read(full(array)), VALUES)
    assert array.free_attributes() == {"scanner": "A"}


def test_a_plain_array_with_axes_in_another_order(tmp_path):
    zarr.create_array(tmp_path / "a", data=VALUES, chunks=(2, 3, 2), dimension_names=("z", "x", "y"))
    array = open_array(locate(tmp_path / "a"))
    assert isinstance(array, ForeignArray)
    assert (array.shape, array.chunks) == ((5, 6, 4), (3, 2, 2))
    expected = VALUES.transpose(1, 2, 0)
    np.testing.assert_array_equal(array.read(full(array)), expected)
    box = (slice(1, 4), slice(0, 5), slice(2, 3))
    np.testing.assert_array_equal(array.read(box), expected[box])
    np.testing.assert_array_equal(array.read_parallel(box), expected[box])
    np.testing.assert_array_equal(array.read_chunk((1, 2, 1)), expected[3:5, 4:6, 2:4])
    with pytest.raises(PermissionError, match=r"Zarr that lithax reads but does not write; copy\(\)"):
        array.check_writable()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">i4", "|b1", ">f8"])
def test_zarr_version_2(tmp_path, dtype, order):
    values = VALUES.astype(dtype)
    zarray = zarr.create_array(
        tmp_path / "a", shape=VALUES.shape, dtype=dtype, chunks=(2, 3, 4), zarr_format=2, order=order
    )
    zarray[...] = values
    array = open_array(locate(tmp_path / "a"))
    assert isinstance(array, ForeignArray)
    assert array.read_only
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(array.read_parallel(full(array), workers=2), values)


@pytest.mark.parametrize(
    ("shape", "message"), [((4, 5), "has 2 dimensions"), ((2, 4, 5, 6), r"4 dimensions \(shape \(2, 4, 5, 6\)\)")]
)
def test_arrays_of_another_dimension(tmp_path, shape, message):
    zarr.create_array(tmp_path / "a", shape=shape, dtype="u1", chunks=shape)
    with pytest.raises(MetadataError, match=message):
        open_array(locate(tmp_path / "a"))


def test_an_array_that_zarr_does_not_understand(tmp_path):
    zarr.create_array(tmp_path / "a", data=VALUES)
    document = json.loads((tmp_path / "a/zarr.json").read_text())
    document["codecs"].append({"name": "from-the-future"})
    (tmp_path / "a/zarr.json").write_text(json.dumps(document))
    with pytest.raises(MetadataError, match="is a Zarr array that cannot be read"):
        open_array(locate(tmp_path / "a"))


def ome(path, version, axes, shape, level_scales, units=None, extra=None):
    """Write an OME-Zarr group of two levels, as version 0.4 (Zarr v2) or 0.5 (Zarr v3) says."""
    zarr_format = 3 if version == "0.5" else 2
    datasets = []
    group = zarr.create_group(path, zarr_format=zarr_format)
    for level, scale in enumerate(level_scales):
        data = np.arange(np.prod(shape), dtype="u2").reshape(shape) // (level + 1)
        keys = {"dimension_names": axes} if zarr_format == 3 else {}
        array = group.create_array(str(level), shape=shape, dtype="u2", chunks=tuple(min(3, n) for n in shape), **keys)
        array[...] = data
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": [10.0 * s for s in scale]}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    named = [{"name": a, "type": "space", "unit": (units or {}).get(a, "micrometer")} for a in axes]
    for axis in named:
        if axis["name"] in "tc":
            axis.pop("unit")
            axis["type"] = "channel"
    entry = {"name": "scan", "axes": named, "datasets": datasets, **(extra or {})}
    group.attrs.update(
        {"ome": {"version": version, "multiscales": [entry]}} if version == "0.5" else {"multiscales": [entry]}
    )
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_levels_of_an_ome_zarr(tmp_path, version):
    place = ome(tmp_path / "scan.zarr", version, ("z", "y", "x"), (4, 5, 6), [(3.0, 2.0, 1.0), (6.0, 4.0, 2.0)])
    values = np.arange(120, dtype="u2").reshape(4, 5, 6).transpose(2, 1, 0)
    for store, path in ((place, None), (place, "0"), (place / "0", None)):  # the group is its finest level
        array = open_array(locate(store, path))
        assert (array.kind, array.shape) == ("OME-Zarr", (6, 5, 4))
        assert array.metadata == Metadata(
            field_name="scan", voxel_unit="micrometer", voxel_length=(1, 2, 3), voxel_origin=(10, 20, 30)
        )
        np.testing.assert_array_equal(array.read(full(array)), values)
    coarse = open_array(locate(place, "1"))
    assert coarse.metadata.voxel_length == (2, 4, 6)
    np.testing.assert_array_equal(coarse.read(full(coarse)), values // 2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_of_one_element_are_left_out(tmp_path, version):
    place = ome(
        tmp_path / "scan.zarr", version, ("t", "c", "z", "y", "x"), (1, 1, 4, 5, 6), [(1.0, 1.0, 3.0, 2.0, 1.0)]
    )
    array = open_array(locate(place))
    assert (array.shape, array.chunks) == ((6, 5, 4), (3, 3, 3))
    np.testing.assert_array_equal(array.read(full(array)), np.arange(120).reshape(4, 5, 6).transpose(2, 1, 0))
    several = ome(tmp_path / "several.zarr", version, ("c", "z", "y", "x"), (2, 4, 5, 6), [(1.0, 1.0, 1.0, 1.0)])
    with pytest.raises(MetadataError, match=r"has 2 elements along its axis 'c'; .*from_array"):
        open_array(locate(several))


def test_units_of_an_ome_zarr_are_brought_together(tmp_path):
    units = {"z": "millimeter"}
    place = ome(tmp_path / "a", "0.5", ("z", "y", "x"), (2, 2, 2), [(0.003, 2.0, 1.0)], units)
    # A thousandth of a millimetre is not exact in binary; one rounding is all that happens.
    assert open_array(locate(place)).metadata.voxel_length == pytest.approx((1, 2, 3), rel=1e-15)
    place = ome(tmp_path / "b", "0.5", ("z", "y", "x"), (2, 2, 2), [(1.0, 1.0, 1.0)], {"z": "second"})
    with pytest.raises(MetadataError, match="units along x, y, z that do not go together"):
        open_array(locate(place))


def test_transformations_of_all_levels_come_last(tmp_path):
    extra = {"coordinateTransformations": [{"type": "scale", "scale": [2.0, 2.0, 2.0]}]}
    place = ome(tmp_path / "a", "0.4", ("z", "y", "x"), (2, 2, 2), [(3.0, 2.0, 1.0)], extra=extra)
    metadata = open_array(locate(place)).metadata
    assert (metadata.voxel_length, metadata.voxel_origin) == ((2, 4, 6), (20, 40, 60))


def test_a_transformation_that_cannot_be_read(tmp_path):
    extra = {"coordinateTransformations": [{"type": "affine", "path": "elsewhere"}]}
    place = ome(tmp_path / "a", "0.4", ("z", "y", "x"), (2, 2, 2), [(3.0, 2.0, 1.0)], extra=extra)
    with pytest.raises(MetadataError, match="a coordinate transformation that cannot be read"):
        open_array(locate(place))


def test_labels_without_x(tmp_path):
    place = ome(tmp_path / "a", "0.4", ("t", "z", "y"), (1, 2, 2), [(1.0, 1.0, 1.0)])
    with pytest.raises(MetadataError, match="an image needs x, y and z"):
        open_array(locate(place))

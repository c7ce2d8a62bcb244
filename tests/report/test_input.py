"""The same image whatever it comes in."""

import gzip
import hashlib

import numpy as np
import pytest

import lithax as lx
from lithax.images import from_array
from lithax.report._input import RawLayout, open_source


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 60_000, (9, 8, 7)).astype("<u2")


@pytest.fixture
def hashed(voxels):
    return from_array(voxels).content_hash()


def opened(source, folder, **options):
    return open_source(source, folder, **({"layout": RawLayout()} | options))


def test_an_image_is_taken_as_it_is(voxels, tmp_path):
    image = from_array(voxels, store=tmp_path / "a.zarr")
    assert opened(image, tmp_path).image is image
    assert not (tmp_path / "scan.zarr").exists()


def test_a_store_is_read_where_it_is(voxels, hashed, tmp_path):
    from_array(voxels, store=tmp_path / "a.zarr")
    found = opened(tmp_path / "a.zarr", tmp_path)
    assert found.image.content_hash() == hashed
    assert found.image.read_only
    assert found.described == {"store": str(tmp_path / "a.zarr")}
    assert not (tmp_path / "scan.zarr").exists()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_raw_file_is_imported(voxels, hashed, tmp_path, order, packed):
    content = voxels.tobytes(order)
    file = tmp_path / ("a.raw.gz" if packed else "a.raw")
    file.write_bytes(gzip.compress(content) if packed else content)
    found = opened(file, tmp_path, layout=RawLayout((9, 8, 7), "<u2", order))
    assert found.image.content_hash() == hashed
    assert found.described["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.described["layout"]["order"] == order
    assert lx.open(tmp_path / "scan.zarr").shape == (9, 8, 7)


def test_a_document_beside_a_raw_file_describes_it(voxels, hashed, tmp_path):
    image = from_array(voxels, voxel_length=2.5, voxel_unit="um")
    image.export_raw(tmp_path / "a.raw")
    found = opened(tmp_path / "a.raw", tmp_path, voxel_length=[2.0, 2.0, 2.0])
    assert found.image.content_hash() == hashed
    assert (found.image.voxel_length, found.image.voxel_unit) == ((2.0, 2.0, 2.0), "um")


@pytest.mark.parametrize("kind", ["npy", "array"])
def test_arrays_have_the_axes_x_y_z(voxels, hashed, tmp_path, kind):
    source = voxels
    if kind == "npy":
        source = tmp_path / "a.npy"
        np.save(source, voxels)
    found = opened(source, tmp_path, voxel_length=0.5, voxel_unit="mm")
    assert found.image.content_hash() == hashed
    assert found.image.dimensions == (4.5, 4.0, 3.5)


def test_another_voxel_length_leaves_the_source_alone(voxels, hashed, tmp_path):
    from_array(voxels, store=tmp_path / "a.zarr", voxel_length=2.5, voxel_unit="um")
    found = opened(tmp_path / "a.zarr", tmp_path, voxel_length=1.0, voxel_unit="mm")
    assert (found.image.voxel_unit, found.image.content_hash()) == ("mm", hashed)
    assert lx.open(tmp_path / "a.zarr").voxel_unit == "um"
    with pytest.raises(ValueError, match="would have to be replaced by a copy of itself"):
        opened(tmp_path / "scan.zarr", tmp_path, voxel_length=3.0)


def test_what_is_no_image_is_named(tmp_path, voxels):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        opened(tmp_path / "nothing.raw", tmp_path)
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    with pytest.raises(ValueError, match="three axes"):
        opened(tmp_path / "flat.npy", tmp_path)
    (tmp_path / "scan.tif").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match="cannot be read as a TIFF file"):
        opened(tmp_path / "scan.tif", tmp_path)
    with pytest.raises(TypeError, match="image is a int"):
        opened(5, tmp_path)
    with pytest.raises(ValueError, match="shape, dtype: only raw files need this"):
        opened(voxels, tmp_path, layout=RawLayout((3, 3, 3), "u1"))
    assert not (tmp_path / "scan.zarr").exists()

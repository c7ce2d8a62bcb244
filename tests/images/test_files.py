"""TIFF stacks and .npy files: against tifffile and NumPy."""

import shutil

import numpy as np
import pytest
import tifffile

import lithax as lx
from lithax.images import convert, export_file, import_file


@pytest.fixture
def values(rng):
    return rng.integers(0, 60_000, (9, 8, 7)).astype("u2")


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"imagej": True, "metadata": {"axes": "ZYX"}}, {"bigtiff": True}, {"byteorder": ">"}],
)
def test_stacks_of_other_programs(values, tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 1, 0), photometric="minisblack", **options)
    image = import_file(tmp_path / "a.tif", store=tmp_path / "a.zarr", chunks=4, voxel_unit="um")
    np.testing.assert_array_equal(image[:], values)
    assert (image.dtype, image.voxel_unit) == (np.dtype("u2"), "um")


def test_the_size_of_voxels_is_kept(values, tmp_path):
    image = lx.from_array(values, voxel_length=(2.5, 2.5, 5), voxel_unit="um")
    export_file(image, tmp_path / "a.tif")
    again = import_file(tmp_path / "a.tif")
    np.testing.assert_array_equal(again[:], values)
    # A resolution in TIFF is a ratio of two 32-bit numbers.
    np.testing.assert_allclose(again.voxel_length, image.voxel_length, rtol=1e-6)
    assert again.voxel_unit == "um"


@pytest.mark.parametrize("dtype", ["bool", "u1", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_data_types(rng, tmp_path, dtype, suffix):
    values = rng.integers(0, 2, (5, 4, 3)).astype(dtype)
    file = export_file(lx.from_array(values, chunks=2), tmp_path / f"a.{suffix}")
    again = import_file(file)
    np.testing.assert_array_equal(again[:], values)
    assert again.dtype == (np.dtype("u1") if (dtype, suffix) == ("bool", "tif") else values.dtype)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_where_no_file_can_be_made(values, tmp_path, suffix):
    image = lx.from_array(values)
    (tmp_path / f"folder.{suffix}").mkdir()
    for overwrite in (False, True):
        with pytest.raises(IsADirectoryError, match="is a directory; give the name of a file"):
            export_file(image, tmp_path / f"folder.{suffix}", overwrite=overwrite)
    made = export_file(image, tmp_path / "new" / "folder" / f"a.{suffix}")  # as importing makes folders
    assert made.exists()
    shutil.rmtree(tmp_path / "new")
    (tmp_path / f"a.{suffix}").write_text("kept")
    with pytest.raises(NotADirectoryError, match="which is a file; choose another folder"):
        export_file(image, tmp_path / f"a.{suffix}" / f"b.{suffix}")
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True"):
        export_file(image, tmp_path / f"a.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_text() == "kept"
    assert {path.name for path in tmp_path.rglob("*")} == {f"folder.{suffix}", f"a.{suffix}"}
    export_file(image, tmp_path / f"a.{suffix}", overwrite=True)
    np.testing.assert_array_equal(import_file(tmp_path / f"a.{suffix}")[:], values)


def test_what_is_no_stack(tmp_path, values):
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 5, 3), "u1"), photometric="rgb")
    (tmp_path / "text.tif").write_text("not a picture")
    lx.from_array(values.astype(complex), store=tmp_path / "c.zarr")
    with pytest.raises(ValueError, match="an image is one stack of pages"):
        import_file(tmp_path / "rgb.tif", store=tmp_path / "x.zarr")
    with pytest.raises(ValueError, match="cannot be read as a TIFF file"):
        import_file(tmp_path / "text.tif", store=tmp_path / "x.zarr")
    with pytest.raises(TypeError, match="complex128 cannot be written to a TIFF file"):
        convert(tmp_path / "c.zarr", tmp_path / "c.tif")
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match="shape: a npy file says so itself"):
        import_file(tmp_path / "a.npy", shape=(1, 2, 3))
    assert not (tmp_path / "x.zarr").exists()
    assert not (tmp_path / "c.tif").exists()

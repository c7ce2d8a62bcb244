"""Folders of TIFF files with one page each: in their order, lazily, and refused where no order is sure."""

import numpy as np
import pytest
import tifffile

import lithax as lx
from lithax.errors import FileFormatError


@pytest.fixture
def values(rng):
    return rng.integers(0, 60_000, (9, 8, 12)).astype("u2")


def slices(folder, values, name="s {}.tif", **options):
    folder.mkdir()
    for n in range(values.shape[2]):
        tifffile.imwrite(folder / name.format(n), values[:, :, n].T, photometric="minisblack", **options)
    return folder


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}], ids=["plain", "big", "zlib"])
def test_slices_are_an_image(values, tmp_path, options):
    folder = slices(tmp_path / "with space", values, **options)  # 10 comes after 9, not after 1
    (folder / "log.txt").write_text("beside them")
    image = lx.open(folder, voxel_length=2.5, voxel_unit="um")
    np.testing.assert_array_equal(image[...], values)
    np.testing.assert_array_equal(image[2:5, 3, 1::4], values[2:5, 3, 1::4])
    with pytest.raises(PermissionError, match="a folder of TIFF files, which is read but not changed"):
        image[0, 0, 0] = 1
    for made in (lx.import_file(folder, tmp_path / "a.zarr", chunks=4), lx.images.convert(folder, tmp_path / "b.zarr")):
        np.testing.assert_array_equal(made[...], values)
    assert lx.images.file_format(folder) == "tiff"


def test_size_and_unit_of_the_first_slice_count(values, tmp_path):
    folder = slices(tmp_path / "a", values, imagej=True, resolution=(0.4, 0.4), metadata={"unit": "um"})
    assert (lx.open(folder).voxel_length, lx.open(folder).voxel_unit) == ((2.5, 2.5, 2.5), "um")


def test_a_changed_slice_is_a_changed_input(values, tmp_path):
    folder = slices(tmp_path / "a", values)
    lx.chunk_map(lambda v: v + 1, lx.open(folder), store=tmp_path / "b.zarr", resume=True, progress=False)
    tifffile.imwrite(folder / "s 5.tif", values[:, :, 5].T + 1, photometric="minisblack")
    with pytest.raises(lx.errors.ResumeError, match="changed"):
        lx.chunk_map(lambda v: v + 1, lx.open(folder), store=tmp_path / "b.zarr", resume=True, progress=False)


def test_what_is_in_doubt_is_refused(values, tmp_path):
    folder = slices(tmp_path / "a", values)
    (folder / "s 7.tif").unlink()
    with pytest.raises(FileFormatError, match=r"between the slices s 6\.tif and s 8\.tif is a gap"):
        lx.open(folder)
    tifffile.imwrite(folder / "s 7.tif", values[:4, :, 7].T, photometric="minisblack")
    with pytest.raises(
        FileFormatError, match=r"s 7\.tif' holds 4 x 8 voxels of uint16, the first slice, s 0\.tif, 9 x 8"
    ):
        lx.open(folder)[...]
    tifffile.imwrite(folder / "overview.tif", values[:, :, 0].T, photometric="minisblack")
    with pytest.raises(FileFormatError, match=r"several series \(overview\.tif, s #\.tif"):
        lx.open(folder)
    stack = slices(tmp_path / "b", values[:, :, :1])
    tifffile.imwrite(stack / "s 0.tif", values.T, photometric="minisblack")
    with pytest.raises(FileFormatError, match="holds 12 pages; in a folder of slices each file holds one"):
        lx.open(stack)
    two = slices(tmp_path / "c", values[:, :, :2], "s{0}_{0}.tif")
    with pytest.raises(FileFormatError, match="2 numbers differ; one that counts the slices is needed"):
        lx.open(two)
    (tmp_path / "d").mkdir()
    with pytest.raises(lx.errors.MetadataError, match="neither a Zarr store nor one of TIFF slices"):
        lx.open(tmp_path / "d")

"""TIFF in the forms that other programs write and read: voxel sizes, units, axes, types."""

import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tifffile

import lithax as lx
from lithax.errors import FileFormatError
from lithax.storage.formats import _tiff_writer

TYPES = ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


def geometry(image):
    return image.voxel_length, image.voxel_origin, str(image.voxel_unit)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_keeps_voxels_and_their_size(rng, tmp_path, dtype, large, monkeypatch):
    """`large`: the form of files beyond 2 GiB."""
    monkeypatch.setattr(_tiff_writer, "LARGEST_IMAGEJ", 0 if large else 2**31)
    values = rng.integers(0, 100, (5, 4, 3)).astype(dtype)
    image = lx.from_array(values, voxel_length=(2.5, 0.3, 1.7), voxel_unit="um")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image.export(tmp_path / "a.tif")
    for again in (lx.open(tmp_path / "a.tif"), lx.import_file(tmp_path / "a.tif")):
        np.testing.assert_array_equal(again[...], values)
        assert again.dtype == (np.dtype("u1") if dtype == "b1" else values.dtype)
        assert geometry(again) == geometry(image)  # to the last digit
    # Only types that neither ImageJ nor OME has leave the size to lithax's own note, and say so.
    words = " ".join(str(w.message) for w in said)
    assert ("voxel_length" in words) == (dtype in ("i8", "u8", "f2")), words
    assert len(said) <= 1
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        np.testing.assert_array_equal(tiff.asarray(), values.transpose(2, 1, 0))
        assert tiff.is_imagej or tiff.is_ome or dtype in ("i8", "u8", "f2")
        if tiff.is_ome:
            pixels = next(e for e in ElementTree.fromstring(tiff.ome_metadata).iter() if e.tag.endswith("Pixels"))
            assert [float(pixels.get(f"PhysicalSize{a}")) for a in "XYZ"] == [2.5, 0.3, 1.7]
            assert pixels.get("PhysicalSizeZUnit") == "µm"
        elif tiff.is_imagej:
            assert tiff.imagej_metadata["unit"] == "micron"
            assert tiff.imagej_metadata["spacing"] == 1.7


@pytest.mark.parametrize(
    "unit",
    ["um", "µm", "\N{GREEK SMALL LETTER MU}m", "Å", "\N{ANGSTROM SIGN}", "nm", "mm", "m", "inch", "", "survey_foot"],
)
@pytest.mark.parametrize("dtype", ["u2", "i2", "f8", "u8"])
@pytest.mark.filterwarnings("ignore:a.tif. TIFF has no place")
def test_units_of_every_spelling(tmp_path, unit, dtype):
    image = lx.from_array(np.ones((3, 4, 5), dtype), voxel_length=(2, 3, 4), voxel_unit=unit)
    image.export(tmp_path / "a.tif")
    assert geometry(lx.open(tmp_path / "a.tif")) == geometry(image)


@pytest.mark.parametrize("dtype", ["u1", "f8", "i8"])
def test_what_tiff_cannot_hold_is_named_once_and_kept(tmp_path, dtype):
    texts = {"field_name": "attenuation", "field_unit": "1/cm", "description": "Berea, 5 µm"}
    image = lx.from_array(
        np.ones((3, 4, 5), dtype), voxel_length=2, voxel_unit="um", voxel_origin=(1.25, -3, 1e-3), **texts
    )
    with pytest.warns(UserWarning, match=r"a\.tif: TIFF has no place .* voxel_origin.*field_unit") as said:
        image.export(tmp_path / "a.tif")
    assert len(said) == 1
    again = lx.open(tmp_path / "a.tif")
    assert geometry(again) == geometry(image)
    assert {name: getattr(again, name) for name in texts} == texts


def test_other_programs_may_change_what_lithax_noted(tmp_path):
    """Size and unit of ImageJ's own fields win over a note that no longer agrees."""
    metadata = {
        "axes": "ZYX",
        "spacing": 9.0,
        "unit": "mm",
        "lithax": '{"voxel_length": [1, 1, 1], "voxel_origin": [5, 5, 5], "voxel_unit": "um"}',
    }
    tifffile.imwrite(
        tmp_path / "a.tif", np.ones((3, 4, 5), "u1"), imagej=True, resolution=(0.5, 0.25), metadata=metadata
    )
    assert geometry(lx.open(tmp_path / "a.tif")) == ((2.0, 4.0, 9.0), (0.0, 0.0, 0.0), "mm")


@pytest.mark.parametrize(
    ("unit", "ours"),
    [
        *[
            ("pix", ""),
            ("pixel", ""),
            ("Pixels", ""),
            ("voxel", ""),
            ("px", ""),
            ("", ""),
            ("micron", "um"),
            ("um", "um"),
        ],
        *[("\\u00B5m", "um"), ("\\u00C5", "Å"), ("mm", "mm"), ("inch", "inch")],
    ],
)
def test_units_of_imagej(tmp_path, unit, ours):
    metadata = {"axes": "ZYX", "spacing": 3.0, "unit": unit}
    tifffile.imwrite(
        tmp_path / "a.tif", np.ones((3, 4, 5), "u2"), imagej=True, resolution=(0.5, 0.25), metadata=metadata
    )
    for image in (lx.open(tmp_path / "a.tif"), lx.import_file(tmp_path / "a.tif")):
        assert geometry(image) == ((2.0, 4.0, 3.0), (0.0, 0.0, 0.0), ours)


@pytest.mark.parametrize("unit", ["sec", "furlongs per fortnight", "9**9**9**9"])
def test_units_that_are_no_length_are_kept_with_a_warning(tmp_path, unit):
    metadata = {"axes": "ZYX", "spacing": 3.0, "unit": unit}
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 4, 5), "u2"), imagej=True, resolution=(1, 1), metadata=metadata)
    with pytest.warns(UserWarning, match="is not a length"):
        image = lx.import_file(tmp_path / "a.tif", tmp_path / "a.zarr")
    assert image.voxel_unit == unit
    with pytest.warns(UserWarning, match="is not a length"):
        assert lx.import_file(tmp_path / "a.tif", voxel_length=5).voxel_length == (5, 5, 5)
    # Who says what the unit is need not be told that the file does not know.
    assert geometry(lx.open(tmp_path / "a.tif", voxel_length=5, voxel_unit="um")) == ((5, 5, 5), (0, 0, 0), "um")


@pytest.mark.parametrize("spacing", [-3.0, 0.0, float("nan"), float("inf")])
def test_spacings_that_are_no_length(tmp_path, spacing):
    metadata = {"axes": "ZYX", "spacing": spacing, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", np.ones((3, 4, 5), "u2"), imagej=True, resolution=(0.5, 0.5), metadata=metadata
    )
    with pytest.warns(UserWarning, match="lengths are positive"):
        image = lx.import_file(tmp_path / "a.tif")
    assert image.voxel_length == (2.0, 2.0, 3.0 if spacing == -3.0 else 2.0)


def test_physical_sizes_of_ome_tiff(tmp_path):
    values = np.arange(60, dtype="u2").reshape(5, 4, 3)
    sizes = {
        "PhysicalSizeX": 500,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
    }
    tifffile.imwrite(
        tmp_path / "a.ome.tif", values, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **sizes}
    )
    image = lx.open(tmp_path / "a.ome.tif")
    np.testing.assert_allclose(image.voxel_length, (500, 250, 2000))
    assert image.voxel_unit == "nm"
    np.testing.assert_array_equal(image[...], values.transpose(2, 1, 0))
    tifffile.imwrite(tmp_path / "b.ome.tif", values, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    assert geometry(lx.open(tmp_path / "b.ome.tif")) == ((1, 1, 1), (0, 0, 0), "")


STACKS = {
    "planar colours": lambda file: tifffile.imwrite(
        file, np.zeros((3, 8, 9), "u1"), photometric="rgb", planarconfig="separate"
    ),
    "colours": lambda file: tifffile.imwrite(file, np.zeros((8, 9, 3), "u1"), photometric="rgb"),
    "a stack of colours": lambda file: tifffile.imwrite(file, np.zeros((5, 8, 9, 3), "u1"), photometric="rgb"),
    "channels": lambda file: tifffile.imwrite(file, np.zeros((3, 8, 9), "u1"), imagej=True, metadata={"axes": "CYX"}),
    "times": lambda file: tifffile.imwrite(file, np.zeros((3, 8, 9), "u1"), imagej=True, metadata={"axes": "TYX"}),
    "channels of a stack": lambda file: tifffile.imwrite(
        file, np.zeros((4, 2, 8, 9), "u2"), imagej=True, metadata={"axes": "ZCYX"}
    ),
    "channels of OME": lambda file: tifffile.imwrite(
        file, np.zeros((3, 8, 9), "u2"), ome=True, metadata={"axes": "CYX"}
    ),
    "two images": lambda file: [
        tifffile.imwrite(file, np.zeros((4, n, 9), "u2"), photometric="minisblack", append=n > 8) for n in (8, 10)
    ],
    "complex": lambda file: tifffile.imwrite(file, np.zeros((4, 8, 9), "c8"), photometric="minisblack"),
}


@pytest.mark.parametrize("name", STACKS)
def test_what_is_no_stack_along_z_is_refused(tmp_path, name):
    STACKS[name](tmp_path / "a.tif")
    for call in (lx.open, lx.import_file):
        with pytest.raises(FileFormatError, match=r"a\.tif"):
            call(tmp_path / "a.tif")


def test_types_by_any_name(tmp_path):
    """C spells a 64-bit integer in two ways, and NumPy gives each a dtype of its own."""
    for name in ("q", "Q", "l", "L", "longlong", "ulonglong", "intp", "p", "int_", "uint"):
        image = lx.zeros((2, 3, 4), np.dtype(name))
        assert image.dtype == np.dtype(np.dtype(name).str)
        values = np.full((2, 3, 4), 7, np.dtype(name))
        np.testing.assert_array_equal(lx.from_array(values)[...], values)
        tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 1, 0), photometric="minisblack")
        np.testing.assert_array_equal(lx.import_file(tmp_path / "a.tif")[...], values)
        values.tofile(tmp_path / "a.raw")
        assert lx.import_raw(tmp_path / "a.raw", (2, 3, 4), np.dtype(name)).dtype == image.dtype


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 16)},
        {"byteorder": ">"},
        {"rowsperstrip": 3},
        {"bigtiff": True},
    ],
)
def test_boxes_of_a_stack_are_read_lazily(rng, tmp_path, options):
    values = rng.integers(0, 60_000, (20, 33, 7)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 1, 0), photometric="minisblack", **options)
    image = lx.open(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[...], values)
    np.testing.assert_array_equal(image[3:9, 30:, 2], values[3:9, 30:, 2])
    np.testing.assert_array_equal(image[::3, ::-2, [1, 5]], values[::3, ::-2, [1, 5]])
    np.testing.assert_array_equal(np.asarray(image.zarray[5:9, :4]), values[5:9, :4])
    assert lx.measure.mean(image) == values.mean(dtype="f8")
    np.testing.assert_array_equal(lx.chunk_map(lambda v: v + 1, image, progress=False)[...], values + 1)
    np.testing.assert_array_equal(image.copy(tmp_path / "copy.zarr", chunks=8)[...], values)
    assert lx.verify(tmp_path / "copy.zarr", progress=False)
    with pytest.raises(PermissionError, match="is a TIFF file, which is read but not changed"):
        image[0, 0, 0] = 1
    for change in (lambda: image.update(voxel_length=2), lambda: image.attrs.update(a=1), lambda: image.fill(0)):
        with pytest.raises(PermissionError, match="is a TIFF file"):
            change()
    assert "TIFF" in repr(image)
    image.content_hash()
    assert image._repr_html_()


@pytest.mark.slow
def test_a_file_beyond_two_gibibytes(tmp_path):
    image = lx.zeros((1100, 1000, 1001), "u2", voxel_length=2.5, voxel_unit="um", store=tmp_path / "a.zarr")
    image[1099, 999, 1000] = 7
    image.export(tmp_path / "a.tif")
    again = lx.open(tmp_path / "a.tif")
    assert geometry(again) == geometry(image)
    assert again[1099, 999, 1000] == 7


@pytest.mark.parametrize(
    ("shape", "axes", "stack"),
    [
        ((5, 6, 7, 3), "rgb", lambda v: v[..., 0].transpose(2, 1, 0)),
        ((6, 7, 3), "rgb", lambda v: v[..., 0].T[:, :, None]),
        ((2, 5, 6, 7), "CZYX", lambda v: v[0].transpose(2, 1, 0)),
    ],
)
def test_the_way_out_of_colours_and_channels_runs(tmp_path, monkeypatch, rng, shape, axes, stack):
    monkeypatch.chdir(tmp_path)
    values = rng.integers(0, 255, shape).astype("u1")
    if axes == "rgb":
        tifffile.imwrite("a.tif", values, photometric="rgb")
    else:
        tifffile.imwrite("a.tif", values, ome=True, metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(lx.errors.FileFormatError, match="take one of them out") as raised:
        lx.open("a.tif")
    recipe = str(raised.value).partition("take one of them out: ")[2].rstrip(".")
    np.testing.assert_array_equal(eval(recipe, {"lx": lx, "tifffile": tifffile})[...], stack(values))


@pytest.mark.parametrize("first", [True, False])
def test_a_thumbnail_is_left_out_and_said(tmp_path, rng, first):
    values, small = rng.integers(0, 9, (3, 8, 10)).astype("u2"), np.zeros((4, 5), "u1")
    for array in (small, values) if first else (values, small):
        tifffile.imwrite(tmp_path / "a.tif", array, append=True, metadata=None, photometric="minisblack")
    with pytest.warns(UserWarning, match="thumbnail"):
        image = lx.open(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[...], values.transpose(2, 1, 0))
    for array in (values, np.zeros((5, 5), "u2")):
        tifffile.imwrite(tmp_path / "b.tif", array, append=True, metadata=None, photometric="minisblack")
    with pytest.raises(FileFormatError, match="2 series"):  # 5 of 8 rows: no thumbnail, and which one is meant?
        lx.open(tmp_path / "b.tif")


def test_a_damaged_file_says_one_thing(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 6), "u1"), photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:10] + b"\xff" * 30 + whole[40:])  # its first tags
    with pytest.raises(FileFormatError, match="damaged"):
        lx.open(tmp_path / "a.tif")
    assert caplog.text == ""

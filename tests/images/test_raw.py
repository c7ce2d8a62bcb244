"""Import and export of raw files as images, against numpy.tofile and numpy.fromfile."""

import gzip
import itertools
import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import lithax as lx
from lithax.errors import MetadataError

SHAPE = (9, 7, 8)
KINDS = ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]


def voxels(rng, kind, shape=SHAPE):
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "ui":
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, size=shape, dtype=dtype, endpoint=True)
    values = rng.normal(size=shape)
    return (values + 1j * rng.normal(size=shape) if dtype.kind == "c" else values).astype(dtype)


def to_raw(path, values, dtype, order):
    path.write_bytes(values.astype(dtype).tobytes(order=order))
    return path


@pytest.mark.parametrize("order", "FC")
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(tmp_path, rng, kind, byteorder, order):
    values = voxels(rng, kind)
    file = to_raw(tmp_path / "rock.raw", values, byteorder + kind, order)
    image = lx.import_raw(file, SHAPE, byteorder + kind, order=order, chunks=(4, 3, 5))
    assert image.dtype == np.dtype(kind)
    np.testing.assert_array_equal(image[...], values)
    copy = image.export_raw(tmp_path / "copy.raw", order=order, byteorder=byteorder)
    assert copy.read_bytes() == file.read_bytes()


@hypothesis.given(
    shape=st.tuples(*[st.integers(1, 24)] * 3),
    chunks=st.tuples(*[st.integers(1, 9)] * 3),
    shards=st.none() | st.tuples(*[st.integers(1, 3)] * 3),
    orders=st.tuples(st.sampled_from("FC"), st.sampled_from("FC")),
    piece=st.sampled_from([1, 5000, 1 << 20]),
)
@hypothesis.settings(max_examples=25)
def test_every_division_into_chunks(tmp_path_factory, shape, chunks, shards, orders, piece):
    folder = tmp_path_factory.mktemp("raw")
    values = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    file = to_raw(folder / "rock.raw", values, "<u2", orders[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lithax.images._raw._PIECE", piece)
        unit = None if shards is None else tuple(c * s for c, s in zip(chunks, shards, strict=True))
        image = lx.import_raw(file, shape, "<u2", order=orders[0], chunks=chunks, shards=unit)
        np.testing.assert_array_equal(image[...], values)
        image.export_raw(folder / "copy.raw", order=orders[1])
    found = np.fromfile(folder / "copy.raw", "u2").reshape(shape, order=orders[1])
    np.testing.assert_array_equal(found, values)


def test_the_document_beside_the_file_says_it_all(tmp_path, rng):
    values = voxels(rng, "f4")
    first = lx.from_array(
        values,
        voxel_length=(0.5, 1.0, 2.5),
        voxel_origin=(-1, 0, 1),
        voxel_unit="um",
        field_name="attenuation",
        field_unit="1/m",
        description="a scan",
    )
    first.export_raw(tmp_path / "rock.raw", dtype=">f8", order="C")
    image = lx.import_raw(tmp_path / "rock.raw")
    assert image.dtype == np.float64
    np.testing.assert_array_equal(image[...], values)
    for name in ("voxel_length", "voxel_origin", "voxel_unit", "field_name", "field_unit", "description"):
        assert getattr(image, name) == getattr(first, name)
    other = lx.import_raw(tmp_path / "rock.raw", voxel_unit="mm", field_name="density")
    assert (other.voxel_unit, other.field_name, other.description) == ("mm", "density", "a scan")


def test_shape_and_dtype_make_the_document_needless(tmp_path):
    (tmp_path / "rock.raw").write_bytes(bytes(24))
    (tmp_path / "rock.raw.json").write_text("damaged")
    assert lx.import_raw(tmp_path / "rock.raw", (4, 3, 2), "u1").shape == (4, 3, 2)
    with pytest.raises(MetadataError, match="is not JSON"):
        lx.import_raw(tmp_path / "rock.raw")


def test_compressed_with_header(tmp_path, rng):
    values = voxels(rng, "u2")
    with gzip.open(tmp_path / "rock.raw.gz", "wb") as file:
        file.write(b"header" + values.astype(">u2").tobytes(order="F"))
    image = lx.import_raw(tmp_path / "rock.raw.gz", SHAPE, ">u2", offset=6)
    np.testing.assert_array_equal(image[...], values)


def test_booleans(tmp_path):
    (tmp_path / "mask.raw").write_bytes(bytes([0, 255, 1, 0]))
    mask = lx.import_raw(tmp_path / "mask.raw", (4, 1, 1), bool)
    assert mask[:, 0, 0].tolist() == [False, True, True, False]
    mask.export_raw(tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == bytes([0, 1, 1, 0])
    with pytest.raises(ValueError, match="cannot hold the value 2 of voxel"):
        lx.from_array(np.array([[[0, 2]]])).export_raw(tmp_path / "wrong.raw", dtype=bool)


def test_complex_in_two_files(tmp_path, rng):
    values = voxels(rng, "c8")
    image = lx.from_array(values, chunks=4, voxel_unit="mm")
    image.export_raw(tmp_path / "field.raw", byteorder=">", split_complex=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["field.raw.json", "field_imag.raw", "field_real.raw"]
    real = np.fromfile(tmp_path / "field_real.raw", ">f4").reshape(SHAPE, order="F")
    np.testing.assert_array_equal(real, values.real)
    again = lx.import_raw(tmp_path / "field.raw")
    np.testing.assert_array_equal(again[...], values)
    assert again.voxel_unit == "mm"
    pair = (tmp_path / "field_real.raw", tmp_path / "field_imag.raw")
    np.testing.assert_array_equal(lx.import_raw(pair, SHAPE, ">c8", chunks=3)[...], values)
    with pytest.raises(TypeError, match="must be complex"):
        lx.import_raw(pair, SHAPE, ">f4")
    with pytest.raises(ValueError, match="shape and dtype must be given for two files"):
        lx.import_raw(pair)
    with pytest.raises(ValueError, match="split_complex=True is for complex voxels"):
        lx.zeros(SHAPE, "f4").export_raw(tmp_path / "x.raw", split_complex=True)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"shape": (9, 7, 9)}, ValueError, "too short: it has 1008 bytes"),
        ({"shape": (9, 7, 7)}, ValueError, "too long"),
        ({"dtype": "u16"}, TypeError, "128-bit integer"),
        ({"dtype": np.longdouble}, TypeError, "extended precision"),
        ({"dtype": None}, ValueError, "dtype is missing; shape and dtype must be given together"),
        ({"shape": None, "dtype": None}, ValueError, r"no .*rock\.raw\.json says"),
        ({"offset": -1}, ValueError, "offset=-1 must not be negative"),
        ({"order": "K"}, ValueError, "order='K'"),
        ({"voxel_length": -1}, ValueError, "voxel_length=-1 must be positive"),
        ({"voxel_unit": "kg"}, ValueError, "voxel_unit='kg'"),
        ({"chunks": 0}, ValueError, "chunks"),
        ({"file": "none.raw"}, FileNotFoundError, "does not exist"),
    ],
)
def test_bad_input_leaves_no_store(tmp_path, change, kind, message):
    (tmp_path / "rock.raw").write_bytes(bytes(9 * 7 * 8 * 2))
    arguments = {"file": "rock.raw", "shape": SHAPE, "dtype": "u2", "store": tmp_path / "rock.zarr"} | change
    with pytest.raises(kind, match=message):
        lx.import_raw(tmp_path / arguments.pop("file"), **arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["rock.raw"]


def test_a_failure_in_the_middle_leaves_no_store(tmp_path, monkeypatch):
    (tmp_path / "rock.raw").write_bytes(bytes(9 * 7 * 8))
    calls = itertools.count()
    read = lx.storage.formats.RawSource.arrange

    def fail(self, stored):
        if next(calls) == 3:
            raise OSError("the disk is gone")
        return read(self, stored)

    monkeypatch.setattr(lx.storage.formats.RawSource, "arrange", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        lx.import_raw(tmp_path / "rock.raw", SHAPE, "u1", chunks=3, store=tmp_path / "rock.zarr")
    assert not (tmp_path / "rock.zarr").exists()


def test_import_does_not_replace_unasked(tmp_path):
    (tmp_path / "rock.raw").write_bytes(bytes(9 * 7 * 8))
    lx.ones(SHAPE, "u1", store=tmp_path / "rock.zarr")
    with pytest.raises(FileExistsError):
        lx.import_raw(tmp_path / "rock.raw", SHAPE, "u1", store=tmp_path / "rock.zarr")
    assert lx.open(tmp_path / "rock.zarr")[0, 0, 0] == 1
    image = lx.import_raw(tmp_path / "rock.raw", SHAPE, "u1", store=tmp_path / "rock.zarr", overwrite=True)
    assert image[0, 0, 0] == 0


# Export


def test_narrowing_that_loses_nothing(tmp_path):
    values = np.arange(24, dtype="i8").reshape(2, 3, 4)
    lx.from_array(values).export_raw(tmp_path / "rock.raw", dtype="u1")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "rock.raw", "u1"), values.ravel(order="F"))
    lx.from_array(values / 3).export_raw(tmp_path / "thirds.raw", dtype="f4")
    np.testing.assert_array_equal(
        np.fromfile(tmp_path / "thirds.raw", "f4"), (values / 3).astype("f4").ravel(order="F")
    )


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (300, "u1", r"dtype='uint8' cannot hold the value 300.* of voxel \(5, 2, 6\) \(0 to 255\)"),
        (-1, "u2", "cannot hold the value -1"),
        (0.5, "i4", "cannot hold the value 0.5"),
        (np.nan, "i4", "cannot hold the value nan"),
        (1e300, "f4", "cannot hold the value 1e"),
        (2, "b1", "cannot hold the value 2"),
    ],
)
def test_narrowing_that_loses_values_makes_no_file(tmp_path, value, dtype, message):
    values = np.zeros(SHAPE)
    values[5, 2, 6] = value
    image = lx.from_array(values, chunks=3)
    with pytest.raises(ValueError, match=message):
        image.export_raw(tmp_path / "rock.raw", dtype=dtype, fiji_macro=dtype != "b1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"dtype": "i16"}, TypeError, "128-bit integer"),
        ({"order": "Z"}, ValueError, "order='Z'"),
        ({"byteorder": "middle"}, ValueError, "byteorder='middle'"),
        ({"fiji_macro": True, "dtype": "i8"}, ValueError, "Fiji does not import int64"),
    ],
)
def test_export_refuses(tmp_path, arguments, kind, message):
    with pytest.raises(kind, match=message):
        lx.zeros(SHAPE, "u1").export_raw(tmp_path / "rock.raw", **arguments)
    assert not list(tmp_path.iterdir())


def test_export_does_not_replace_unasked(tmp_path):
    image = lx.ones(SHAPE, "u1")
    (tmp_path / "rock.raw").write_bytes(b"old")
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        image.export_raw(tmp_path / "rock.raw")
    assert [p.name for p in tmp_path.iterdir()] == ["rock.raw"]
    image.export_raw(tmp_path / "rock.raw", overwrite=True)
    assert (tmp_path / "rock.raw").read_bytes() == b"\x01" * (9 * 7 * 8)


def test_byte_order_of_the_type_or_of_the_argument(tmp_path):
    image = lx.from_array(np.full((1, 1, 1), 0x0102, "u2"))
    for name, arguments in {
        "a": {"dtype": ">u2"},
        "b": {"byteorder": ">"},
        "c": {"dtype": "<u2", "byteorder": "big"},
    }.items():
        image.export_raw(tmp_path / name, **arguments)
        assert (tmp_path / name).read_bytes() == b"\x01\x02"
        assert json.loads((tmp_path / f"{name}.json").read_text())["byteorder"] == "big"


def test_fiji_macro(tmp_path):
    image = lx.zeros((3, 4, 5), "i2", voxel_length=(1, 2, 3), voxel_unit="um")
    image.export_raw(tmp_path / "rock.raw", fiji_macro=True, byteorder="<")
    macro = (tmp_path / "rock.raw.ijm").read_text(encoding="utf-8")
    assert "image=[16-bit Signed] width=3 height=4 number=5 offset=0 gap=0 little-endian open=[" in macro
    assert 'setVoxelSize(1.0, 2.0, 3.0, "um");' in macro


def test_an_image_of_one_unit_and_one_of_many(tmp_path):
    values = np.arange(16**3, dtype="u2").reshape(16, 16, 16)
    file = to_raw(tmp_path / "rock.raw", values, "<u2", "F")
    for chunks, shards in ((16, None), (2, None), (2, 16), (2, 8)):
        image = lx.import_raw(file, (16, 16, 16), "<u2", chunks=chunks, shards=shards)
        np.testing.assert_array_equal(image[...], values)

"""What is written when an array is made, and what is refused before anything is."""

import json

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from lithax.storage import Metadata, create_array, default_compressors, locate, voxel_dtype

ARRAY = {"shape": (4, 5, 6), "dtype": np.dtype("u2"), "chunks": (2, 3, 4)}


def document(path):
    return json.loads((path / "zarr.json").read_text())


def test_what_is_written(tmp_path):
    array = create_array(locate(tmp_path / "a"), metadata=Metadata(field_name="CT"), attributes={"mine": 1}, **ARRAY)
    written = document(tmp_path / "a")
    assert written["dimension_names"] == ["x", "y", "z"]
    assert written["attributes"]["mine"] == 1
    assert written["attributes"]["lithax"]["schema"] == 1
    assert written["attributes"]["lithax"]["field_name"] == "CT"
    blosc = written["codecs"][1]
    assert (blosc["name"], blosc["configuration"]["cname"], blosc["configuration"]["typesize"]) == ("blosc", "lz4", 2)
    assert blosc["configuration"]["shuffle"] == "shuffle"
    assert array.zarray == zarr.open_array(tmp_path / "a")


@pytest.mark.parametrize(("dtype", "shuffle"), [("u1", "bitshuffle"), ("bool", "bitshuffle"), ("f8", "shuffle")])
def test_one_byte_voxels_are_shuffled_by_bits(tmp_path, dtype, shuffle):
    create_array(locate(tmp_path / "a"), **{**ARRAY, "dtype": np.dtype(dtype)})
    assert document(tmp_path / "a")["codecs"][-1]["configuration"]["shuffle"] == shuffle


def test_arrays_in_memory_are_not_compressed():
    array = create_array(locate(None), **ARRAY)
    assert array.zarray.compressors == ()
    assert create_array(locate(None), compressors=default_compressors(), **ARRAY).zarray.compressors != ()


def test_options_reach_zarr(tmp_path):
    array = create_array(
        locate(tmp_path / "a"),
        compressors=[GzipCodec(level=1)],
        fill_value=7,
        chunk_key_encoding={"name": "default", "separator": "."},
        shards=(4, 6, 8),
        **ARRAY,
    )
    assert [type(c) for c in array.zarray.compressors] == [GzipCodec]
    assert array.fill_value == 7
    assert array.unit_key((0, 0, 0)) == "c.0.0.0"
    assert (array.chunks, array.shards) == ((2, 3, 4), (4, 6, 8))


def test_order_inside_the_chunk(tmp_path):
    values = np.arange(120, dtype="u2").reshape(4, 5, 6)
    box = tuple(slice(0, n) for n in values.shape)
    stored = {}
    for order in "CF":
        array = create_array(locate(tmp_path / order), order=order, compressors=None, **{**ARRAY, "chunks": (4, 5, 6)})
        array.write(box, values)
        np.testing.assert_array_equal(zarr.open_array(tmp_path / order)[...], values)
        stored[order] = np.frombuffer((tmp_path / order / "c/0/0/0").read_bytes(), "<u2")
    np.testing.assert_array_equal(stored["C"], values.ravel("C"))
    np.testing.assert_array_equal(stored["F"], values.ravel("F"))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(">f4", "f4"), (bool, "?"), (int, "i8"), (complex, "c16"), (np.float16, "f2"), (np.dtype("u8"), "u8")],
)
def test_types_of_voxels(dtype, expected):
    assert voxel_dtype(dtype) == np.dtype(expected)
    assert voxel_dtype(dtype).isnative


@pytest.mark.parametrize("dtype", ["S3", object, "M8[s]", np.longdouble, None, "what", [("a", "u1")]])
def test_types_that_are_none(dtype):
    with pytest.raises(TypeError, match=r"dtype=.* must be boolean, integer, float or complex"):
        voxel_dtype(dtype)


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [(0.1, "f4"), (float("nan"), "f2"), (float("-inf"), "f8"), (True, "u1"), (1 + 1j, "c8"), (3, "f4"), (1, "?")],
)
def test_fill_values_that_fit(fill, dtype):
    found = create_array(locate(None), **{**ARRAY, "dtype": np.dtype(dtype)}, fill_value=fill).fill_value
    np.testing.assert_equal(found, np.asarray(fill, dtype)[()])


@pytest.mark.parametrize(
    ("fill", "dtype", "error"),
    [
        (-1, "u1", ValueError),
        (256, "u1", ValueError),
        (0.5, "i4", ValueError),
        (float("nan"), "i4", ValueError),
        (2, "?", ValueError),
        (1e300, "f4", ValueError),
        (1j, "f4", ValueError),
        ("a", "u1", TypeError),
        ([1, 2], "u1", TypeError),
    ],
)
def test_fill_values_that_do_not(fill, dtype, error):
    with pytest.raises(error, match=r"fill_value=.*(cannot be held by dtype|must be one number)"):
        create_array(locate(None), **{**ARRAY, "dtype": np.dtype(dtype)}, fill_value=fill)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"compressor": None}, TypeError, r"compressor= is not an option of an image \(its name is compressors\)"),
        ({"colour": 1}, TypeError, "colour= is not an option of an image; the options are attributes"),
        ({"zarr_format": 2}, TypeError, "always Zarr v3"),
        ({"order": "K"}, ValueError, "order='K' must be 'C' or 'F'"),
        ({"compressors": "lzma"}, (TypeError, ValueError, KeyError), None),
        ({"attributes": {"lithax": 1}}, ValueError, "the key 'lithax', which is the image's own"),
        ({"chunks": (1, 1)}, ValueError, None),
        ({"shards": (3, 3, 4)}, ValueError, None),
        (
            {"chunks": (2000, 2000, 2000), "compressors": [ZstdCodec()]},
            ValueError,
            "more than a compressor takes at once",
        ),
    ],
)
def test_a_wrong_option_leaves_nothing(tmp_path, option, error, message):
    with pytest.raises(error, match=message):
        create_array(locate(tmp_path / "a/b", "c"), **{**ARRAY, **option})
    assert not list(tmp_path.iterdir())


def test_a_wrong_option_does_not_remove_what_is_there(tmp_path):
    create_array(locate(tmp_path / "a"), compressors=[BloscCodec()], **ARRAY)
    before = document(tmp_path / "a")
    with pytest.raises(TypeError):
        create_array(locate(tmp_path / "a"), overwrite=True, colour=1, **ARRAY)
    assert document(tmp_path / "a") == before

"""The document beside a raw file, and the macro for Fiji."""

import json
import re

import numpy as np
import pytest

from lithax.errors import MetadataError
from lithax.storage.formats import RawDescription, fiji_macro, fiji_type, read_sidecar, sidecar_path, write_sidecar

DESCRIPTION = RawDescription(
    shape=(4, 5, 6),
    dtype=np.dtype(">u2"),
    order="C",
    offset=512,
    voxel_length=(2.5, 0.1, 1e-7),
    voxel_origin=(0.0, -1.0, 3.0),
    voxel_unit="\N{MICRO SIGN}m",
    field_name="attenuation",
    field_unit="1/m",
    description="two\nlines",
)


@pytest.mark.parametrize("dtype", ["b1", "i1", "<u2", ">f4", "=c16"])
def test_round_trip(tmp_path, dtype):
    description = RawDescription((4, 5, 6), np.dtype(dtype), parts=("a", "b") if dtype == "=c16" else None)
    path = write_sidecar(tmp_path / "rock.raw", description)
    assert path == sidecar_path(tmp_path / "rock.raw") == tmp_path / "rock.raw.json"
    assert read_sidecar(tmp_path / "rock.raw") == description
    write_sidecar(tmp_path / "rock.raw", DESCRIPTION)
    assert read_sidecar(tmp_path / "rock.raw") == DESCRIPTION
    assert read_sidecar(tmp_path / "rock.raw.gz") == DESCRIPTION
    assert len(list(tmp_path.iterdir())) == 1


def test_the_document_is_plain(tmp_path):
    document = json.loads(write_sidecar(tmp_path / "rock.raw", DESCRIPTION).read_text(encoding="utf-8"))
    assert document == {
        "format": "lithax-raw",
        "version": 1,
        "shape": [4, 5, 6],
        "dtype": "uint16",
        "byteorder": "big",
        "order": "C",
        "offset": 512,
        "voxel_length": [2.5, 0.1, 1e-7],
        "voxel_origin": [0.0, -1.0, 3.0],
        "voxel_unit": "\N{MICRO SIGN}m",
        "field_name": "attenuation",
        "field_unit": "1/m",
        "description": "two\nlines",
    }


def test_no_document(tmp_path):
    assert read_sidecar(tmp_path / "rock.raw") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "does not describe a raw file"),
        ('{"format": "other"}', "does not describe a raw file"),
        ('{"format": "lithax-raw", "version": 2}', "has version 2, but this lithax reads version 1"),
        ('{"format": "lithax-raw", "version": 1, "shape": [1, 2, 3]}', "in part only"),
    ],
)
def test_documents_that_are_none(tmp_path, text, message):
    (tmp_path / "rock.raw.json").write_text(text)
    with pytest.raises(MetadataError, match=message):
        read_sidecar(tmp_path / "rock.raw")


def options_as_imagej_reads_them(macro, path):
    """The rules of ij.Macro.getValue and of GenericDialog's check boxes, on the options of the macro's Raw... call."""
    quoted = re.search(r'run\("Raw\.\.\.", "(.*)" \+ path \+ "\]"\);', macro).group(1)
    options = quoted + str(path) + "] "

    def value(key):
        start = -1
        while True:
            start = options.index(f"{key}=", start + 1)
            if start == 0 or not options[start - 1].isalpha():
                break
        rest = options[start + len(key) + 1 :]
        if rest[0] != "[":
            return rest[: rest.index(" ")]
        depth = 0
        for place, letter in enumerate(rest):
            depth += {"[": 1, "]": -1}.get(letter, 0)
            if depth == 0:
                return rest[1:place]
        return None

    keys = ("image", "width", "height", "offset", "number", "gap", "open")
    return {key: value(key) for key in keys} | {"little-endian": "little-endian " in options}


@pytest.mark.parametrize("name", ["rock.raw", "my rock [1] width=3 image=2.raw"])
def test_fiji_reads_the_options(tmp_path, name):
    description = RawDescription((4, 5, 6), np.dtype("<u2"), offset=16)
    assert options_as_imagej_reads_them(fiji_macro(tmp_path / name, description), tmp_path / name) == {
        "image": "16-bit Unsigned",
        "width": "4",
        "height": "5",
        "number": "6",
        "offset": "16",
        "gap": "0",
        "open": str(tmp_path / name),
        "little-endian": True,
    }


def test_fiji_macro_for_c_order(tmp_path):
    macro = fiji_macro(tmp_path / "rock.raw", DESCRIPTION)
    options = options_as_imagej_reads_them(macro, tmp_path / "rock.raw")
    assert (options["width"], options["height"], options["number"]) == ("6", "5", "4")
    assert not options["little-endian"]
    assert 'setVoxelSize(0.0000001, 0.1, 2.5, "\N{MICRO SIGN}m");' in macro  # without exponents
    assert 'run("Properties...", "origin=-30000000.0,10.0,0.0");' in macro
    assert "x is our z" in macro


def test_fiji_macro_text(tmp_path):
    macro = fiji_macro(tmp_path / 'a"b.raw', RawDescription((4, 5, 6), np.dtype("u1")))
    assert 'a\\"b.raw";' in macro
    assert "pixel" in macro
    assert macro.endswith(";\n")


@pytest.mark.parametrize("kind", ["i1", "u8", "i8", "f2", "c8"])
def test_fiji_does_not_know_every_type(kind):
    with pytest.raises(ValueError, match=r"Fiji does not import .* voxels; pass one of dtype=bool, uint8"):
        fiji_type(np.dtype(kind))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("b1", "8-bit"), ("u1", "8-bit"), (">i2", "16-bit Signed"), ("<u4", "32-bit Unsigned"), ("f8", "64-bit Real")],
)
def test_fiji_types(kind, name):
    assert fiji_type(np.dtype(kind)) == name


def test_fiji_cannot_have_every_file_name(tmp_path):
    with pytest.raises(ValueError, match="square brackets"):
        fiji_macro(tmp_path / "rock].raw", RawDescription((4, 5, 6), np.dtype("u1")))

"""NRRD: a header of lines, and raw or compressed voxels after it or in a file of their own.

Definition of NRRD File Format, Teem, http://teem.sourceforge.net/nrrd/format.html. The first axis
runs fastest and is x.
"""

import gzip
import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lithax.errors import FileFormatError
from lithax.geometry import length_factor, unit_in_file
from lithax.storage.formats._attached import beside, check_new_files, diagonal, read_header, voxels_of
from lithax.storage.formats._damage import check_file, readable
from lithax.storage.formats._new_file import written_whole
from lithax.storage.formats._planes import Count
from lithax.storage.formats._raw_dtype import with_byteorder
from lithax.storage.formats._raw_source import RawSource

NRRD_SUFFIXES = (".nrrd", ".nhdr")

_TYPES = {
    "i1": ("int8", "signed char", "int8_t"),
    "u1": ("uint8", "unsigned char", "uchar", "uint8_t"),
    "i2": ("int16", "short", "short int", "signed short", "signed short int", "int16_t"),
    "u2": ("uint16", "ushort", "unsigned short", "unsigned short int", "uint16_t"),
    "i4": ("int32", "int", "signed int", "int32_t"),
    "u4": ("uint32", "uint", "unsigned int", "uint32_t"),
    "i8": ("int64", "longlong", "long long", "long long int", "signed long long", "signed long long int", "int64_t"),
    "u8": ("uint64", "ulonglong", "unsigned long long", "unsigned long long int", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_NUMPY = {name: code for code, names in _TYPES.items() for name in names}
_PACKINGS = {"raw": None, "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXTS = ("field_name", "field_unit", "description")


class NrrdSource(RawSource):
    """The voxels of a NRRD file, attached (``.nrrd``) or beside a header (``.nhdr``); raw, gzip or
    bzip2.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or not the one with the voxels.
    FileFormatError
        If it is damaged, or of a kind that is not read here: text or hexadecimal voxels, several
        files, other than three axes, axes that are turned.
    """

    def __init__(self, file: str | os.PathLike[str]):
        check_file(file)
        self.header = Path(file)
        with readable(file, "a NRRD file"):
            lines, length = read_header(self.header, lambda line: line == "")
            if not re.fullmatch(r"NRRD000\d", lines[0]):
                raise ValueError("it does not begin with NRRD")
            fields, self._texts = _fields(lines[1:])
            if fields.get("dimension") != "3":
                raise FileFormatError(
                    f"file={os.fspath(file)!r} has {fields.get('dimension')} dimensions; an image has three."
                )
            sizes = [int(n) for n in fields["sizes"].split()]
            dtype = np.dtype(_NUMPY[fields["type"].lower()])
            if dtype.itemsize > 1:
                dtype = with_byteorder(dtype, {"little": "<", "big": ">"}[fields["endian"].lower()])
            encoding = fields["encoding"].lower()
            if encoding not in _PACKINGS:
                raise FileFormatError(
                    f"file={os.fspath(file)!r} has the encoding {encoding!r}; read here are {', '.join(_PACKINGS)}."
                )
            name = fields.get("data file", fields.get("datafile"))
            data, start = (self.header, length) if name is None else (beside(self.header, name), 0)
            check_file(data)
            start = _skip_lines(data, start, int(fields.get("line skip", fields.get("lineskip", "0"))))
            skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
            self._geometry = _geometry(fields, self.header)
            voxels_of(self, data, sizes, dtype, start, skip, _PACKINGS[encoding])

    def described(self) -> dict[str, Any]:
        """Return what the file says of its voxels, as arguments of `create`."""
        return {**self._geometry, **{name: self._texts[name] for name in _TEXTS if self._texts.get(name)}}


def _fields(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields ("name: value"), and the key and value pairs ("key:=value")."""
    fields, pairs = {}, {}
    for line in lines:
        if line.startswith("#") or not line:
            continue
        key, found, value = line.partition(":=")
        if found:
            pairs[key] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)
            continue
        name, found, value = line.partition(":")
        if not found:
            raise ValueError(f"its header has the line {line[:80]!r}")
        fields[name.strip().lower()] = value.strip()
    return fields, pairs


def _skip_lines(data: Path, start: int, count: int) -> int:
    if count < 0:
        raise ValueError(f"line skip: {count}")
    if not count:
        return start
    with data.open("rb") as stream:
        stream.seek(start)
        for _ in range(count):
            if not stream.readline(1 << 20):
                raise ValueError(f"it has fewer than the {count} lines to skip")
        return stream.tell()


def _geometry(fields: dict[str, str], file: Path) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if "space directions" in fields:
        known["voxel_length"] = diagonal([_vector(v) for v in _vectors(fields["space directions"])], str(file))
        if "space origin" in fields:
            known["voxel_origin"] = tuple(_vector(fields["space origin"]))
    elif "spacings" in fields:
        lengths = [float(v) for v in fields["spacings"].split()]
        known["voxel_length"] = tuple(1.0 if math.isnan(h) else h for h in lengths)
        if "axis mins" in fields or "axismins" in fields:
            mins = [float(v) for v in fields.get("axis mins", fields.get("axismins", "")).split()]
            known["voxel_origin"] = tuple(0.0 if math.isnan(v) else v for v in mins)
    units = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    if units:
        factors = [1.0 if unit == units[0] else length_factor(unit, units[0]) for unit in units]
        for name in ("voxel_length", "voxel_origin"):
            if name in known:
                known[name] = tuple(v * f for v, f in zip(known[name], factors, strict=True))
        known["voxel_unit"] = unit_in_file(units[0], file)
    return known


def _vectors(text: str) -> list[str]:
    return re.findall(r"\([^)]*\)|none", text)


def _vector(text: str) -> list[float]:
    return [float(v) for v in text.strip("() ").split(",")]


def write_nrrd(
    image: Any,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Count = lambda voxels: None,
    compress: bool = False,
) -> Path:
    """Write an image with its geometry, whole or not at all; a name that ends with ".nhdr" is
    written as two files.

    Parameters
    ----------
    image, file, overwrite, progress
        As for every format.
    compress
        Whether the voxels are compressed by gzip.

    Raises
    ------
    TypeError
        If NRRD has no such data type; booleans become bytes, 0 and 1.
    """
    file = Path(file)
    data, dtype = check_new_files(
        image, file, types=_TYPES, what="NRRD file", header_suffix=".nhdr",
        data_suffix=".raw.gz" if compress else ".raw", overwrite=overwrite,
    )  # fmt: skip
    detached = data != file
    (hx, hy, hz), unit = image.voxel_length, str(image.voxel_unit).replace('"', "'")
    lines = [
        "NRRD0005",
        f"type: {_TYPES[dtype.str[1:]][0]}",
        "dimension: 3",
        "space dimension: 3",
        f"sizes: {' '.join(map(str, image.shape))}",
        f"space directions: ({hx!r},0,0) (0,{hy!r},0) (0,0,{hz!r})",
        f"space origin: ({','.join(repr(v) for v in image.voxel_origin)})",
        *([f'space units: "{unit}" "{unit}" "{unit}"'] if unit else []),
        *(["endian: little"] if dtype.itemsize > 1 else []),
        f"encoding: {'gzip' if compress else 'raw'}",
        *([f"data file: {data.name}"] if detached else []),
        *(
            f"{name}:={value}".replace("\\", "\\\\").replace("\n", "\\n")
            for name in _TEXTS
            if (value := getattr(image, name))
        ),
    ]
    header = ("\n".join(lines) + "\n\n").encode()
    with written_whole(data) as temporary, temporary.open("wb") as stream:
        if not detached:
            stream.write(header)
        write_planes(image, stream, dtype, compress, progress)
        stream.flush()
    if detached:
        with written_whole(file) as temporary:
            temporary.write_bytes(header)
    return file


def write_planes(image: Any, stream: BinaryIO, dtype: np.dtype, compress: bool, progress: Count) -> None:
    """Write the planes of an image, x fastest, little-endian, maybe compressed by gzip."""
    from lithax.storage.formats._planes import planes_of

    packed = gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="", compresslevel=4) if compress else None
    for plane in planes_of(image, progress, dtype=dtype.newbyteorder("<")):
        (packed or stream).write(plane.data)
    if packed is not None:
        packed.close()

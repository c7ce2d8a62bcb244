"""MetaImage of ITK: a header of lines, and raw or compressed voxels after it (``.mha``) or beside
it (``.mhd``).

MetaIO documentation, https://itk.org/Wiki/ITK/MetaIO/Documentation. The first axis runs fastest and
is x.
"""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lithax.errors import FileFormatError
from lithax.geometry import unit_in_file
from lithax.storage.formats._attached import beside, by_name, check_new_files, diagonal, read_header, voxels_of
from lithax.storage.formats._damage import check_file, readable
from lithax.storage.formats._lost import warn_of_lost
from lithax.storage.formats._new_file import written_whole
from lithax.storage.formats._planes import Count, planes_of
from lithax.storage.formats._raw_source import RawSource

METAIMAGE_SUFFIXES = (".mha", ".mhd")

_TYPES = {
    "i1": "MET_CHAR",
    "u1": "MET_UCHAR",
    "i2": "MET_SHORT",
    "u2": "MET_USHORT",
    "i4": "MET_INT",
    "u4": "MET_UINT",
    "i8": "MET_LONG_LONG",
    "u8": "MET_ULONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}
SIZE = "CompressedDataSize = {:020d}"

# MET_LONG has 32 bits by definition, whatever the machine.
_NUMPY = {name: code for code, name in _TYPES.items()} | {"MET_LONG": "i4", "MET_ULONG": "u4"}


class MetaImageSource(RawSource):
    """The voxels of a MetaImage, attached or beside the header, raw or compressed by zlib.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or not the one with the voxels.
    FileFormatError
        If it is damaged, or of a kind that is not read here: text, several files or channels, other
        than three axes, axes that are turned.
    """

    def __init__(self, file: str | os.PathLike[str]):
        check_file(file)
        self.header = Path(file)
        with readable(file, "a MetaImage"):
            lines, length = read_header(self.header, lambda line: line.partition("=")[0].strip() == "ElementDataFile")
            fields = by_name(lines)
            name = fields["ElementDataFile"]
            if int(fields["NDims"]) != 3 or int(fields.get("ElementNumberOfChannels", "1")) != 1:
                raise FileFormatError(
                    f"file={os.fspath(file)!r} has {fields['NDims']} dimensions and "
                    f"{fields.get('ElementNumberOfChannels', '1')} channels; an image has three and one."
                )
            if fields.get("ObjectType", "Image") != "Image" or not _true(fields.get("BinaryData", "True")):
                raise FileFormatError(f"file={os.fspath(file)!r} holds no binary image; convert it with ITK first.")
            big = _true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
            dtype = np.dtype(_NUMPY[fields["ElementType"]]).newbyteorder(">" if big else "<")
            data, start = (self.header, length) if name.upper() == "LOCAL" else (beside(self.header, name), 0)
            check_file(data)
            skip = int(fields.get("HeaderSize", "0"))
            packing = "zlib" if _true(fields.get("CompressedData", "False")) else None
            self._geometry = _geometry(fields, self.header)
            voxels_of(self, data, [int(n) for n in fields["DimSize"].split()], dtype, start, skip, packing)

    def described(self) -> dict[str, Any]:
        """Return what the file says of its voxels, as arguments of `create`."""
        return self._geometry


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes", "t", "y")


def _numbers(text: str) -> tuple[float, ...]:
    values = tuple(float(v) for v in text.split())
    if len(values) != 3:
        raise ValueError(f"three numbers are expected, and there are {text[:80]!r}")
    return values


def _geometry(fields: dict[str, str], file: Path) -> dict[str, Any]:
    known: dict[str, Any] = {}
    matrix = next((fields[n] for n in ("TransformMatrix", "Rotation", "Orientation") if n in fields), None)
    if matrix is not None:
        values = [float(v) for v in matrix.split()]
        diagonal([values[3 * n : 3 * n + 3] for n in range(len(values) // 3)], str(file))
    for names, ours in (
        (("ElementSpacing", "ElementSize"), "voxel_length"),
        (("Offset", "Position", "Origin"), "voxel_origin"),
    ):
        found = next((fields[n] for n in names if n in fields), None)
        if found is not None:
            known[ours] = _numbers(found)
    unit = fields.get("DistanceUnits", "")
    if unit and unit != "?":
        known["voxel_unit"] = unit_in_file(unit, file)
    if fields.get("Comment"):
        known["description"] = fields["Comment"]
    return known


def write_metaimage(
    image: Any,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Count = lambda voxels: None,
    compress: bool = False,
) -> Path:
    """Write an image with its geometry, whole or not at all; a name that ends with ".mhd" is
    written as two files. One warning names what MetaImage has no place for.

    Parameters
    ----------
    image, file, overwrite, progress
        As for every format.
    compress
        Whether the voxels are compressed by zlib.

    Raises
    ------
    TypeError
        If MetaImage has no such data type; booleans become bytes, 0 and 1.
    """
    file = Path(file)
    data, dtype = check_new_files(
        image, file, types=_TYPES, what="MetaImage", header_suffix=".mhd",
        data_suffix=".zraw" if compress else ".raw", overwrite=overwrite,
    )  # fmt: skip
    detached = data != file
    unit, comment = str(image.voxel_unit), " ".join(image.description.split())
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"CompressedData = {compress}",
        *([SIZE.format(0)] if compress else []),
        *([f"Comment = {comment}"] if comment else []),
        "TransformMatrix = 1 0 0 0 1 0 0 0 1",
        f"Offset = {' '.join(repr(v) for v in image.voxel_origin)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {' '.join(repr(v) for v in image.voxel_length)}",
        *([f"DistanceUnits = {unit}"] if unit else []),
        f"DimSize = {' '.join(map(str, image.shape))}",
        f"ElementType = {_TYPES[dtype.str[1:]]}",
        f"ElementDataFile = {data.name if detached else 'LOCAL'}",
    ]
    header = ("\n".join(lines) + "\n").encode()
    with written_whole(data) as temporary, temporary.open("wb") as stream:
        begin = stream.write(b"" if detached else header)
        packed = zlib.compressobj(4) if compress else None
        for plane in planes_of(image, progress, dtype=dtype.newbyteorder("<")):
            stream.write(plane.data if packed is None else packed.compress(plane.data))
        if packed is not None:
            stream.write(packed.flush())
            # ITK asks for the size, which is known only now; the line keeps its length.
            header = header.replace(SIZE.format(0).encode(), SIZE.format(stream.tell() - begin).encode())
            stream.seek(0)
            stream.write(b"" if detached else header)
    if detached:
        with written_whole(file) as temporary:
            temporary.write_bytes(header)
    warn_of_lost(image, file, "MetaImage", ("voxel_length", "voxel_unit", "voxel_origin", "description"))
    return file

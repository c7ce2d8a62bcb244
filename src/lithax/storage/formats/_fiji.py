"""Macros by which Fiji (ImageJ) opens a raw file.

The options are those of the dialogue File > Import > Raw... (ij.io.ImportDialog) and of Image >
Properties... (ij.plugin.filter.ImageProperties): an option is known by the first word of its label,
in small letters.
"""

import os
from decimal import Decimal
from pathlib import Path

import numpy as np

from lithax.storage.formats._raw_sidecar import RawDescription

_IMAGE_TYPES = {
    "bool": "8-bit",
    "uint8": "8-bit",
    "uint16": "16-bit Unsigned",
    "int16": "16-bit Signed",
    "uint32": "32-bit Unsigned",
    "int32": "32-bit Signed",
    "float32": "32-bit Real",
    "float64": "64-bit Real",
}


def fiji_type(dtype: np.dtype) -> str:
    """Return what Fiji calls a type of voxels.

    Raises
    ------
    ValueError
        If Fiji cannot import it.
    """
    name = dtype.newbyteorder("=").name
    if name not in _IMAGE_TYPES:
        raise ValueError(
            f"fiji_macro=True: Fiji does not import {name} voxels; pass one of dtype={', '.join(_IMAGE_TYPES)}, "
            "or fiji_macro=False."
        )
    return _IMAGE_TYPES[name]


def fiji_macro(file: str | os.PathLike[str], description: RawDescription) -> str:
    """Return a macro that opens a raw file as a stack with its voxel size.

    Fiji's x runs fastest in the file. For a file in "C" order its x is therefore our z.

    Raises
    ------
    ValueError
        If Fiji cannot import the type, or could not read the name of the file in a macro.
    """
    path = Path(file).absolute()
    if not _balanced(path.as_posix()) or not _balanced(path.name) or "\n" in str(path):
        raise ValueError(
            f"fiji_macro=True: a macro cannot pass on file={str(path)!r} to Fiji, because of its square brackets or line "
            "breaks; use another name, or fiji_macro=False."
        )
    axes = (0, 1, 2) if description.order == "F" else (2, 1, 0)
    width, height, number = (description.shape[axis] for axis in axes)
    options = f"image=[{fiji_type(description.dtype)}] width={width} height={height} number={number}"
    options += f" offset={description.offset} gap=0"
    if description.dtype.str[0] == "<":
        options += " little-endian"
    length = ", ".join(_decimal(description.voxel_length[axis]) for axis in axes)
    # Fiji's coordinate is (index - origin) * length.
    origin = ",".join(_decimal(-description.voxel_origin[axis] / description.voxel_length[axis]) for axis in axes)
    note = "" if description.order == "F" else " The file is in C order: Fiji's x is our z."
    lines = [
        f"// Opens {path.name} in Fiji.{note}",
        f"path = {_text(path.as_posix())};",
        "if (!File.exists(path))  // moved, together with this macro",
        f'  path = File.getParent(getInfo("macro.filepath")) + File.separator + {_text(path.name)};',
        # The path comes last: a word of it that looks like an option is then found after the true
        # one.
        f'run("Raw...", "{options} open=[" + path + "]");',
        f'run("Properties...", "origin={origin}");',  # before the size, which it would set to 1 where there is no unit
        f"setVoxelSize({length}, {_text(str(description.voxel_unit) or 'pixel')});",
    ]
    return "\n".join(lines) + "\n"


def _balanced(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth < 0:
            return False
    return depth == 0


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _decimal(value: float) -> str:
    # Without exponent, which not every number of a macro may have; `+ 0.0` turns -0.0 into 0.0.
    return format(Decimal(repr(value + 0.0)), "f")

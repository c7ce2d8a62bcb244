"""Writing stacks of pages in a TIFF file, with the size of the voxels in the form that other
programs read.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lithax.geometry import length_factor
from lithax.storage.formats._lost import without_place
from lithax.storage.formats._new_file import check_new_file, written_whole
from lithax.storage.formats._planes import Count, planes_of
from lithax.storage.formats._tiff import tifffile_module
from lithax.storage.formats._tiff_metadata import NOTE

IMAGEJ_TYPES = ("uint8", "uint16", "float32")
OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")

_NOTED = ("voxel_length", "voxel_unit", "voxel_origin", "field_name", "field_unit", "description")

LARGEST_IMAGEJ = 2**31
"""Files of ImageJ's form up to this size are read by every program; larger ones are written as
OME-TIFF [byte].
"""

_OME_UNITS = {"um": "µm", "\N{GREEK SMALL LETTER MU}m": "µm", "µm": "µm", "angstrom": "Å", "inch": "in", "": "pixel"}
_OME_UNITS |= {name: name for name in ("nm", "mm", "cm", "dm", "m", "km", "in", "ft")}
_OME_UNITS |= {"Å": "Å", "\N{ANGSTROM SIGN}": "Å", "micron": "µm", "micrometer": "µm", "micrometre": "µm"}


def write_tiff(
    image: Any, file: str | os.PathLike[str], *, overwrite: bool = False, progress: Count = lambda voxels: None
) -> Path:
    """Write an image as a stack of pages along z, whole or not at all, and with the size of its
    voxels.

    8- and 16-bit unsigned integers and float32 up to 2 GiB are written in ImageJ's form; larger
    files, and the other types of OME, as OME-TIFF in BigTIFF; 64-bit integers and float16 as
    BigTIFF with tifffile's description. Booleans become bytes, 0 and 1. What none of these has a
    place for, such as the origin, stands in a note that lithax reads; one warning names it.

    Raises
    ------
    TypeError
        If TIFF has no such data type.
    FileExistsError
        If there is such a file and `overwrite` is False.
    IsADirectoryError, FileNotFoundError
        If it is a directory, or its directory does not exist.
    """
    tifffile = tifffile_module()
    file, dtype = Path(file), image.dtype
    check_new_file(file, overwrite)
    if dtype.kind == "c" or dtype.itemsize > 8 or dtype.kind not in "buif":
        raise TypeError(f"voxels of {dtype} cannot be written to a TIFF file; export their real and imaginary parts.")
    stored = np.dtype("uint8") if dtype.kind == "b" else dtype.newbyteorder("=")
    nx, ny, nz = image.shape
    options, held = _form(image, stored, nx * ny * nz * stored.itemsize)
    lost = without_place(image, held)
    with written_whole(file) as temporary:
        planes = planes_of(image, progress, dtype=stored)
        tifffile.imwrite(temporary, planes, shape=(nz, ny, nx), dtype=stored, photometric="minisblack", **options)
    if lost:
        warnings.warn(
            f"{file.name}: TIFF has no place that other programs read for {', '.join(lost)}; lithax keeps it in a note of its own.",
            UserWarning,
            stacklevel=2,
        )
    return file


def _form(image: Any, stored: np.dtype, nbytes: int) -> tuple[dict[str, Any], set[str]]:
    """Return the options of tifffile, and the names of what other programs read in the file."""
    (hx, hy, hz), unit = image.voxel_length, str(image.voxel_unit)
    note = json.dumps({name: getattr(image, name) for name in _NOTED} | {"voxel_unit": unit})
    resolution = (1 / hx, 1 / hy)
    if not all(1e-9 < r < 1e9 for r in resolution):  # the range of a TIFF rational
        resolution = (1.0, 1.0)
    if stored.name in IMAGEJ_TYPES and nbytes <= LARGEST_IMAGEJ and resolution == (1 / hx, 1 / hy):
        # ImageJ's own way to write other letters than those of ASCII.
        name = {"um": "micron", "µm": "micron", "\N{GREEK SMALL LETTER MU}m": "micron"}.get(unit, unit)
        name = "".join(c if " " <= c <= "~" else f"\\u{ord(c):04x}" for c in name.replace("\N{ANGSTROM SIGN}", "Å"))
        metadata = {"axes": "ZYX", "spacing": hz, "unit": name or "pixel", NOTE: note}
        return {"imagej": True, "resolution": resolution, "metadata": metadata}, {"voxel_length", "voxel_unit"}
    if stored.name in OME_TYPES:
        return _ome_form(image, note)
    metadata = {"axes": "ZYX", "spacing": hz, "unit": unit, NOTE: note}
    return {"bigtiff": True, "metadata": metadata}, set()


def _ome_form(image: Any, note: str) -> tuple[dict[str, Any], set[str]]:
    unit, held = str(image.voxel_unit), {"voxel_length", "field_name"}
    ome, factor = _OME_UNITS.get(unit), 1.0
    if ome is None:
        try:
            ome, factor = "µm", length_factor(image.voxel_unit, "um")
        except ValueError:  # a unit that nobody can convert
            ome = "reference frame"
    if ome != "reference frame":
        held.add("voxel_unit")
    metadata: dict[str, Any] = {"axes": "ZYX", "Description": note}
    if image.field_name:
        metadata["Name"] = image.field_name
    for axis, length in zip("XYZ", image.voxel_length, strict=True):
        metadata |= {f"PhysicalSize{axis}": length * factor, f"PhysicalSize{axis}Unit": ome}
    return {"bigtiff": True, "ome": True, "metadata": metadata}, held

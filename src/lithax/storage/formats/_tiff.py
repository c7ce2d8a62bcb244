"""Stacks of pages in a TIFF file: z, y, x, also compressed, by tifffile."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from lithax.grid import Box, Index
from lithax.storage.formats._new_file import check_new_file, written_whole
from lithax.storage.formats._transpose import copy_reversed

TIFF_SUFFIXES = (".tif", ".tiff")

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as missing:
        raise ModuleNotFoundError("TIFF files need the package tifffile; pip install 'lithax[io]'.") from missing
    return tifffile


class TiffSource:
    """The voxels of a TIFF stack, read box by box; only the pages that a box cuts are decoded.

    Parameters
    ----------
    file
        Path of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TIFF file, or holds no single stack of grey values.
    """

    order = "F"

    def __init__(self, file: str | os.PathLike[str]):
        tifffile = _tifffile()
        try:
            self._tiff = tifffile.TiffFile(file)
        except tifffile.TiffFileError as error:
            raise ValueError(f"file={os.fspath(file)!r} is not a TIFF file that can be read: {error}.") from error
        try:
            series = self._tiff.series[0]
            shape = tuple(n for n, axis in zip(series.shape, series.axes, strict=True) if n != 1 or axis in "YX")
            shape = (1, *shape) if len(shape) == 2 else shape
            if len(self._tiff.series) > 1 or len(shape) != 3 or series.axes[-2:] != "YX":
                held = ", ".join(f"{s.axes} {s.shape}" for s in self._tiff.series[:4])
                raise ValueError(
                    f"file={os.fspath(file)!r} holds {len(self._tiff.series)} series ({held}); an image is one stack of "
                    "pages of grey values. Take it out with tifffile and from_array()."
                )
            self.stored_dtype = np.dtype(series.dtype).newbyteorder("=")
            self._shape: Index = (int(shape[2]), int(shape[1]), int(shape[0]))
            self._pages = series.pages
            self._one_page = len(series.pages) == 1 and shape[0] > 1  # ImageJ's form of large stacks
            self._data: Any = series.asarray(out="memmap").reshape(shape) if self._one_page else None
        except BaseException:
            self.close()
            raise
        self._lock = threading.Lock()

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel."""
        return self.stored_dtype

    def described(self) -> dict[str, Any]:
        """Return what the file says of the size of its voxels, as arguments of `create`."""
        return _described(self._tiff)

    def read_stored(self, box: Box) -> np.ndarray:
        """Return the voxels of a box with the axes z, y, x."""
        x, y, z = box
        if self._data is not None:
            return np.array(self._data[z, y, x])
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.stored_dtype)
        with self._lock:  # one file, one place in it
            for n in range(z.start, z.stop):
                out[n - z.start] = self._pages[n].asarray()[..., y, x].reshape(out.shape[1:])
        return out

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return voxels with the axes x, y, z."""
        values = np.empty(stored.shape[::-1], self.stored_dtype)
        copy_reversed(stored, values)
        return values

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _described(tiff: Any) -> dict[str, Any]:
    """Read voxel size and unit from the tags, and from what ImageJ writes beside them."""
    imagej = tiff.imagej_metadata or {}
    tags = tiff.pages[0].tags
    unit = {2: "inch", 3: "cm"}.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1, "")
    unit = {"micron": "um", "\\u00B5m": "um", "pixel": "", "pixels": ""}.get(
        imagej.get("unit", unit), imagej.get("unit", unit)
    )
    if not imagej or not unit:
        # Resolutions of plain TIFF files are those of printers more often than of scanners.
        return {}
    lengths = []
    for name in ("XResolution", "YResolution"):
        above, below = tags[name].value if name in tags else (1, 1)
        lengths.append(below / above if above and below else 1.0)
    return {"voxel_length": (*lengths, float(imagej.get("spacing", lengths[0]))), "voxel_unit": unit}


def write_tiff(
    file: str | os.PathLike[str],
    shape: Index,
    dtype: np.dtype,
    planes: Iterable[np.ndarray],
    *,
    voxel_length: tuple[float, float, float],
    voxel_unit: str,
    overwrite: bool = False,
) -> Path:
    """Write a stack of pages, whole or not at all; in ImageJ's form where that has the data type.

    Parameters
    ----------
    file
        Path of the file to make.
    shape
        Number of voxels along x, y and z.
    dtype
        Type of the voxels; booleans are written as bytes, 0 and 1.
    planes
        The pages (y, x) in order.
    voxel_length, voxel_unit
        Written as resolution, spacing and unit.
    overwrite
        Replace a file that exists.

    Raises
    ------
    TypeError
        If TIFF has no such data type.
    FileExistsError
        If there is such a file and `overwrite` is False.
    IsADirectoryError, FileNotFoundError
        If it is a directory, or its directory does not exist.
    """
    tifffile = _tifffile()
    file = Path(file)
    check_new_file(file, overwrite)
    if dtype.kind == "c" or dtype.itemsize > 8 or dtype.kind not in "buif":
        raise TypeError(f"voxels of {dtype} cannot be written to a TIFF file; export their real and imaginary parts.")
    stored = np.dtype("uint8") if dtype.kind == "b" else dtype.newbyteorder("=")
    nx, ny, nz = shape
    large = nx * ny * nz * stored.itemsize > 2**31
    options: dict[str, Any] = {"bigtiff": True}
    if stored.name in _IMAGEJ_TYPES and not large:
        hx, hy, hz = voxel_length
        unit = {"um": "micron", "\N{MICRO SIGN}m": "micron"}.get(voxel_unit, voxel_unit)
        axes = {"axes": "ZYX", "spacing": hz, "unit": unit}
        options = {"imagej": True, "resolution": (1 / hx, 1 / hy), "metadata": axes}
    with written_whole(file) as temporary:
        tifffile.imwrite(temporary, iter(planes), shape=(nz, ny, nx), dtype=stored, photometric="minisblack", **options)
    return file

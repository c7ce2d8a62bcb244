"""Reading stacks of pages in a TIFF file: z, y, x, also compressed, by tifffile."""

import contextlib
import logging
import os
import struct
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from lithax.errors import FileFormatError
from lithax.grid import Box, Index
from lithax.storage.formats._damage import check_beginning, check_file, readable
from lithax.storage.formats._raw_source import RawSource
from lithax.storage.formats._tiff_metadata import described
from lithax.storage.formats._transpose import copy_reversed

TIFF_SUFFIXES = (".tif", ".tiff")

PAGES = 64 * 2**20
"""Decoded pages that are kept, because the next box is likely to cut the same ones [byte]."""

_SLICES = "ZIQ"
"""Names that tifffile gives an axis of pages: depth, a sequence of images, or unknown. Channels and
times are others.
"""


def tifffile_module() -> Any:
    """Return the package tifffile, or say how it is installed."""
    try:
        import tifffile
    except ImportError as missing:
        raise ModuleNotFoundError("TIFF files need the package tifffile; pip install 'lithax[io]'.") from missing
    return tifffile


def _page(series: Any) -> tuple[int, int]:
    """Return the height and width of its pages."""
    edges = dict(zip(series.axes, series.shape, strict=True))
    return edges.get("Y", 1), edges.get("X", 1)


@contextlib.contextmanager
def _held_back(logger: logging.Logger) -> Iterator[None]:
    """Keep what this thread logs until a file is open; if it cannot be opened, the error says
    enough.
    """
    kept: list[logging.LogRecord] = []
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread == thread:
            kept.append(record)
        return record.thread != thread

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
    for record in kept:
        logger.handle(record)


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
    FileFormatError
        If it is no TIFF file, or holds no single stack of grey values.
    """

    order = "F"
    layered_axis = 2

    def __init__(self, file: str | os.PathLike[str]):
        tifffile = tifffile_module()
        check_file(file)
        self.file = Path(file)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._raw: RawSource | None = None
        with readable(file, "a TIFF file"), _held_back(tifffile.logger()):
            check_beginning(file, (b"II", b"MM"))
            self._tiff = tifffile.TiffFile(file)
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def _open(self) -> None:
        self._check_chain()
        series, several = self._stack()
        axes = "".join(axis for n, axis in zip(series.shape, series.axes, strict=True) if n != 1 or axis in "YX")
        shape = tuple(n for n, axis in zip(series.shape, series.axes, strict=True) if n != 1 or axis in "YX")
        if several or axes not in ("YX", *(f"{axis}YX" for axis in _SLICES)):
            held = ", ".join(f"{s.axes} {s.shape}" for s in self._tiff.series[:4])
            names = {"S": "colours", "C": "channels", "T": "times"}
            what = ", ".join(names[axis] for axis in axes if axis in names)
            raise FileFormatError(
                f"file={str(self.file)!r} holds {len(self._tiff.series)} series ({held}){f' with {what}' if what else ''}; "
                "an image is one stack of pages of grey values along z. To take one of them out: "
                f"{_recipe(self.file.name, series.axes, several)}."
            )
        depth, height, width = shape if len(shape) == 3 else (1, *shape)
        self._shape: Index = (int(width), int(height), int(depth))
        self.stored_dtype = np.dtype(np.dtype(series.dtype).newbyteorder("=").str)
        if self.stored_dtype.kind not in "buif" or min(self._shape) < 1:
            raise FileFormatError(
                f"file={str(self.file)!r} holds voxels of {self.stored_dtype} in the shape {self._shape}; an image holds "
                "booleans, integers or real numbers."
            )
        self._pages = series.pages
        offset = series.dataoffset
        if offset is not None and self.stored_dtype.kind != "b":
            stored = self.stored_dtype.newbyteorder(self._tiff.byteorder)
            self._raw = RawSource(self.file, self._shape, stored, offset=int(offset), order="F", exact=False)
        elif len(self._pages) not in (depth, 0) or any(page is None for page in self._pages):
            raise FileFormatError(
                f"file={str(self.file)!r} says that it has {depth} pages, and {len(self._pages)} are there; it was cut off, "
                "or its other files are missing."
            )
        else:
            self._check_codec(series.keyframe)

    def _stack(self) -> tuple[Any, bool]:
        """Return the largest series, and whether there are others of any importance: a single page
        of at most half its height and width is a thumbnail.
        """
        largest = max(self._tiff.series, key=lambda series: series.size)  # the first, among equals
        height, width = _page(largest)
        others = [series for series in self._tiff.series if series is not largest]
        small = [len(s.pages) == 1 and 2 * _page(s)[0] <= height and 2 * _page(s)[1] <= width for s in others]
        if not all(small):
            return self._tiff.series[0], True
        for series in others:
            thumbnail = "×".join(map(str, series.shape))
            warnings.warn(
                f"file={str(self.file)!r} holds a thumbnail ({thumbnail}) beside the stack, which is left out.",
                UserWarning,
                stacklevel=6,
            )
        return largest, False

    def _check_codec(self, page: Any) -> None:
        """Say now which package is missing, and not when the first page is decoded."""
        codecs = tifffile_module().TIFF
        try:
            codecs.DECOMPRESSORS[page.compression]
            codecs.UNPREDICTORS[page.predictor]
        except KeyError as error:
            name = getattr(page.compression, "name", page.compression)
            raise ModuleNotFoundError(
                f"file={str(self.file)!r} is compressed by {name}, which needs the package imagecodecs; pip install imagecodecs."
            ) from error

    def _check_chain(self) -> None:
        """Refuse a file whose last page points to another one: tifffile takes the pages that it
        finds for all.
        """
        form, file, last = self._tiff.tiff, self._tiff.filehandle, self._tiff.pages[-1]
        file.seek(last.offset)
        (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(last.offset + form.tagnosize + tags * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
        if following:
            raise ValueError(f"after page {len(self._tiff.pages)} comes another one, which is not there")

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel."""
        return self.stored_dtype

    @property
    def compressed(self) -> bool:
        """Whether pages have to be decoded as a whole."""
        return self._raw is None

    def described(self) -> dict[str, Any]:
        """Return what the file says of the size of its voxels, as arguments of `create`."""
        with self._lock, readable(self.file, "a TIFF file"):
            return described(self._tiff, str(self.file))

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, with the axes x, y, z."""
        return self.arrange(self.read_stored(box))

    def read_stored(self, box: Box) -> np.ndarray:
        """Return the voxels of a box with the axes z, y, x."""
        if self._raw is not None:
            return self._raw.read_stored(box)
        x, y, z = box
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.stored_dtype)
        with self._lock, readable(self.file, "a TIFF file"):  # one file, one place in it
            for n in range(z.start, z.stop):
                out[n - z.start] = self._page(n)[y, x]
        return out

    def _page(self, n: int) -> np.ndarray:
        page = self._kept.get(n)
        if page is None:
            page = self._pages[n].asarray().reshape(self._shape[1], self._shape[0])
            self._kept[n] = page
            while len(self._kept) > max(1, PAGES // page.nbytes):
                self._kept.popitem(last=False)
        return page

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return voxels with the axes x, y, z."""
        values = np.empty(stored.shape[::-1], self.stored_dtype)
        copy_reversed(stored, values)
        return values

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        if self._raw is not None:
            self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _recipe(name: str, axes: str, several: bool) -> str:
    """Return Python that makes an image of the first stack of grey values in such a file."""
    along = next((k for k, axis in enumerate(axes) if axis not in "YXSCT"), None)
    kept = [k for k, axis in enumerate(axes) if axis in "YX" or k == along]
    index = ", ".join(":" if k in kept else "0" for k in range(len(axes)))
    y, x = (kept.index(axes.index(axis)) for axis in "YX")
    voxels = f"tifffile.imread({name!r}{', series=0' if several else ''})[{index}]"
    if along is None:
        return f"lx.from_array({voxels}.transpose({x}, {y})[:, :, None])"
    return f"lx.from_array({voxels}.transpose({x}, {y}, {kept.index(along)}))"

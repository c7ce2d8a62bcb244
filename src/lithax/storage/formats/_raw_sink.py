"""Writing a raw file, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from lithax.grid import Box, Index, box_shape
from lithax.storage._objects import explained
from lithax.storage.formats._new_file import check_new_file, unfinished_name
from lithax.storage.formats._positional_file import PositionalFile
from lithax.storage.formats._raw_dtype import raw_dtype, raw_order
from lithax.storage.formats._transpose import copy_reversed


class RawSink:
    """A raw file that is being written box by box, from several threads at once.

    Until `commit` the voxels are in a temporary file beside it; `abort` removes that file. As a
    context manager it commits, or aborts on an exception. Several processes may write to one file:
    one of them makes the sink, the others are told `temporary` and make theirs with `part_of`,
    which writes but neither commits nor removes.

    Parameters
    ----------
    file
        Path of the file to make.
    shape
        Number of voxels along x, y and z.
    dtype
        Type of the voxels in the file, with its byte order.
    order
        "F": x runs fastest in the file. "C": z does.
    overwrite
        Replace a file that exists, at `commit`.
    part_of
        The temporary file of the sink that another process made.

    Raises
    ------
    FileExistsError
        If there is such a file and `overwrite` is False.
    IsADirectoryError, FileNotFoundError
        If it is a directory, or its directory does not exist.
    ValueError
        If its name ends with ".gz": it would be taken for a compressed file.
    OSError
        If the disk has no room for it.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        shape: Index,
        dtype: Any,
        *,
        order: str = "F",
        overwrite: bool = False,
        part_of: Path | None = None,
    ):
        self.file = Path(file)
        self.stored_dtype = raw_dtype(dtype)
        self.order = raw_order(order)
        self._shape = shape
        self._own = part_of is None
        if part_of is not None:
            self.temporary = part_of
            self._content = PositionalFile(part_of.open("r+b", buffering=0))
            return
        check_new_file(self.file, overwrite)
        if self.file.suffix.lower() == ".gz":
            raise ValueError(f"file={str(self.file)!r} must not end with .gz: raw files are written uncompressed.")
        self.temporary = unfinished_name(self.file)
        with explained(self.file):
            self._content = PositionalFile(self.temporary.open("xb", buffering=0))
        try:
            with explained(self.file):
                self._content.reserve(int(np.prod(shape, dtype=np.int64)) * self.stored_dtype.itemsize)
        except BaseException:
            self.abort()
            raise

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel, in the byte order of this machine."""
        return self.stored_dtype.newbyteorder("=")

    def write(self, box: Box, values: np.ndarray) -> None:
        """Write the voxels of a box, an array of its shape, x, y, z."""
        stored = self.empty(box)
        self.arrange(values, stored)
        self.write_stored(box, stored)

    def empty(self, box: Box) -> np.ndarray:
        """Return room for the voxels of a box as they lie in the file: type, and axes from slowest
        to fastest.
        """
        shape = box_shape(box)
        return np.empty(shape[::-1] if self.order == "F" else shape, dtype=self.stored_dtype)

    def arrange(self, values: np.ndarray, stored: np.ndarray) -> None:
        """Copy voxels x, y, z into their room, or a part of it."""
        if values.shape != (stored.shape[::-1] if self.order == "F" else stored.shape):
            raise ValueError(f"values have shape {values.shape}; their room in the file has {stored.shape}.")
        if self.order == "F":
            copy_reversed(values, stored)
        else:
            np.copyto(stored, values)

    def write_stored(self, box: Box, stored: np.ndarray) -> None:
        """Write the voxels of a box, arranged as they lie in the file."""
        with explained(self.file):
            self._write_stored(box, stored)

    def _write_stored(self, box: Box, stored: np.ndarray) -> None:
        sizes, spans = self._shape, box
        if self.order == "F":
            sizes, spans = sizes[::-1], box[::-1]
        slow, middle, fast = spans
        row, plane = sizes[2], sizes[1] * sizes[2]
        size = self.stored_dtype.itemsize
        height, width = middle.stop - middle.start, fast.stop - fast.start
        if (height, width) == sizes[1:]:
            self._content.write(stored, slow.start * plane * size)
            return
        for n, a in enumerate(range(slow.start, slow.stop)):
            if width == row:
                self._content.write(stored[n], (a * plane + middle.start * row) * size)
                continue
            for m, b in enumerate(range(middle.start, middle.stop)):
                self._content.write(stored[n, m], (a * plane + b * row + fast.start) * size)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        with explained(self.file):
            self._content.sync()

    def commit(self) -> None:
        """Give the file its name."""
        self.sync()
        self._content.close()
        self.temporary.replace(self.file)

    def abort(self) -> None:
        """Remove what was written."""
        self._content.close()
        if self._own:
            self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> "RawSink":
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

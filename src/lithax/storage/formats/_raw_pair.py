"""Complex voxels in two raw files, one with their real and one with their imaginary parts."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lithax.grid import Box, ChunkGrid, Index, box_shape
from lithax.storage.formats._raw_dtype import raw_dtype
from lithax.storage.formats._raw_source import RawSource
from lithax.storage.formats._transpose import copy_reversed


class RawPair:
    """Two raw files of the same layout, read as one source of complex voxels, as `RawSource` is.

    Parameters
    ----------
    files
        The files of the real and of the imaginary parts.
    shape, offset, order, known
        As in `RawSource`.
    dtype
        The complex type, with the byte order of both files.
    """

    def __init__(
        self,
        files: tuple[str | os.PathLike[str], str | os.PathLike[str]],
        shape: Any,
        dtype: Any,
        *,
        offset: int = 0,
        order: str = "F",
        known: Mapping[str, Any] | None = None,
    ):
        self._known = dict(known or {})
        self.stored_dtype = raw_dtype(dtype)
        if self.stored_dtype.kind != "c":
            raise TypeError(f"dtype={dtype!r} of two files, real and imaginary part, must be complex, such as 'c8'.")
        part = np.dtype(f"{self.stored_dtype.str[0]}f{self.stored_dtype.itemsize // 2}")
        with contextlib.ExitStack() as opened:
            self._real, self._imaginary = (
                opened.enter_context(RawSource(file, shape, part, offset=offset, order=order)) for file in files
            )
            self._close = opened.pop_all()
        self.order = self._real.order

    def described(self) -> dict[str, Any]:
        """Return what is known of the voxels, as arguments of `create`."""
        return self._known

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._real.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel, in the byte order of this machine."""
        return self.stored_dtype.newbyteorder("=")

    @property
    def chunks(self) -> Index:
        """One plane of the files."""
        return self._real.chunks

    @property
    def layered_axis(self) -> int | None:
        """None: a chunk is a single layer."""
        return None

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, in C order."""
        return self.arrange(self.read_stored(box))

    def read_chunk(self, index: Index) -> np.ndarray:
        """Return one plane of the files."""
        return self.read(ChunkGrid(self.shape, self.chunks).box(index))

    def read_stored(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, axes as they lie in the files."""
        shape = box_shape(box)
        values = np.empty(shape[::-1] if self.order == "F" else shape, self.dtype)
        values.real, values.imag = self._real.read_stored(box), self._imaginary.read_stored(box)
        return values

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return stored voxels, or a part of them, as x, y, z in C order."""
        if self.order == "C":
            return np.ascontiguousarray(stored)
        out = np.empty(stored.shape[::-1], dtype=self.dtype)
        copy_reversed(stored, out)
        return out

    def close(self) -> None:
        """Close both files."""
        self._close.close()

    def __enter__(self) -> "RawPair":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

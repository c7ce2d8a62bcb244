"""Reading a raw file: bare voxels after an optional header."""

import bz2
import gzip
import io
import math
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lithax.errors import FileFormatError
from lithax.grid import Box, ChunkGrid, Index, box_shape
from lithax.storage.formats._damage import check_file
from lithax.storage.formats._positional_file import PositionalFile
from lithax.storage.formats._raw_dtype import raw_dtype, raw_order
from lithax.storage.formats._transpose import copy_reversed

# Reading a row costs about as much as copying this many bytes that are not wanted [byte].
_ROW_COST = 8192
_COPY_AT_ONCE = 1 << 22


class RawSource:
    """The voxels of a raw file, read box by box, from several threads at once.

    It satisfies the `BlockSource` protocol of `lithax.grid`. Nothing is mapped into memory, so that
    a file that shrinks while it is read is an error and not a crash. A gzip-compressed file (its
    name ends with ".gz") is decompressed into a temporary file first.

    Parameters
    ----------
    file
        Path of the file.
    shape
        Number of voxels along x, y and z.
    dtype
        Type of the voxels in the file, with its byte order: "<u2", ">f4". Booleans take a byte
        each; all values but zero are True.
    offset
        Bytes before the first voxel [byte].
    order
        "F": x runs fastest in the file. "C": z does.
    exact
        Whether bytes after the last voxel are an error.
    packing
        "gzip", "zlib" or "bzip2": how the file is compressed from `start` on; "": it is not. None:
        by gzip if its name ends with ".gz".
    start
        Where the compressed bytes begin [byte].
    known
        What is known of the voxels besides, as arguments of `create`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If `dtype` is not one that a raw file may hold.
    ValueError
        If the file is shorter or longer than `offset`, `shape` and `dtype` say.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        shape: Any,
        dtype: Any,
        *,
        offset: int = 0,
        order: str = "F",
        exact: bool = True,
        packing: str | None = None,
        start: int = 0,
        known: Mapping[str, Any] | None = None,
    ):
        self.file = Path(file)
        self._exact = exact
        self._packing = ("gzip" if self.file.suffix.lower() == ".gz" else "") if packing is None else packing
        self._start = start
        self._known = dict(known or {})
        self.stored_dtype = raw_dtype(dtype)
        self.order = raw_order(order)
        self.offset = offset
        if offset < 0:
            raise ValueError(f"offset={offset} must not be negative; it is the number of bytes before the first voxel.")
        sizes = tuple(int(n) for n in shape)
        if len(sizes) != 3 or min(sizes) < 1 or sizes != tuple(shape):
            raise ValueError(
                f"shape={shape!r} must be three positive integers, the numbers of voxels along x, y and z."
            )
        self._shape: Index = (sizes[0], sizes[1], sizes[2])
        self.nbytes = math.prod(self._shape) * self.stored_dtype.itemsize
        self._content = PositionalFile(self._open())
        try:
            self._check_size()
        except BaseException:
            self.close()
            raise

    def _open(self) -> BinaryIO:
        check_file(self.file)
        if not self._packing:
            return self.file.open("rb", buffering=0)
        expected = self.offset + self.nbytes
        stream = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the source)
        try:
            with self.file.open("rb") as file, _unpacked(file, self._packing) as packed:
                file.seek(self._start)
                # One byte more than expected is enough to know that the file is too long.
                while (missing := expected + 1 - stream.tell()) > 0:
                    data = packed.read(min(_COPY_AT_ONCE, missing))
                    if not data:
                        break
                    stream.write(data)
            stream.flush()
        except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            stream.close()
            raise FileFormatError(f"file={str(self.file)!r} is not a whole {self._packing} file: {error}.") from error
        except BaseException:
            stream.close()
            raise
        return stream

    def _check_size(self) -> None:
        found = self._content.size
        expected = self.offset + self.nbytes
        if found == expected or (found > expected and not self._exact):
            return
        is_short = found < expected
        size = f"at least {found}" if self._packing and not is_short else str(found)
        raise FileFormatError(
            f"file={str(self.file)!r} is too {'short' if is_short else 'long'}: it has {size} bytes, but "
            f"shape={self._shape}, dtype={self.stored_dtype.str!r} and offset={self.offset} need {expected}. "
            "Check these three"
            + (
                "; the file may have been cut off."
                if is_short
                else "; a header before the voxels is skipped by offset=."
            )
        )

    def described(self) -> dict[str, Any]:
        """Return what is known of the voxels, as arguments of `create`."""
        return self._known

    def close(self) -> None:
        """Close the file; the source cannot be read any more."""
        self._content.close()

    def __enter__(self) -> "RawSource":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel, in the byte order of this machine."""
        return self.stored_dtype.newbyteorder("=")

    @property
    def chunks(self) -> Index:
        """One plane of the file: what is read in one piece."""
        nx, ny, nz = self._shape
        return (nx, ny, 1) if self.order == "F" else (1, ny, nz)

    @property
    def layered_axis(self) -> int | None:
        """None: a chunk is a single layer."""
        return None

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, in C order and the byte order of this machine.

        Raises
        ------
        OSError
            If the file has become shorter.
        """
        return self.arrange(self.read_stored(box))

    def read_chunk(self, index: Index) -> np.ndarray:
        """Return one plane of the file."""
        return self.read(ChunkGrid(self._shape, self.chunks).box(index))

    def read_stored(self, box: Box) -> np.ndarray:
        """Return the voxels of a box as they lie in the file: type, byte order, and axes from
        slowest to fastest.
        """
        sizes, spans = self._shape, box
        if self.order == "F":
            sizes, spans = sizes[::-1], box[::-1]
        slow, middle, fast = (slice(s.start, s.stop) for s in spans)
        out = np.empty(box_shape((slow, middle, fast)), dtype=self.stored_dtype)
        if out.size == 0:
            return out
        row, plane = sizes[2], sizes[1] * sizes[2]
        if out.shape[2] == row:
            if out.shape[1] == sizes[1]:
                self._read_into(out, slow.start * plane)
            else:
                for n, a in enumerate(range(slow.start, slow.stop)):
                    self._read_into(out[n], a * plane + middle.start * row)
        elif (row - out.shape[2]) * out.itemsize <= _ROW_COST:
            whole = np.empty((out.shape[1], row), dtype=out.dtype)
            for n, a in enumerate(range(slow.start, slow.stop)):
                self._read_into(whole, a * plane + middle.start * row)
                out[n] = whole[:, fast]
        else:
            for n, a in enumerate(range(slow.start, slow.stop)):
                for m, b in enumerate(range(middle.start, middle.stop)):
                    self._read_into(out[n, m], a * plane + b * row + fast.start)
        return out

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return stored voxels, or a part of them, as x, y, z in C order and the byte order of this
        machine.
        """
        if self.stored_dtype.kind == "b":
            stored = stored.view(np.uint8) != 0
        if self.order == "C":
            return np.ascontiguousarray(stored, dtype=self.dtype)
        out = np.empty(stored.shape[::-1], dtype=self.dtype)
        copy_reversed(stored, out)
        return out

    def _read_into(self, target: np.ndarray, voxel: int) -> None:
        try:
            self._content.read_into(target, self.offset + voxel * self.stored_dtype.itemsize)
        except EOFError as error:
            raise OSError(f"file={str(self.file)!r} has become shorter while it was read: {error}.") from error

    def __repr__(self) -> str:
        return (
            f"RawSource({str(self.file)!r}, {self._shape}, {self.stored_dtype.str!r}, "
            f"offset={self.offset}, order={self.order!r})"
        )


class _Zlib(io.RawIOBase):
    """The bytes of a zlib stream, as a file."""

    def __init__(self, file: BinaryIO):
        self._file, self._stream = file, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(1 << 16)
            data = self._stream.decompress(packed, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not packed:
                raise EOFError("the stream ends too early")
        return 0


def _unpacked(file: BinaryIO, packing: str) -> Any:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    return bz2.BZ2File(file) if packing == "bzip2" else _Zlib(file)

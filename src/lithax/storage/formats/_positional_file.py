"""Reading and writing a file at given positions, from several threads at once."""

import os
import threading
from typing import BinaryIO

import numpy as np


def _bytes(values: np.ndarray) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


class PositionalFile:
    """An open file without a current position: every read and write says where."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Size of the file [byte]."""
        return os.fstat(self._stream.fileno()).st_size

    def read_into(self, values: np.ndarray, position: int) -> None:
        """Fill a contiguous array with the bytes from a position on; EOFError if the file ends
        before.
        """
        view = _bytes(values)
        while len(view):
            count = self._read(view, position)
            if count == 0:
                raise EOFError(f"the file ends {len(view)} bytes too early")
            view, position = view[count:], position + count

    def write(self, values: np.ndarray, position: int) -> None:
        """Write the bytes of a contiguous array from a position on."""
        view = _bytes(values)
        while len(view):
            count = self._write(view, position)
            view, position = view[count:], position + count

    def reserve(self, size: int) -> None:
        """Give the file its size, and where the system can, its room on the disk: a full disk shows
        here.
        """
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._stream.fileno(), 0, size)
        else:
            self._stream.truncate(size)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    if hasattr(os, "preadv"):

        def _read(self, view: memoryview, position: int) -> int:
            return os.preadv(self._stream.fileno(), [view], position)

        def _write(self, view: memoryview, position: int) -> int:
            return os.pwritev(self._stream.fileno(), [view], position)

    else:  # not on every system

        def _read(self, view: memoryview, position: int) -> int:
            with self._lock:
                self._stream.seek(position)
                return self._stream.readinto(view)  # type: ignore[attr-defined]

        def _write(self, view: memoryview, position: int) -> int:
            with self._lock:
                self._stream.seek(position)
                return self._stream.write(view)

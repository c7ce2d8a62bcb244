"""Arrays on disk while a solve goes on that does not fit into memory.

Each is a file without a name (`tempfile.TemporaryFile`): the system removes it when the solve ends,
however it ends; what a checkpoint keeps has a name. Planes are read and written as they lie, so the
memory that they take besides is the system's cache, which it takes back when it needs it.
"""

import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lithax.chunked import empty_block
from lithax.errors import MemoryLimitError
from lithax.grid import Index

_DISK = Path("/var/tmp")


def scratch_folder(scratch: Any) -> Path:
    """Return where scratch files go: the folder given, that which TMPDIR names, or /var/tmp, which
    is on a disk where /tmp may be memory.

    Raises
    ------
    TypeError, ValueError
        If what is given is no folder that files can be made in.
    """
    if scratch is None:
        usable = _DISK.is_dir() and os.access(_DISK, os.W_OK)
        return _DISK if usable and not os.environ.get("TMPDIR") else Path(tempfile.gettempdir())
    if not isinstance(scratch, str | Path):
        raise TypeError(f"scratch={scratch!r} must be a folder, as text or a path.")
    folder = Path(scratch)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(
            f"scratch={str(scratch)!r} must be a folder that files can be made in; make it, or name another."
        )
    return folder


def check_room(name: str, folder: Path, needed: int, argument: str = "scratch") -> None:
    """Raise MemoryLimitError, with both numbers, if a folder has too little room [byte]."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MemoryLimitError(
            f"{argument}={str(folder)!r}: {name} needs {needed / 1e9:.3g} GB there while it runs, and {free / 1e9:.3g} GB are free; "
            "make room, or name a folder on another disk."
        )


class ScratchVolume:
    """Voxels in a file, plane after plane along the first axis; zero until written.

    One thread may read while another writes.

    Parameters
    ----------
    folder, shape, dtype
        Where the file is made, and what it holds.
    name
        Of the file, which stays when it is closed; None for one that goes.
    fresh
        Whether to begin with zeros in place of what a file of that name holds.
    """

    def __init__(self, folder: Path, shape: Index, dtype: Any, name: str | None = None, fresh: bool = True):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._plane = math.prod(shape[1:]) * self.dtype.itemsize
        self._lock = threading.Lock()
        if name is None:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="lithax-", buffering=0)  # noqa: SIM115
        else:
            self._file = (folder / name).open("w+b" if fresh else "r+b", buffering=0)
        if fresh:
            self._file.truncate(shape[0] * self._plane)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def sync(self) -> None:
        """Return when what was written is on the disk."""
        os.fsync(self._file.fileno())

    def read(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return planes by their numbers, zeros where a number is negative."""
        _, y, z = self.shape
        found = empty_block((len(places), y, z), self.dtype)
        begin = 0
        while begin < len(places):
            end = begin + 1
            if places[begin] < 0:
                found[begin] = 0
            else:
                while end < len(places) and places[end] == places[end - 1] + 1:
                    end += 1
                self._read_into(found[begin:end], int(places[begin]))
            begin = end
        return found

    def _read_into(self, planes: np.ndarray, first: int) -> None:
        left, at = planes.reshape(-1).view(np.uint8), first * self._plane
        while left.size:
            with self._lock:
                self._file.seek(at)
                count = self._file.readinto(left)  # pyright: ignore[reportArgumentType]
            if not count:
                raise OSError("a scratch file of lithax is shorter than it was written.")
            left, at = left[count:], at + count

    def pieces(self, planes: int) -> Iterator[range]:
        """Yield the numbers of planes, so many together."""
        for begin in range(0, self.shape[0], planes):
            yield range(begin, min(begin + planes, self.shape[0]))

    def box(self, box: tuple[slice, ...]) -> np.ndarray:
        """Return the voxels of a box."""
        # A map, for a box has many short rows; it is gone when this returns.
        return np.array(self.mapped()[box])

    def mapped(self) -> np.ndarray:
        """Return the voxels as an array that is read from the file where it is looked at."""
        return np.memmap(self._file, self.dtype, "r", shape=self.shape)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def write(self, first: int, planes: np.ndarray) -> None:
        """Write planes from a number on."""
        planes = np.ascontiguousarray(planes, self.dtype)
        left, at = planes.reshape(-1).view(np.uint8), first * self._plane
        while left.size:
            with self._lock:
                self._file.seek(at)
                count = self._file.write(left)  # pyright: ignore[reportArgumentType]
            left, at = left[count:], at + count

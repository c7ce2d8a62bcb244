"""Whole objects, and parts of them, by key: the one place where stored bytes are read, written and
removed.

A local directory and memory are reached directly; every other Zarr store through its own methods,
which run on Zarr's event loop while the calling thread waits. All three may be used by many threads
at once.
"""

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.buffer.cpu import numpy_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

Payload = bytes | memoryview
"""Bytes to be stored."""

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file that is still being written (Zarr readers never look at such a name)."""

_PROTOTYPE = numpy_buffer_prototype()
_counter = itertools.count()
# Opening a pipe must not wait for somebody to write into it.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class NotAFileError(OSError):
    """Something that cannot be read as an object stands in its place: a directory, a pipe, a
    device.
    """


class ObjectReader(Protocol):
    """One stored object, opened: its parts all come from the same version of it where the store
    allows that.

    A remote object is only asked for when it is read: then FileNotFoundError says that there is
    none. ValueError says that the object is shorter than what is asked for.
    """

    @property
    def size(self) -> int | None:
        """Number of bytes, where parts cost little to read; None where every part is a request of
        its own.
        """
        ...

    @property
    def status(self) -> tuple[int, ...] | None:
        """Length, times and inode, by which a file system tells a file from the one that replaces
        it; None elsewhere.
        """
        ...

    def whole(self) -> np.ndarray: ...

    def span(self, start: int, stop: int) -> np.ndarray: ...

    def suffix(self, length: int) -> np.ndarray: ...


class Objects(Protocol):
    """The objects of a store by key; arrays of bytes (uint8) are what reading returns."""

    def read(self, key: str) -> np.ndarray | None:
        """Return an object, or None if there is none."""
        ...

    def open(self, key: str) -> contextlib.AbstractContextManager[ObjectReader | None]:
        """Open an object to read parts of it; None if there is none."""
        ...

    def write(self, key: str, payload: Payload) -> os.stat_result | None:
        """Store an object under its final name at once, or leave what was there; return what a file
        system says of it.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object if it exists."""
        ...

    def delete_tree(self, prefix: str) -> None:
        """Remove every object under a prefix."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Names directly below a prefix, sorted."""
        ...


_WAYS_OUT = {
    errno.ENOSPC: "the disk is full: free some space, or write elsewhere, and repeat the call",
    errno.EDQUOT: "the quota is used up: free some space, or write elsewhere, and repeat the call",
    errno.EACCES: "this user may not write there: change the permissions, or write elsewhere",
    errno.EPERM: "this user may not write there: change the permissions, or write elsewhere",
    errno.EROFS: "the file system is mounted read-only: write elsewhere",
}


@contextlib.contextmanager
def explained(path: str | os.PathLike[str], what: str = "") -> Iterator[None]:
    """Let an error of the disk say which file could not be written, and what to do about it."""
    try:
        yield
    except OSError as error:
        # NumPy's own writing knows no number of the error, only that not all was written.
        short = error.errno is None and "requested and" in str(error)
        number = errno.ENOSPC if short else error.errno or 0
        way_out = _WAYS_OUT.get(number)
        if way_out is None or way_out in str(error):
            raise
        reason = os.strerror(number) if short else error.strerror
        raise OSError(
            number, f"{reason} while {what or 'this file'} was written; {way_out}", os.fspath(path)
        ) from error


def objects_of(store: Store) -> Objects:
    """Return the fastest access to the objects of a Zarr store."""
    if type(store) is LocalStore:
        return DirectoryObjects(store.root)
    if type(store) is MemoryStore:
        return MemoryObjects(store)
    return StoreObjects(store)


class _OpenFile:
    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
            raise NotAFileError(f"is {kind}, not a file")
        self.size = status.st_size
        self.status = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def whole(self) -> np.ndarray:
        return self.span(0, self.size)

    def span(self, start: int, stop: int) -> np.ndarray:
        length = min(stop, self.size) - start
        if start < 0 or length < 0:
            raise ValueError(f"bytes {start} to {stop} lie outside an object of {self.size} bytes")
        data = np.empty(length, np.uint8)
        view = data.data
        done = 0
        while done < length:  # one call may return less than it was asked for, always above 2 GiB
            count = os.preadv(self._descriptor, [view[done:]], start + done)
            if count == 0:
                raise ValueError(f"the object ends after {start + done} bytes instead of {stop}")
            done += count
        return data

    def suffix(self, length: int) -> np.ndarray:
        return self.span(self.size - length, self.size)


class _OpenFileBySeek(_OpenFile):
    """The same where the system has no positioned read (Windows)."""

    def span(self, start: int, stop: int) -> np.ndarray:
        os.lseek(self._descriptor, start, os.SEEK_SET)
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            return np.frombuffer(bytearray(file.read(min(stop, self.size) - start)), np.uint8)


_open_file = _OpenFile if hasattr(os, "preadv") else _OpenFileBySeek


class DirectoryObjects:
    """Files below a directory."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self._prefix = os.fspath(self.root) + os.sep

    def read(self, key: str) -> np.ndarray | None:
        with self.open(key) as reader:
            return None if reader is None else reader.whole()

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[ObjectReader | None]:
        try:
            descriptor = os.open(self._prefix + key, _READING)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            yield None
            return
        try:
            yield _open_file(descriptor)
        finally:
            os.close(descriptor)

    def write(self, key: str, payload: Payload) -> os.stat_result | None:
        path = self._prefix + key
        with explained(path):
            return self._write(path, payload)

    def _write(self, path: str, payload: Payload) -> os.stat_result:
        # Process and counter make the name unique, so two writers never share a half-written file.
        partial = f"{path}.{os.getpid()}-{next(_counter)}{PARTIAL_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(partial, flags, 0o666)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, flags, 0o666)
        try:
            try:
                view = memoryview(payload)
                while len(view):
                    view = view[os.write(descriptor, view) :]
                if os.name != "nt":
                    Path(partial).replace(path)
                    # Of the file that was written, whoever replaces it meanwhile; renaming changes
                    # its times.
                    return os.fstat(descriptor)
            finally:
                os.close(descriptor)
            Path(partial).replace(path)
            return Path(path).stat()
        except BaseException:
            with contextlib.suppress(OSError):
                Path(partial).unlink()
            raise

    def status(self, key: str) -> os.stat_result | None:
        """Return what the file system says of an object; None if there is none."""
        try:
            return os.stat(self._prefix + key)  # noqa: PTH116 (a path object would take most of the time)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), explained(self._prefix + key):
            Path(self._prefix + key).unlink()

    def delete_tree(self, prefix: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.root / prefix)

    def children(self, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root / prefix))  # noqa: PTH208 (names are wanted, not paths)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stored_bytes(self, prefix: str) -> int:
        """Number of bytes that the files under a prefix hold, but for what lithax notes beside an
        array.
        """
        return sum(path.stat().st_size for path in self._files(prefix))

    def stored_units(self, prefix: str) -> int:
        """Number of chunks or shards under the prefix of an array."""
        return sum(path.name != "zarr.json" for path in self._files(prefix))

    def _files(self, prefix: str) -> Iterator[Path]:
        top = self.root / prefix
        return (p for p in top.rglob("*") if ".lithax" not in p.relative_to(top).parts and p.is_file())

    def remove_partials(self, prefix: str) -> int:
        """Remove what writers that were killed left half-written under a prefix; return how many
        files.
        """
        count = 0
        for path in (self.root / prefix).rglob(f"*{PARTIAL_SUFFIX}"):
            path.unlink(missing_ok=True)
            count += 1
        return count


class BytesInMemory:
    """A whole object in memory, seen as an opened one."""

    status = None

    def __init__(self, data: np.ndarray):
        self._data = data
        self.size = len(data)

    def whole(self) -> np.ndarray:
        return self._data

    def span(self, start: int, stop: int) -> np.ndarray:
        if not 0 <= start <= stop <= len(self._data):
            raise ValueError(f"bytes {start} to {stop} lie outside an object of {len(self._data)} bytes")
        return self._data[start:stop]

    def suffix(self, length: int) -> np.ndarray:
        return self.span(len(self._data) - length, len(self._data))


class MemoryObjects:
    """Objects in memory; what reading returns is the stored object itself and must not be
    changed.
    """

    def __init__(self, store: MemoryStore):
        self._store = store

    def read(self, key: str) -> np.ndarray | None:
        buffer = self._store.get_sync(key, prototype=_PROTOTYPE)
        if buffer is None:
            return None
        data = np.asarray(buffer.as_numpy_array()).view()
        data.flags.writeable = False
        return data

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[ObjectReader | None]:
        data = self.read(key)
        yield None if data is None else BytesInMemory(data)

    def get_array(self, key: str) -> np.ndarray | None:
        """Return the bytes of an object as the array that the store holds, which may be changed."""
        buffer = self._store.get_sync(key, prototype=_PROTOTYPE)
        return None if buffer is None else np.asarray(buffer.as_numpy_array())

    def put_array(self, key: str, data: np.ndarray) -> None:
        """Store an array of bytes itself, not a copy."""
        array: Any = data
        self._store.set_sync(key, _PROTOTYPE.buffer.from_array_like(array))

    def write(self, key: str, payload: Payload) -> None:
        # A view would change with the array it was made from; `bytes` of bytes copies nothing.
        self._store.set_sync(key, _PROTOTYPE.buffer.from_bytes(bytes(payload)))

    def delete(self, key: str) -> None:
        self._store.delete_sync(key)

    def delete_tree(self, prefix: str) -> None:
        sync(self._store.delete_dir(prefix))

    def children(self, prefix: str) -> list[str]:
        # Looked up here: Zarr answers from its own thread, and to wait for that takes as long
        # as to smooth a small image.
        start = f"{prefix}/" if prefix else ""
        return sorted({k[len(start) :].split("/")[0] for k in list(self._store._store_dict) if k.startswith(start)})

    def stored_bytes(self, prefix: str) -> int:
        """Number of bytes held under a prefix."""
        return sum(len(value) for _, value in self._items(prefix))

    def stored_units(self, prefix: str) -> int:
        """Number of chunks or shards under the prefix of an array."""
        return sum(not key.endswith("zarr.json") for key, _ in self._items(prefix))

    def _items(self, prefix: str) -> list[tuple[str, Any]]:
        start = f"{prefix}/" if prefix else ""
        items = list(self._store._store_dict.items())
        return [(k, value) for k, value in items if k.startswith(start) and "/.lithax/" not in f"/{k}"]


class _StoreReader:
    size = None
    status = None

    def __init__(self, objects: "StoreObjects", key: str):
        self._objects = objects
        self._key = key

    def _get(self, request: Any) -> np.ndarray:
        data = self._objects.get(self._key, request)
        if data is None:
            raise FileNotFoundError(self._key)
        return data

    def whole(self) -> np.ndarray:
        return self._get(None)

    def span(self, start: int, stop: int) -> np.ndarray:
        data = self._get(RangeByteRequest(start, stop))
        # Some web servers do not know ranges, and send everything.
        return data[start:stop] if len(data) > stop - start else data

    def suffix(self, length: int) -> np.ndarray:
        data = self._get(SuffixByteRequest(length))
        return data[len(data) - length :] if len(data) > length else data


class StoreObjects:
    """Objects of any other Zarr store: remote, zipped, wrapped."""

    def __init__(self, store: Store):
        self._store = store
        if not store._is_open:  # some stores open what is behind them only when told
            sync(store._open())

    def get(self, key: str, request: Any = None) -> np.ndarray | None:
        buffer = sync(self._store.get(key, _PROTOTYPE, request))
        return None if buffer is None else np.asarray(buffer.as_numpy_array())

    def read(self, key: str) -> np.ndarray | None:
        return self.get(key)

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[ObjectReader | None]:
        yield _StoreReader(self, key)

    def write(self, key: str, payload: Payload) -> None:
        sync(self._store.set(key, _PROTOTYPE.buffer.from_bytes(bytes(payload))))

    def delete(self, key: str) -> None:
        sync(self._store.delete(key))

    def delete_tree(self, prefix: str) -> None:
        sync(self._store.delete_dir(prefix))

    def children(self, prefix: str) -> list[str]:
        return _children(self._store, prefix)


def _children(store: Store, prefix: str) -> list[str]:
    async def collect() -> set[str]:
        return {name.strip("/").split("/")[0] async for name in store.list_dir(prefix)}

    return sorted(sync(collect()) - {""})

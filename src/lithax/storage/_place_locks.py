"""Locks that belong to a place, not to a handle: all handles of a process on one array share them,
however they were opened.

Within a process a unit has a lock of its own. Between processes `flock` guards a fixed set of files
beside a local array, which are never deleted (a lock on a deleted file excludes nobody). A write by
a handle holds the file "run" shared, so that a run that has announced itself can wait until writes
that began before it have ended; those that begin later see the announcement.

Where `flock` is refused, or reaches one machine only, and on object stores, writes of several
processes into one unit may lose each other: a warning says so once for each place.
"""

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, WrapperStore

from lithax.errors import LockedError
from lithax.grid import Index

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FOLDER = ".lithax/locks"
_STRIPES = 16
"""Files that the units share: two units may wait for each other, two processes never write one unit
at once.
"""

_places: "weakref.WeakValueDictionary[Any, PlaceLocks]" = weakref.WeakValueDictionary()
_places_lock = threading.Lock()
_warned: set[str] = set()


def locks_of(store: Any, path: str, where: str) -> "PlaceLocks":
    """Return the locks of the array at a path of a store, the same for every handle of this
    process.
    """
    store = unwrapped(store)
    directory = None
    keep: Any = store
    if isinstance(store, LocalStore):
        directory = os.path.realpath(store.root / path)
        key: Any = ("directory", directory)
    elif isinstance(store, MemoryStore):
        keep = store._store_dict
        key = ("memory", id(keep), path)
    elif isinstance(store, FsspecStore):
        key = ("fsspec", str(getattr(store.fs, "protocol", "")), f"{store.path}/{path}")
    elif isinstance(store, ObjectStore):
        key = ("object", str(store), path)
    else:
        key = ("store", id(store), path)
    with _places_lock:
        found = _places.get(key)
        if found is None:
            found = _places[key] = PlaceLocks(keep, None if directory is None else Path(directory), where)
        return found


def unwrapped(store: Any) -> Any:
    """Return the store inside wrappers around it."""
    while isinstance(store, WrapperStore):
        store = store._store
    return store


class PlaceLocks:
    """The locks of one array; made by `locks_of`."""

    def __init__(self, store: Any, directory: Path | None, where: str):
        self._store = store  # while it is here, no other store has its identity
        self._directory = directory
        self._where = where
        self._guard = threading.Condition()
        self._units: dict[Any, list[Any]] = {}
        self._writers = 0
        self._running = False

    @contextlib.contextmanager
    def of_unit(self, unit: Index, *, alone: bool = False) -> Iterator[None]:
        """Let nobody else change a unit; with `alone` only threads of this process are kept out."""
        with self._local(unit):
            if alone:
                yield
                return
            with self._between(f"{hash(tuple(unit)) % _STRIPES:02d}"):
                yield

    @contextlib.contextmanager
    def of_metadata(self) -> Iterator[None]:
        """Let nobody else change the metadata."""
        with self._local("metadata"), self._between("metadata"):
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off runs while a handle writes.

        Raises
        ------
        LockedError
            If a run of this process writes to the array.
        """
        with self._guard:
            if self._running:
                raise self._locked()
            self._writers += 1
        try:
            with self._between("run", shared=True):
                yield
        finally:
            with self._guard:
                self._writers -= 1
                self._guard.notify_all()

    def begin_run(self) -> None:
        """Refuse writes by handles of this process from now on.

        Raises
        ------
        LockedError
            If another run of this process writes to the array.
        """
        with self._guard:
            if self._running:
                raise self._locked()
            self._running = True

    def check_idle(self) -> None:
        """Raise LockedError if a run of this process writes to the array."""
        with self._guard:
            if self._running:
                raise self._locked()

    def await_writers(self) -> None:
        """Wait until the writes of handles that had begun have ended, in every process."""
        with self._guard:
            self._guard.wait_for(lambda: self._writers == 0)
        with self._between("run"):
            pass

    def end_run(self) -> None:
        """Let handles write again."""
        with self._guard:
            self._running = False

    def _locked(self) -> LockedError:
        return LockedError(
            f"the image at {self._where} is being written by a run of this process; wait until it has ended."
        )

    @contextlib.contextmanager
    def _local(self, name: Any) -> Iterator[None]:
        with self._guard:
            entry = self._units.setdefault(name, [threading.Lock(), 0])
            entry[1] += 1
        try:
            with entry[0]:
                yield
        finally:
            with self._guard:
                entry[1] -= 1
                if not entry[1]:
                    del self._units[name]

    @contextlib.contextmanager
    def _between(self, name: str, *, shared: bool = False) -> Iterator[None]:
        descriptor = None if self._directory is None else _open_locked(self._directory, name, shared)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _open_locked(directory: Path, name: str, shared: bool) -> int | None:
    """Open one of the files that are locked, and lock it; None where that is not possible."""
    if fcntl is None:
        return None
    path = directory / FOLDER / name
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            if not directory.is_dir():  # the image was removed: what writes to it says so
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        _warn(directory, f"the file {path} cannot be opened ({error.strerror})")
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as error:
        os.close(descriptor)
        _warn(directory, f"the file system refuses locks ({error.strerror})")
        return None
    reason = _reaches_one_machine(directory)
    if reason is not None:
        _warn(directory, reason)
    return descriptor


def _warn(place: Any, reason: str) -> None:
    if str(place) in _warned:
        return
    _warned.add(str(place))
    warnings.warn(
        f"{place}: {reason}, so parts of one chunk or shard that several processes write at the same time may be lost. "
        f"Let each process write whole chunks or shards, or use chunk_map.",
        RuntimeWarning,
        stacklevel=2,
    )


def warn_without_locks(store: Any, where: str) -> None:
    """Warn once, where parts of a unit are written to a store that other processes reach but that
    has no locks.
    """
    store = unwrapped(store)
    protocol = getattr(getattr(store, "fs", None), "protocol", ())
    names = (protocol,) if isinstance(protocol, str) else tuple(protocol)
    inner = type(getattr(store, "store", None)).__name__ if isinstance(store, ObjectStore) else ""
    remote = isinstance(store, FsspecStore) and not {"memory", "file", "local"} & set(names)
    if remote or (isinstance(store, ObjectStore) and inner not in ("MemoryStore", "LocalStore")):
        _warn(where, "an object store has no locks")


_reach: dict[str, str | None] = {}


def _reaches_one_machine(directory: Path) -> str | None:
    key = os.fspath(directory)
    if key not in _reach:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            mounts = ""
        _reach[key] = local_locks(key, mounts)
    return _reach[key]


def local_locks(directory: str, mounts: str) -> str | None:
    """Say why locks in a directory reach one machine only, by the table of mounts; None if there is
    no sign of that.

    Examples
    --------
    >>> local_locks("/data/a", "server:/x /data nfs4 rw,local_lock=all 0 0")
    'locks on the nfs4 mount /data (local_lock=all) reach this machine only'
    """
    best: tuple[str, str, str] = ("", "", "")
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        point = fields[1].replace("\\040", " ")
        inside = directory == point or directory.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, fields[2], fields[3])
    point, kind, options = best
    given = set(options.split(","))
    signs = {"nolock", "local_lock=all", "local_lock=flock"} if kind.startswith("nfs") else {"localflock"}
    if (kind.startswith("nfs") or kind == "lustre") and (found := sorted(signs & given)):
        return f"locks on the {kind} mount {point} ({found[0]}) reach this machine only"
    return None

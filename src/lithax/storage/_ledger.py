"""What the units of an array should hold: a table beside the array, kept after the run that wrote
it.

For every unit (a shard, or a chunk where there are no shards) it holds the digest of the stored
bytes and their number, or that nothing is stored; and, on a local disk, what the file system said
of the object when it was written. A unit whose file is still the same one, by length, times and
inode, is known to hold the digest without being read; one whose file is another is read again, so a
copy or a restored backup costs time, not an alarm.

Before a unit is replaced its record says "being written", after it the new digest: a process that
is killed in between leaves no record that is wrong.

On a local disk the table is one sparse file with a place for every unit, which many processes may
change at once; in memory an array that lies in the store; elsewhere, where nothing can be changed
in place, small objects, one for each flush, that are merged into one at the end of a run.
"""

import contextlib
import itertools
import os
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lithax.grid import Index
from lithax.storage._objects import PARTIAL_SUFFIX, MemoryObjects, Objects, explained

LEDGER = ".lithax/ledger"
"""Name of the ledger below the array's path; of its parts, the beginning of the name."""

UNRECORDED, STORED, EMPTY, WRITING = range(4)

RECORD = np.dtype(
    [("digest", "V16"), ("state", "<u8"), ("size", "<u8"), ("modified", "<i8"), ("changed", "<i8"), ("inode", "<u8"),
     ("inferred", "<u8")]
)  # fmt: skip
"""One unit: digest and number of the stored bytes, and what the file system says of the file (0
where it says nothing).

`inferred` is 1 for a unit of which nothing was ever recorded in a ledger that knows of every write:
it is empty, or another program has written it.
"""

FILE = ("size", "modified", "changed", "inode")

_MAGIC = b"lithax ledger 1\n"
_HEADER = struct.Struct("<16s32sIIII")
_PART = np.dtype([("number", "<u8"), ("record", RECORD)])
_MEMORY_LIMIT = 2**22
"""Units of an array in memory beyond which no ledger is kept there (its table would take 256 MiB).
"""
_FLUSH_EVERY = 1.0
_MERGE_AFTER = 16
_counter = itertools.count()


def record_of(digest: str | None, size: int = 0, status: os.stat_result | None = None, state: int | None = None) -> Any:
    """Return the record of one unit: of its digest ("empty" if nothing is stored), or of a state
    alone.
    """
    record = np.zeros((), RECORD)
    if digest is None:
        record["state"] = WRITING if state is None else state
    elif digest == "empty":
        record["state"] = EMPTY
    else:
        record["state"], record["size"], record["digest"] = STORED, size, bytes.fromhex(digest)
        if status is not None:
            record["modified"], record["changed"] = status.st_mtime_ns, status.st_ctime_ns
            record["inode"] = status.st_ino & (2**63 - 1)
    return record


def digest_in(record: Any) -> str | None:
    """Return the digest that a record holds, "empty", or None if it knows none."""
    state = int(record["state"])
    return record["digest"].tobytes().hex() if state == STORED else "empty" if state == EMPTY else None


class Header:
    """Says of which array a ledger is.

    Parameters
    ----------
    created
        The creation id of the array; "" if it has none.
    counts
        Number of units along each axis.
    whole
        Whether every write since the array was made is recorded: then a unit without a record was
        never written.
    """

    def __init__(self, created: str, counts: Index, whole: bool):
        self.created, self.counts, self.whole = created, counts, whole

    def to_bytes(self) -> bytes:
        return _HEADER.pack(_MAGIC, self.created.encode(), int(self.whole), *self.counts)

    def of_same_array(self, data: bytes) -> "Header | None":
        """Return what a stored header says; None if it belongs to another array, or is damaged."""
        if len(data) < _HEADER.size:
            return None
        magic, created, whole, *counts = _HEADER.unpack(data[: _HEADER.size])
        try:
            name = created.rstrip(b"\0").decode()
        except ValueError:
            return None
        if magic != _MAGIC or name != self.created or tuple(counts) != tuple(self.counts) or whole not in (0, 1):
            return None
        return Header(self.created, self.counts, bool(whole))


class Ledger(Protocol):
    """The ledger of one array, used from many threads; units go by their number in C order."""

    def start(self, whole: bool) -> None:
        """Begin an empty ledger, in place of one that may be there."""
        ...

    def header(self) -> Header | None:
        """Return what the stored ledger says of itself; None if there is none for this array."""
        ...

    def record(self, number: int, fresh: bool = True) -> Any | None:
        """Return the record of a unit, `EMPTY` for one that was never written; None if nothing is
        known of it.

        Without `fresh` a ledger that costs requests may answer from what it saw last.
        """
        ...

    def table(self) -> np.ndarray | None:
        """Return the records of all units; None if there is no ledger."""
        ...

    def changing(self, number: int) -> contextlib.AbstractContextManager[Any]:
        """Note that a unit is being written; what the ``with`` block gets takes its new record."""
        ...

    def put(self, number: int, record: Any) -> None:
        """Set the record of a unit."""
        ...

    def gather(self) -> None:
        """Store records together from now on, until `flush`: for a run, which knows by other means
        what it has done.
        """
        ...

    def flush(self) -> None:
        """Store what is noted, and gather nothing more."""
        ...

    def merge(self) -> None:
        """Store what all processes noted as one object; for one process, when the others have
        flushed.
        """
        ...


def _known(record: Any, whole: bool) -> Any | None:
    if record["state"] == UNRECORDED:
        if not whole:
            return None
        record = record_of("empty")
        record["inferred"] = 1
    return record


def _as_known(table: np.ndarray, whole: bool) -> np.ndarray:
    if whole:
        missing = table["state"] == UNRECORDED
        table["state"][missing], table["inferred"][missing] = EMPTY, 1
    return table


class FileLedger:
    """A sparse file with a place for every unit; an array that has a creation id gets it when its
    first unit is written.
    """

    def __init__(self, directory: Path, header: Header):
        self._directory = directory
        self._path = os.fspath(directory / LEDGER)
        self._header = header
        self._count = int(np.prod(header.counts, dtype=np.int64))
        self._lock = threading.Lock()
        self._noted: dict[int, Any] | None = None
        self._flushed = time.monotonic()

    def gather(self) -> None:
        self._begin_if_new()  # while it is known that nothing was written before
        with self._lock:
            self._noted = {} if self._noted is None else self._noted

    def start(self, whole: bool) -> None:
        with self._fresh(whole) as fresh:
            fresh.replace(self._path)

    def _begin(self) -> None:
        """Begin the ledger of an array that has none: new, or one whose ledger was lost."""
        own = ("zarr.json", ".lithax", "levels")
        names = os.listdir(self._directory)  # noqa: PTH208 (names are wanted, not paths)
        whole = all(name in own or name.endswith(PARTIAL_SUFFIX) for name in names)
        with contextlib.suppress(FileExistsError), self._fresh(whole) as fresh:
            # Another process may begin it at the same moment: the first one's stays.
            os.link(fresh, self._path)

    @contextlib.contextmanager
    def _fresh(self, whole: bool) -> Iterator[Path]:
        fresh = Path(f"{self._path}-{os.getpid()}-{next(_counter)}")
        with explained(self._path, "the ledger"):
            fresh.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(Header(self._header.created, self._header.counts, whole).to_bytes())
            try:
                yield fresh
            finally:
                fresh.unlink(missing_ok=True)

    def header(self) -> Header | None:
        with self._opened(os.O_RDONLY) as (_, header):
            return header

    def record(self, number: int, fresh: bool = True) -> Any | None:
        with self._opened(os.O_RDONLY) as (descriptor, header):
            if header is None:
                return None
            return _known(self._read(descriptor, number), header.whole)

    def table(self) -> np.ndarray | None:
        with self._opened(os.O_RDONLY) as (descriptor, header):
            if header is None:
                return None
            table = np.zeros(self._count, RECORD)
            os.lseek(descriptor, _HEADER.size, os.SEEK_SET)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                data = file.read(table.nbytes)
            whole = len(data) // RECORD.itemsize
            table[:whole] = np.frombuffer(data, RECORD, whole)
            return _as_known(table, header.whole)

    def changing(self, number: int) -> contextlib.AbstractContextManager[Any]:
        if self._noted is None:
            return self._changing_now(number)
        return contextlib.nullcontext(lambda record: self._note(number, record))

    def _note(self, number: int, record: Any) -> None:
        with self._lock:
            noted = self._noted
            if noted is not None:
                noted[number] = record
                # A reader may ask for an object that is gone at once.
                if record["state"] != EMPTY and time.monotonic() - self._flushed < _FLUSH_EVERY:
                    return
                self._store(noted)
                noted.clear()
                return
        self._put(number, record)

    def _store(self, noted: dict[int, Any]) -> None:
        with self._opened(os.O_RDWR) as (descriptor, header):
            if header is not None:
                numbers = sorted(noted)
                for first, last in _runs(numbers):
                    data = b"".join(noted[number].tobytes() for number in range(first, last + 1))
                    self._write(descriptor, first, data)
        self._flushed = time.monotonic()

    def _begin_if_new(self) -> None:
        if self._header.created and not os.path.exists(self._path) and self._directory.is_dir():  # noqa: PTH110
            self._begin()

    @contextlib.contextmanager
    def _changing_now(self, number: int) -> Iterator[Any]:
        self._begin_if_new()
        with self._opened(os.O_RDWR) as (descriptor, header):
            if header is None:
                yield lambda record: None
                return
            before = self._read(descriptor, number)
            self._write(descriptor, number, record_of(None).tobytes())
            try:
                yield lambda record: self._write(descriptor, number, record.tobytes())
            except Exception:
                # The object is as it was: it is replaced at once, or not at all.
                with contextlib.suppress(OSError):
                    self._write(descriptor, number, before.tobytes())
                raise

    def put(self, number: int, record: Any) -> None:
        self._note(number, record)

    def _put(self, number: int, record: Any) -> None:
        with self._opened(os.O_RDWR) as (descriptor, header):
            if header is not None:
                self._write(descriptor, number, record.tobytes())

    def flush(self) -> None:
        with self._lock:
            noted, self._noted = self._noted, None
            if noted:
                self._store(noted)

    def merge(self) -> None:
        pass

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[tuple[int, Header | None]]:
        try:
            descriptor = os.open(self._path, flags | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError):
            yield -1, None
            return
        try:
            yield descriptor, self._header.of_same_array(_read_at(descriptor, _HEADER.size, 0))
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, number: int) -> Any:
        data = _read_at(descriptor, RECORD.itemsize, _HEADER.size + number * RECORD.itemsize)
        return np.frombuffer(data.ljust(RECORD.itemsize, b"\0"), RECORD)[0]

    def _write(self, descriptor: int, number: int, data: bytes) -> None:
        with explained(self._path, "the ledger"):
            _write_at(descriptor, data, _HEADER.size + number * RECORD.itemsize)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of each run of consecutive numbers."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _read_at(descriptor: int, count: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, count)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, offset)
        return
    os.lseek(descriptor, offset, os.SEEK_SET)
    os.write(descriptor, data)


class MemoryLedger:
    """A table that lies in the store, so that every handle on it sees the same one."""

    def __init__(self, objects: MemoryObjects, prefix: str, header: Header):
        self._objects = objects
        self._key = prefix + LEDGER
        self._header = header
        self._count = int(np.prod(header.counts, dtype=np.int64))

    def start(self, whole: bool) -> None:
        if self._count > _MEMORY_LIMIT:
            return
        # Zeros that were never touched take no memory.
        data = np.zeros(_HEADER.size + self._count * RECORD.itemsize, np.uint8)
        header = Header(self._header.created, self._header.counts, whole).to_bytes()
        data[: _HEADER.size] = np.frombuffer(header, np.uint8)
        self._objects.put_array(self._key, data)

    def _stored(self) -> tuple[np.ndarray | None, Header | None]:
        data = self._objects.get_array(self._key)
        if data is None or data.size != _HEADER.size + self._count * RECORD.itemsize:
            return None, None
        header = self._header.of_same_array(data[: _HEADER.size].tobytes())
        return (None, None) if header is None else (data[_HEADER.size :].view(RECORD), header)

    def header(self) -> Header | None:
        return self._stored()[1]

    def record(self, number: int, fresh: bool = True) -> Any | None:
        table, header = self._stored()
        return None if table is None or header is None else _known(table[number].copy(), header.whole)

    def table(self) -> np.ndarray | None:
        table, header = self._stored()
        return None if table is None or header is None else _as_known(table.copy(), header.whole)

    @contextlib.contextmanager
    def changing(self, number: int) -> Iterator[Any]:
        yield lambda record: self.put(number, record)

    def gather(self) -> None:
        pass

    def put(self, number: int, record: Any) -> None:
        table, _ = self._stored()
        if table is not None and table.flags.writeable:
            table[number] = record

    def flush(self) -> None:
        pass

    def merge(self) -> None:
        pass


class PartsLedger:
    """Small objects in a store that can only replace whole ones: a base, and a part for every flush
    since.
    """

    def __init__(self, objects: Objects, prefix: str, header: Header, listing: bool):
        self._objects = objects
        self._prefix = prefix
        self._header = header
        self._listing = listing
        self._count = int(np.prod(header.counts, dtype=np.int64))
        self._lock = threading.RLock()
        self._one_at_a_time = threading.RLock()
        self._noted: dict[int, Any] = {}
        self._part: str | None = None
        self._flushed = time.monotonic()
        self._careful = False
        self._seen: tuple[dict[int, Any], bool] | None = None

    def start(self, whole: bool) -> None:
        self._objects.write(self._prefix + LEDGER, Header(self._header.created, self._header.counts, whole).to_bytes())
        for name in self._parts():
            self._objects.delete(self._prefix + ".lithax/" + name)

    def header(self) -> Header | None:
        found = self._load()
        return None if found is None else Header(self._header.created, self._header.counts, found[1])

    def record(self, number: int, fresh: bool = True) -> Any | None:
        found = self._load() if fresh or self._seen is None else self._seen
        return None if found is None else self._of(found, number)

    def _of(self, found: tuple[dict[int, Any], bool], number: int) -> Any | None:
        records, whole = found
        with self._lock:
            own = self._noted.get(number)
        record = own if own is not None else records.get(number)
        return _known(np.zeros((), RECORD) if record is None else record, whole)

    def table(self) -> np.ndarray | None:
        found = self._load()
        if found is None:
            return None
        table = np.zeros(self._count, RECORD)
        with self._lock:
            records = found[0] | self._noted
        for number, record in records.items():
            if number < self._count:
                table[number] = record
        return _as_known(table, found[1])

    @contextlib.contextmanager
    def several(self, numbers: Iterable[int]) -> Iterator[None]:
        """Note that units of a complete array are being written, and store what became of them at
        the end.
        """
        with self._one_at_a_time:
            with self._lock:
                self._noted |= {number: record_of(None) for number in numbers}
                self._careful = True
                self._store()
            try:
                yield
            finally:
                self._careful = False
                self.flush()
            if len(self._parts()) > _MERGE_AFTER:
                self.merge()

    @contextlib.contextmanager
    def changing(self, number: int) -> Iterator[Any]:
        yield lambda record: self.put(number, record)
        if not self._careful and time.monotonic() - self._flushed > _FLUSH_EVERY:
            self.flush()

    def gather(self) -> None:
        pass

    def put(self, number: int, record: Any) -> None:
        with self._lock:
            self._noted[number] = record

    def flush(self) -> None:
        with self._lock:
            if self._noted:
                self._store()
                self._noted, self._part, self._seen = {}, None, None

    def merge(self) -> None:
        if not self._listing:
            return
        self.flush()
        names = self._parts()
        found = self._load() if names else None
        if found is None:
            return
        records, whole = found
        header = Header(self._header.created, self._header.counts, whole).to_bytes()
        self._objects.write(self._prefix + LEDGER, header + _pack(records))
        for name in names:
            self._objects.delete(self._prefix + ".lithax/" + name)

    def _store(self) -> None:
        # The names sort by time; what is being written, and what was, go under one name.
        self._part = self._part or f"{LEDGER}-{time.time_ns():020d}-{os.getpid()}-{next(_counter):06d}"
        self._objects.write(self._prefix + self._part, self._header.to_bytes() + _pack(self._noted))
        self._flushed = time.monotonic()

    def _parts(self) -> list[str]:
        if not self._listing:
            return []
        names = self._objects.children(self._prefix + ".lithax")
        return sorted(name for name in names if name.startswith("ledger-"))

    def _load(self) -> tuple[dict[int, Any], bool] | None:
        if not self._listing:
            return None
        base = self._objects.read(self._prefix + LEDGER)
        header = None if base is None else self._header.of_same_array(base[: _HEADER.size].tobytes())
        if base is None or header is None:
            return None
        records = _unpack(base[_HEADER.size :])
        for name in self._parts():
            part = self._objects.read(self._prefix + ".lithax/" + name)
            if part is not None and self._header.of_same_array(part[: _HEADER.size].tobytes()) is not None:
                records |= _unpack(part[_HEADER.size :])
        self._seen = (records, header.whole)
        return self._seen


def _pack(records: dict[int, Any]) -> bytes:
    table = np.zeros(len(records), _PART)
    for row, (number, record) in zip(table, sorted(records.items()), strict=True):
        row["number"], row["record"] = number, record
    return table.tobytes()


def _unpack(data: np.ndarray) -> dict[int, Any]:
    whole = len(data) // _PART.itemsize
    table = np.frombuffer(data[: whole * _PART.itemsize].tobytes(), _PART)
    return {int(row["number"]): row["record"].copy() for row in table}

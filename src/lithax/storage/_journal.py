"""What a run has finished, kept beside the array it writes, so that a killed run can go on.

A record is made after the write of a unit returned (in a run that changes an image in place:
before, with the digest of the old and of the new bytes), because neither the presence of a chunk
nor its absence proves anything: chunks equal to the fill value are not stored, and a chunk may be
from before. On a local disk the journal is one file that grows line by line; elsewhere it is a row
of small objects, since those stores cannot append. Beside an array in memory, which a kill takes
along, it is written when a run fails.

Several processes that share a run write a journal each. The first of them begins it for all: it
takes the lock and reads what earlier attempts left, on however many processes these were.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lithax.errors import IncompleteImageError, LockedError, ResumeError
from lithax.grid import Index, triple
from lithax.storage._fingerprint import changed_units, same_content
from lithax.storage._objects import explained
from lithax.storage._stored_array import StoredArray

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FOLDER = ".lithax"
_LOCK = f"{_FOLDER}/lock"
_JOURNAL = f"{_FOLDER}/journal"
_FLUSH_EVERY = 1.0


class Journal:
    """The record of one run on one array; made by `begin_journal` or `join_journal`, used from
    several threads.
    """

    def __init__(self, array: StoredArray, in_place: bool, process: int = 0):
        self._array = array
        self._process = process
        self._in_place = in_place
        self._lock = threading.Lock()
        self._pending: list[dict[str, Any]] = []
        self._recorded: dict[Index, str] = {}
        self._part = 0
        self._flushed = time.monotonic()
        self._descriptor: int | None = None
        self._stored = not array.in_memory
        self._closed = False
        self.attempt = 0
        """How many attempts came before this one."""
        self.done: dict[Index, str] = {}
        """Units that an earlier attempt recorded, with the digest of their stored bytes."""
        self.old: dict[Index, str] = {}
        """For a run in place: the digest of the bytes that each recorded unit had before."""

    def record(self, unit: Index, digest: str, old: str | None = None) -> None:
        """Note that a unit is stored (in place: is about to be).

        Raises
        ------
        OSError
            If the note cannot be stored; in place the unit must then be left as it is.
        """
        entry: dict[str, Any] = {"unit": list(unit), "digest": digest, "attempt": self.attempt}
        if old is not None:
            entry["old"] = old
        with self._lock:
            if self._closed:
                raise RuntimeError(
                    f"the run on the image at {self._array.where} was given up; unit {unit} is left as it is."
                )
            self._pending.append(entry)
            self._recorded[triple(unit)] = digest
            if self._array.in_memory:
                return
            if self._descriptor is not None or self._in_place or time.monotonic() - self._flushed > _FLUSH_EVERY:
                self._flush()

    def _note(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._pending.append(entry)
            if not self._array.in_memory:
                self._flush()

    def _read_earlier(self, entries: Iterable[dict[str, Any]]) -> None:
        # In one attempt a unit has one owner, but another process may own it in the next.
        for entry in sorted(entries, key=lambda e: e.get("attempt", 0)):
            self.attempt = max(self.attempt, entry.get("attempt", 0) + 1)
            if "unit" in entry:
                unit = tuple(entry["unit"])
                self.done[unit] = entry["digest"]
                if "old" in entry:
                    self.old[unit] = entry["old"]

    def _flush(self) -> None:
        if not self._pending:
            return
        lines = "".join(json.dumps(e) + "\n" for e in self._pending).encode()
        if self._descriptor is not None:
            # One write of whole lines to a file opened for appending is not torn by other writers.
            with explained(f"{self._array.directory}/{_JOURNAL}.jsonl", "the journal of the run"):
                while lines:
                    lines = lines[os.write(self._descriptor, lines) :]
        else:
            # The names sort by time, so that later records are read later.
            name = f"{_JOURNAL}-{time.time_ns():020d}-{self._process}-{os.getpid()}-{self._part:06d}"
            self._array.write_object(name, lines)
            self._part += 1
            self._stored = True
        self._pending.clear()
        self._flushed = time.monotonic()

    def finish(self) -> None:
        """Forget the run: its output is complete, and every process has closed its journal."""
        if not self._process:
            self._array.ledger.merge()
        with self._lock:
            self._pending.clear()
        self._close()
        if self._stored and not self._process:
            clear_journal(self._array)
        if not self._process:
            self._array.locks.end_run()

    def abandon(self) -> None:
        """Leave the record for a later attempt and let others at the array."""
        # What goes wrong here must not hide why the run failed; a record that is missing is work
        # done again.
        with contextlib.suppress(Exception):
            self.close()
        if not self._array.in_memory and not self._process:
            with contextlib.suppress(Exception):
                self._array.delete_object(_LOCK)
        if not self._process:
            self._array.locks.end_run()

    def check_stored(self) -> None:
        """Compare the stored units with what was recorded of them, reading those only that
        something else has touched.

        Raises
        ------
        IncompleteImageError
            If units were removed or replaced by something else while the run was going on.
        """
        self._array.ledger.flush()
        lost = changed_units(self._array)
        if self._array.ledger.header() is None:
            recorded = [unit for unit, digest in (self.done | self._recorded).items() if digest != "empty"]
            lost = [unit for unit in recorded if not self._array.has_unit(unit)]
        if not lost:
            return
        names = ", ".join(repr(self._array.unit_key(unit)) for unit in lost[:5])
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise IncompleteImageError(
            f"{names}{more} of the image at {self._array.where} were removed or changed by something else while the run was going "
            f"on; repeat the call with resume=True, which makes them again."
        )

    @property
    def state(self) -> dict[str, Any]:
        """What the other processes of the run must know of earlier attempts."""
        return {"done": self.done, "old": self.old, "attempt": self.attempt}

    def close(self) -> None:
        """Store what is noted; this process records nothing more."""
        self._close()
        self._array.ledger.flush()

    def _open(self) -> None:
        """On a local disk, open this process's file, after the last whole line in it."""
        directory = self._array.directory
        if directory is None:
            return
        path = directory / f"{_JOURNAL}{f'-{self._process}' if self._process else ''}.jsonl"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            try:
                self._flush()
            finally:
                if self._descriptor is not None:
                    os.close(self._descriptor)
                    self._descriptor = None


def clear_journal(array: StoredArray) -> None:
    """Remove what a run leaves beside a complete array, also one killed as it finished; the ledger
    and the locks stay.
    """
    for name in array.list_objects(_FOLDER):
        if name.startswith(("journal", "lock")) and name != "locks":
            array.delete_object(f"{_FOLDER}/{name}")
    if (directory := array.directory) is not None:
        with contextlib.suppress(OSError):
            (directory / _FOLDER).rmdir()


def begin_journal(
    array: StoredArray,
    identity: Mapping[str, Any],
    *,
    resume: bool | str = False,
    in_place: bool = False,
    owners: Sequence[Mapping[str, Any]] = (),
) -> Journal:
    """Lock an array for one run and return its journal, with what an earlier attempt recorded.

    Records beside an array that calls itself complete are remains, and go. `owners` are all
    processes of the run, each as `this_process` describes it; only this one if there are none.

    Raises
    ------
    LockedError
        If another run holds the array.
    ResumeError
        If there is the record of an unfinished run and it is another one than `identity` says.
    """
    array.locks.begin_run()
    try:
        if not array.in_memory:
            with _alone(array):
                check_unlocked(array, resume=bool(resume), begun=True)
                _take_lock(array, owners)
    except BaseException:
        array.locks.end_run()
        raise
    journal = Journal(array, in_place)
    try:
        array.locks.await_writers()
        if array.reload_metadata().state == "complete":
            if not array.in_memory:
                _remove_records(array)
            entries = []
        else:
            entries = list(_read(array))
        headers = [e["identity"] for e in entries if "identity" in e]
        different = differing_parts(headers[-1], identity) if headers else []
        if different and resume != "force":
            raise ResumeError(
                f"the unfinished image at {array.where} comes from another run ({describe_parts(headers[-1], identity)}); "
                f"repeat that call, pass overwrite=True to begin again, or resume='force' to go on all the same."
            )
        if headers and not resume:
            raise ResumeError(
                f"the image at {array.where} was cut off while it was written; pass resume=True to finish it, "
                f"or overwrite=True to begin again."
            )
        if headers:
            array.remove_partials()
            journal._stored = True
        journal._read_earlier(entries)
        journal._open()
        array.ledger.gather()
        if not headers or different:
            journal._note({"journal": 1, "identity": identity, "attempt": journal.attempt})
    except BaseException:
        journal.abandon()
        raise
    return journal


def join_journal(array: StoredArray, begun: Mapping[str, Any], process: int, *, in_place: bool = False) -> Journal:
    """Return the journal of another process of a run that the first one began; `begun` is its
    journal's `state`.
    """
    journal = Journal(array, in_place, process)
    journal.done, journal.old, journal.attempt = dict(begun["done"]), dict(begun["old"]), begun["attempt"]
    journal._open()
    array.ledger.gather()
    return journal


def check_unlocked(array: StoredArray, *, resume: bool = False, begun: bool = False) -> None:
    """Raise LockedError if another run that may still be alive is writing to the array, or one was
    killed doing so.

    `begun` says that the run of this process is the caller's own.
    """
    if not begun:
        array.locks.check_idle()
    if array.in_memory:
        return
    raw = array.read_object(_LOCK)
    if raw is None:
        return
    try:
        owner = json.loads(raw)
        name = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    except (ValueError, KeyError, TypeError):
        owner, name = {}, "an unknown process"
    if owner.get("others"):
        name = f"{len(owner['others']) + 1} processes, the first of them {name}"
    # One that is alive decides; then one of which nothing can be known.
    states = [_alive(process) for process in (owner, *owner.get("others", ()))]
    state = True if True in states else None if None in states else False
    if state is True:
        raise LockedError(f"the image at {array.where} is being written by {name}; wait for it, or write elsewhere.")
    if state is None:
        raise LockedError(
            f"the image at {array.where} is locked by {name}, on another machine; if that run is over, remove {_LOCK} there "
            f"and try again."
        )
    # A run killed before it changed anything, or after it had finished, leaves a complete image.
    if not resume and array.reload_metadata().state != "complete":
        raise LockedError(
            f"the image at {array.where} was being written by {name}, which is no longer running; pass resume=True to "
            f"finish its work, or overwrite=True to begin again."
        )


@contextlib.contextmanager
def _alone(array: StoredArray) -> Iterator[None]:
    """Let one process at a time find a lock stale and take it over."""
    directory = array.directory
    if directory is None or fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other one."""
    import psutil

    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _take_lock(array: StoredArray, owners: Sequence[Mapping[str, Any]]) -> None:
    own = this_process()
    others = [owner for owner in owners if (owner["host"], owner["pid"]) != (own["host"], own["pid"])]
    content = json.dumps(own | {"others": others}).encode()
    directory = array.directory
    if directory is None:
        array.write_object(_LOCK, content)
        return
    path = directory / _LOCK
    own = path.with_name(f"lock-{os.getpid()}-{threading.get_ident()}")
    try:
        with explained(own, "the lock of the run"):
            path.parent.mkdir(exist_ok=True)
            own.write_bytes(content)
        # Only a lock whose owner is gone comes this far.
        path.unlink(missing_ok=True)
        os.link(own, path)
    except FileExistsError:
        raise LockedError(f"another run began to write to the image at {array.where} at the same moment.") from None
    finally:
        own.unlink(missing_ok=True)


def _alive(owner: Mapping[str, Any]) -> bool | None:
    """Whether the owner of a lock still runs; None if this machine cannot know."""
    import psutil

    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return None
    try:
        process = psutil.Process(int(owner["pid"]))
        # A process number is used again after a while; the start time tells the two apart.
        return abs(process.create_time() - float(owner["started"])) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, ValueError):
        return False


def _records(array: StoredArray) -> list[str]:
    return [name for name in array.list_objects(_FOLDER) if name.startswith("journal")]


def _remove_records(array: StoredArray) -> None:
    for name in _records(array):
        array.delete_object(f"{_FOLDER}/{name}")


def _read(array: StoredArray) -> Iterable[dict[str, Any]]:
    if (directory := array.directory) is not None:
        raw = [path.read_bytes() for path in sorted((directory / _FOLDER).glob("journal*.jsonl"))]
    else:
        raw = [array.read_object(f"{_FOLDER}/{name}") or b"" for name in _records(array)]
    for part in raw:
        for line in part.split(b"\n"):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the line that a kill cut short: its unit is simply done again
            if _is_entry(entry):
                yield entry


def _is_entry(entry: Any) -> bool:
    """Tell whether a line says what a record says; any other is damaged, and costs the units that
    it was about.
    """
    if not isinstance(entry, dict) or not _is_count(entry.get("attempt", 0)):
        return False
    if "unit" not in entry:
        return True
    unit, digests = entry["unit"], (entry.get("digest"), entry.get("old", ""))
    place = isinstance(unit, list) and len(unit) == 3 and all(_is_count(n) for n in unit)
    return place and all(isinstance(digest, str) for digest in digests)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def recorded_digests(array: StoredArray) -> dict[Index, str]:
    """Return what the journal beside an array says that its units hold: digests as
    `StoredArray.digest` gives them.
    """
    journal = Journal(array, in_place=False)
    journal._read_earlier(_read(array))
    return journal.done


def differing_parts(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Return the parts in which the identities of two runs differ.

    What inputs hold is the same only where it is known of both. A content hash that became known
    later is no difference.
    """
    if not isinstance(before, Mapping):
        return ["function"]
    before, now = json.loads(json.dumps(before)), json.loads(json.dumps(now))
    special = ("input_hashes", "input_state", "before")
    different = [k for k in before.keys() | now.keys() if k not in special and before.get(k) != now.get(k)]
    if _changed_inputs(before, now):
        different.append("input_state")
    return sorted(different)


def _changed_inputs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a sentence on every input that does not hold, for all that is known, what it held."""
    if "input_state" not in before and "input_state" not in now:
        return []  # of a kind that says by other parts what it reads
    then, here = before.get("input_state"), now.get("input_state")
    if not isinstance(then, list) or not isinstance(here, list) or len(then) != len(here):
        return ["what the inputs held then is not known"]
    lines = []
    for a, b in zip(then, here, strict=True):
        same = same_content(a, b)
        name = b.get("name") if isinstance(b, Mapping) else "an input"
        if same is None:
            lines.append(f"whether {name} still holds what it held cannot be known there")
        elif not same:
            lines.append(f"{name} has changed since")
    old, new = before.get("input_hashes") or [], now.get("input_hashes") or []
    # A stored hash is dropped when voxels are written; where digests say that they are as before,
    # they are.
    dropped = any(a is not None and a != b for a, b in zip(old, new, strict=False))
    if (
        dropped
        and not lines
        and not all(a.get("content") and b.get("content") for a, b in zip(then, here, strict=True))
    ):
        lines.append("the content hash of an input has changed since")
    return lines


def describe_parts(before: Any, now: Mapping[str, Any]) -> str:
    """Say in which parts the identities of two runs differ, and how."""
    if not isinstance(before, Mapping):
        return "it was not made by chunk_map"
    lines = []
    for part in differing_parts(before, now):
        if part == "input_state":
            lines += _changed_inputs(before, now)
        else:
            lines.append(f"{part}: {_short(before.get(part))} then, {_short(now.get(part))} now")
    return "; ".join(lines)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."

"""Whether an array still holds what it held before, without reading it where that can be helped.

Two answers, each of which may be unknown (None). *content* is made of the digests of all stored
units: it stays when the files are copied or restored. *state* is what the store says of the
objects: length, times and inode of files, entity tags of an object store; it is another one after
every write, also one of the same bytes. Both hold the form of the array (shape, type, grid, codecs,
fill value), neither its attributes.

An unknown answer equals nothing, not even another unknown one.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

from lithax.grid import Index
from lithax.storage._abstract_array import AbstractStoredArray, map_threads
from lithax.storage._file_array import FileArray
from lithax.storage._foreign_array import ForeignArray
from lithax.storage._ledger import EMPTY, FILE, STORED, UNRECORDED, digest_in, record_of
from lithax.storage._node_document import ZARR_JSON
from lithax.storage._objects import DirectoryObjects, objects_of
from lithax.storage._place_locks import unwrapped
from lithax.storage._stored_array import StoredArray

Fingerprint = dict[str, str | None]

_INODE = 2**63 - 1

_ATTRIBUTES = (".zattrs", ".zmetadata")
_DOCUMENTS = (ZARR_JSON, ".zarray", *_ATTRIBUTES)
"""Files that are written again when attributes change; of some the rest is looked at."""


def fingerprint(array: AbstractStoredArray, *, thorough: bool) -> Fingerprint:
    """Return what tells an array's voxels from those that it held before.

    Parameters
    ----------
    array
        The array.
    thorough
        Read the units of a local array whose files are not those that were written, to know the
        content all the same; that of a file that holds what it should is noted, so that it is not
        read again.
    """
    if isinstance(array, FileArray):
        states = [_of_file(file) for file in array.files]
        return {"content": None, "state": None if None in states else _hash(states)}
    store = unwrapped(array.store)
    source = array.source if isinstance(array, ForeignArray) else array
    if isinstance(store, LocalStore):
        directory = Path(store.root) / array.path
        if isinstance(source, StoredArray):
            return _of_files(source, DirectoryObjects(store.root), thorough)
        return {"content": None, "state": _of_tree(directory)}
    if isinstance(source, StoredArray) and isinstance(store, MemoryStore):
        return {"content": _of_memory(source, store), "state": None}
    if isinstance(store, ZipStore):
        status = Path(store.path).stat()
        return {"content": None, "state": _hash(array.path, [status.st_size, status.st_mtime_ns, status.st_ino])}
    if isinstance(source, StoredArray):
        return {"content": None, "state": _of_objects(source, store)}
    return {"content": None, "state": None}


def fingerprint_of_values(values: np.ndarray) -> Fingerprint:
    """Return the fingerprint of an array in memory."""
    edge = max(1, 2**22 // max(1, values[:1].nbytes))
    slabs = [slice(start, start + edge) for start in range(0, len(values), edge)]

    def digest(slab: slice) -> str:
        return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values[slab]).data.cast("B"))

    return {"content": _hash(values.dtype.str, list(values.shape), map_threads(digest, slabs, 4)), "state": None}


def same_content(before: Any, now: Any) -> bool | None:
    """Tell whether two fingerprints say that an array holds the same; None if nothing in them can
    be compared.
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return None
    for part in ("content", "state"):
        a, b = before.get(part), now.get(part)
        if a is not None and b is not None:
            return a == b
    return None


def changed_units(array: StoredArray) -> list[Index]:
    """Return the units that do not hold what the ledger says, by as little reading as possible;
    none without a ledger.

    Those that are being written are left out, and on object stores those of which only the digest
    has changed.
    """
    table = array.ledger.table()
    if table is None:
        return []
    units = list(array.unit_grid)
    store = unwrapped(array.store)
    if isinstance(store, LocalStore):
        files = _files(array, DirectoryObjects(store.root), units)
        suspects = np.flatnonzero(~_as_recorded(table, files))
    elif isinstance(store, MemoryStore):
        suspects = np.flatnonzero(np.isin(table["state"], (STORED, EMPTY)))
    else:
        listed = _listing(array, store)
        if listed is None:
            return []
        there = np.array([array.unit_key(unit) in listed for unit in units])
        return [units[n] for n in np.flatnonzero((table["state"] == STORED) & ~there)]

    def differs(number: int) -> bool:
        known = None if table[number]["inferred"] else digest_in(table[number])
        return known is not None and array.digest(array.read_unit(units[number])) != known

    wrong = map_threads(lambda n: differs(int(n)), suspects, array.workers)
    return [units[n] for n, found in zip(suspects, wrong, strict=True) if found]


def _hash(*parts: Any) -> str:
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()


def _form(array: StoredArray) -> dict[str, Any]:
    document = array.read_document()
    return {name: part for name, part in document.items() if name != "attributes"}


def _files(array: StoredArray, objects: DirectoryObjects, units: Sequence[Index]) -> np.ndarray:
    """Return length, times and inode of every unit's file; zeros where there is none."""
    nothing, found = (0, 0, 0, 0), []
    for unit in units:
        s = objects.status(array.unit_key(unit))
        found.append(nothing if s is None else (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino & _INODE))
    return np.array(found, np.int64).reshape(-1, 4)


def _as_recorded(table: np.ndarray, files: np.ndarray) -> np.ndarray:
    """Tell of every unit whether its file is the one that was recorded, or is not there as
    recorded.
    """
    there = files.any(axis=1)
    same = np.all([table[name].astype(np.int64) == files[:, n] for n, name in enumerate(FILE)], axis=0)
    return ((table["state"] == STORED) & there & same) | ((table["state"] == EMPTY) & ~there)


def _of_files(array: StoredArray, objects: DirectoryObjects, thorough: bool) -> Fingerprint:
    units = list(array.unit_grid)
    form = _form(array)
    files = _files(array, objects, units)
    state = _hash(form, files.tobytes())
    table = array.ledger.table()
    if table is None and not files.any():  # the fill value everywhere
        table = np.full(len(units), record_of("empty"))
    if table is None or (table["state"] == UNRECORDED).any():
        return {"content": None, "state": state}
    suspects = np.flatnonzero(~_as_recorded(table, files))
    if len(suspects) and not thorough:
        return {"content": None, "state": state}

    def read(number: int) -> None:
        unit = units[number]
        payload = array.read_unit(unit)
        digest = array.digest(payload)
        record = record_of(digest, 0 if payload is None else len(payload), objects.status(array.unit_key(unit)))
        if digest == digest_in(table[number]) and not array.read_only:
            # What cannot be noted is read again the next time.
            with contextlib.suppress(OSError), array.locks.of_unit(unit):
                if digest_in(array.ledger.record(number)) == digest:
                    array.ledger.put(number, record)
        table[number] = record

    map_threads(lambda number: read(int(number)), suspects, array.workers)
    return {"content": _of_table(form, table), "state": state}


def _of_table(form: Mapping[str, Any], table: np.ndarray) -> str:
    digests = np.where(table["state"] == STORED, table["digest"].view("V16"), np.zeros(1, "V16"))
    return _hash(dict(form), (table["state"] == STORED).tobytes(), digests.tobytes())


def _of_memory(array: StoredArray, store: MemoryStore) -> str:
    objects = objects_of(store)
    table = np.zeros(len(array.unit_grid), [("digest", "V16"), ("state", "<u8")])

    def read(entry: tuple[int, Index]) -> None:
        number, unit = entry
        data = objects.read(array.unit_key(unit))
        record = record_of(array.digest(None if data is None else data.data))
        table["digest"][number], table["state"][number] = record["digest"], record["state"]

    map_threads(read, list(enumerate(array.unit_grid)), array.workers)
    return _of_table(_form(array), table)


def _of_objects(array: StoredArray, store: Any) -> str | None:
    listed = _listing(array, store)
    if listed is None:
        return None
    keys = {array.unit_key(unit) for unit in array.unit_grid}
    tags = {key: tag for key, tag in listed.items() if key in keys}
    return None if any(tag is None for tag in tags.values()) else _hash(_form(array), tags)


def _listing(array: StoredArray, store: Any) -> dict[str, Any] | None:
    """Return (entity tag, length) of every object below an array, None for a tag that is not known;
    None if not listed.
    """
    if isinstance(store, FsspecStore):
        root = store.path.rstrip("/")
        top = f"{root}/{array.path}".rstrip("/")
        fs: Any = store.fs
        fs.invalidate_cache()
        try:
            found = sync(fs._find(top, detail=True))
        except (FileNotFoundError, NotImplementedError, OSError):
            return None
        entries = {}
        for name, about in found.items():
            tag = next((about[k] for k in ("ETag", "etag", "e_tag", "md5Hash", "generation") if about.get(k)), None)
            if tag is None and "ino" in about:
                tag = f"{about['ino']}-{about.get('mtime')}-{about.get('created')}"
            if tag is None and "memory" in _protocols(fs):
                tag = xxhash.xxh3_128_hexdigest(sync(fs._cat_file(name)))
            key = name.removeprefix(root).lstrip("/") if name.startswith(root) else name.lstrip("/")
            entries[key] = None if tag is None else [str(tag), about.get("size")]
        return entries
    if isinstance(store, ObjectStore):
        inner: Any = store.store
        entries = {}
        for part in inner.list(prefix=array.path or None):
            for about in part:
                tag = about.get("e_tag") or about.get("version")
                entries[str(about["path"])] = None if tag is None else [str(tag), about.get("size")]
        return entries
    return None


def _protocols(fs: Any) -> tuple[str, ...]:
    protocol = getattr(fs, "protocol", ())
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _of_file(file: Path) -> str | None:
    """Return the state of a file of another format, or of a folder of them."""
    beside = [file.with_name(f"{file.name}.json")]
    files = sorted(file.iterdir()) if file.is_dir() else [file, *beside]
    found = [(path.name, path.stat()) for path in files if path.is_file()]
    return _hash([[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in found]) if found else None


def _of_tree(directory: Path) -> str:
    """Return the state of an array that Zarr reads for us: all of its files."""
    found: list[Any] = []
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if not path.is_file() or name.parts[0] in (".lithax", "levels"):
            continue
        if path.name in _DOCUMENTS:
            document = json.loads(path.read_bytes()) if path.name not in _ATTRIBUTES else {}
            found.append([name.as_posix(), {k: v for k, v in document.items() if k != "attributes"}])
        else:
            status = path.stat()
            found.append([name.as_posix(), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
    return _hash(found)

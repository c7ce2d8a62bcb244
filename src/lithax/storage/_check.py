"""Whether what is stored of an array can be read, and is what was written: every unit is decoded,
and compared with the ledger.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lithax.grid import Index
from lithax.storage._abstract_array import AbstractStoredArray, map_threads
from lithax.storage._foreign_array import ForeignArray
from lithax.storage._journal import recorded_digests
from lithax.storage._ledger import WRITING, digest_in
from lithax.storage._objects import PARTIAL_SUFFIX
from lithax.storage._stored_array import StoredArray

_CHUNK_KEY = re.compile(r"c(/\d+)+|\d+([./]\d+)+")


@dataclass(frozen=True)
class UnitCheck:
    """What was found in some units of an array."""

    defects: list[str] = field(default_factory=list)
    missing: int = 0
    """Units that are not stored."""
    compared: int = 0
    """Units whose bytes were compared with what was recorded when they were written."""


def check_units(
    array: AbstractStoredArray,
    units: list[Index],
    watch: Callable[[int], None] = lambda count: None,
    *,
    record: bool = False,
    workers: int | None = None,
) -> UnitCheck:
    """Decode units of an array one by one, and compare them with the ledger.

    Parameters
    ----------
    array
        The array; of one that is not read by lithax itself the chunks are read instead.
    units
        Which ones, by their place in `unit_grid`.
    watch
        Called with the number of units checked since the last call.
    record
        Put into the ledger what is found of every unit that can be decoded, instead of comparing
        it.
    """
    recorded = recorded_digests(array) if isinstance(array, StoredArray) else {}
    table = array.ledger.table() if isinstance(array, StoredArray) and not record else None

    def check(unit: Index) -> UnitCheck:
        try:
            if not isinstance(array, StoredArray):
                array.read_chunk(unit)
                return UnitCheck()
            return _check_unit(array, unit, recorded.get(unit), None if table is None else table, record)
        except Exception as error:  # whatever it is, it is a defect of this unit
            return UnitCheck([f"{unit}: {error}"])
        finally:
            watch(1)

    found = map_threads(check, units, array.workers if workers is None else workers)
    if record and isinstance(array, StoredArray):
        array.ledger.flush()
    lines = [line for one in found for line in one.defects]
    return UnitCheck(lines, sum(one.missing for one in found), sum(one.compared for one in found))


def _check_unit(array: StoredArray, unit: Index, journal: str | None, table: Any, record: bool) -> UnitCheck:
    payload = array.read_unit(unit)
    digest, key = array.digest(payload), array.unit_key(unit)
    lines = []
    if journal is not None and digest != journal:
        lines.append(f"{key!r} is not what the run that wrote it recorded; write this part again.")
    compared = 0
    if table is not None:
        entry = table[array.number_of(unit)]
        known = None if entry["inferred"] else digest_in(entry)
        compared = int(known is not None or (bool(entry["inferred"]) and payload is None))
        if entry["state"] == WRITING:
            lines.append(
                f"{key!r} was being written when a process was killed, and holds what it held before or after; write this "
                f"part again, or record it as it is (record=True, lithax verify --record)."
            )
        elif known is not None and known != digest and not lines:
            lines.append(_difference(key, known, payload is None, int(entry["size"])))
    if payload is not None:
        for index in array.chunks_of(unit):
            try:
                array.read_chunk(index)
            except OSError as error:
                lines.append(str(error))
                if array.shards is None or "decoded" not in str(error):
                    break
    if record and not lines:
        array.confirm_unit(unit, payload, digest)
    return UnitCheck(list(dict.fromkeys(lines)), int(payload is None), compared)


def _difference(key: str, known: str, missing: bool, size: int) -> str:
    way_out = "write this part again, or, if what is there is right, record it (record=True, lithax verify --record)."
    if missing:
        return f"{key!r} is missing: {size} bytes were written there, and are lost; {way_out}"
    if known == "empty":
        return f"{key!r} is stored, where nothing but the fill value was written: another program wrote it; {way_out}"
    return (
        f"{key!r} holds other bytes than were written there: it was damaged, or another program changed it; {way_out}"
    )


def check_reads(array: AbstractStoredArray) -> None:
    """From now on compare what is read of an array with the ledger."""
    source = array.source if isinstance(array, ForeignArray) else array
    if isinstance(source, StoredArray):
        source.check = True


def check_files(array: AbstractStoredArray) -> list[str]:
    """Return a line on every file of a local array that does not belong to it: outside its grid, or
    half-written.
    """
    directory = array.directory
    if directory is None:
        return []
    source = array.source if isinstance(array, ForeignArray) else array
    if not isinstance(source, StoredArray):
        return []
    expected = {
        Path(source.unit_key(unit).removeprefix(f"{array.path}/" if array.path else "")) for unit in source.unit_grid
    }
    lines = []
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if name.parts[0] in (".lithax", "levels") or not path.is_file():
            continue
        if path.name.endswith(PARTIAL_SUFFIX):
            lines.append(f"{name.as_posix()!r} was left half-written by a process that was killed; it may be removed.")
        elif _CHUNK_KEY.fullmatch(name.as_posix()) and name not in expected:
            lines.append(f"{name.as_posix()!r} lies outside the grid of the image; no reader will ask for it.")
    return lines

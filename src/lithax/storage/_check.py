"""Whether what is stored of an array can be read: every unit is decoded, and compared with what a journal recorded."""

import re
from collections.abc import Callable
from pathlib import Path

from lithax.grid import Index
from lithax.storage._abstract_array import AbstractStoredArray, map_threads
from lithax.storage._foreign_array import ForeignArray
from lithax.storage._journal import recorded_digests
from lithax.storage._objects import PARTIAL_SUFFIX
from lithax.storage._stored_array import StoredArray

_CHUNK_KEY = re.compile(r"c(/\d+)+|\d+([./]\d+)+")


def check_units(
    array: AbstractStoredArray, units: list[Index], watch: Callable[[int], None] = lambda count: None
) -> tuple[list[str], int]:
    """Decode units of an array one by one.

    Parameters
    ----------
    array
        The array; of one that is not read by lithax itself the chunks are read instead.
    units
        Which ones, by their place in `unit_grid`.
    watch
        Called with the number of units checked since the last call.

    Returns
    -------
        A line on every defect, and how many units are not stored: they hold the fill value, or were lost.
    """
    recorded = recorded_digests(array) if isinstance(array, StoredArray) else {}

    def check(unit: Index) -> tuple[list[str], bool]:
        try:
            return _check_unit(array, unit, recorded.get(unit))
        except Exception as error:  # whatever it is, it is a defect of this unit
            return [f"{unit}: {error}"], False
        finally:
            watch(1)

    found = map_threads(check, units, array.workers)
    return [line for lines, _ in found for line in lines], sum(empty for _, empty in found)


def _check_unit(array: AbstractStoredArray, unit: Index, recorded: str | None) -> tuple[list[str], bool]:
    if not isinstance(array, StoredArray):
        array.read_chunk(unit)
        return [], False
    payload = array.read_unit(unit)
    lines = []
    if recorded is not None and array.digest(payload) != recorded:
        lines.append(f"{array.unit_key(unit)!r} is not what the run that wrote it recorded; write this part again.")
    if payload is None:
        return lines, True
    for index in array.chunks_of(unit):
        try:
            array.read_chunk(index)
        except OSError as error:
            lines.append(str(error))
            if array.shards is None or "decoded" not in str(error):
                break
    return list(dict.fromkeys(lines)), False


def check_files(array: AbstractStoredArray) -> list[str]:
    """Return a line on every file of a local array that does not belong to it: outside its grid, or half-written."""
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

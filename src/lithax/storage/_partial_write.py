"""Writing voxels: of the chunks and units that are met in part the rest stays, while nobody else
changes them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np

from lithax.grid import Box, Index, triple
from lithax.storage._abstract_array import AbstractStoredArray, Ranges, map_threads, parts_of, touched
from lithax.storage._ledger import Ledger, PartsLedger
from lithax.storage._objects import Payload
from lithax.storage._place_locks import PlaceLocks, warn_without_locks


class PartialWriteMixin(AbstractStoredArray):
    """The writes of a `StoredArray` that need not cover whole units."""

    ledger: Ledger
    locks: PlaceLocks
    unit_key: Callable[[Index], str]
    unit_of: Callable[[Index], Index]
    number_of: Callable[[Index], int]
    chunks_of: Callable[[Index], Iterator[Index]]
    check_not_lost: Callable[[Index], None]
    encode_chunk: Callable[[Index, np.ndarray], Payload | None]
    assemble_unit: Callable[[Index, Mapping[Index, Payload | None]], Payload | None]
    write_unit: Callable[[Index, Payload | None], None]
    _objects: Any
    _layout: Any
    _unit: Index
    _crop: Callable[[Index, np.ndarray | None], np.ndarray]
    _decode: Callable[[Index, np.ndarray], np.ndarray]
    _damage: Any

    def write(self, box: Box, values: np.ndarray, workers: int | None = None) -> None:
        """Write the voxels of a box; chunks and units that are met in part keep the rest of what
        they hold.

        Parameters
        ----------
        box
            Slices within the image, of unit step.
        values
            Array that broadcasts to the box, of this data type.
        workers
            Number of threads [-]; by default one per core, more for a remote store.
        """
        x, y, z = (range(s.start, s.stop) for s in box)
        self.write_selection((x, y, z), values, workers)

    def write_selection(
        self,
        selection: Ranges,
        values: np.ndarray,
        workers: int | None = None,
        casting: Literal["no", "same_kind", "unsafe"] = "no",
    ) -> None:
        """Write the voxels at three ranges of indices, rewriting only the chunks that hold some.

        Parameters
        ----------
        selection
            One range per axis, inside the image, of any step, also backwards.
        values
            Array that broadcasts to the lengths of the ranges.
        workers
            As in `write`.
        casting
            Which changes of data type are allowed; they are made chunk by chunk.
        """
        self.check_writable()
        if not np.can_cast(values.dtype, self._dtype, casting) and values.dtype != self._dtype:
            raise TypeError(f"values are {values.dtype}; the image is {self._dtype}. Cast first.")
        values = np.broadcast_to(values, tuple(len(r) for r in selection))
        if values.size == 0:
            return
        values = values[tuple(slice(None, None, 1 if r.step > 0 else -1) for r in selection)]
        x, y, z = (r if r.step > 0 else r[::-1] for r in selection)
        ranges = (x, y, z)

        def edit(index: Index) -> Any:
            box = self.grid.box(index)
            parts = parts_of(ranges, box)
            if parts is None:
                return None
            outer, inner = parts
            if _covers(ranges, box):
                return values[outer].astype(self._dtype, copy=False)

            def assign(chunk: np.ndarray) -> None:
                chunk[inner] = values[outer]

            return assign

        whole = {unit: _covers(ranges, self.unit_grid.box(unit)) for unit in touched(ranges, self._unit)}
        self._change_units(whole, lambda unit: edit, workers)

    def write_units(
        self,
        units: Sequence[Index],
        values_of: Callable[[Box], np.ndarray],
        workers: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Write whole units, several at once; what they held is replaced.

        Parameters
        ----------
        units
            Places in `unit_grid`. No other process writes to them, so locks between processes are
            left out.
        values_of
            Returns the voxels of a box, of this data type; it is called by several threads, with
            the boxes of chunks.
        workers
            As in `write`.
        check
            Called between units; what it raises ends the work.
        """
        self.check_writable()

        def replace(index: Index) -> np.ndarray:
            return values_of(self.grid.box(index))

        self._change_units(dict.fromkeys(units, True), lambda unit: replace, workers, True, check)

    def write_points(self, points: np.ndarray, values: np.ndarray, workers: int | None = None) -> None:
        """Write voxels one by one; of a voxel that is named twice the last value stays.

        Parameters
        ----------
        points
            Indices of the voxels, inside the image, shape (n, 3).
        values
            One for each, of this data type, shape (n,).
        workers
            As in `write`.
        """
        self.check_writable()
        if len(points) == 0:
            return
        chunks = np.asarray(self._chunks)
        number: np.ndarray = np.asarray(np.ravel_multi_index(tuple((points // chunks).T), self.grid.counts))
        order = np.argsort(number, kind="stable")
        number = number[order]
        starts = np.flatnonzero(np.diff(number, prepend=-1))
        stops = [*starts[1:], len(number)]
        members: dict[Index, dict[Index, np.ndarray]] = {}
        for start, stop in zip(starts, stops, strict=True):
            index = triple(int(i) for i in np.unravel_index(number[start], self.grid.counts))
            members.setdefault(self.unit_of(index), {})[index] = order[start:stop]

        def edit_of(unit: Index) -> Callable[[Index], Any]:
            def edit(index: Index) -> Any:
                which = members[unit].get(index)
                if which is None:
                    return None
                inside = tuple((points[which] - np.asarray(index) * chunks).T)

                def assign(chunk: np.ndarray) -> None:
                    chunk[inside] = values[which]

                return assign

            return edit

        self._change_units(dict.fromkeys(members, False), edit_of, workers)

    def _change_units(
        self,
        whole: Mapping[Index, bool],
        edit_of: Callable[[Index], Callable[[Index], Any]],
        workers: int | None,
        alone: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Rewrite units, of which some are replaced as a whole; see `_change_unit`."""
        workers = self.workers if workers is None else workers
        # One large shard would occupy one thread: then its chunks are encoded side by side.
        inner = 1 if len(whole) >= workers else workers
        noted: Any = nullcontext()
        if isinstance(self.ledger, PartsLedger) and not alone:
            noted = self.ledger.several([self.number_of(unit) for unit in whole])
            if not all(whole.values()):
                warn_without_locks(self.store, self.where)
        with noted:
            map_threads(lambda u: self._change_unit(u, edit_of(u), whole[u], inner, alone), list(whole), workers, check)

    def _change_unit(self, unit: Index, edit: Callable[[Index], Any], whole: bool, workers: int, alone: bool) -> None:
        """Rewrite a unit while nobody else does.

        `edit` says what becomes of a chunk: None keeps it, an array replaces it, a function changes
        what it held.
        """
        with self.locks.of_unit(unit, alone=alone):
            encoded = {} if whole else self._stored_chunks(unit)

            def change(index: Index) -> tuple[Index, Payload | None]:
                new = edit(index)
                if new is None:
                    return index, encoded.get(index)
                if callable(new):
                    stored = encoded.get(index)
                    old = None if stored is None else self._decode(index, np.frombuffer(stored, np.uint8))
                    chunk = np.array(self._crop(index, old))
                    new(chunk)
                    new = chunk
                return index, self.encode_chunk(index, new)

            chunks = dict(map_threads(change, self.chunks_of(unit), workers))
            self.write_unit(unit, self.assemble_unit(unit, chunks))

    def _stored_chunks(self, unit: Index) -> dict[Index, Payload | None]:
        """Return the encoded chunks that a unit holds, by their place in the grid of the image."""
        data = self._objects.read(self.unit_key(unit))
        if data is None:
            self.check_not_lost(unit)
            return {}
        if self._layout is None:
            return {unit: data.data}
        base = tuple(u * n for u, n in zip(unit, self._layout.counts, strict=True))
        with self._damage(unit):
            parts = self._layout.split(data)
        return {
            (base[0] + place[0], base[1] + place[1], base[2] + place[2]): part.data for place, part in parts.items()
        }


def _covers(selection: Ranges, box: Box) -> bool:
    """Tell whether forward ranges hold every voxel of a box."""
    return all(r.step == 1 and r.start <= s.start and r.stop >= s.stop for r, s in zip(selection, box, strict=True))

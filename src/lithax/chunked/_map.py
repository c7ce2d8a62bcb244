"""Apply a block function over a grid: read, compute and write different blocks at the same time."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from lithax.chunked._block_layout import Layout
from lithax.chunked._block_reader import BlockReader
from lithax.chunked._cache import ChunkCache, layers_fit
from lithax.chunked._map_function import MapFunction
from lithax.chunked._padded import empty_block
from lithax.chunked._pool import run_all
from lithax.chunked._progress import Progress
from lithax.errors import ResumeError
from lithax.grid import EVERYTHING, BlockSink, BlockSource, Box, ChunkGrid, Index, Share, box_shape, shift, triple


@dataclass
class MapJob:
    """Everything one pass over the blocks needs; checked before, so that nothing can fail for a bad
    argument here.
    """

    function: MapFunction
    reader: BlockReader
    """Of the inputs; its cache says how many bytes of decoded chunks are kept."""
    sinks: Sequence[BlockSink]
    journals: Sequence[Any]
    layout: Layout
    """Blocks of the results, of one or more cores of `function` each."""
    workers: int
    label: str
    show_progress: bool
    scale: tuple[Fraction | int, ...] = (1, 1, 1)
    """Voxels of the inputs per voxel of the results."""
    old: Sequence[BlockSource] | None = None
    """Where voxels left out keep their value: the arrays that hold it."""
    in_place: bool = False
    kept: bool = True
    """Whether the results outlive the call if it fails; those that nobody will see may be left half
    done.
    """
    share: Share = EVERYTHING
    """This process's part of the units."""
    watch: Callable[[], None] = lambda: None
    """Raises if another process has failed; called between blocks, in the thread that runs the job.
    """

    def run(self) -> None:
        """Compute every block whose result is not stored yet."""
        order = self._order()
        finished = [self._verify(sink, journal, order) for sink, journal in zip(self.sinks, self.journals, strict=True)]
        collectors = [
            _Collector(sink, journal, self.layout, self.in_place, done)
            for sink, journal, done in zip(self.sinks, self.journals, finished, strict=True)
        ]
        grid = self.layout.grid
        todo = [b for b in order if not all(c.has(grid.box(b)) for c in collectors)]
        total = sum(math.prod(box_shape(grid.box(b))) for b in order)
        already = total - sum(math.prod(box_shape(grid.box(b))) for b in todo)
        progress = Progress(total, self.label, self.show_progress, already)
        reader = replace(self.reader, cache=ChunkCache(self.reader.cache.capacity, self._returns()))

        def work(block: Index) -> int:
            box = grid.box(block)
            results = self._block(reader, grid.start(block), box)
            for collector, result in zip(collectors, results, strict=True):
                if result is not None:
                    collector.add(box, result)
            return math.prod(box_shape(box))

        try:
            workers = min(self.workers, max(len(todo), 1))
            alone = not self.kept and self.share.count == 1
            run_all(todo, work, workers, lambda _, voxels: progress.add(voxels), self.watch, interruptible=alone)
        finally:
            progress.close()

    def _order(self) -> list[Index]:
        # All blocks of one unit follow each other, so that few units are open at a time; units are
        # dealt out whole.
        units = self._units
        order = []
        for u in units:
            if self._owns(u):
                order += list(self.layout.grid.covering(units.box(u)))
        return order

    @property
    def _units(self) -> ChunkGrid:
        unit = triple(math.lcm(self.layout.block[a], *(s.unit[a] for s in self.sinks)) for a in range(3))
        return ChunkGrid(self.layout.shape, unit)

    def _owns(self, unit: Index) -> bool:
        return self.share.owns(self._units, unit)

    def _returns(self) -> Callable[[BlockSource, Index], bool]:
        """Return what tells whether a chunk is that of a block still to come, and will be kept
        until then.
        """
        selection = self.reader.selection
        sources = (*self.reader.sources, *(selection.sources if selection is not None else ()))
        fit = layers_fit(self.reader.cache.capacity, sources)
        units = self._units
        last = triple(n - 1 for n in units.counts)

        def returns(source: BlockSource, index: Index) -> bool:
            if not fit:
                return False
            voxel = (int(i * c / s) for i, c, s in zip(index, source.chunks, self.scale, strict=True))
            return self._owns(triple(min(v // u, e) for v, u, e in zip(voxel, units.chunks, last, strict=True)))

        return returns

    def _block(self, reader: BlockReader, start: Index, box: Box) -> Sequence[np.ndarray | None]:
        """Compute one block, put together from parts where the layout says so."""
        if self.function.core == self.layout.block:
            return self._part(reader, start, box)
        results = [np.empty(box_shape(box), dtype) for dtype in self.function.out_dtypes]
        parts = ChunkGrid(box_shape(box), self.function.core)
        for index in parts:
            inside = parts.box(index)
            at = triple(s + p for s, p in zip(start, parts.start(index), strict=True))
            made = self._part(reader, at, shift(inside, triple(-s for s in start)))
            for result, values in zip(results, made, strict=True):
                result[inside] = values
        return results

    def _part(self, reader: BlockReader, start: Index, box: Box) -> Sequence[np.ndarray | None]:
        """Compute what the function gives at once; None: nothing is selected there, and the storage
        unit stays as it is.
        """
        shape, core = box_shape(box), self.function.core
        inner = tuple(slice(0, n) for n in shape)
        read = reader.read(triple(int(s * k) for s, k in zip(start, self.scale, strict=True)))
        if read is None and self.in_place and self._covers_units:
            return [None] * len(self.sinks)
        old = None if self.old is None else [_block_of(o, box, core) for o in self.old]
        if read is not None:
            results = self.function.call(read, old)
        elif old is not None:
            results = old
        else:
            dtypes, fills = self.function.out_dtypes, self.function.fills
            return [np.full(shape, fill, dtype) for fill, dtype in zip(fills, dtypes, strict=True)]
        return [r[inner] for r in results]

    @property
    def _covers_units(self) -> bool:
        return all(
            b % u == 0 or b >= n
            for sink in self.sinks
            for b, u, n in zip(self.layout.block, sink.unit, self.layout.shape, strict=True)
        )

    def _verify(self, sink: BlockSink, journal: Any, order: Sequence[Index]) -> set[Index]:
        """Return those of this process's units that an earlier attempt recorded, and that are
        stored as it did.
        """
        finished: set[Index] = set()

        def check(unit: Index) -> bool:
            payload = sink.read_unit(unit)
            digest = sink.digest(payload)
            if digest == journal.done[unit]:
                sink.confirm_unit(unit, payload, digest)
                return True
            if self.in_place and digest != journal.old.get(unit):
                raise ResumeError(
                    f"unit {unit} of the image changed in place is neither as before nor as after the interrupted run; "
                    f"something else wrote to it, and it cannot be told whether the change was applied."
                )
            return False

        lock = threading.Lock()

        def work(unit: Index) -> None:
            if check(unit):
                with lock:
                    finished.add(unit)

        if journal.done:
            units = ChunkGrid(sink.shape, sink.unit)
            own = {unit for block in order for unit in units.covering(self.layout.grid.box(block))}
            run_all([unit for unit in journal.done if unit in own], work, self.workers, watch=self.watch)
        return finished


def _block_of(source: BlockSource, box: Box, core: Index) -> np.ndarray:
    values = source.read(box)
    if values.shape == core:
        return values
    block = empty_block(core, source.dtype)
    block[...] = 0
    block[tuple(slice(0, n) for n in values.shape)] = values
    return block


class _Collector:
    """Puts the storage units of one output together and writes those that are complete."""

    def __init__(self, sink: BlockSink, journal: Any, layout: Layout, in_place: bool, done: set[Index]):
        self._sink = sink
        self._journal = journal
        self._in_place = in_place
        self._done = done
        self._blocks = layout.grid
        self._chunks = ChunkGrid(sink.shape, sink.chunks)
        self._units = ChunkGrid(sink.shape, sink.unit)
        self._ratio = tuple(u // c for u, c in zip(sink.unit, sink.chunks, strict=True))
        self._lock = threading.Lock()
        self._open: dict[Index, dict[Index, Any]] = {}
        self._missing: dict[Index, int] = {}

    def has(self, box: Box) -> bool:
        """Whether all units that a block touches are stored already."""
        return bool(self._done) and all(u in self._done for u in self._units.covering(box))

    def add(self, box: Box, values: np.ndarray) -> None:
        """Take in the result of one block."""
        encoded: dict[Index, dict[Index, Any]] = {}
        for index in self._chunks.covering(box):
            unit = triple(i // r for i, r in zip(index, self._ratio, strict=True))
            if unit in self._done:
                continue
            part = shift(self._chunks.box(index), tuple(s.start for s in box))
            encoded.setdefault(unit, {})[index] = self._sink.encode_chunk(index, values[part])
        for unit, chunks in encoded.items():
            with self._lock:
                self._open.setdefault(unit, {}).update(chunks)
                if unit not in self._missing:
                    self._missing[unit] = sum(1 for _ in self._blocks.covering(self._units.box(unit)))
                self._missing[unit] -= 1
                complete = self._open.pop(unit) if self._missing[unit] == 0 else None
            if complete is not None:
                self._write(unit, complete)

    def _write(self, unit: Index, chunks: dict[Index, Any]) -> None:
        payload = self._sink.assemble_unit(unit, chunks)
        digest = self._sink.digest(payload)
        if self._in_place:
            self._journal.record(unit, digest, self._sink.digest(self._sink.read_unit(unit)))
            self._sink.write_unit(unit, payload, digest)
        else:
            self._sink.write_unit(unit, payload, digest)
            self._journal.record(unit, digest)

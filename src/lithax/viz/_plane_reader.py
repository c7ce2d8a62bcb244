"""Voxels of a plane of any image, reading only the chunks that it cuts and keeping a little of what
was decoded.

Of a chunk only the plane is kept that was asked for. When the next one lies beside it, a person
moves through the image: then a *slab* is kept, as many neighbouring planes as fit into a small
memory, of the voxels that are drawn (every second, third, ... of a large image). So moving on
within a slab decodes nothing, and a jump to another place pays for no more than it shows. The
decoded chunks themselves are kept of images that fit into a part of the memory as a whole.
"""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import psutil

from lithax.chunked import ChunkCache, keep_freed_memory
from lithax.grid import BlockSource, ChunkGrid, Index, triple
from lithax.storage import default_workers, map_threads

SLAB = 16 * 2**20
"""Bytes of a slab at most, if it holds more than one plane."""

SLABS = 256 * 2**20
"""Bytes of all planes and slabs that are kept."""


_NEAR = 4
"""A plane lies near the last one if it is within this part of a slab."""


class PlaneReader:
    """Reads planes, and keeps slabs of them."""

    def __init__(self, capacity: int = SLABS):
        self.capacity = capacity
        self.decoded = 0
        """Chunks read so far."""
        self._chunks = _chunk_cache()
        self._slabs: OrderedDict[tuple[Any, ...], tuple[Any, np.ndarray]] = OrderedDict()
        self._bytes = 0
        self._last: dict[tuple[Any, ...], int] = {}  # the plane asked for last, of each source and direction
        self._sources: dict[int, Any] = {}  # planes are known by the identity of their source, which must not be reused
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything, because the stored voxels may have changed."""
        with self._lock:
            self._chunks = _chunk_cache()
            self._slabs.clear()
            self._bytes = 0
            self._last.clear()
            self._sources.clear()

    def read(self, source: BlockSource, normal: int, position: int, across: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Return the voxels of a plane.

        Parameters
        ----------
        source
            An array of three dimensions that is read by chunk.
        normal
            The axis that the plane is perpendicular to.
        position
            Index of the plane along it.
        across, up
            Ascending indices along the two other axes, in the order in which the result has them:
            (x, y), (x, z) or (z, y).

        Returns
        -------
            Shape (len(across), len(up)); it may be read-only.
        """
        axes = _axes(normal)
        series = (id(source), normal, across.tobytes(), up.tobytes())
        plane, slab = (position, position + 1), _slab_around(source, normal, position, across.size * up.size)
        with self._lock:
            before = self._last.get(series)
            self._last[series] = position
            moves_on = before is not None and 0 < _NEAR * abs(position - before) <= slab[1] - slab[0]
            kept = next((span for span in (slab, plane) if (*series, span) in self._slabs), None)
            span = kept or (slab if moves_on else plane)
            key = (*series, span)
            if kept:
                self._slabs.move_to_end(key)
            voxels = self._slabs[key][1] if kept else None
        if voxels is None:
            indices: list[np.ndarray] = [np.arange(*span)] * 3
            indices[axes[0]], indices[axes[1]] = across, up
            voxels = self._decode(source, indices)
            with self._lock:
                self._keep(key, source, voxels)
        values = voxels.take(position - span[0], axis=normal)
        return values.T if axes[0] > axes[1] else values

    def _keep(self, key: tuple[Any, ...], source: BlockSource, slab: np.ndarray) -> None:
        if key in self._slabs:
            return
        self._slabs[key] = (source, slab)
        self._bytes += slab.nbytes
        while self._bytes > self.capacity and len(self._slabs) > 3:  # the three planes of a point always stay
            _, (_, old) = self._slabs.popitem(last=False)
            self._bytes -= old.nbytes

    def _decode(self, source: BlockSource, indices: list[np.ndarray]) -> np.ndarray:
        """Return the voxels at the given indices along each axis."""
        self._sources[id(source)] = source
        keep_freed_memory()
        grid = ChunkGrid(source.shape, source.chunks)
        slab = np.empty(tuple(i.size for i in indices), source.dtype)
        parts = [_by_chunk(i, c) for i, c in zip(indices, source.chunks, strict=True)]

        layered, count = source.layered_axis, [len(i) for i in indices]
        thin = (
            layered is not None
            and 2 * count[layered] <= source.chunks[layered]
            and count[layered] == np.ptp(indices[layered]) + 1
        )

        chunks = self._chunks
        size = int(np.prod(source.shape, dtype=np.int64)) * np.dtype(source.dtype).itemsize
        if size > chunks.capacity:  # chunks would be gone before a plane comes by again
            chunks = ChunkCache(0, lambda source, index: False)

        def read(index: Index) -> None:
            inner = [part[i][1] for part, i in zip(parts, index, strict=True)]
            outer = tuple(part[i][0] for part, i in zip(parts, index, strict=True))
            if thin and layered is not None:
                box = list(grid.box(index))
                first = box[layered].start + int(inner[layered][0])
                box[layered] = slice(first, first + inner[layered].size)
                inner[layered] = inner[layered] - inner[layered][0]
                chunk = chunks.part(source, index, triple(box))
            else:
                chunk = chunks.get(source, index)
            strided = [_as_slice(i) for i in inner]
            slab[outer] = chunk[tuple(strided)] if all(strided) else chunk[np.ix_(*inner)]

        wanted = [(i, j, k) for i in parts[0] for j in parts[1] for k in parts[2]]
        # Also where one thread would be as quick, as for layers in the page cache: a directory may
        # be on another machine.
        map_threads(read, wanted, getattr(source, "workers", None) or default_workers())
        self.decoded += len(wanted)
        return slab


def _axes(normal: int) -> tuple[int, int]:
    """Return the axes across and up of the plane: xy, xz and zy."""
    return {0: (2, 1), 1: (0, 2), 2: (0, 1)}[normal]


def _slab_around(source: BlockSource, normal: int, position: int, voxels: int) -> tuple[int, int]:
    """Return the first plane, and the one after the last, of the slab in which a plane of so many
    voxels lies.
    """
    chunk = source.chunks[normal]
    thickness = min(chunk, max(1, SLAB // max(1, voxels * np.dtype(source.dtype).itemsize)))
    layer = position // chunk
    first = layer * chunk + (position - layer * chunk) // thickness * thickness
    return first, min(first + thickness, (layer + 1) * chunk, source.shape[normal])


def _by_chunk(indices: np.ndarray, chunk: int) -> dict[int, tuple[slice, np.ndarray]]:
    """Return for every chunk along an axis which of the indices lie in it, and where in it."""
    numbers = indices // chunk
    found = {}
    for number in np.unique(numbers):
        start, stop = np.searchsorted(numbers, [number, number + 1])
        found[int(number)] = (slice(int(start), int(stop)), indices[start:stop] - number * chunk)
    return found


def _as_slice(indices: np.ndarray) -> slice | None:
    """Return ascending indices as a slice, which copies nothing; None if they are not regular."""
    steps = np.diff(indices)
    step = int(steps[0]) if steps.size else 1
    return slice(int(indices[0]), int(indices[-1]) + 1, step) if np.all(steps == step) else None


def _chunk_cache() -> ChunkCache:
    """Return a cache for the decoded chunks of images that fit into an eighth of the memory that is
    free.
    """
    return ChunkCache(psutil.virtual_memory().available // 8, lambda source, index: False)

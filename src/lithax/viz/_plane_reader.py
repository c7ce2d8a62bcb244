"""Voxels of a plane of any image, reading only the chunks that it cuts and keeping a little of what was decoded.

A chunk that a plane cuts holds the neighbours of the plane, too. Of every chunk decoded a *slab* is kept: the voxels that
are drawn (every second, third, ... of a large image) of as many neighbouring planes as fit into a small memory. So
moving on within a layer of chunks decodes nothing.
"""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from lithax.chunked import ChunkCache
from lithax.grid import BlockSource, Index
from lithax.storage import default_workers, map_threads

SLAB = 64 * 2**20
"""Bytes of a slab at most, if it holds more than one plane."""

SLABS = 384 * 2**20
"""Bytes of all slabs that are kept."""

CHUNKS = 64 * 2**20
"""Bytes of decoded chunks that are kept: planes that cross in a chunk decode it once."""


class PlaneReader:
    """Reads planes, and keeps slabs of them."""

    def __init__(self, capacity: int = SLABS):
        self.capacity = capacity
        self.decoded = 0
        """Chunks read so far."""
        self._slabs: OrderedDict[tuple[Any, ...], tuple[Any, np.ndarray]] = OrderedDict()
        self._bytes = 0
        self._chunks = ChunkCache(CHUNKS)
        self._sources: dict[int, Any] = {}  # the cache knows sources by their identity, which must not be reused
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything, because the stored voxels may have changed."""
        with self._lock:
            self._slabs.clear()
            self._bytes = 0
            self._chunks = ChunkCache(CHUNKS)
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
            Ascending indices along the two other axes, in the order in which the result has them: (x, y), (x, z) or (z, y).

        Returns
        -------
            Shape (len(across), len(up)); it may be read-only.
        """
        axes = _axes(normal)
        plane_bytes = max(1, across.size * up.size * np.dtype(source.dtype).itemsize)
        chunk = source.chunks[normal]
        thickness = min(chunk, max(1, SLAB // plane_bytes))
        layer = position // chunk
        first = layer * chunk + (position - layer * chunk) // thickness * thickness
        last = min(first + thickness, (layer + 1) * chunk, source.shape[normal])
        key = (id(source), normal, first, across.tobytes(), up.tobytes())
        with self._lock:
            found = self._slabs.get(key)
            if found is not None:
                self._slabs.move_to_end(key)
        if found is None:
            indices: list[np.ndarray] = [np.arange(first, last)] * 3
            indices[axes[0]], indices[axes[1]] = across, up
            slab = self._decode(source, indices)
            with self._lock:
                self._keep(key, source, slab)
        else:
            slab = found[1]
        plane = slab.take(position - first, axis=normal)
        return plane.T if axes[0] > axes[1] else plane

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
        slab = np.empty(tuple(i.size for i in indices), source.dtype)
        parts = [_by_chunk(i, c) for i, c in zip(indices, source.chunks, strict=True)]

        def read(index: Index) -> None:
            chunk = self._chunks.get(source, index)
            inner = tuple(part[i][1] for part, i in zip(parts, index, strict=True))
            outer = tuple(part[i][0] for part, i in zip(parts, index, strict=True))
            if all(isinstance(part, slice) for part in inner):
                slab[outer] = chunk[inner]
            else:
                slab[outer] = chunk[np.ix_(*(np.arange(n)[part] for n, part in zip(chunk.shape, inner, strict=True)))]

        wanted = [(i, j, k) for i in parts[0] for j in parts[1] for k in parts[2]]
        map_threads(read, wanted, getattr(source, "workers", None) or default_workers())
        self.decoded += len(wanted)
        return slab


def _axes(normal: int) -> tuple[int, int]:
    """Return the axes across and up of the plane: xy, xz and zy."""
    return {0: (2, 1), 1: (0, 2), 2: (0, 1)}[normal]


def _by_chunk(indices: np.ndarray, chunk: int) -> dict[int, tuple[slice, Any]]:
    """Return for every chunk along an axis which of the indices lie in it, and where in it: a slice where they are regular."""
    numbers = indices // chunk
    found = {}
    for number in np.unique(numbers):
        start, stop = np.searchsorted(numbers, [number, number + 1])
        inside = indices[start:stop] - number * chunk
        steps = np.diff(inside)
        if steps.size == 0 or (steps[0] > 0 and np.all(steps == steps[0])):
            step = int(steps[0]) if steps.size else 1
            where: Any = slice(int(inside[0]), int(inside[-1]) + 1, step)
        else:
            where = inside
        found[int(number)] = (slice(int(start), int(stop)), where)
    return found

"""Read a block with its halo, every block of the same shape, what lies outside filled by a boundary
rule.
"""

import functools
import itertools
import math
from typing import Any

import numpy as np

from lithax.arrays import boundary_index
from lithax.chunked._cache import ChunkCache
from lithax.chunked._derived_source import AbstractEvaluated, AbstractWindow
from lithax.grid import BlockSource, ChunkGrid, Halo, Index, intersect, triple

_ALIGNMENT = 64


def empty_block(shape: Index, dtype: np.dtype) -> np.ndarray:
    """Return an uninitialised array at an address that JAX takes over without copying."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def read_padded(
    source: BlockSource, cache: ChunkCache, begin: Index, shape: Index, halo: Halo, boundary: str, value: Any
) -> np.ndarray:
    """Return the voxels ``begin ... begin + shape`` of the image continued by `boundary`.

    Up to `halo` voxels beyond the upper faces are what the rule says; further out, where no result
    depends on them, the last of those is repeated.
    """
    rows = [_rows(b, n, size, h, boundary) for b, n, size, h in zip(begin, shape, source.shape, halo, strict=True)]
    if isinstance(source, AbstractEvaluated):
        return _evaluated(source, rows, cache, begin, shape, halo, boundary, value)
    first = (0, 0, 0)
    if isinstance(source, AbstractWindow):
        source, first = source.base, source.offset
    grid = ChunkGrid(source.shape, source.chunks)
    single = len(rows[0].runs) == len(rows[1].runs) == len(rows[2].runs) == 1
    if single and not any(r.filled.size for r in rows):
        box = triple(slice(f + r.runs[0][1], f + r.runs[0][1] + r.runs[0][2]) for f, r in zip(first, rows, strict=True))
        covering = list(grid.covering(box))
        if len(covering) == 1 and grid.box(covering[0]) == box:
            return cache.get(source, covering[0])
    out = empty_block(shape, source.dtype)
    for runs in itertools.product(*(r.placed(f) for f, r in zip(first, rows, strict=True))):
        box = triple(slice(src, src + n) for _, src, n in runs)
        for index in grid.covering(box):
            part = intersect(box, grid.box(index))
            target = tuple(
                slice(p.start - src + dst, p.stop - src + dst) for p, (dst, src, _) in zip(part, runs, strict=True)
            )
            out[target] = cache.part(source, index, part)
    for axis, r in enumerate(rows):
        if r.filled.size:
            at: list[Any] = [slice(None)] * 3
            at[axis] = r.filled
            if boundary == "constant":
                beyond: list[Any] = [slice(None)] * 3
                beyond[axis] = r.outside
                out[tuple(at)] = np.take(out, r.taken_from, axis=axis)
                out[tuple(beyond)] = value
            else:
                out[tuple(at)] = np.take(out, r.taken_from, axis=axis)
    return out


def _evaluated(
    source: AbstractEvaluated,
    rows: "list[_Rows]",
    cache: ChunkCache,
    begin: Index,
    shape: Index,
    halo: Halo,
    boundary: str,
    value: Any,
) -> np.ndarray:
    """Return a block of a function of other sources: what lies outside is a copy of what it gives
    inside.

    A rule that copies voxels may as well copy those of the leaves, of which each voxel is a
    function; the value of a constant rule stands for the result, not for the leaves.
    """
    rule = "nearest" if boundary == "constant" else boundary
    out = source.evaluate([read_padded(leaf, cache, begin, shape, halo, rule, 0) for leaf in source.leaves])
    if boundary == "constant" and any(r.outside.size for r in rows):
        out = out.copy()
        for axis, r in enumerate(rows):
            beyond: list[Any] = [slice(None)] * 3
            beyond[axis] = r.outside
            out[tuple(beyond)] = value
    return out


# Blocks that share a row, column or layer of the grid share its plan.
@functools.lru_cache(4096)
def _rows(begin: int, count: int, size: int, halo: int, boundary: str) -> "_Rows":
    return _Rows(begin, count, size, halo, boundary)


class _Rows:
    """One axis of a padded block: runs read from the image (row, image position, length), and rows
    copied from other rows.
    """

    def __init__(self, begin: int, count: int, size: int, halo: int, boundary: str):
        position = np.arange(begin, begin + count)
        capped = np.minimum(position, size + halo - 1)
        source = boundary_index(capped, size, boundary)
        read = (capped == position) if boundary == "wrap" else (position >= 0) & (position < size)
        rows = np.flatnonzero(read)
        steps = np.flatnonzero((np.diff(source[rows]) != 1) | (np.diff(rows) != 1)) + 1
        self.runs = [(int(r[0]), int(source[r[0]]), len(r)) for r in np.split(rows, steps)]
        self.filled = np.flatnonzero(~read)
        wanted = source[self.filled]
        if boundary == "wrap":
            self.taken_from = capped[self.filled] - begin
        else:
            # Rows that no result depends on may ask for what the block does not hold.
            self.taken_from = np.clip(wanted - begin, rows[0], rows[-1])
        self.outside = np.flatnonzero((position < 0) | (position >= size))

    def placed(self, first: int) -> list[tuple[int, int, int]]:
        """Return the runs of a window that begins at voxel `first` of what is read."""
        return [(row, first + source, length) for row, source, length in self.runs] if first else self.runs

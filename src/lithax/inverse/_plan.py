"""How long an inversion of images will take, and what it needs: measured on a few blocks before the
long run.

Two prices are measured. That of a pair of grey values is what `preview` measures: all draws of up
to 20 000 pairs, on all cores. That of a voxel is everything else (reading, finding equal pairs,
encoding and writing the results), measured with a single draw on whole blocks. The number of pairs
to work out comes from those blocks, too.
"""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lithax.arrays import to_numpy
from lithax.chunked import ChunkCache, available_cores
from lithax.grid import Box, ChunkGrid, box_shape
from lithax.images import (
    Plan,
    VoxelImage,
    as_domain,
    chunk_map,
    from_array,
    make_selection,
    plan,
    plans,
    world_or_connected,
)
from lithax.inverse._invert import bind_to_invert, image_dtype, invert
from lithax.inverse._invert_images import chunk_map_options, invert_block, invert_images
from lithax.inverse._monotone_pieces import Curves, curves
from lithax.inverse._preview import PREVIEWED
from lithax.inverse._statistics import StatisticsRequest, statistics
from lithax.models import Coefficients

_QUIET = {"progress": False}
_BLOCKS = 4
"""Blocks that are looked at, evenly spread over the image."""


@plans(invert)
def plan_inversion(low: Any, high: Any, coefficients: Coefficients, **options: Any) -> Plan:
    """Work out what `lithax.dect.invert` would do with two images, and about how long it would
    take.

    Arguments are those of `lithax.dect.invert`. A few blocks are read and a part of them is
    inverted, with results in a temporary folder, so that this takes some seconds.

    Raises
    ------
    TypeError, ValueError
        As `lithax.dect.invert`; and for arrays, whose inversion `lithax.dect.preview` foresees.
    """
    wanted, given = bind_to_invert(low, high, coefficients, **options)
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, VoxelImage):
            raise TypeError(
                f"{name} is a {type(value).__name__}; plan works out the inversion of images, lx.dect.preview that of arrays."
            )
    table = curves(coefficients, given["density_line"], image_dtype(low, high))
    options = given["options"]
    arguments = chunk_map_options(table, wanted, given["store"], given["path"], given["backend"], options)
    worked_out = plan(chunk_map, invert_block, low, high, **arguments)
    selection = make_selection(as_domain(options.get("where")), low.frame)
    grid = ChunkGrid(low.shape, worked_out.block_shape)
    chosen = sorted({round(k) for k in np.linspace(0, len(grid) - 1, _BLOCKS + 2)[1:-1]})
    boxes = [box for k, index in enumerate(grid) if k in chosen for box in [grid.box(index)]]
    blocks = [_Block.read(low, high, selection, box) for box in boxes]
    share = math.prod(low.shape) / sum(block.low.size for block in blocks)
    one = np.flatnonzero(to_numpy(coefficients.valid))[:1]
    cheap = curves(coefficients[one], None, image_dtype(low, high)) if one.size else table
    each = _seconds_of_pairs(blocks, table, wanted, arguments["backend"])
    rest = _seconds_of_voxels(low, blocks, cheap, replace(wanted, noise=None), options.get("workers"))
    processes = world_or_connected(options.get("world") or low.world).count
    return replace(worked_out, seconds=share * (each + rest) / processes)


class _Block:
    """The voxels of one block, and which of them are taken in."""

    def __init__(self, low: np.ndarray, high: np.ndarray, kept: np.ndarray):
        self.low, self.high, self.kept = low, high, kept

    @classmethod
    def read(cls, low: VoxelImage, high: VoxelImage, selection: Any, box: Box) -> "_Block":
        first, second = low.stored.read(box), high.stored.read(box)
        kept = np.ones(first.shape, bool)
        if selection is not None:
            begin = tuple(part.start for part in box)
            kept = selection.block(ChunkCache(0), begin, box_shape(box), (0, 0, 0), "reflect", False)
        return cls(first, second, kept)

    def to_invert(self, wanted: StatisticsRequest, dtype: np.dtype) -> np.ndarray:
        """Return the pairs that will be worked out, of shape (pairs, 2)."""
        pairs = np.stack([self.low[self.kept], self.high[self.kept]], axis=-1).astype(dtype)
        if wanted.noise is not None or dtype != np.float32 or not pairs.size:
            return pairs
        return np.unique(pairs.view(np.uint64)).view(np.float32).reshape(-1, 2)


def _seconds_of_pairs(blocks: Sequence[_Block], table: Curves, wanted: StatisticsRequest, backend: str) -> float:
    """Return what the draws of these blocks will take."""
    dtype = table.reference_low.dtype
    found = [block.to_invert(wanted, dtype) for block in blocks]
    voxels = sum(int(np.count_nonzero(block.kept)) for block in blocks)
    every = np.concatenate(found)
    if not every.size:
        return 0.0
    few = every[np.linspace(0, len(every) - 1, min(len(every), PREVIEWED)).astype(int)]
    first, second = few[:, 0].copy(), few[:, 1].copy()
    if backend != "numpy":
        # An accelerator works out every voxel.
        low, high = (from_array(column[:, None, None]) for column in (first, second))
        seconds = _twice(lambda: invert_images(low, high, table, wanted, None, None, backend, _QUIET))
        return seconds * voxels / len(few)
    position = np.arange(len(few), dtype=np.int32)
    places = (position, position, position)
    seconds = _twice(lambda: statistics(table, first, second, wanted, places, available_cores()))
    return seconds * len(every) / len(few)


def _seconds_of_voxels(
    low: VoxelImage, blocks: Sequence[_Block], table: Curves, wanted: StatisticsRequest, workers: int | None
) -> float:
    """Return what reading these blocks, and writing the results, will take."""
    shape = tuple(max(block.low.shape[axis] for block in blocks) for axis in range(3))
    # Blocks at the far faces are smaller; all are filled up to one shape, side by side.
    both = [np.concatenate([_filled(getattr(b, name), shape) for b in blocks]) for name in ("low", "high")]
    taken = np.concatenate([_filled(b.kept, shape) for b in blocks])
    chunks = tuple(min(c, n) for c, n in zip(low.chunks, shape, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        first, second = (from_array(v, chunks, place / name) for v, name in zip(both, ("low", "high"), strict=True))
        options = {**_QUIET, "overwrite": True, "where": None if taken.all() else taken, "workers": workers}
        seconds = _twice(lambda: invert_images(first, second, table, wanted, place / "out", None, "numpy", options))
    return seconds * sum(b.low.size for b in blocks) / taken.size


def _filled(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return np.pad(values, [(0, n - m) for n, m in zip(shape, values.shape, strict=True)], mode="edge")


def _twice(work: Any) -> float:
    """Return how long something takes once everything is loaded and compiled [s]."""
    work()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin

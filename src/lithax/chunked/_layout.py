"""How the work is cut: blocks that cover whole chunks and never share a storage unit by half."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from lithax.grid import ChunkGrid, Index, triple

BLOCK_VOXELS = 128**3
"""Blocks are grown from small chunks up to about this many voxels: launching one then costs little beside computing it."""

ANY_MACHINE = 16
"""Stands for the number of workers in a layout: neither the order of a sum nor whether a run can go on elsewhere may depend on
the machine, or on the number of processes."""


@dataclass(frozen=True)
class Layout:
    """Blocks of one shape over the output image."""

    shape: Index
    block: Index

    @property
    def grid(self) -> ChunkGrid:
        return ChunkGrid(self.shape, self.block)


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def owner(grid: ChunkGrid, block: Index, count: int) -> int:
    """Return which of `count` processes works on a block: each has a stretch of them, as equal as can be."""
    return grid.linear(block) * count // len(grid)


def choose_layout(
    shape: Index, chunks: Sequence[Index], units: Sequence[Index], workers: int, multiple: Index = (1, 1, 1)
) -> Layout:
    """Return blocks for outputs with these chunks and storage units.

    A block covers whole chunks of every output. Where an output has units larger than that (shards), blocks divide
    them, so that each unit is put together from whole blocks. Block edges are multiples of `multiple`: on a finer grid, the
    voxels that one voxel of the input becomes stay together.
    """
    least = tuple(math.lcm(multiple[a], *(c[a] for c in chunks)) for a in range(3))
    block = [min(n, size) for n, size in zip(least, shape, strict=True)]
    limits = []
    for a in range(3):
        unit = math.lcm(multiple[a], *(u[a] for u in units))
        limits.append(unit if unit > least[a] else None)
    wanted = 2 * workers

    def count(b: Sequence[int]) -> int:
        return math.prod(-(-n // w) for n, w in zip(shape, b, strict=True))

    growing = True
    while growing:
        growing = False
        # The shortest axis first: near-cubic blocks have the smallest halo.
        for a in sorted(range(3), key=lambda a: block[a]):
            grown = list(block)
            grown[a] = _next(block[a], least[a], limits[a], shape[a])
            if grown[a] != block[a] and math.prod(grown) <= BLOCK_VOXELS and count(grown) >= wanted:
                block, growing = grown, True
                break
    return Layout(shape, triple(block))


def _next(now: int, least: int, unit: int | None, size: int) -> int:
    if now >= size:
        return now
    for factor in range(2, 9):
        larger = now * factor
        if unit is None or (larger <= unit and unit % larger == 0) or larger % unit == 0:
            return min(larger, size)
    return now

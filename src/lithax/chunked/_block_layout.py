"""How the work is cut: blocks that cover whole chunks and never share a storage unit by half."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lithax.grid import ChunkGrid, Index, triple

BLOCK_VOXELS = 128**3
"""Blocks are grown from small chunks up to about this many voxels: launching one then costs little
beside computing it.
"""

ANY_MACHINE = 16
"""Stands for the number of workers in a layout: neither the order of a sum nor whether a run can go
on elsewhere may depend on the machine, or on the number of processes."""


@dataclass(frozen=True)
class Layout:
    """Blocks of one shape over the output image."""

    shape: Index
    block: Index

    @property
    def grid(self) -> ChunkGrid:
        return ChunkGrid(self.shape, self.block)

    def place(self, start: Index) -> int:
        """Place in C order of the block that begins at a voxel."""
        return self.grid.linear(triple(s // b for s, b in zip(start, self.block, strict=True)))


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_layout(
    shape: Index, chunks: Sequence[Index], units: Sequence[Index], workers: int, multiple: Index = (1, 1, 1)
) -> Layout:
    """Return blocks for outputs with these chunks and storage units.

    A block covers whole chunks of every output. Where an output has units larger than that
    (shards), blocks divide them, so that each unit is put together from whole blocks. Block edges
    are multiples of `multiple`: on a finer grid, the voxels that one voxel of the input becomes
    stay together.
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
            grown[a] = _next(block[a], limits[a], shape[a])
            if grown[a] != block[a] and math.prod(grown) <= BLOCK_VOXELS and count(grown) >= wanted:
                block, growing = grown, True
                break
    return Layout(shape, triple(block))


def choose_part(layout: Layout, scale: Sequence[Fraction | int], chunks: Sequence[Index]) -> Index:
    """Return the part of a block that is computed at once where a voxel of the result is made of
    several of these inputs.

    Such a block is made of many times the voxels that it has. It is put together from parts that
    are made of whole chunks of every input and of no more than `BLOCK_VOXELS`: a decoded chunk goes
    to the function as it is, and every buffer is small. Without such parts, and where the result is
    not coarser, it is the block itself.

    Examples
    --------
    >>> choose_part(Layout((256, 256, 256), (128, 128, 128)), (2, 2, 2), [(128, 128, 128)])
    (64, 64, 64)
    """
    if all(s == 1 for s in scale) or any(s.denominator != 1 for s in scale):
        return layout.block
    edges = [int(s) for s in scale]
    # Along an axis with a single block, the last part may reach beyond it: so it does beyond the
    # image.
    units = [None if b >= n else b for b, n in zip(layout.block, layout.shape, strict=True)]
    part = []
    for a, (b, edge) in enumerate(zip(layout.block, edges, strict=True)):
        least = math.lcm(edge, *(c[a] for c in chunks)) // edge
        fits = least < b and (units[a] is None or b % least == 0)
        part.append(least if fits else b)
    growing = True
    while growing:
        growing = False
        for a in sorted(range(3), key=lambda a: part[a] * edges[a]):
            grown = list(part)
            grown[a] = _next(part[a], units[a], layout.block[a])
            if grown[a] != part[a] and math.prod(grown) * math.prod(edges) <= BLOCK_VOXELS:
                part, growing = grown, True
                break
    return triple(part)


def _next(now: int, unit: int | None, size: int) -> int:
    if now >= size:
        return now
    for factor in range(2, 9):
        larger = now * factor
        if unit is None or (larger <= unit and unit % larger == 0) or larger % unit == 0:
            return min(larger, size)
    return now

"""One pass over the blocks of an image, done: the blocks it sees, a fold, and a settle.

A map is a `MapJob` of the function that `pass_function` makes.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.chunked._block_layout import ANY_MACHINE, Layout, choose_layout
from lithax.chunked._block_reader import BlockReader, ReadBlock
from lithax.chunked._faces import toward
from lithax.chunked._map_function import MapFunction
from lithax.chunked._passes import FoldPass, MapPass, PassBlock, SettlePass
from lithax.chunked._pool import run_all
from lithax.chunked._progress import Progress
from lithax.chunked._reduce import each_block
from lithax.grid import Box, ChunkGrid, Halo, Index, World, triple


def pass_block(read: ReadBlock, halo: Halo, layout: Layout) -> PassBlock:
    """Return a block that was read with its halo, without what lies outside the image."""
    size = triple(s.stop for s in read.inside)
    ends = [(s, s + n) for s, n in zip(read.start, size, strict=True)]
    before = triple(min(h, a) for h, (a, _) in zip(halo, ends, strict=True))
    after = (min(h, n - b) for h, (_, b), n in zip(halo, ends, layout.shape, strict=True))
    cut = triple(slice(h - b, h + n + a) for h, b, n, a in zip(halo, before, size, after, strict=True))
    return PassBlock(
        box=triple(slice(a, b) for a, b in ends),
        core=triple(slice(b, b + n) for b, n in zip(before, size, strict=True)),
        arrays=tuple(block[cut] for block in read.blocks),
        valid=None if read.valid_padded is None else read.valid_padded[cut],
        place=layout.place(read.start),
        shape=layout.shape,
    )


def pass_layout(shape: Index, chunks: Sequence[Index], units: Sequence[Index], spans: Sequence[int] = ()) -> Layout:
    """Return the blocks of a pass: whole chunks of what is written, and the whole image along the
    axes it spans.
    """

    def spanning(edges: Index) -> Index:
        return triple(shape[a] if a in spans else n for a, n in enumerate(edges))

    return choose_layout(shape, [*map(spanning, chunks)], [*map(spanning, units)], ANY_MACHINE)


def pass_function(work: MapPass, layout: Layout) -> MapFunction:
    """Return the kernel of a map as the function of blocks that a `MapJob` calls."""

    def call(read: ReadBlock, old: Any) -> Sequence[np.ndarray]:
        block = pass_block(read, work.halo, layout)
        results = work.kernel(block)
        made = []
        for field, result in zip(work.fields, results, strict=True):
            if result.shape != block.size:
                raise ValueError(f"{work.name} returned shape {result.shape} for a block of {block.size} voxels.")
            values = result.astype(field.dtype, copy=False)
            if block.valid is not None and not field.scratch and not work.every_block:
                values = np.where(block.inner(block.valid), values, np.asarray(field.fill, field.dtype))
            made.append(values)
        return made

    dtypes = tuple(np.dtype(field.dtype) for field in work.fields)
    return MapFunction(call, layout.block, dtypes, dtypes, fills=tuple(field.fill for field in work.fields))


def fold_blocks(work: FoldPass, reader: BlockReader, world: World, **over: Any) -> Any:
    """Do a fold; `over` is for `each_block`."""
    each_block(
        reader,
        lambda read: (block := pass_block(read, work.halo, reader.layout), work.kernel(block)),
        lambda _, both: work.take(*both),
        **over,
    )
    return work.finish(world)


def settle_blocks(
    work: SettlePass, layout: Layout, sources: Sequence[Any], world: World, *, workers: int, label: str,
    show_progress: bool, share: Any, watch: Any,
) -> None:  # fmt: skip
    """Do blocks, and again those beside which something changed, until no process has one left.

    `sources` are the state and the inputs.
    """
    grid = layout.grid
    own = set(share.of(grid))
    todo, round_number = own, 0
    while True:
        round_number += 1
        touched: set[Index] = set()
        progress = Progress(len(todo), f"{label}, round {round_number}", show_progress)

        def change(index: Index) -> list[Index]:
            block = _block_around(grid.box(index), grid.linear(index), work.halo, layout, sources)
            before, after = block.inner(block.arrays[0]), work.kernel(block)
            moved = before != after
            if not moved.any():
                return []
            work.state.zarray[block.box] = after
            return _beside(grid, index, moved)

        def done(_: Index, neighbours: list[Index], progress: Progress = progress, touched: set = touched) -> None:
            progress.add(1)
            touched.update(neighbours)

        try:
            run_all(sorted(todo), change, min(workers, max(1, len(todo))), done, watch)
        finally:
            progress.close()
        everyone = set().union(*world.gather(touched)) if world.count > 1 else touched
        if not everyone:
            return
        todo = everyone & own


def _block_around(box: Box, place: int, halo: Halo, layout: Layout, sources: Sequence[Any]) -> PassBlock:
    """Read a block as it is now, past every cache, with its halo as far as the image reaches."""
    grown = triple(
        slice(max(0, s.start - h), min(n, s.stop + h)) for s, h, n in zip(box, halo, layout.shape, strict=True)
    )
    core = triple(slice(s.start - g.start, s.stop - g.start) for s, g in zip(box, grown, strict=True))
    return PassBlock(box, core, tuple(source.read(grown) for source in sources), None, place, layout.shape)


def _beside(grid: ChunkGrid, index: Index, moved: np.ndarray) -> list[Index]:
    """Return the neighbours of a block, across faces, edges and corners, that see one of the voxels
    that moved.
    """
    found = []
    for offset in itertools.product((-1, 0, 1), repeat=3):
        other = triple(i + o for i, o in zip(index, offset, strict=True))
        inside = all(0 <= i < n for i, n in zip(other, grid.counts, strict=True))
        if any(offset) and inside and moved[toward(triple(offset))].any():
            found.append(other)
    return found

"""Passes over the blocks of an image, of which algorithms on whole images are made.

A *map* writes voxels: a function of a block and its halo, in host memory, whose block may span
whole axes. A *fold* keeps something of every block, in the order of the blocks, and makes one
result of it. A *settle* changes a scratch image in place until nothing changes any more. An
algorithm is a generator: it yields a pass and is sent its result, so that a pass may depend on
those before. `lithax.images.run_algorithm` drives it.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.chunked._block_layout import ANY_MACHINE, Layout, choose_layout
from lithax.chunked._block_reader import ReadBlock
from lithax.chunked._faces import toward
from lithax.chunked._map_function import MapFunction
from lithax.grid import Box, ChunkGrid, Halo, Index, World, box_shape, triple


@dataclass(frozen=True)
class PassBlock:
    """What a pass sees of one block: its voxels and those around, as far as they lie inside the
    image.
    """

    box: Box
    """The voxels of the block in the image."""
    core: Box
    """The same voxels in the arrays."""
    arrays: tuple[np.ndarray, ...]
    """One per input of the pass; all of one shape: the block and its halo, cut at the faces of the
    image.
    """
    valid: np.ndarray | None
    """True for voxels taken in, over the shape of the arrays; None: all are."""
    place: int
    """Place of the block in C order."""
    shape: Index
    """Shape of the image."""

    @property
    def begin(self) -> Index:
        """Image index of the first voxel of the arrays."""
        return triple(b.start - c.start for b, c in zip(self.box, self.core, strict=True))

    @property
    def size(self) -> Index:
        """Voxels of the block along each axis."""
        return box_shape(self.box)

    def inner(self, array: np.ndarray) -> np.ndarray:
        """Return the block of an array that has the halo, too."""
        return array[self.core]

    def valid_or_all(self) -> np.ndarray:
        """Return the voxels taken in as an array, also where all are."""
        return np.ones(self.arrays[0].shape, bool) if self.valid is None else self.valid


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


@dataclass(frozen=True)
class Field:
    """What a map writes: one of the results of the algorithm, or an image that only later passes
    see.
    """

    dtype: np.dtype
    scratch: bool = False
    fill: Any = 0
    """Value of the voxels that are left out: of a result each of them, of a scratch image only
    blocks without a voxel that takes part."""


@dataclass(frozen=True)
class MapPass:
    """A pass that writes one value per voxel, recorded unit by unit, so that a killed run
    resumes.
    """

    name: str
    kernel: Callable[[PassBlock], Sequence[np.ndarray]]
    """Returns the block of each field: shape `PassBlock.size`. Called in several threads at once.
    """
    inputs: Sequence[Any]
    """Images of the call, or what an earlier map wrote."""
    fields: Sequence[Field]
    halo: Halo = (0, 0, 0)
    spans: tuple[int, ...] = ()
    """Axes along which one block reaches through the whole image."""
    voxel_bytes: int = 16
    """Memory that the kernel needs for a voxel of its block and halo besides inputs and results
    [byte].
    """
    selects: bool = True
    """Whether the pass is told which voxels take part, and done only where some do."""
    every_block: bool = False
    """Whether it is done everywhere all the same, and what it returns for voxels left out is
    written.
    """


@dataclass(frozen=True)
class FoldPass:
    """A pass that makes one result of all blocks."""

    name: str
    kernel: Callable[[PassBlock], Any]
    """Returns what is kept of a block. Called in several threads at once."""
    take: Callable[[PassBlock, Any], None]
    """Takes what was kept, block by block in C order."""
    finish: Callable[[World], Any]
    """Makes the result when all are taken; every process calls it."""
    inputs: Sequence[Any]
    halo: Halo = (0, 0, 0)
    voxel_bytes: int = 16
    selects: bool = True
    kept_bytes: float = 0.0
    """Memory that stays in use after a block, for a voxel of it [byte]: an estimate, for the plan.
    """
    assumed: Any = None
    """The result with which `lithax.plan` goes on, which reads no voxel."""


@dataclass(frozen=True)
class SettlePass:
    """A pass that changes a scratch image in place, block by block, until nothing changes any more.

    Only for a kernel with one fixed point that is reached from every state on the way, in whatever
    order blocks are done (as in a reconstruction, which only ever rises below its mask): else the
    result would depend on the grid. A run that was killed goes on from the state it left.
    """

    name: str
    kernel: Callable[[PassBlock], np.ndarray]
    """Returns the new values of the block; `PassBlock.arrays` begins with the state."""
    state: Any
    """The scratch image, written by a map before."""
    inputs: Sequence[Any] = ()
    halo: Halo = (1, 1, 1)
    voxel_bytes: int = 16
    selects: bool = False


Pass = MapPass | FoldPass | SettlePass


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


def block_around(box: Box, place: int, halo: Halo, layout: Layout, sources: Sequence[Any]) -> PassBlock:
    """Read a block as it is now, past every cache, with its halo as far as the image reaches."""
    grown = triple(
        slice(max(0, s.start - h), min(n, s.stop + h)) for s, h, n in zip(box, halo, layout.shape, strict=True)
    )
    core = triple(slice(s.start - g.start, s.stop - g.start) for s, g in zip(box, grown, strict=True))
    return PassBlock(box, core, tuple(source.read(grown) for source in sources), None, place, layout.shape)


def beside(grid: ChunkGrid, index: Index, moved: np.ndarray) -> list[Index]:
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

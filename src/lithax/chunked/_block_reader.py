"""Read one block of every image of a call, and which of its voxels count."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.chunked._block_layout import Layout
from lithax.chunked._cache import ChunkCache
from lithax.chunked._padded import read_padded
from lithax.chunked._valid_blocks import Selection
from lithax.grid import BlockSource, Box, Halo, Index, triple


@dataclass
class ReadBlock:
    """One block of every image.

    Arrays have the shape of the core (of `core`), each of `blocks` and `valid_padded` with its halo
    on both sides.
    """

    start: Index
    """Image index of the first voxel of the core."""
    blocks: list[np.ndarray]
    core: Index
    inside: Box
    """The voxels of the core that lie inside the image; a block at an upper face may reach beyond
    it.
    """
    valid_padded: np.ndarray | None
    """True for voxels taken in, over the core and the largest halo; None without a selection."""
    donor_voxel: Index
    """Position in the core of a voxel taken in."""

    image_shape: Index

    def valid_within(self, halo: Halo) -> np.ndarray:
        """Return True for voxels of the core and of a halo that lie inside the image and are taken
        in.
        """
        if not any(halo):
            return self.valid
        shape = _grown(self.core, halo)
        if self.valid_padded is None:
            valid = np.ones(shape, bool)
        else:
            less = ((n - m) // 2 for n, m in zip(self.valid_padded.shape, shape, strict=True))
            valid = self.valid_padded[tuple(slice(w, w + n) for w, n in zip(less, shape, strict=True))].copy()
        for axis, (start, n, h, size) in enumerate(zip(self.start, shape, halo, self.image_shape, strict=True)):
            position = np.arange(start - h, start - h + n)
            valid[(slice(None),) * axis + ((position < 0) | (position >= size),)] = False
        return valid

    @functools.cached_property
    def valid(self) -> np.ndarray:
        """True for voxels of the core that lie inside the image and are taken in."""
        return _valid_core(self.core, self.inside, self.valid_padded)


@dataclass
class BlockReader:
    """Reads the blocks of several images, padded by one boundary rule, and the voxels that count
    among them.
    """

    sources: Sequence[BlockSource]
    layout: Layout
    """Blocks of the images that are read; `layout.block` is the core."""
    selection: Selection | None
    cache: ChunkCache
    compiled: bool
    halos: tuple[Halo, ...]
    boundary: str = "reflect"
    boundary_value: Any = 0
    replaces: bool = True
    """Whether voxels left out hold the value of a voxel taken in, in images without a halo: then
    they cannot influence a function that was not told of them."""
    skips: bool = True
    """Whether blocks in which no voxel counts are not read."""

    @property
    def widest(self) -> Halo:
        """The largest halo of all images."""
        return triple(max(h[a] for h in self.halos) for a in range(3))

    @property
    def block_shapes(self) -> tuple[Index, ...]:
        """Shape of a block of each image."""
        return tuple(_grown(self.layout.block, halo) for halo in self.halos)

    def read(self, start: Index) -> ReadBlock | None:
        """Return the block whose core begins at a voxel of the image; None if none of its voxels
        counts.
        """
        core, widest = self.layout.block, self.widest
        inside = triple(slice(0, min(c, n - s)) for c, n, s in zip(core, self.layout.shape, start, strict=True))
        valid_padded, donor = None, (0, 0, 0)
        if self.selection is not None:
            begin = triple(s - w for s, w in zip(start, widest, strict=True))
            valid_padded = self.selection.block(
                self.cache, begin, _grown(core, widest), widest, self.boundary, self.compiled
            )
        read = ReadBlock(start, [], core, inside, valid_padded, donor, self.layout.shape)
        if valid_padded is not None:
            read.donor_voxel = triple(map(int, np.unravel_index(int(np.argmax(read.valid)), core)))
            if self.skips and not read.valid[read.donor_voxel]:
                return None
        for source, halo in zip(self.sources, self.halos, strict=True):
            begin = triple(s - h for s, h in zip(start, halo, strict=True))
            values = read_padded(
                source, self.cache, begin, _grown(core, halo), halo, self.boundary, self.boundary_value
            )
            if self.replaces and valid_padded is not None and not any(halo):
                values = np.where(read.valid, values, values[read.donor_voxel])
            read.blocks.append(values)
        return read


def _grown(core: Index, halo: Halo) -> Index:
    return triple(c + 2 * h for c, h in zip(core, halo, strict=True))


def _valid_core(core: Index, inside: Box, valid_padded: np.ndarray | None) -> np.ndarray:
    valid = np.zeros(core, bool)
    if valid_padded is None:
        valid[inside] = True
    else:
        widest = ((n - c) // 2 for n, c in zip(valid_padded.shape, core, strict=True))
        valid[inside] = valid_padded[tuple(slice(w, w + s.stop) for w, s in zip(widest, inside, strict=True))]
    return valid

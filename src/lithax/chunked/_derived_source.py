"""Sources of blocks that follow from others: a window of one, and a function of several, voxel by
voxel.

They are read through what they follow from, so that the chunks of an array that stands in several
of them are decoded once, and shared like any other chunk.
"""

import abc
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lithax.grid import BlockSource, Index


class AbstractWindow(abc.ABC):
    """A box of another source, with faces of its own."""

    base: BlockSource
    offset: Index
    """The voxel of `base` that is the first of the window."""


class AbstractEvaluated(abc.ABC):
    """A function of the voxels of other sources (arrays, images and windows of them) of the same
    shape.
    """

    leaves: tuple[BlockSource, ...]
    bytes_per_voxel: int
    """What evaluating holds at most at once, leaves and result included [byte]."""

    @abc.abstractmethod
    def evaluate(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return the voxels that follow from those of the leaves; the given arrays are not
        changed.
        """


def stored_sources(sources: Iterable[BlockSource]) -> Iterator[tuple[BlockSource, Index]]:
    """Yield what is decoded when sources are read, each with the voxel where it begins to be
    read.
    """
    for source in sources:
        if isinstance(source, AbstractEvaluated):
            yield from stored_sources(source.leaves)
        elif isinstance(source, AbstractWindow):
            yield source.base, source.offset
        else:
            yield source, (0, 0, 0)


def largest_chunk(sources: Iterable[BlockSource]) -> int:
    """Return the size of the largest chunk that is decoded when sources are read [byte]."""
    return max(math.prod(s.chunks) * s.dtype.itemsize for s, _ in stored_sources(sources))


def evaluation_bytes(sources: Iterable[BlockSource], shapes: Iterable[Sequence[int]]) -> int:
    """Return what evaluating one block of each source holds besides the result [byte]."""
    return sum(
        math.prod(shape) * source.bytes_per_voxel
        for source, shape in zip(sources, shapes, strict=False)
        if isinstance(source, AbstractEvaluated)
    )

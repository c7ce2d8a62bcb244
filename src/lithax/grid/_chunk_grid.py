"""A regular grid of boxes over an image: integer arithmetic only."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Index = tuple[int, int, int]
Box = tuple[slice, slice, slice]

_Value = TypeVar("_Value")


def triple(values: Iterable[_Value]) -> tuple[_Value, _Value, _Value]:
    """Return three values, one per axis, as a tuple of that length."""
    x, y, z = values
    return x, y, z


@dataclass(frozen=True)
class ChunkGrid:
    """Boxes of one shape that tile an image; the last ones may reach beyond it.

    Examples
    --------
    >>> grid = ChunkGrid((5, 4, 4), (2, 4, 4))
    >>> grid.counts, len(grid)
    ((3, 1, 1), 3)
    >>> grid.box((2, 0, 0))
    (slice(4, 5, None), slice(0, 4, None), slice(0, 4, None))
    """

    shape: Index
    chunks: Index

    @property
    def counts(self) -> Index:
        """Number of boxes along each axis."""
        (nx, ny, nz), (cx, cy, cz) = self.shape, self.chunks  # written out: asked for ten times a block
        return -(-nx // cx), -(-ny // cy), -(-nz // cz)

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Index]:
        """Indices in C order: the last axis runs fastest."""
        return map(triple, itertools.product(*(range(n) for n in self.counts)))

    def start(self, index: Index) -> Index:
        """First voxel of a box."""
        return triple(i * c for i, c in zip(index, self.chunks, strict=True))

    def box(self, index: Index) -> Box:
        """The part of a box that lies inside the image."""
        (i, j, k), (cx, cy, cz), (nx, ny, nz) = index, self.chunks, self.shape
        return (
            slice(i * cx, min(i * cx + cx, nx)),
            slice(j * cy, min(j * cy + cy, ny)),
            slice(k * cz, min(k * cz + cz, nz)),
        )

    def covering(self, box: Box) -> Iterator[Index]:
        """Indices of the boxes that meet a box of the image, in C order."""
        indices = itertools.product(
            *(
                range(s.start // c, -(-s.stop // c)) if s.stop > s.start else range(0)
                for s, c in zip(box, self.chunks, strict=True)
            )
        )
        return map(triple, indices)

    def linear(self, index: Index) -> int:
        """Place of a box in C order."""
        n = self.counts
        return (index[0] * n[1] + index[1]) * n[2] + index[2]

    def index(self, place: int) -> Index:
        """Index of the box at a place in C order."""
        n = self.counts
        return place // (n[1] * n[2]), place // n[2] % n[1], place % n[2]


def box_shape(box: Box) -> Index:
    """Number of voxels of a box along each axis."""
    x, y, z = box
    return x.stop - x.start, y.stop - y.start, z.stop - z.start


def shift(box: Box, offset: Index) -> Box:
    """The same box, seen from another origin."""
    return triple(slice(s.start - o, s.stop - o) for s, o in zip(box, offset, strict=True))


def intersect(a: Box, b: Box) -> Box:
    """The voxels common to two boxes (empty slices where there are none)."""
    return triple(
        slice(max(p.start, q.start), max(min(p.stop, q.stop), max(p.start, q.start))) for p, q in zip(a, b, strict=True)
    )

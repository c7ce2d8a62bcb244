"""Which parts of the conducting phase join the ends, where the voxels come in pieces: over devices
and processes, each of which labels its own pieces and tells all what lies on their faces; or, of an
image larger than memory, one after the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lithax.arrays import HALF_OFFSETS, bincount, joined_around, label_block, lookup, touching_pairs
from lithax.grid import Index
from lithax.runtime import AbstractWorld
from lithax.solve._percolation import joining_ends


@dataclass(frozen=True)
class PieceFaces:
    """What is told of a piece."""

    start: Index
    shape: Index
    labels: dict[tuple[int, int], np.ndarray]
    """On its lower (0) and upper (-1) faces across each axis; numbered among those that lie on
    one.
    """
    sizes: np.ndarray
    """Voxels of these components; the first entry is the background's."""
    total: int
    within: int
    """Components that lie on no face."""


@dataclass(frozen=True)
class PartPercolation:
    """What joins the ends: by the start of each piece of this process, and counts over all."""

    keep: dict[Index, np.ndarray]
    total: int
    accessible: int
    percolating: int
    removed: int
    """Components that do not join the ends."""
    corners_only: bool
    """Nothing joins the ends through faces, but something does through edges and corners."""
    along: tuple[bool, bool, bool] = (True, True, True)
    """As of `Percolation`."""


def percolation_of_parts(
    pieces: Mapping[Index, np.ndarray],
    shape: Index,
    axis: int | None,
    ends: str,
    periodic: tuple[bool, bool, bool],
    world: AbstractWorld,
    *,
    reservoir: int = 0,
    look_at_corners: bool = True,
) -> PartPercolation:
    """Find what joins the ends of an image that lies in pieces; every process must call it.

    Parameters
    ----------
    pieces
        The conducting voxels of this process: boolean, by where the piece begins. All pieces make
        up a grid, and end where their neighbours begin.
    shape
        Of the image.
    axis, ends, periodic, look_at_corners
        As in `percolation`.
    world
        The processes.
    reservoir
        How many of the layers at both ends of the axis join, and are not counted.
    """
    sample = _sample(pieces, shape, axis, reservoir)
    known, found = _labelled(pieces, sample, shape, world, 6)
    counts = found.counts(*found.joining(axis, ends, periodic))
    corners = False
    if counts.percolating == 0 and counts.total and look_at_corners and ends == "potential" and axis is not None:
        corners = parts_join_ends(pieces, shape, axis, world, connectivity=26)
    keep = {start: lookup(counts.joins[start][number], labels) for start, (labels, number) in known.items()}
    along = found.along(ends, periodic) if axis is None else (True, True, True)
    return PartPercolation(keep, counts.total, counts.accessible, counts.percolating, counts.removed, corners, along)


def parts_join_ends(
    pieces: Mapping[Index, np.ndarray],
    shape: Index,
    axis: int,
    world: AbstractWorld,
    connectivity: int = 6,
    ends: str = "potential",
    periodic: tuple[bool, bool, bool] = (False, False, False),
) -> bool:
    """Tell whether anything joins the ends along an axis; every process must call it."""
    _, found = _labelled(pieces, _sample(pieces, shape, None, 0), shape, world, connectivity)
    return bool(found.joining(axis, ends, periodic)[0].any())


Sample = Mapping[Index, tuple[slice, slice, slice]]
"""Which voxels of each piece are counted."""


def _sample(pieces: Mapping[Index, np.ndarray], shape: Index, axis: int | None, reservoir: int) -> Sample:
    """Return all voxels of each piece but for reservoirs along an axis."""
    found = {}
    for start, piece in pieces.items():
        ends = [
            (max(0, reservoir - begin), min(n, whole - reservoir - begin)) if a == axis else (0, n)
            for a, (begin, n, whole) in enumerate(zip(start, piece.shape, shape, strict=True))
        ]
        x, y, z = (slice(low, max(low, high)) for low, high in ends)
        found[start] = x, y, z
    return found


def _labelled(
    pieces: Mapping[Index, np.ndarray], sample: Sample, shape: Index, world: AbstractWorld, connectivity: int
) -> tuple[dict[Index, tuple[np.ndarray, np.ndarray]], "JoinedPieces"]:
    """Return labels and numbers of this process's pieces, and what is known of all."""
    known, told = {}, []
    for start, conducting in pieces.items():
        labels, number, faces = label_piece(start, conducting, connectivity, sample[start])
        known[start] = labels, number
        told.append(faces)
    everyone = [piece for found in world.gather(told) for piece in found]
    return known, JoinedPieces(everyone, shape, connectivity)


def label_piece(
    start: Index, conducting: np.ndarray, connectivity: int = 6, sample: tuple[slice, ...] = ()
) -> tuple[np.ndarray, np.ndarray, PieceFaces]:
    """Label a piece that begins at `start`, of which `sample` is counted.

    Returns
    -------
        The labels, the number that each label has among those on a face (0: on none), and what the
        others are told.
    """
    labels, count = label_block(conducting, connectivity)
    on_faces = {(a, end): np.take(labels, end, a) for a in range(3) for end in (0, -1)}
    outer = np.unique(np.concatenate([[0], *(v.reshape(-1) for v in on_faces.values())]))
    number = np.zeros(count + 1, np.int64)
    number[outer] = np.arange(len(outer))
    sizes = bincount(labels[sample], count + 1)
    told = PieceFaces(
        start,
        (int(conducting.shape[0]), int(conducting.shape[1]), int(conducting.shape[2])),
        {k: number[v].astype(np.int32) for k, v in on_faces.items()},
        sizes[outer],
        int(sizes[1:].sum()),
        count + 1 - len(outer),
    )
    return labels, number, told


@dataclass(frozen=True)
class Counts:
    """Which components join the ends, by where their piece begins and their number among those on
    its faces; and counts over all pieces.
    """

    joins: dict[Index, np.ndarray]
    total: int
    accessible: int
    percolating: int
    removed: int


class JoinedPieces:
    """Components of all pieces, joined between them.

    Parameters
    ----------
    everyone
        What is told of every piece.
    shape
        Of the image.
    connectivity
        By which the pieces were labelled: 6, or 26.
    met
        Pairs of components that touch between pieces of planes, numbered through all pieces, whose
        faces there are not among what is told; None where all faces are.
    """

    def __init__(
        self, everyone: Sequence[PieceFaces], shape: Index, connectivity: int = 6, met: np.ndarray | None = None
    ) -> None:
        self.everyone, self.shape, self.connectivity, self.met = everyone, shape, connectivity, met
        self.first = np.cumsum([0, *(len(piece.sizes) - 1 for piece in self.everyone)])
        self.pieces = {piece.start: (piece, f) for piece, f in zip(self.everyone, self.first, strict=False)}
        self._grouped: dict[tuple[bool, bool, bool], tuple[np.ndarray, np.ndarray]] = {}

    def labels(self, start: Index, across: int, end: int) -> np.ndarray:
        """Return the labels on a face of the piece that begins at `start`, numbered through all
        pieces.
        """
        piece, first = self.pieces[start]
        return _through(piece.labels[across, end], int(first))

    def joining(
        self, axis: int | None, ends: str, periodic: tuple[bool, bool, bool]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which labels belong to a component that joins the ends, which to one that touches
        one, and to which component.
        """
        groups, wraps = self._groups(periodic)
        return *joining_ends(self._face, self.shape, groups, wraps, axis, ends), groups

    def along(self, ends: str, periodic: tuple[bool, bool, bool]) -> tuple[bool, bool, bool]:
        """Return along which axes anything joins the ends."""
        groups, wraps = self._groups(periodic)
        x, y, z = (bool(joining_ends(self._face, self.shape, groups, wraps, a, ends)[0].any()) for a in range(3))
        return x, y, z

    def _groups(self, periodic: tuple[bool, bool, bool]) -> tuple[np.ndarray, np.ndarray]:
        """Return what `joined_around` does; it is found once."""
        if periodic not in self._grouped:
            self._grouped[periodic] = joined_around(int(self.first[-1]), *self._pairs(periodic))
        return self._grouped[periodic]

    def _face(self, across: int, end: int) -> Sequence[tuple[np.ndarray, tuple[int, int]]]:
        found = []
        for start, (piece, _) in self.pieces.items():
            at_end = start[across] == 0 if end == 0 else start[across] + piece.shape[across] == self.shape[across]
            if at_end:
                one, other = (n for a, n in enumerate(start) if a != across)
                found.append((self.labels(start, across, end), (one, other)))
        return found

    def counts(self, joins: np.ndarray, touches: np.ndarray, groups: np.ndarray) -> Counts:
        """Return what follows from `joining`."""
        sizes = np.concatenate([[0], *(piece.sizes[1:] for piece in self.everyone)])
        by_piece = {
            piece.start: np.concatenate([[False], joins[f + 1 : f + len(piece.sizes)]])
            for piece, f in zip(self.everyone, self.first, strict=False)
        }
        return Counts(
            by_piece,
            sum(piece.total for piece in self.everyone),
            int(sizes[touches].sum()),
            int(sizes[joins].sum()),
            len(np.unique(groups[1:][~joins[1:]])) + sum(piece.within for piece in self.everyone),
        )

    def _pairs(self, periodic: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
        """Return which components touch between pieces and around periodic ends, and by how many
        periods the image goes on between the two.
        """
        known = np.zeros((0, 2), np.int64) if self.met is None else self.met
        pairs, winding = [known], [np.zeros((len(known), 3), np.int8)]
        begins = [sorted({start[a] for start in self.pieces}) for a in range(3)]
        for start in self.pieces:
            for offset in HALF_OFFSETS if self.connectivity == 26 else _FORWARD:
                there, around = zip(*map(_toward, begins, start, offset, periodic), strict=True)
                if None in there or there not in self.pieces:
                    continue
                if self.met is not None and offset[0] and not around[0]:
                    continue
                low, high = (
                    _slab(partial(self.labels, of), tuple(sign * step for step in offset))
                    for of, sign in ((start, 1), (there, -1))
                )
                met = touching_pairs(low, high, offset, self.connectivity)
                pairs.append(met)
                winding.append(np.broadcast_to((np.asarray(offset) * around).astype(np.int8), (len(met), 3)))
        return np.concatenate(pairs), np.concatenate(winding)


def joined_planes(told: Iterable[PieceFaces], shape: Index, connectivity: int = 6) -> JoinedPieces:
    """Join pieces of planes that come one after the other along x, whole along y and z. Of what is
    told of them the faces between two are not kept.
    """
    kept, met, first, above = [], [np.zeros((0, 2), np.int64)], 0, None
    for piece in told:
        labels = dict(piece.labels)
        below = labels.pop((0, 0))
        if above is None:
            labels[0, 0] = below
        else:
            met.append(touching_pairs(above[None], _through(below, first)[None], (1, 0, 0), connectivity))
            kept[-1].labels.pop((0, -1))
        above = _through(labels[0, -1], first)
        first += len(piece.sizes) - 1
        kept.append(replace(piece, labels=labels))
    return JoinedPieces(kept, shape, connectivity, np.concatenate(met))


def _through(labels: np.ndarray, first: int) -> np.ndarray:
    """Return labels on a face of a piece numbered through all pieces."""
    return np.where(labels > 0, labels + first, 0)


_FORWARD = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def _toward(begins: list[int], start: int, step: int, periodic: bool) -> tuple[int | None, bool]:
    """Return where the next piece begins along an axis, None if there is none, and whether it is
    around the end.
    """
    place = begins.index(start) + step
    if 0 <= place < len(begins):
        return begins[place], False
    return (begins[place % len(begins)], True) if periodic else (None, False)


def _slab(labels: Callable[[int, int], np.ndarray], side: tuple[int, ...]) -> np.ndarray:
    """Return the labels on a side of a piece, one voxel thick along each axis in which it looks
    that way: a face, an edge or a corner.
    """
    axis = next(a for a, step in enumerate(side) if step)
    found = np.expand_dims(labels(axis, -1 if side[axis] > 0 else 0), axis)
    ends = {0: slice(None), 1: slice(-1, None), -1: slice(0, 1)}
    return found[tuple(slice(None) if a == axis else ends[step] for a, step in enumerate(side))]

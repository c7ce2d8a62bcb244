"""Which parts of the conducting phase join the ends, where the voxels lie in pieces over devices
and processes: each process labels its own pieces, and all are told what lies on their faces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lithax.arrays import joined_around, label_block, touching_pairs
from lithax.grid import Index
from lithax.runtime import AbstractWorld
from lithax.solve._percolation import joining_ends


@dataclass(frozen=True)
class _Faces:
    """What all processes are told of a piece."""

    start: Index
    shape: Index
    labels: dict[tuple[int, int], np.ndarray]
    """On its lower (0) and upper (-1) faces across each axis; numbered among those that lie on
    one.
    """
    sizes: np.ndarray
    """Voxels of these components; the first entry is the background's."""
    total: int


@dataclass(frozen=True)
class PartPercolation:
    """What joins the ends: by the start of each piece of this process, and counts over all."""

    keep: dict[Index, np.ndarray]
    total: int
    accessible: int
    percolating: int


def percolation_of_parts(
    pieces: Mapping[Index, np.ndarray],
    shape: Index,
    axis: int | None,
    ends: str,
    periodic: tuple[bool, bool, bool],
    world: AbstractWorld,
) -> PartPercolation:
    """Find what joins the ends of an image that lies in pieces; every process must call it.

    Parameters
    ----------
    pieces
        The conducting voxels of this process: boolean, by where the piece begins. All pieces make
        up a grid, and end where their neighbours begin.
    shape
        Of the image.
    axis, ends, periodic
        As in `percolation`.
    world
        The processes.
    """
    known, told = {}, []
    for start, conducting in pieces.items():
        labels, count = label_block(conducting)
        on_faces = {(a, end): np.take(labels, end, a) for a in range(3) for end in (0, -1)}
        outer = np.unique(np.concatenate([[0], *(v.reshape(-1) for v in on_faces.values())]))
        number = np.zeros(count + 1, np.int64)
        number[outer] = np.arange(len(outer))
        sizes = np.bincount(labels.reshape(-1), minlength=count + 1)
        size = (int(conducting.shape[0]), int(conducting.shape[1]), int(conducting.shape[2]))
        told.append(
            _Faces(
                start,
                size,
                {k: number[v].astype(np.int32) for k, v in on_faces.items()},
                sizes[outer],
                int(sizes[1:].sum()),
            )
        )
        known[start] = labels, number
    everyone = [piece for found in world.gather(told) for piece in found]
    first = np.cumsum([0, *(len(piece.sizes) - 1 for piece in everyone)])
    faces = {
        piece.start: (piece, {k: np.where(v > 0, v + f, 0) for k, v in piece.labels.items()})
        for piece, f in zip(everyone, first, strict=False)
    }
    count = int(first[-1])
    groups, wraps = joined_around(count, *_pairs(faces, shape, periodic))

    def face(across: int, end: int) -> Sequence[tuple[np.ndarray, tuple[int, int]]]:
        found = []
        for start, (piece, labels) in faces.items():
            at_end = start[across] == 0 if end == 0 else start[across] + piece.shape[across] == shape[across]
            if at_end:
                one, other = (n for a, n in enumerate(start) if a != across)
                found.append((labels[across, end], (one, other)))
        return found

    joins, touches = joining_ends(face, shape, groups, wraps, axis, ends)
    sizes = np.concatenate([[0], *(piece.sizes[1:] for piece in everyone)])
    keep = {}
    for piece, f in zip(everyone, first, strict=False):
        if piece.start in known:
            labels, number = known[piece.start]
            own = np.concatenate([[False], joins[f + 1 : f + len(piece.sizes)]])
            keep[piece.start] = own[number][labels]
    return PartPercolation(
        keep, sum(piece.total for piece in everyone), int(sizes[touches].sum()), int(sizes[joins].sum())
    )


def _pairs(
    faces: Mapping[Index, tuple[_Faces, dict]], shape: Index, periodic: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which components touch between pieces and around periodic ends, and by how many
    periods the image goes on between the two.
    """
    pairs, winding = [np.zeros((0, 2), np.int64)], [np.zeros((0, 3), np.int64)]
    for start, (piece, labels) in faces.items():
        for axis, offset in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
            there = list(start)
            there[axis] += piece.shape[axis]
            around = there[axis] == shape[axis]
            if around:
                there[axis] = 0
            x, y, z = there
            if (periodic[axis] or not around) and (x, y, z) in faces:
                low, high = labels[axis, -1], faces[x, y, z][1][axis, 0]
                met = touching_pairs(np.expand_dims(low, axis), np.expand_dims(high, axis), offset, 6)
                pairs.append(met)
                winding.append(np.broadcast_to(np.asarray(offset) * around, (len(met), 3)))
    return np.concatenate(pairs), np.concatenate(winding)

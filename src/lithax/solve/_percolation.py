"""Which parts of the conducting phase join the ends: through voxel faces, as the current flows.

Between held ends a part must touch both; in a periodic image it must wrap around; under linear
loading it must touch the surface at two different potentials. Everything else carries no current
and is taken out before the solve.

Where the conductivity depends on the direction, a face joins what conducts across it on both sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lithax.arrays import joined_around, joining, joins_ends, label_block, label_directed, lookup, wrapped_pairs


@dataclass(frozen=True)
class Percolation:
    """What joins the ends, and how many voxels do; the counts are of the conducting phase."""

    keep: np.ndarray
    """True for the voxels of parts that join the ends."""
    total: int
    accessible: int
    """In parts that touch at least one end (in a periodic image: that wrap around)."""
    percolating: int
    corners_only: bool
    """Nothing joins the ends through faces, but something does through edges and corners."""
    along: tuple[bool, bool, bool] = (True, True, True)
    """For a current along each of three axes, whether anything joins the ends along that one."""


def percolation(
    conducting: np.ndarray,
    axis: int | None,
    ends: str,
    periodic: tuple[bool, bool, bool],
    *,
    look_at_corners: bool = True,
) -> Percolation:
    """Find what joins the ends.

    Parameters
    ----------
    conducting
        Boolean, the conducting voxels; of shape (3, nx, ny, nz) those that do along x, y and z.
    axis
        The axis of the current; None for each of the three (periodic images and linear loading):
        what joins along any.
    ends
        "potential", "periodic" or "linear".
    periodic
        Along which axes the image goes on at the other side.
    look_at_corners
        Whether to look for paths through edges and corners where there is none through faces.
    """
    if conducting.ndim == 4 and (conducting == conducting[0]).all():
        conducting = conducting[0]
    directed = conducting.ndim == 4
    total = int(np.count_nonzero(conducting.any(0) if directed else conducting))
    if total == conducting.size and ends != "linear":
        return Percolation(np.ones(conducting.shape, bool), total, total, total, False)
    labels, joins, touches, along = _labelled(conducting, axis, ends, periodic)
    keep, accessible = lookup(joins, labels), int(np.count_nonzero(lookup(touches, labels)))
    percolating = int(np.count_nonzero(keep))
    corners = False
    look_at_corners = look_at_corners and not directed  # what stands in the way may be a direction
    if percolating == 0 and total and look_at_corners and ends == "potential" and axis is not None:
        corners = bool(joins_ends(conducting, axis, connectivity=26).any())
    return Percolation(keep, total, accessible, percolating, corners, along)


def what_joins(conducting: np.ndarray, axis: int | None, ends: str, periodic: tuple[bool, bool, bool]) -> np.ndarray:
    """Return True for the voxels of parts that join the ends, and count nothing; arguments as of
    `percolation`.
    """
    labels, joins, *_ = _labelled(conducting, axis, ends, periodic)
    return lookup(joins, labels)


def _labelled(
    conducting: np.ndarray, axis: int | None, ends: str, periodic: tuple[bool, bool, bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[bool, bool, bool]]:
    """Return the labels of all parts, which of these join the ends, and touch one, and along which
    axes any does.
    """
    directed = conducting.ndim == 4
    conducting = np.require(conducting, requirements=["C", "W"])  # the compiled kernels take no read-only arrays
    labels, count = label_directed(conducting) if directed else label_block(conducting, ordered=False)

    def across(a: int) -> np.ndarray:
        return np.where(conducting[a], labels, 0) if directed else labels

    around = [wrapped_pairs(across(a), 6, [a]) for a in range(3) if periodic[a]]
    nothing = np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64)
    groups, wraps = joined_around(count, *(np.concatenate(v) for v in zip(nothing, *around, strict=True)))

    def face(a: int, end: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
        return [(np.take(across(a), end, a), (0, 0))]

    joins, touches = joining_ends(face, labels.shape, groups, wraps, axis, ends)
    x = y = z = True
    if axis is None:
        x, y, z = (bool(joining_ends(face, labels.shape, groups, wraps, a, ends)[0].any()) for a in range(3))
    return labels, joins, touches, (x, y, z)


Face = Callable[[int, int], Sequence[tuple[np.ndarray, tuple[int, int]]]]
"""Labels on the lower (0) or upper (-1) face across an axis, in pieces, with the place of each."""


def joining_ends(
    face: Face, shape: tuple[int, ...], groups: np.ndarray, wraps: np.ndarray, axis: int | None, ends: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return which labels belong to a component that joins the ends, and which to one that touches
    one.
    """
    if ends == "linear":
        joins, touches = (found[groups] for found in _joins_linear(face, shape, groups, axis))
        joins[0] = touches[0] = False
        return joins, touches
    if ends == "periodic":
        nowhere = np.zeros(len(groups), bool)
        around = np.asarray(wraps.any(1)) if axis is None else wraps[:, axis]
        return joining(groups, around, nowhere, nowhere, ends)
    assert axis is not None
    first, last = np.zeros(len(groups), bool), np.zeros(len(groups), bool)
    for end, seen in ((0, first), (-1, last)):
        for there, _ in face(axis, end):
            seen[there] = True
    return joining(groups, wraps[:, axis], first, last, "faces")


def _joins_linear(
    face: Face, shape: tuple[int, ...], groups: np.ndarray, axis: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which groups touch the surface at different potentials, and which touch it at all."""
    joins, touches = np.zeros(len(groups), bool), np.zeros(len(groups), bool)
    for loaded in range(3) if axis is None else (axis,):
        lowest, highest = np.full(len(groups), np.inf), np.full(len(groups), -np.inf)
        for across in range(3):
            for end in (0, -1):
                for there, place in face(across, end):
                    if across == loaded:
                        position = np.full(there.shape, -0.5 if end == 0 else shape[loaded] - 0.5)
                    else:
                        side = loaded - (loaded > across)
                        along = [1, 1]
                        along[side] = -1
                        steps = place[side] + np.arange(there.shape[side], dtype=float)
                        position = np.broadcast_to(steps.reshape(along), there.shape)
                    np.minimum.at(lowest, groups[there], position)
                    np.maximum.at(highest, groups[there], position)
        joins |= highest > lowest
        touches |= np.isfinite(lowest)
    return joins, touches

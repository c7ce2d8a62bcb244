"""Which parts of the conducting phase join the ends: through voxel faces, as the current flows.

Between held ends a part must touch both; in a periodic image it must wrap around; under linear
loading it must touch the surface at two different potentials. Everything else carries no current
and is taken out before the solve.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lithax.arrays import label_block


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
        Boolean, the conducting voxels.
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
    total = int(np.count_nonzero(conducting))
    if total == conducting.size and (ends != "linear"):
        return Percolation(np.ones(conducting.shape, bool), total, total, total, False)
    conducting = np.require(conducting, requirements=["C", "W"])  # the compiled kernels take no read-only arrays
    labels, count = label_block(conducting)
    pairs = [
        pair for a in range(3) if periodic[a] for pair in touching(np.take(labels, -1, a), np.take(labels, 0, a), a, 1)
    ]
    groups, wraps = joined_around(pairs, count)
    joins, touches = joining(
        lambda a, end: [(np.take(labels, end, a), (0, 0))], labels.shape, groups, wraps, axis, ends
    )
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)
    joins[groups[0]] = touches[groups[0]] = False
    chosen = joins[groups]
    chosen[0] = False
    percolating = int(sizes[chosen].sum())
    accessible = touches[groups]
    accessible[0] = False
    corners = False
    if percolating == 0 and total and look_at_corners and ends == "potential" and axis is not None:
        diagonal, _ = label_block(conducting, 26)
        first, last = (np.unique(np.take(diagonal, end, axis)) for end in (0, -1))
        corners = bool((np.intersect1d(first, last) > 0).any())
    return Percolation(chosen[labels], total, int(sizes[accessible].sum()), percolating, corners)


Pair = tuple[int, int, int, int]
"""Two components that touch, and through which end of the image: axis and way, 0 within it."""
Face = Callable[[int, int], Sequence[tuple[np.ndarray, tuple[int, int]]]]
"""Labels on the lower (0) or upper (-1) face across an axis, in pieces, with the place of each."""


def touching(last: np.ndarray, first: np.ndarray, axis: int, way: int) -> Iterator[Pair]:
    """Find the labels that touch where two layers meet."""
    both = (last > 0) & (first > 0)
    for a, b in np.unique(np.stack([last[both], first[both]], 1), axis=0).tolist():
        yield a, b, axis, way


def joined_around(pairs: Iterable[Pair], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Join components that touch, and find which come back to themselves shifted by the image.

    Returns
    -------
        For each label its group (that of the background is its own), and for each group along which
        axes it wraps around.
    """
    neighbours: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for a, b, axis, way in pairs:
        neighbours[a].append((b, axis, way))
        neighbours[b].append((a, axis, -way))
    groups = np.arange(count + 1)
    wraps = np.zeros((count + 1, 3), bool)
    shifts: dict[int, np.ndarray] = {}
    for root in list(neighbours):
        if root in shifts:
            continue
        shifts[root] = np.zeros(3, int)
        waiting = deque([root])
        while waiting:
            here = waiting.popleft()
            for there, axis, way in neighbours[here]:
                shift = shifts[here].copy()
                shift[axis] += way
                if there not in shifts:
                    shifts[there] = shift
                    groups[there] = root
                    waiting.append(there)
                else:
                    # Two ways to one component that differ by whole images: it wraps around.
                    wraps[root] |= shifts[there] != shift
    return groups, wraps


def joining(
    face: Face, shape: tuple[int, ...], groups: np.ndarray, wraps: np.ndarray, axis: int | None, ends: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each group whether it joins the ends, and whether it touches one; groups[0] is the
    background's.
    """
    if ends == "periodic":
        joins = np.asarray(wraps.any(1) if axis is None else wraps[:, axis].copy())
        return joins, joins.copy()
    if ends == "linear":
        return _joins_linear(face, shape, groups, axis)
    assert axis is not None
    reached: list[np.ndarray] = []
    for end in (0, -1):
        reach = np.zeros(len(groups), bool)
        for there, _ in face(axis, end):
            reach[groups[np.unique(there)]] = True
        reached.append(reach)
    return np.asarray(reached[0] & reached[1]), np.asarray(reached[0] | reached[1])


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

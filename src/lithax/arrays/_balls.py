"""The largest ball that covers each voxel, given the largest ball around each centre.

``T(p) = max {E(c) : |p - c|² < E(c)}``: whole numbers, and the order in which balls are drawn
changes nothing. Lengths are half voxels, so centres may lie at the middle of voxels or between them
(`half_lattice_distances`). A ball whose voxels all lie in another one at least as large need not be
drawn. Whether they do depends on the two sizes, the parity of the centre and the step between the
two alone, and is looked up for the 26 nearest centres; what is left is close to the medial axis
(Rémy and Thiel, Exact medial axis with Euclidean distance, Image and Vision Computing 23 (2005),
167-175, doi:10.1016/j.imavis.2004.06.007). Thickness by covering balls: Hildebrand and Rüegsegger,
Journal of Microscopy 185 (1997), 67-75, doi:10.1046/j.1365-2818.1997.1340694.x.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

from lithax.arrays._half_lattice import PARITIES

_AT_ONCE = 1 << 21
_TILE = 1 << 17
"""Centres that are searched at once: what fits into a core's cache."""
_LOOKED_UP = 1 << 14
"""Squared radius [half voxels²] up to which it is looked up which ball contains which."""

_Box = tuple[slice, slice, slice]


def largest_balls(squared: np.ndarray, core: _Box) -> np.ndarray:
    """Return the squared radius of the largest ball that covers each voxel of the core, of balls
    around voxels.

    Parameters
    ----------
    squared
        Squared radius of the ball around each voxel, whole numbers [voxel²]; 0: none. Around the
        core as far as balls reach in.
    core
        The part of the array that is wanted.

    Returns
    -------
        Whole numbers of the same type [voxel²], in the shape of the core.
    """
    dtype = np.dtype(np.int32 if squared.max(initial=0) < 2**29 else np.int64)
    centers = np.zeros((1, *(n + 2 for n in squared.shape)), dtype)
    np.multiply(squared, 4, out=centers[0, 1:-1, 1:-1, 1:-1], casting="unsafe")
    return (draw_balls(centers, core) // 4).astype(squared.dtype)


def draw_balls(centers: np.ndarray, core: _Box) -> np.ndarray:
    """Return the squared radius of the largest ball that covers each voxel of the core [half
    voxels²].

    Parameters
    ----------
    centers
        Squared radii as `half_lattice_distances` returns them, or of its first parity alone; 0:
        no ball.
    core
        The voxels that are wanted, in indices without the margin.
    """
    begin, size = np.array([s.start for s in core]), np.array([s.stop - s.start for s in core])
    reach = math.isqrt(int(centers.max(initial=0))) // 2 + 2
    room: np.ndarray = np.zeros(size + 4 * reach, np.int32 if centers.dtype.itemsize < 8 else np.int64)
    strides = np.array([room.shape[1] * room.shape[2], room.shape[2], 1])
    sets: list[tuple[int, int, int, np.ndarray]] = []
    for kind, (places, radii, leaning) in enumerate(_not_inside_another(centers)):
        gaps, flat = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
        at = np.unravel_index(places, centers.shape[1:])
        for index, first, n, odd, stride in zip(at, begin, size, PARITIES[kind], strides, strict=True):
            index = index - (1 + first)
            # The distance of a centre from the core decides whether its ball reaches in.
            doubled = 2 * index + odd
            gap = np.maximum(np.maximum(-doubled, doubled - 2 * (n - 1)), 0)
            gaps += gap * gap
            flat += (index + 2 * reach) * stride
        reaches = np.flatnonzero(gaps < radii)
        key = radii[reaches] * 8 + leaning[reaches]
        if key.max(initial=0) < 2**16:  # sorted by digits
            key = key.astype(np.uint16)
        order = np.argsort(key, kind="stable")
        key, flat = key[order], flat[reaches[order]]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
        ends = np.append(starts[1:], len(flat))
        for k, a, b in zip(key[starts].tolist(), starts.tolist(), ends.tolist(), strict=False):
            sets.append((k >> 3, kind, k & 7, flat[a:b]))
    flat = room.reshape(-1)
    part_of = _Parts(strides, 2 if len(centers) == 1 else 1)
    # From small to large: the last one written is the largest.
    for squared_radius, kind, leaning, places in sorted(sets, key=lambda s: s[:3]):
        offsets = part_of(squared_radius, kind, leaning)
        step = max(1, _AT_ONCE // max(1, len(offsets)))
        for k in range(0, len(places), step):
            flat[places[k : k + step, None] + offsets] = squared_radius
    return room[tuple(slice(2 * reach, 2 * reach + n) for n in size)]


_AXIS_STEPS = ((0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))


class _Parts:
    """The voxels of balls that do not lie in the ball of the same size one step away, as steps in C
    order from the voxel of the centre.
    """

    def __init__(self, strides: np.ndarray, stride: int):
        self.strides, self.stride = strides, stride
        self._sorted: dict[tuple[int, int, int], tuple[np.ndarray, ...]] = {}

    def __call__(self, squared_radius: int, kind: int, leaning: int) -> np.ndarray:
        end = min(_LOOKED_UP, 1 << squared_radius.bit_length()) if squared_radius < _LOOKED_UP else squared_radius
        if (key := (kind, leaning, end)) not in self._sorted:
            if end > _LOOKED_UP:  # a list for every size would be longer than the balls are many
                self._sorted.clear()
            self._sorted[key] = self._by_distance(kind, leaning, end)
        near, far, offsets = self._sorted[key]
        last = int(np.searchsorted(near, squared_radius))
        if not leaning:
            return offsets[:last]
        # One step changes a squared distance r² by no more than s (2 r + s).
        shell = squared_radius - self.stride * (2 * math.isqrt(squared_radius) + 2 + self.stride)
        first = int(np.searchsorted(near, shell))
        return offsets[first:last][far[first:last] >= squared_radius]

    def _by_distance(self, kind: int, leaning: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        near, voxels = _voxels_by_distance(PARITIES[kind], end)
        step = self.stride * np.array(_AXIS_STEPS[leaning])
        far = near - 2 * ((2 * voxels - np.array(PARITIES[kind])) @ step) + step @ step
        return near, far, voxels @ self.strides


@functools.lru_cache(32)
def _voxels_by_distance(parity: tuple[int, int, int], end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances below `end` from a centre in ascending order, and the voxels that
    have them.
    """
    reach = math.isqrt(end - 1)
    axes = [np.arange(-((reach - e) // 2), (reach + e) // 2 + 1) for e in parity]
    x, y, z = ((2 * a - e) ** 2 for a, e in zip(axes, parity, strict=True))
    squared = x[:, None, None] + y[None, :, None] + z[None, None, :]
    voxels = np.argwhere(squared < end) + [int(a[0]) for a in axes]
    near = squared[squared < end]
    order = np.argsort(near, kind="stable")
    return near[order], voxels[order]


def _not_inside_another(centers: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return, for each parity, places and squared radii of the balls whose voxels do not all lie in
    the ball of one of the 26 nearest centres, and the axis step to one that is no smaller (0: none
    is).
    """
    flat, box = centers.reshape(-1), centers.shape[1:]
    strides, volume = (box[1] * box[2], box[2], 1), math.prod(box)
    stride = 1 if len(centers) == 8 else 2
    # What is looked up for all of them is kept from part to part.
    end = 1 << int(centers.max(initial=0)).bit_length()
    first = sum(strides)
    return [
        _kept(flat, kind, stride, strides, volume, range(first, volume - first, _TILE), end)
        for kind in range(len(centers))
    ]


def _kept(
    flat: np.ndarray, kind: int, stride: int, strides: tuple[int, int, int], volume: int, starts: range, end: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `_not_inside_another` for one parity."""
    parity = PARITIES[kind]

    def shift(step: Sequence[int]) -> int:
        to = [parity[a] + stride * step[a] for a in range(3)]
        other = PARITIES.index((to[0] & 1, to[1] & 1, to[2] & 1))
        return (other - kind) * volume + sum((t >> 1) * s for t, s in zip(to, strides, strict=True))

    around: list[tuple[tuple[int, int, int], list[int], np.ndarray | None]] = []
    for axes in sorted(itertools.product((0, 1), repeat=3), key=sum)[1:]:
        shifts = [shift(s) for s in itertools.product(*((-1, 1) if n else (0,) for n in axes))]
        step = (stride * axes[0], stride * axes[1], stride * axes[2])
        table = _table(parity, step, end).astype(flat.dtype) if end <= _LOOKED_UP else None
        around.append((step, shifts, table))
    beside = [shift(step) for step in _AXIS_STEPS]
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for start in starts:
        begin, stop = kind * volume + start, kind * volume + min(start + _TILE, starts.stop)
        places = np.flatnonzero(flat[begin:stop] > 0)
        own = np.take(flat[begin:stop], places).astype(np.int64)
        for step, shifts, table in around:
            if not places.size:
                break
            largest = flat[begin + shifts[0] : stop + shifts[0]]
            for s in shifts[1:]:
                largest = np.maximum(largest, flat[begin + s : stop + s])
            keep = np.flatnonzero(np.take(largest, places) < _containing(own, step, table))
            places, own = np.take(places, keep), np.take(own, keep)
        leaning, best = np.zeros(len(places), np.int64), own.copy()
        for k, s in enumerate(beside[1:], 1):
            other = np.take(flat[begin + s : stop + s], places)
            # Of balls of one size on a row, all lean the same way.
            larger = (other > best) | ((other == best) & (leaning == 0) & (sum(_AXIS_STEPS[k]) > 0))
            leaning[larger] = k
            best = np.maximum(best, other)
        found.append((places + start, own, leaning))
    places, own, leaning = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return places, own, leaning


def _containing(own: np.ndarray, step: tuple[int, int, int], table: np.ndarray | None) -> np.ndarray:
    """Return the smallest squared radius of a ball one step away that holds a ball."""
    if table is not None:
        return np.take(table, own)
    # Beyond what is looked up the balls themselves are compared: r + d <= r'.
    length = math.sqrt(sum(s * s for s in step))
    return np.floor((np.sqrt(own.astype(np.float64)) + length) ** 2).astype(np.int64) + 1


@functools.lru_cache(256)
def _table(parity: tuple[int, int, int], step: tuple[int, int, int], end: int) -> np.ndarray:
    """Return `_containing` for all squared radii below `end`."""
    reach = math.isqrt(end) + 2
    x, y, z = (np.arange(e, reach, 2) for e in parity)
    near = (x * x)[:, None, None] + (y * y)[None, :, None] + (z * z)[None, None, :]
    far = (
        ((x + step[0]) ** 2)[:, None, None] + ((y + step[1]) ** 2)[None, :, None] + ((z + step[2]) ** 2)[None, None, :]
    )
    inside = near < end
    # At each squared distance from the centre, the farthest voxel from where the step leads.
    table = np.zeros(end + 1, np.int64)
    np.maximum.at(table, near[inside] + 1, far[inside] + 1)
    # A larger one, so that no two balls can each be left out, or cut, because of the other.
    return np.maximum(np.maximum.accumulate(table), np.arange(1, end + 2))

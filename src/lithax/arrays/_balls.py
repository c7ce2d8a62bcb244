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

import numpy as np

from lithax.arrays._half_lattice import PARITIES

_AT_ONCE = 1 << 21
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
    lengths = (-stride, 0, stride)
    steps = sorted(((x, y, z) for x, y, z in itertools.product(lengths, repeat=3) if x or y or z), key=_length)
    found = []
    for kind in range(len(centers)):
        places = np.flatnonzero(centers[kind] > 0)
        own = np.take(centers[kind], places).astype(np.int64)

        def shift(step: tuple[int, int, int], kind: int = kind) -> int:
            to = [PARITIES[kind][a] + step[a] for a in range(3)]
            other = PARITIES.index((to[0] & 1, to[1] & 1, to[2] & 1))
            return other * volume + sum((t >> 1) * s for t, s in zip(to, strides, strict=True))

        for step in steps:
            need = _containing(own, PARITIES[kind], (abs(step[0]), abs(step[1]), abs(step[2])))
            keep = np.flatnonzero(np.take(flat, places + shift(step), mode="clip") < need)
            places, own = np.take(places, keep), np.take(own, keep)
        leaning, best = np.zeros(len(places), np.int64), own.copy()
        for k, step in enumerate(_AXIS_STEPS[1:], 1):
            other = np.take(flat, places + shift((step[0] * stride, step[1] * stride, step[2] * stride)), mode="clip")
            # Of balls of one size on a row, all lean the same way.
            larger = (other > best) | ((other == best) & (leaning == 0) & (sum(step) > 0))
            leaning[larger] = k
            best = np.maximum(best, other)
        found.append((places, own, leaning))
    return found


def _length(step: tuple[int, int, int]) -> int:
    return sum(map(abs, step))


def _containing(own: np.ndarray, parity: tuple[int, int, int], step: tuple[int, int, int]) -> np.ndarray:
    """Return the smallest squared radius of a ball one step away that holds a ball."""
    largest = int(own.max(initial=0))
    if largest < _LOOKED_UP:
        return np.take(_table(parity, step, 1 << largest.bit_length()), own, mode="clip")
    # Beyond that the balls themselves are compared: r + d <= r'.
    return np.floor((np.sqrt(own) + math.sqrt(sum(s * s for s in step))) ** 2).astype(np.int64) + 1


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

"""The largest ball that covers each voxel, given the largest ball around each centre.

``T(p) = max {E(c) : |p - c|² < E(c)}``: whole numbers, and the order in which balls are drawn
changes nothing. Lengths are half voxels, so centres may lie at the middle of voxels or between them
(`half_lattice_distances`). A ball whose voxels all lie in another one at least as large need not be
drawn. Whether they do depends on the two sizes, the parity of the centre and the step between the
two alone, and is looked up for the 26 nearest centres, and for 72 more where balls are large: these
lie in another one only if the step leads straight to it. What is left is close to the medial axis
(Rémy and Thiel, Exact medial axis with Euclidean distance, Image and Vision Computing 23 (2005),
167-175, doi:10.1016/j.imavis.2004.06.007). Thickness by covering balls: Hildebrand and Rüegsegger,
Journal of Microscopy 185 (1997), 67-75, doi:10.1046/j.1365-2818.1997.1340694.x.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lithax.arrays._half_lattice import PARITIES
from lithax.arrays._near_sources import TILE, run_tiles

_AT_ONCE = 1 << 21
_LOOKED_UP = 1 << 16
"""Squared radius [half voxels²] up to which it is looked up which ball contains which."""
_LARGE = 600
"""Squared radius [half voxels²] from which drawing a ball takes longer than asking 72 more."""

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


def draw_balls(centers: np.ndarray, core: _Box, threads: int = 1) -> np.ndarray:
    """Return the squared radius of the largest ball that covers each voxel of the core [half
    voxels²].

    Parameters
    ----------
    centers
        Squared radii as `half_lattice_distances` returns them, or of its first parity alone; 0:
        no ball.
    core
        The voxels that are wanted, in indices without the margin.
    threads
        How many parts are worked on at a time.
    """
    reach = math.isqrt(int(centers.max(initial=0))) // 2 + 2
    balls = _not_inside_another(centers, threads, (core[0].start - reach, core[0].stop + reach))
    found = np.empty([s.stop - s.start for s in core], centers.dtype)
    along, box = core[0], centers.shape[1:]
    # Each part draws the balls of both that reach across their border.
    thick = max(1, -(-(along.stop - along.start) // threads))

    def part(begin: int) -> None:
        end = min(begin + thick, along.stop)
        out = found[begin - along.start : end - along.start]
        _draw(balls, box, (slice(begin, end), *core[1:]), reach, 2 if len(centers) == 1 else 1, out)

    run_tiles(part, range(along.start, along.stop, thick), threads)
    return found


def _draw(
    balls: list[tuple[np.ndarray, np.ndarray, np.ndarray]], box: tuple[int, ...], core: _Box, reach: int, stride: int,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Draw into `out` those balls that reach into it."""
    room: np.ndarray = np.zeros(np.array(out.shape) + 4 * reach, out.dtype)
    strides = np.array([room.shape[1] * room.shape[2], room.shape[2], 1])
    planes, rows = box[1] * box[2], box[2]
    narrow = np.dtype(np.int32 if max(room.size, 12 * max(box) ** 2) < 2**31 else np.int64)
    # A place in the box, which has a margin of one, becomes one in the room.
    begin = sum((2 * reach - 1 - c.start) * int(s) for c, s in zip(core, strides, strict=True))
    further = int(strides[1]) - rows, int(strides[0]) - box[1] * int(strides[1])
    sets: list[tuple[int, int, int, np.ndarray]] = []
    for kind, (places, radii, leaning) in enumerate(balls):
        # Places are in C order.
        near = [min(max(n, 0), box[0]) * planes for n in (core[0].start + 1 - reach, core[0].stop + 1 + reach)]
        some = slice(*np.searchsorted(places, np.array(near).astype(places.dtype)).tolist())
        places, radii, leaning = places[some].astype(narrow, copy=False), radii[some], leaning[some]
        line = places // rows
        x = line // box[1]
        flat = places + line * further[0]
        flat += x * further[1]
        flat += begin
        gaps: Any = 0
        for axis, (wanted, odd) in enumerate(zip(core, PARITIES[kind], strict=True)):
            if wanted.start == 0 and wanted.stop == box[axis] - 2:
                continue
            # The distance of a centre from the core decides whether its ball reaches in.
            index = x if axis == 0 else line - x * box[1] if axis == 1 else places - line * rows
            doubled = 2 * index + (odd - 2 - 2 * wanted.start)
            gap = np.maximum(-doubled, doubled - 2 * (wanted.stop - wanted.start - 1))
            np.maximum(gap, 0, out=gap)
            gap *= gap
            gaps = gaps + gap
        reaches = np.flatnonzero(gaps < radii)
        key = np.multiply(radii[reaches], 8, dtype=np.int64) + leaning[reaches]
        if key.max(initial=0) < 2**16:  # sorted by digits
            key = key.astype(np.uint16)
        order = np.argsort(key, kind="stable")
        key, flat = key[order], flat[reaches[order]]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
        ends = np.append(starts[1:], len(flat))
        for k, a, b in zip(key[starts].tolist(), starts.tolist(), ends.tolist(), strict=False):
            sets.append((k >> 3, kind, k & 7, flat[a:b]))
    flat = room.reshape(-1)
    part_of = _Parts(strides, stride)
    # From small to large: the last one written is the largest.
    for squared_radius, kind, leaning, places in sorted(sets, key=lambda s: s[:3]):
        offsets = part_of(squared_radius, kind, leaning)
        step = max(1, _AT_ONCE // max(1, len(offsets)))
        for k in range(0, len(places), step):
            flat[places[k : k + step, None] + offsets] = squared_radius
    out[...] = room[tuple(slice(2 * reach, 2 * reach + n) for n in out.shape)]


_AXIS_STEPS = ((0, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 0, -1), (1, 0, 0), (0, 1, 0), (0, 0, 1))
_RANKS, _UPRIGHT = (0, 1, 2, 4, 5, 6), 3
"""Which of several balls of one size another one leans on: one a step back never, one a step ahead
rather than none.
"""
_LEANING = np.array([1, 2, 3, 0, 4, 5, 6], np.uint8)


class _Parts:
    """The voxels of balls that do not lie in the ball of the same size one step away, as steps in C
    order from the voxel of the centre.
    """

    def __init__(self, strides: np.ndarray, stride: int):
        self.strides, self.stride = strides, stride
        self._end = 0
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __call__(self, squared_radius: int, kind: int, leaning: int) -> np.ndarray:
        end = 1 << squared_radius.bit_length()
        if end != self._end:  # balls come by size: those of smaller ones are done
            self._sorted.clear()
            self._end = end
        if kind not in self._sorted:
            near, away, voxels = _voxels_by_distance(PARITIES[kind], end)
            self._sorted[kind] = near, away, voxels @ self.strides
        near, away, offsets = self._sorted[kind]
        last = int(np.searchsorted(near, np.int32(squared_radius)))
        if not leaning:
            return offsets[:last]
        # One step changes a squared distance r² by no more than s (2 r + s).
        shell = squared_radius - self.stride * (2 * math.isqrt(squared_radius) + 2 + self.stride)
        first = int(np.searchsorted(near, np.int32(max(shell, 0))))
        (axis,) = np.flatnonzero(_AXIS_STEPS[leaning])
        twice = np.int32(2 * self.stride * _AXIS_STEPS[leaning][axis])
        far = near[first:last] - twice * away[axis, first:last]
        return offsets[first:last][far >= squared_radius - self.stride**2]


@functools.lru_cache(8)
def _voxels_by_distance(parity: tuple[int, int, int], end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return squared distances below `end` from a centre in ascending order, the steps along each
    axis to what has them, and the voxels.
    """
    reach = math.isqrt(end - 1)
    axes = [np.arange(-((reach - e) // 2), (reach + e) // 2 + 1, dtype=np.int32) for e in parity]
    x, y, z = ((2 * a - e) ** 2 for a, e in zip(axes, parity, strict=True))
    squared = x[:, None, None] + y[None, :, None] + z[None, None, :]
    inside = np.flatnonzero(squared < end)
    near = np.take(squared, inside)
    order = np.argsort(near, kind="stable")
    at = np.unravel_index(np.take(inside, order), squared.shape)
    voxels = np.stack([np.take(a, i) for a, i in zip(axes, at, strict=True)], axis=1)
    return np.take(near, order), np.ascontiguousarray((2 * voxels - np.array(parity, np.int32)).T), voxels


def _not_inside_another(
    centers: np.ndarray, threads: int, planes: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return, for each parity and some planes across x, places and squared radii of the balls whose
    voxels do not all lie in the ball of one of the 26 nearest centres, and the axis step to one
    that is no smaller (0: none is).
    """
    flat, box = centers.reshape(-1), centers.shape[1:]
    strides, volume = (box[1] * box[2], box[2], 1), math.prod(box)
    stride = 1 if len(centers) == 8 else 2
    # What is looked up for all of them is kept from part to part.
    table_end = 1 << int(centers.max(initial=0)).bit_length()
    first = sum(strides)
    low, high = ((1 + p) * strides[0] for p in planes)
    starts = range(max(first, low), min(volume - first, high + strides[0]), TILE)
    narrow = np.dtype(np.int32 if volume < 2**31 else np.int64)
    around = [_Around(kind, stride, strides, volume, table_end, flat.dtype) for kind in range(len(centers))]
    found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def tile(at: tuple[int, int]) -> None:
        kind, start = at
        end = kind * volume + min(start + TILE, starts.stop)
        places, own, leaning = _kept(flat, around[kind], kind * volume + start, end)
        found[at] = (places + start).astype(narrow), own, leaning

    run_tiles(tile, itertools.product(range(len(centers)), starts), threads)
    none = (np.zeros(0, narrow), np.zeros(0, flat.dtype), np.zeros(0, np.uint8))
    joined = []
    for kind in range(len(centers)):
        parts = [found.pop((kind, start)) for start in starts]
        places, own, leaning = (np.concatenate(p) for p in zip(none, *parts, strict=True))
        joined.append((places, own, leaning))
    return joined


_Set = tuple[tuple[int, int, int], list[int], np.ndarray | None]


class _Around:
    """How far away in memory the 26 nearest centres of those of a parity are, and the 72 `farther`
    ones that large balls are sought in: those together that contain balls alike, with the table of
    `_containing`; and the six along the axes, `beside`.
    """

    def __init__(
        self, kind: int, stride: int, strides: tuple[int, int, int], volume: int, end: int, dtype: np.dtype
    ):  # fmt: skip
        parity = PARITIES[kind]

        def shift(step: Sequence[int]) -> int:
            to = [parity[a] + stride * step[a] for a in range(3)]
            other = PARITIES.index((to[0] & 1, to[1] & 1, to[2] & 1))
            return (other - kind) * volume + sum((t >> 1) * s for t, s in zip(to, strides, strict=True))

        def sets_of(steps: Iterable[tuple[int, ...]]) -> list[_Set]:
            sets: list[_Set] = []
            alike: dict[Any, list[int]] = {}
            for axes in steps:
                shifts = [shift(s) for s in itertools.product(*((-n, n) if n else (0,) for n in axes))]
                # Which axis is which makes no difference to what is contained.
                same = tuple(sorted(zip(parity, axes, strict=True)))
                if same not in alike:
                    step = (stride * axes[0], stride * axes[1], stride * axes[2])
                    table = _table(parity, step, end).astype(dtype) if end <= _LOOKED_UP else None
                    sets.append((step, shifts, table))
                    alike[same] = shifts
                else:
                    alike[same].extend(shifts)
            return sets

        self.sets = sets_of(sorted(itertools.product((0, 1), repeat=3), key=sum)[1:])
        # The margin holds what lies two half voxels away, not two voxels.
        farther = stride == 1 and end > _LARGE
        two = (axes for axes in itertools.product((0, 1, 2), repeat=3) if math.gcd(*axes) == 1 and max(axes) == 2)
        self.farther = sets_of(two) if farther else []
        self.beside = [shift(step) for step in _AXIS_STEPS[1:]]


def _kept(flat: np.ndarray, around: _Around, begin: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `_not_inside_another` for a part of the centres of one parity."""
    places = np.flatnonzero(flat[begin:stop] > 0)
    own = np.take(flat[begin:stop], places).astype(np.int64)
    largest = np.empty(stop - begin, flat.dtype)
    for step, shifts, table in around.sets:
        if not places.size:
            break
        first, second, *others = (flat[begin + s : stop + s] for s in shifts)
        np.maximum(first, second, out=largest)
        for other in others:
            np.maximum(largest, other, out=largest)
        keep = np.flatnonzero(np.take(largest, places) < _containing(own, step, table))
        places, own = np.take(places, keep), np.take(own, keep)
    if around.farther:
        keep = _not_farther_away(flat, around, begin, stop, places, own)
        places, own = places[keep], own[keep]
    # The largest of them, and of those of one size on a row all lean the same way.
    best = own * 8 + _UPRIGHT
    for rank, s in zip(_RANKS, around.beside, strict=True):
        np.maximum(best, np.take(flat[begin + s : stop + s], places) * np.int64(8) + rank, out=best)
    return places, own.astype(flat.dtype), np.take(_LEANING, best & 7)


def _not_farther_away(
    flat: np.ndarray, around: _Around, begin: int, stop: int, places: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Return which balls lie in none two steps away along an axis; small ones are not asked."""
    kept = own <= _LARGE
    asked = np.flatnonzero(~kept)
    for step, shifts, table in around.farther:
        at = places[asked]
        largest = np.take(flat[begin + shifts[0] : stop + shifts[0]], at)
        for s in shifts[1:]:
            np.maximum(largest, np.take(flat[begin + s : stop + s], at), out=largest)
        asked = asked[largest < _containing(own[asked], step, table)]
    kept[asked] = True
    return kept


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

"""Exact distances line by line: one pass along each axis, in host memory.

The squared Euclidean distance to the nearest source splits into lines: along the last axis it is
the distance to the nearest source of the line, and along each further axis ``D[i] = min over j of
G[j] + h² (i - j)²``, the lower envelope of one parabola per voxel (Meijster, Roerdink and Hesselink
2000; Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012, doi:10.4086/toc.2012.v008a019). A
line needs nothing but itself, so pencils of blocks give what the whole array gives.

Two ways find that minimum. The window tries the voxels at distance k = 1, 2, ... for all lines at
once and ends when ``h² k²`` is no less than the largest value so far: quick while distances are
short. Lines on which it has not ended after `_WINDOW` steps go to the envelope itself, whose work
does not grow with the distance. Integers are exact in both; so are ties, which go to the source
with the smallest index. Where all distances are short, whole numbers of 16 bits do
(`lithax.arrays._near_sources`), which takes a third of the time.
"""

import math
from collections.abc import Callable

import numpy as np

from lithax.arrays._near_sources import LIMIT, TILE, across_near, run_tiles, steps_along

METRICS = ("euclidean", "cityblock", "chessboard")
_WINDOW = 40
_TILE = 1 << 18
"""Voxels that are worked on at once: what fits into a core's cache, and a short window where
distances are short.
"""


def no_source(dtype: np.dtype) -> int | float:
    """Return the value that stands for "there is no source": the largest integer, or infinity."""
    return float("inf") if dtype.kind == "f" else int(np.iinfo(dtype).max)


def distance_dtype(shape: tuple[int, ...], steps: tuple[int | float, ...], metric: str) -> np.dtype:
    """Return the type in which distances over an array of a shape are exact: integers if the steps
    are integers.
    """
    if any(isinstance(s, float) for s in steps):
        return np.dtype(np.float64)
    reach = [n * s for n, s in zip(shape, steps, strict=True)]
    largest = sum(r * r for r in reach) if metric == "euclidean" else sum(reach)
    return np.dtype(np.int32 if largest < 2**30 else np.int64)


def line_distance(
    source: np.ndarray,
    axis: int,
    step: int | float,
    *,
    metric: str,
    dtype: np.dtype,
    outside: bool = False,
    nearest: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the distance to the nearest source on the same line along an axis (squared if
    Euclidean).

    Parameters
    ----------
    source
        Boolean array; the whole axis must be there.
    axis, step
        The axis, and the length of a voxel along it.
    outside
        Whether the voxels just outside both ends of the line are sources, too.
    nearest
        Return the position of that source on the line as well (the smaller one of two; -1 if there
        is none).
    """
    n = source.shape[axis]
    if not nearest:
        result = np.empty(source.shape, dtype)
        lines, found = np.moveaxis(source, axis, -1), np.moveaxis(result, axis, -1)
        rows = max(1, TILE * len(lines) // max(1, lines.size)) if len(lines) else 1
        for a in range(0, len(lines), rows):
            steps = steps_along(lines[a : a + rows], outside)
            found[a : a + rows] = _from_steps(steps, n, step, metric, dtype, outside)
        return result, None
    position = np.arange(n, dtype=np.int32).reshape([n if a == axis else 1 for a in range(source.ndim)])
    far = np.int32(-1 if outside else -(2**29))
    before = np.maximum.accumulate(np.where(source, position, far), axis=axis)
    far = np.int32(n if outside else 2**29)
    after = np.where(source, position, far)
    after = np.flip(np.minimum.accumulate(np.flip(after, axis), axis=axis), axis)
    lower, upper = position - before, after - position
    index = np.where(lower <= upper, before, after)
    index[(index < 0) | (index >= n)] = -1
    return _from_steps(np.minimum(lower, upper), n, step, metric, dtype, outside), index


def _from_steps(
    steps: np.ndarray, n: int, step: int | float, metric: str, dtype: np.dtype, outside: bool
) -> np.ndarray:
    """Return distances along an axis of n voxels, given those in steps; n or more: none."""
    result = steps.astype(dtype)
    result *= step
    if metric == "euclidean":
        result *= result
    if not outside:
        np.copyto(result, no_source(dtype), where=steps >= n)
    return result


def across_lines(
    distance: np.ndarray,
    axis: int,
    step: int | float,
    *,
    metric: str,
    outside: bool = False,
    carried: np.ndarray | None = None,
    stride: int | None = None,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Take the distances of the axes done so far one axis further; see the module.

    Parameters
    ----------
    distance
        What `line_distance` or this function returned; the whole axis must be there.
    carried
        Index of the nearest source over the axes done so far; what is returned has this axis in
        front of them: ``position * stride + carried``.
    stride
        Voxels of the image in one step along the axis in C order; those of this array without it.
    threads
        How many tiles are worked on at a time.
    """
    shape, n = distance.shape, distance.shape[axis]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    lines = np.ascontiguousarray(distance).reshape(outer, n, inner)
    out = np.empty_like(lines)
    place = None
    if carried is not None:
        place = np.broadcast_to(np.arange(n, dtype=np.int32)[None, :, None], lines.shape).copy()

    short = metric == "euclidean" and carried is None and out.dtype.kind == "i" and step * step < LIMIT

    def tile(box: tuple[slice, slice]) -> None:
        a, b = box
        given, found = lines[a, :, b], out[a, :, b]
        if short and across_near(given, int(step), found):
            return
        found[...] = given
        _tile(given, found, step, metric, None if place is None else place[a, :, b])

    run_tiles(tile, _tiles(outer, n, inner), threads)
    if outside:
        edge = np.minimum(np.arange(n) + 1, n - np.arange(n)).astype(out.dtype) * step
        edge = edge * edge if metric == "euclidean" else edge
        np.minimum(out, edge.astype(out.dtype)[None, :, None], out=out)
    index = None
    if carried is not None and place is not None:
        behind = np.take_along_axis(carried.reshape(lines.shape), place.astype(np.intp), axis=1)
        index = np.where(
            behind < 0, -1, place.astype(np.int64) * (inner if stride is None else stride) + behind
        ).reshape(shape)
    return out.reshape(shape), index


def _tiles(outer: int, n: int, inner: int):
    width = max(1, min(inner, _TILE // n))
    rows = max(1, _TILE // (n * width))
    for a in range(0, outer, rows):
        for b in range(0, inner, width):
            yield slice(a, a + rows), slice(b, b + width)


def _tile(g: np.ndarray, out: np.ndarray, step: int | float, metric: str, place: np.ndarray | None) -> None:
    if metric == "cityblock" and place is None:
        _cityblock(out, step)
        return
    n, big = g.shape[1], no_source(out.dtype)
    reach: Callable[[int], int | float] = (
        (lambda k: step * step * k * k) if metric == "euclidean" else lambda k: step * k
    )
    combine = _at_least if metric == "chessboard" else _saturated
    for k in range(1, n):
        weight, largest = reach(k), out.max()
        # With the index, a source that is as near but comes earlier still counts.
        if weight > largest or (place is None and weight == largest):
            return
        if k > _WINDOW and metric == "euclidean":
            _by_envelope(g, out, step, weight, place)
            return
        near, far = slice(0, n - k), slice(k, n)
        if place is None:
            sums = combine(g, weight, big)
            np.minimum(out[:, far], sums[:, near], out=out[:, far])
            np.minimum(out[:, near], sums[:, far], out=out[:, near])
            continue
        _smaller(combine(g[:, near], weight, big), out[:, far], place, near, far, np.less_equal)
        _smaller(combine(g[:, far], weight, big), out[:, near], place, far, near, np.less)


def _at_least(values: np.ndarray, weight: int | float, big: int | float) -> np.ndarray:
    return np.maximum(values, values.dtype.type(weight))


def _saturated(values: np.ndarray, weight: int | float, big: int | float) -> np.ndarray:
    if values.dtype.kind == "f":
        return values + weight
    # "No source" must stay the largest of all: a sum beyond it would wrap around.
    return np.minimum(values, values.dtype.type(big - weight)) + values.dtype.type(weight)


def _smaller(candidate, out, place, source: slice, target: slice, less) -> None:
    better = less(candidate, out)
    out[better] = candidate[better]
    moved = np.arange(source.start, source.stop, dtype=np.int32)[None, :, None]
    np.copyto(place[:, target], moved, where=better)


def _cityblock(out: np.ndarray, step: int | float) -> None:
    n, big = out.shape[1], no_source(out.dtype)
    for order in (range(1, n), range(n - 2, -1, -1)):
        for i in order:
            j = i - 1 if order.step == 1 else i + 1
            np.minimum(out[:, i], _saturated(out[:, j], step, big), out=out[:, i])


def _by_envelope(g: np.ndarray, out: np.ndarray, step: int | float, reached: int | float, place) -> None:
    """Finish the lines on which a source farther than the window may be the nearest."""
    open_lines = out.max(axis=1) >= reached
    a, b = np.nonzero(open_lines)
    lines = g[a, :, b].T
    finite = lines < no_source(out.dtype)
    some = finite.any(axis=0)
    a, b, lines, finite = a[some], b[some], lines[:, some], finite[:, some]
    if not len(a):
        return
    if out.dtype.kind == "f":
        least, where = _by_trial(lines, step)
    else:
        least, where = _envelope(lines.astype(np.int64), finite, int(step) ** 2)
    out[a, :, b] = least.T
    if place is not None:
        place[a, :, b] = where.T


def _by_trial(lines: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    # Where two parabolas cross is rounded in floating point; trying every source gives the least
    # sum in every bit.
    n = len(lines)
    least = lines.copy()
    where = np.broadcast_to(np.arange(n, dtype=np.int32)[:, None], lines.shape).copy()
    for k in range(1, n):
        weight = step * step * k * k
        for near, far, less in ((slice(0, n - k), slice(k, n), np.less_equal), (slice(k, n), slice(0, n - k), np.less)):
            candidate = lines[near] + weight
            better = less(candidate, least[far])
            least[far][better] = candidate[better]
            np.copyto(where[far], np.arange(near.start, near.stop, dtype=np.int32)[:, None], where=better)
    return least, where


def _envelope(g: np.ndarray, finite: np.ndarray, weight: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower envelope of the parabolas ``g[j] + weight (i - j)²`` of every column, all columns side
    by side.

    Each column keeps a stack of the parabolas that are lowest somewhere, with the first position at
    which each is. A later parabola is *strictly* lower from ``floor(...) + 1`` on, so that of two
    equal ones the earlier stays.
    """
    n, count = g.shape
    stack = np.zeros((n, count), np.int32)
    begin = np.zeros((n + 1, count), np.int64)
    top = np.full(count, -1)
    for j in range(n):
        columns = np.flatnonzero(finite[j])
        first = np.zeros(columns.size, np.int64)
        todo = np.flatnonzero(top[columns] >= 0)
        while todo.size:
            c = columns[todo]
            k = top[c]
            below = stack[k, c].astype(np.int64)
            rise = g[j, c] - g[below, c] + weight * (j * j - below * below)
            cross = rise // (2 * weight * (j - below)) + 1
            first[todo] = cross
            gone = cross <= begin[k, c]
            todo = todo[gone]
            lost = columns[todo]
            top[lost] -= 1
            first[todo] = 0
            todo = todo[top[lost] >= 0]
        counts = first < n  # beyond the line it is never the lowest
        c, first = columns[counts], first[counts]
        top[c] += 1
        stack[top[c], c] = j
        begin[top[c], c] = first
    least = np.empty((n, count), np.int64)
    where = np.empty((n, count), np.int32)
    everyone = np.arange(count)
    now = np.zeros(count, np.intp)
    for i in range(n):
        more = np.flatnonzero((now < top) & (begin[np.minimum(now + 1, n), everyone] <= i))
        while more.size:
            now[more] += 1
            more = more[(now[more] < top[more]) & (begin[np.minimum(now[more] + 1, n), more] <= i)]
        at = stack[now, everyone]
        where[i] = at
        least[i] = g[at, everyone] + weight * (i - at.astype(np.int64)) ** 2
    return least, where

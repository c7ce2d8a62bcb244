"""Squared distances in whole numbers of 16 bits, tile by tile, where no source is far.

The sums of `lithax.arrays._distance` again, but a tile at a time and with the axis they go along
first: a step along it is then one through all of the memory, and a core's cache holds everything.
Numbers are cut at `LIMIT`, so that no sum wraps around. A result below it is exact; one that
reaches it is not known, and is left to larger numbers.
"""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

LIMIT = 2**15 - 1
"""Squared distance from which on it is not known: twice as much still fits into 16 bits."""
TILE = 1 << 19
"""Voxels that are worked on at once. Their 16 bits three times lie in a cache, and a step takes
longer than threads wait for each other between two steps: a quarter of it doubles the time of two.
"""


def run_tiles(work: Callable[[Any], None], tiles: Iterable[Any], threads: int) -> None:
    """Call a function for each of several tiles, so many at a time."""
    every = list(tiles)
    if threads > 1 and len(every) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, every))
        return
    for tile in every:
        work(tile)


def steps_along(source: np.ndarray, outside: bool = False) -> np.ndarray:
    """Return how many voxels away the nearest source lies along the last axis; the length of the
    axis if there is none.

    `outside`: the voxels just outside both ends are sources, too.
    """
    n = source.shape[-1]
    # Twice the length is the largest number that appears.
    kind = np.dtype(np.uint8 if n < 2**7 else np.uint16 if n < 2**15 else np.int32)
    steps = np.multiply(~source, kind.type(n), dtype=kind)
    if outside:
        np.minimum(steps, np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(kind), out=steps)
    # Any number of voxels is a sum of 1, 2, 4, ...: few rounds reach as far as it takes.
    reach = 1
    while reach < n and int(steps.max(initial=0)) >= reach:
        farther = steps + kind.type(reach)
        np.minimum(steps[..., reach:], farther[..., :-reach], out=steps[..., reach:])
        np.minimum(steps[..., :-reach], farther[..., reach:], out=steps[..., :-reach])
        reach *= 2
    return np.minimum(steps, kind.type(n), out=steps)


def least_sums(lines: np.ndarray, step: int, outside: bool = False) -> np.ndarray:
    """Return the least of ``lines[j] + step² (i - j)²`` over all j for every i, along the first
    axis; no number reaches further than `LIMIT`.
    """
    n = len(lines)
    best, sums = lines.copy(), np.empty_like(lines)
    if outside:
        edge = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) * step) ** 2
        np.minimum(best, np.minimum(edge, LIMIT).astype(best.dtype)[:, None], out=best)
    for k in range(1, n):
        weight = step * step * k * k
        if weight >= LIMIT or weight >= best.max(initial=0):
            break
        np.add(lines, lines.dtype.type(weight), out=sums)
        np.minimum(best[k:], sums[:-k], out=best[k:])
        np.minimum(best[:-k], sums[k:], out=best[:-k])
    return best


def across_near(lines: np.ndarray, step: int, out: np.ndarray) -> bool:
    """Write the least sums along the middle axis of whole numbers of any size, if all of them stay
    below `LIMIT`; tell whether they do.
    """
    small = np.empty((lines.shape[1], lines.shape[0], lines.shape[2]), np.uint16)
    np.minimum(lines.swapaxes(0, 1), LIMIT, out=small, casting="unsafe")
    best = least_sums(small.reshape(len(small), -1), step).reshape(small.shape)
    if best.max(initial=0) >= LIMIT:
        return False
    out[...] = best.swapaxes(0, 1)
    return True


def near_distances(
    source: np.ndarray,
    steps: tuple[int | float, ...],
    finish: Callable[[np.ndarray], np.ndarray],
    dtype: np.dtype,
    *,
    outside: bool = False,
    threads: int = 1,
) -> np.ndarray | None:
    """Return a function of the squared distance of every voxel to the nearest source; None if one
    is too far for numbers of 16 bits.

    Parameters
    ----------
    source
        Boolean array of three axes.
    steps
        Lengths of a voxel; whole numbers, or the answer is None.
    finish, dtype
        The function, of an array of squared distances, and the type of what it returns.
    outside
        Whether the voxels just outside all faces are sources, too.
    threads
        How many tiles are worked on at a time.
    """
    if not source.size or any(isinstance(s, float) or s * s >= LIMIT for s in steps):
        return None
    along_x, along_y, along_z = (int(s) for s in steps)
    nx, ny, nz = source.shape
    within, result = np.empty((nx, ny, nz), np.uint16), np.empty((nx, ny * nz), dtype)
    rows = max(1, TILE // (ny * nz))
    lines, width = max(1, TILE // (rows * nz)), max(1, TILE // ny)
    known = [True]

    def planes(a: int) -> None:
        part = source[a : a + rows].swapaxes(0, 1)
        squared = np.empty(part.shape, np.uint16)
        for b in range(0, ny, lines):
            squared[b : b + lines] = _squares(steps_along(part[b : b + lines], outside), along_z, outside)
        flat = squared.reshape(ny, -1)
        for b in range(0, flat.shape[1], width):
            column = flat[:, b : b + width]
            column[...] = least_sums(np.ascontiguousarray(column), along_y, outside)
        within[a : a + rows] = squared.swapaxes(0, 1)

    def columns(b: int) -> None:
        if known[0]:
            column = within.reshape(nx, -1)[:, b : b + across]
            best = least_sums(np.ascontiguousarray(column), along_x, outside)
            if best.max() < LIMIT:
                result[:, b : b + across] = finish(best)
            else:
                known[0] = False

    across = max(1, TILE // nx)
    run_tiles(planes, range(0, nx, rows), threads)
    run_tiles(columns, range(0, ny * nz, across), threads)
    return result.reshape(source.shape) if known[0] else None


def _squares(steps: np.ndarray, length: int, outside: bool) -> np.ndarray:
    """Return squared distances, no larger than `LIMIT`, given how many steps of a length they are;
    as many as the axis is long: none, unless there are some outside.
    """
    far = math.isqrt(LIMIT - 1) // length + 1
    found = np.minimum(steps, far).astype(np.uint16)
    found *= length
    found *= found
    np.copyto(found, LIMIT, where=steps >= (far if outside else min(far, steps.shape[-1])))
    return found

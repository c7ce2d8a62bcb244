"""Balls whose centres lie half-way between voxels, too: on their faces, edges and corners.

The lattice of centres is twice as fine as that of the voxels, so a pore of an even number of
voxels has a centre in its middle. Lengths are half voxels here. A centre has a *parity*: along
each axis 0 at the middle of a voxel, 1 between two. The background is taken for what it is as a
body: the centres of its voxels, and every edge, square and cube between centres that all belong
to it. So the distance of a centre to it is the same beside a plane wherever the centre lies, and
the ball in a slit of h voxels has the radius (h + 1) / 2 voxels up to the centres of the walls.
At the middle of a voxel the distance is the ordinary one: the nearest point of an edge, square or
cube, axis by axis, is a voxel's centre there. Between two voxels along an axis the nearest point
lies either between two as well, right opposite, or an odd number of half voxels away.
"""

import itertools
import math

import numpy as np

from lithax.arrays._near_sources import TILE, run_tiles

PARITIES = tuple((x, y, z) for x, y, z in itertools.product((0, 1), repeat=3))


def half_lattice_bound(largest: int) -> int:
    """Return a squared distance [half voxels²] that no centre exceeds, where that of voxels to the
    background is at most `largest` [voxel²]: half a diagonal away from one it can be so much
    larger.
    """
    return int(np.ceil((2 * np.sqrt(float(largest)) + np.sqrt(3.0)) ** 2)) + 1


def half_lattice_reach(largest: int) -> int:
    """Return how many voxels away the centre of a ball can lie that covers a voxel."""
    return int(np.ceil(np.sqrt(float(half_lattice_bound(largest))) / 2))


def _dtype(largest: int) -> np.dtype:
    # Sums of two squares that are cut at the bound must not wrap around.
    twice = 2 * half_lattice_bound(largest)
    return np.dtype(np.int16 if twice < 2**15 else np.int32 if twice < 2**31 else np.int64)


def half_lattice_bytes(core: tuple[int, ...], shape: tuple[int, ...], largest: int) -> int:
    """Return the memory in which balls over a core are found and drawn [byte].

    Parameters
    ----------
    core, shape
        Sizes of the core, and of the image that it is a part of.
    largest
        The largest squared distance [voxel²].
    """
    reach, size = half_lattice_reach(largest), _dtype(largest).itemsize
    x, y, z = (min(n + 2 * k * (reach + 1), whole) for n, whole, k in zip(core, shape, (2, 1, 1), strict=True))
    # Eight distances for each voxel, and places and radii of those that hold balls.
    return (12 + 12 * size) * x * y * z + size * math.prod(n + 4 * (reach + 1) for n in core)


def half_lattice_distances(
    background: np.ndarray,
    taken: np.ndarray | None,
    largest: int,
    threads: int = 1,
    wanted: tuple[slice, slice] = (slice(None), slice(None)),
) -> np.ndarray:
    """Return the squared distance of every centre to the background [half voxels²].

    Parameters
    ----------
    background
        Boolean array of its voxels.
    taken
        Voxels that may hold a ball: a centre counts where all voxels around it are. None: all
        that are not background.
    largest
        The largest squared distance between a voxel that is taken and the background [voxel²].
    threads
        How many tiles are worked on at a time.
    wanted
        The part along y and z that is wanted; all of x is.

    Returns
    -------
        Shape (8, x + 2, y + 2, z + 2), y and z as wanted: the parities in C order, and voxels with
        a margin of one; a centre beyond its voxel belongs to it, towards higher indices. 0 where no
        ball covers a voxel.
    """
    bound, dtype = half_lattice_bound(largest), _dtype(largest)
    nx, ny, nz = background.shape
    along_y, along_z = (range(n)[w] for w, n in zip(wanted, (ny, nz), strict=True))
    found = np.zeros((8, nx + 2, len(along_y) + 2, len(along_z) + 2), dtype)
    planes, width = max(1, TILE // max(1, ny * nz)), max(1, TILE // max(1, nx))

    def along_planes(a: int) -> None:
        for x in (0, 1):
            rows = _rows(background, a, min(a + planes, nx), x)
            _in_planes(rows, bound, (along_y, along_z), found[4 * x : 4 * x + 4, 1 + a : -1])

    # What is written takes the place of what was read: along x a tile needs nothing but itself.
    flat = found.reshape(8, nx + 2, -1)[:, 1:-1]

    def along_columns(b: int) -> None:
        for even in range(4):
            _in_columns(flat[even, :, b : b + width], flat[even + 4, :, b : b + width])

    run_tiles(along_planes, range(0, nx, planes), threads)
    run_tiles(along_columns, range(0, flat.shape[2], width), threads)
    if taken is not None:
        for parity, inner in zip(PARITIES, found[:, 1:-1, 1:-1, 1:-1], strict=True):
            around = taken
            for axis, odd in enumerate(parity):
                around = _both(around, axis, odd)
            np.multiply(inner, around[:, *wanted], out=inner)
    return found


def _rows(background: np.ndarray, a: int, b: int, odd: int) -> np.ndarray:
    """Return the background of some planes across x, or between those and the next, y first."""
    part = background[a:b]
    if odd:
        part = np.zeros_like(part)
        after = background[a + 1 : b + 1]
        np.logical_and(background[a : a + len(after)], after, out=part[: len(after)])
    return np.ascontiguousarray(part.swapaxes(0, 1))


def _in_planes(rows: np.ndarray, bound: int, wanted: tuple[range, range], found: np.ndarray) -> None:
    """Write the squared distances within planes across x, for all parities along y and z."""
    ny, planes, nz = rows.shape
    along_y, along_z = wanted
    lines = [_along_line(_both(rows, 0, y), bound, found.dtype) for y in (0, 1)]
    width = max(1, TILE // ny)
    room = np.empty((3, ny * width), found.dtype)
    for z in (0, 1):
        even, opposite = (lines[y][z][..., along_z.start : along_z.stop].reshape(ny, -1) for y in (0, 1))
        for b in range(0, even.shape[1], width):
            near, best, sums = (r[: ny * min(width, even.shape[1] - b)].reshape(ny, -1) for r in room)
            near[...] = even[:, b : b + width]
            for y, start in ((0, near), (1, opposite[:, b : b + width])):
                best[...] = start
                _tile(near, best, sums, bool(y))
                even_or_odd = even if not y else opposite
                even_or_odd[:, b : b + width] = best
        for y, values in ((0, even), (1, opposite)):
            # There is no centre behind the last voxel of an axis.
            last_y, last_z = min(along_y.stop, ny - y), min(along_z.stop, nz - z)
            size_y, size_z = last_y - along_y.start, last_z - along_z.start
            inner = values.reshape(ny, planes, -1)[along_y.start : last_y, :, :size_z].swapaxes(0, 1)
            found[2 * y + z, :planes, 1 : 1 + size_y, 1 : 1 + size_z] = inner


def _in_columns(even: np.ndarray, odd: np.ndarray) -> None:
    """Take the squared distances within planes across x to those of all three axes, in place."""
    near, best = even.copy(), even.copy()
    sums = np.empty_like(near)
    _tile(near, best, sums, False)
    # Where there are voxels of the background right around a centre, no ball is.
    np.multiply(best, best > 3, out=even)
    best[...] = odd
    _tile(near, best, sums, True)
    best[-1:] = 0
    np.multiply(best, best > 3, out=odd)


def _both(values: np.ndarray, axis: int, odd: int) -> np.ndarray:
    """Return what holds of a voxel and, if `odd`, of the next along an axis; the last has none."""
    if not odd:
        return values
    found = np.zeros_like(values)
    first, second = _pair(values, axis)
    np.logical_and(first, second, out=_pair(found, axis)[0])
    return found


def _pair(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all but the last, and all but the first along an axis."""
    before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(values.ndim))
    after = tuple(slice(1, None) if a == axis else slice(None) for a in range(values.ndim))
    return values[before], values[after]


def _along_line(source: np.ndarray, bound: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances along the last axis, no larger than `bound`, of the middles of
    voxels and of those between two.
    """
    far, n = math.isqrt(bound) // 2 + 1, source.shape[-1]
    kind = np.dtype(np.uint8 if far < 2**7 else np.int16 if far < 2**14 else np.int32)
    # Lines stand one after another in memory, so far apart that none reaches into the next.
    apart = np.full((*source.shape[:-1], n + far), far, kind)
    np.multiply(~source, kind.type(far), out=apart[..., :n])
    steps, reach = apart.reshape(-1), 1
    # Any number of voxels is a sum of 1, 2, 4, ...: few rounds reach as far as it takes.
    while reach <= min(far, n - 1):
        farther = steps + kind.type(reach)
        np.minimum(steps[reach:], farther[:-reach], out=steps[reach:])
        np.minimum(steps[:-reach], farther[reach:], out=steps[:-reach])
        reach *= 2
    whole = apart[..., :n].astype(dtype)
    between = np.full(source.shape, bound, dtype)
    # From between two voxels the nearest source is that of the nearer one; of two, both.
    inner = np.minimum(whole[..., :-1], whole[..., 1:])
    enclosed = np.maximum(whole[..., :-1], whole[..., 1:]) == 0
    inner += inner
    inner += 1
    inner *= inner
    inner -= enclosed
    np.minimum(inner, bound, out=between[..., :-1])
    whole += whole
    whole *= whole
    return np.minimum(whole, bound, out=whole), between


def _tile(source: np.ndarray, out: np.ndarray, sums: np.ndarray, odd: bool) -> None:
    n = len(source)
    for k in range(0 if odd else 1, n):
        # The centre after voxel i lies 2 k + 1 half voxels from voxels i - k and i + 1 + k.
        weight, low, high = ((2 * k + 1) ** 2, k, k + 1) if odd else (4 * k * k, k, k)
        if k % 2 and weight >= out.max():
            return
        np.add(source, source.dtype.type(weight), out=sums)
        np.minimum(out[low:], sums[: n - low], out=out[low:])
        np.minimum(out[: n - high], sums[high:], out=out[: n - high])

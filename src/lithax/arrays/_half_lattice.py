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

PARITIES = tuple((x, y, z) for x, y, z in itertools.product((0, 1), repeat=3))
_TILE = 1 << 17
"""Centres that are worked on at once: what fits into a core's cache."""


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


def half_lattice_bytes(largest: int) -> int:
    """Return the memory for a voxel in which balls are found and drawn [byte]."""
    return 24 + 20 * _dtype(largest).itemsize


def half_lattice_distances(background: np.ndarray, taken: np.ndarray, largest: int) -> np.ndarray:
    """Return the squared distance of every centre to the background [half voxels²].

    Parameters
    ----------
    background
        Boolean array of its voxels.
    taken
        Voxels that may hold a ball: a centre counts where all voxels around it are.
    largest
        The largest squared distance between a voxel that is taken and the background [voxel²].

    Returns
    -------
        Shape (8, x + 2, y + 2, z + 2): the parities in C order, and voxels with a margin of one; a
        centre beyond its voxel belongs to it, towards higher indices. 0 where no ball covers a
        voxel.
    """
    bound, dtype = half_lattice_bound(largest), _dtype(largest)
    found = np.zeros((8, *(n + 2 for n in background.shape)), dtype)
    rows = {(p, q): _both(_both(background, 0, p), 1, q) for p in (0, 1) for q in (0, 1)}
    lines = {key: _along_line(source, bound, dtype) for key, source in rows.items()}
    for along_z, along_y in itertools.product((0, 1), repeat=2):
        flat = [_across(lines[p, 0][along_z], lines[p, 1][along_z] if along_y else None, 1) for p in (0, 1)]
        for along_x in (0, 1):
            parity = (along_x, along_y, along_z)
            around = taken
            for axis, odd in enumerate(parity):
                around = _both(around, axis, odd)
            inner = found[PARITIES.index(parity)][1:-1, 1:-1, 1:-1]
            np.multiply(_across(flat[0], flat[1] if along_x else None, 0), around, out=inner)
    return found


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
    far, n = math.isqrt(bound) // 2 + 1, source.shape[2]
    kind = np.dtype(np.uint8 if far < 2**7 else np.int16 if far < 2**14 else np.int32)
    even, odd = np.empty(source.shape, dtype), np.empty(source.shape, dtype)
    rows = max(1, _TILE // (source.shape[1] * n))
    for a in range(0, len(source), rows):
        part = source[a : a + rows]
        # Lines stand one after another in memory, so far apart that none reaches into the next.
        apart = np.full((*part.shape[:2], n + far), far, kind)
        np.multiply(~part, kind.type(far), out=apart[..., :n])
        steps, reach = apart.reshape(-1), 1
        # Any number of voxels is a sum of 1, 2, 4, ...: few rounds reach as far as it takes.
        while reach <= min(far, n - 1):
            farther = steps + kind.type(reach)
            np.minimum(steps[reach:], farther[:-reach], out=steps[reach:])
            np.minimum(steps[:-reach], farther[reach:], out=steps[:-reach])
            reach *= 2
        whole = steps.astype(dtype)
        # From between two voxels the nearest source is that of the nearer one; of two, both.
        between = np.minimum(whole[:-1], whole[1:])
        enclosed = np.maximum(steps[:-1], steps[1:]) == 0
        between += between
        between += 1
        between *= between
        between -= enclosed
        whole += whole
        whole *= whole
        np.minimum(whole.reshape(apart.shape)[..., :n], bound, out=even[a : a + rows])
        between = np.append(between, dtype.type(bound)).reshape(apart.shape)[..., :n]
        np.minimum(between, bound, out=odd[a : a + rows])
        odd[a : a + rows, :, -1] = bound
    return even, odd


def _across(even: np.ndarray, opposite: np.ndarray | None, axis: int) -> np.ndarray:
    """Take squared distances one axis further: of the middles of voxels, or, with the distances to
    sources right opposite, of those between two.
    """
    shape, n = even.shape, even.shape[axis]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    source = even.reshape(outer, n, inner)
    start = source if opposite is None else opposite.reshape(outer, n, inner)
    out = np.empty(source.shape, even.dtype)
    width = max(1, min(inner, _TILE // n))
    rows = max(1, _TILE // (n * width))
    room = np.empty((3, rows * n * width), even.dtype)
    for a in range(0, outer, rows):
        for b in range(0, inner, width):
            at = slice(a, a + rows), slice(None), slice(b, b + width)
            part = source[at].swapaxes(0, 1)
            # The axis comes first, so that a step along it is one through all of the memory.
            near, best, sums = (r[: part.size].reshape(part.shape) for r in room)
            near[...], best[...] = part, start[at].swapaxes(0, 1)
            _tile(near, best, sums, opposite is not None)
            out[at] = best.swapaxes(0, 1)
    return out.reshape(shape)


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

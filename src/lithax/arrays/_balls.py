"""The largest ball that covers each voxel, given the squared radius of the largest ball around each
voxel.

``T²(p) = max {D²(q) : |p - q|² < D²(q)}``: whole numbers, and the order in which balls are drawn
changes nothing. A ball inside another need not be drawn: that around q lies in that around q' at
distance d if ``D(q) + d <= D(q')``, which in whole numbers is ``e = D²(q') - D²(q) - d² >= 0`` and
``e² >= 4 d² D²(q)``. Looking at the 26 neighbours of q leaves a few per cent of the balls.
Hildebrand and Rüegsegger, Journal of Microscopy 185 (1997), 67-75,
doi:10.1046/j.1365-2818.1997.1340694.x.
"""

import itertools
import math

import numpy as np

_SMALL = 36
"""Squared radius up to which balls of one size are drawn together, voxel by voxel; larger ones by
whole boxes.
"""

_AT_ONCE = 1 << 21


def largest_balls(squared: np.ndarray, core: tuple[slice, slice, slice]) -> np.ndarray:
    """Return the squared radius of the largest ball that covers each voxel of the core.

    Parameters
    ----------
    squared
        Squared radius of the ball around each voxel, whole numbers; 0: none. Around the core as far
        as balls reach in.
    core
        The part of the array that is wanted.

    Returns
    -------
        Whole numbers of the same type, in the shape of the core.
    """
    begin, size = [s.start for s in core], [s.stop - s.start for s in core]
    centers = _not_inside_another(squared)
    radii = squared.reshape(-1)[centers].astype(np.int64)
    order = np.argsort(radii, kind="stable")
    centers, radii = centers[order], radii[order]
    at = np.stack(np.unravel_index(centers, squared.shape), axis=1) - begin
    # The distance of a centre from the core decides whether its ball reaches in.
    gap = np.maximum(np.maximum(-at, at - (np.array(size) - 1)), 0)
    reaches = (gap * gap).sum(axis=1) < radii
    at, radii = at[reaches], radii[reaches]
    small = int(np.searchsorted(radii, _SMALL, "right"))
    out = _small_balls(at[:small], radii[:small], size, squared.dtype)
    _large_balls(at[small:], radii[small:], out)
    return out


def _not_inside_another(squared: np.ndarray) -> np.ndarray:
    """Return the places in C order of voxels whose ball lies in the ball of none of their 26
    neighbours.
    """
    padded = np.pad(squared, 1)
    flat, shape = padded.reshape(-1), padded.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    places = np.flatnonzero(flat)
    own = flat[places].astype(np.int64)
    steps = sorted((s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)), key=lambda s: sum(map(abs, s)))
    for step in steps:
        distance = sum(map(abs, step))
        excess = flat[places + sum(a * b for a, b in zip(step, strides, strict=True))] - own - distance
        inside = (excess >= 0) & (excess * excess >= 4 * distance * own)
        if inside.any():
            places, own = places[~inside], own[~inside]
    at = np.unravel_index(places, shape)
    return np.ravel_multi_index(tuple(a - 1 for a in at), squared.shape)


def _ball(squared_radius: int) -> np.ndarray:
    reach = math.isqrt(squared_radius - 1)
    axis = np.arange(-reach, reach + 1) ** 2
    return axis[:, None, None] + axis[None, :, None] + axis[None, None, :] < squared_radius


def _small_balls(at: np.ndarray, radii: np.ndarray, size: list[int], dtype: np.dtype) -> np.ndarray:
    margin = 2 * (math.isqrt(_SMALL) + 1)
    shape = tuple(n + 2 * margin for n in size)
    out = np.zeros(shape, dtype)
    flat = out.reshape(-1)
    places = np.asarray(np.ravel_multi_index(tuple((at + margin).T), shape) if len(at) else [], np.int64)
    # From small to large: the last one written is the largest.
    for squared_radius in np.unique(radii).tolist():
        ball = _ball(squared_radius)
        reach = ball.shape[0] // 2
        offsets = (np.argwhere(ball) - reach) @ np.array([shape[1] * shape[2], shape[2], 1])
        of_size = places[np.searchsorted(radii, squared_radius) : np.searchsorted(radii, squared_radius, "right")]
        for k in range(0, len(of_size), max(1, _AT_ONCE // len(offsets))):
            part = of_size[k : k + max(1, _AT_ONCE // len(offsets))]
            flat[part[:, None] + offsets] = squared_radius
    return np.ascontiguousarray(out[tuple(slice(margin, margin + n) for n in size)])


def _large_balls(at: np.ndarray, radii: np.ndarray, out: np.ndarray) -> None:
    size = out.shape
    before, ball, reach = 0, np.zeros((1, 1, 1), out.dtype), 0
    for (x, y, z), squared_radius in zip(at.tolist(), radii.tolist(), strict=True):
        if squared_radius != before:
            ball = _ball(squared_radius).astype(out.dtype) * out.dtype.type(squared_radius)
            before, reach = squared_radius, ball.shape[0] // 2
        a, b, c = max(x - reach, 0), max(y - reach, 0), max(z - reach, 0)
        d, e, f = min(x + reach + 1, size[0]), min(y + reach + 1, size[1]), min(z + reach + 1, size[2])
        if a < d and b < e and c < f:
            part = out[a:d, b:e, c:f]
            x0, y0, z0 = reach - x, reach - y, reach - z
            np.maximum(part, ball[a + x0 : d + x0, b + y0 : e + y0, c + z0 : f + z0], out=part)

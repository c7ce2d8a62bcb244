"""Spheres on a grid of voxels, decided exactly at every voxel centre.

A voxel belongs to a sphere if ``dx*dx + (dy*dy + dz*dz) <= r*r`` in float64, with ``dx`` its centre
minus the sphere's: the inequality of `geometry.Sphere.contains`. It is a function of the global
coordinates alone, so an image does not depend on the blocks that it is made of.

Along x, the voxels of a row that satisfy it are an interval, whose ends the half-chord gives at
once; only ends so close to a voxel centre that rounding could decide are tested by the inequality
itself. The intervals are not filled: +1 is added where each begins and where it ends -1, and a
running sum over the planes of the block, along its slowest axis, turns them into the number of
spheres that hold each voxel. All steps are long array operations, whatever the number of spheres.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool

# Rows handled at once: the intermediate arrays stay near the processor, and are not given back to
# the system each time.
_ROWS = 1 << 15


def rasterise_spheres(
    centers: Any, radii: Any, x: Any, y: Any, z: Any, *, period: Any = None
) -> Bool[np.ndarray, "x y z"]:
    """Tell which voxel centres lie in at least one sphere, surfaces included.

    Parameters
    ----------
    centers
        x, y, z of every sphere's centre, shape (n, 3).
    radii
        Their radii: one number, or shape (n,); not negative.
    x, y, z
        Coordinates of the voxel centres along each axis, evenly spaced and increasing, in the unit
        of `centers`; for a block, its part of those of the image (`Frame.axis_coordinates`).
    period
        Lengths along x, y and z after which space repeats, or None. An infinite one does not
        repeat.

    Returns
    -------
        True inside the spheres.

    Raises
    ------
    ValueError
        If a shape does not fit, a value is not finite, a radius is negative, the coordinates are
        not evenly spaced, or a period is not positive.
    """
    centers, radii = _check_spheres(centers, radii)
    axes = [np.asarray(values, dtype=np.float64) for values in (x, y, z)]
    steps = [_step(values, name) for values, name in zip(axes, "xyz", strict=True)]
    shape = tuple(len(values) for values in axes)
    if period is not None:
        centers, radii = _repeat(centers, radii, axes, period)
    near = np.ones(len(centers), dtype=bool)
    for axis, values in enumerate(axes):
        near &= (centers[:, axis] + radii >= values[0] - steps[axis]) & (
            centers[:, axis] - radii <= values[-1] + steps[axis]
        )
    centers, radii = centers[near], radii[near]
    if len(centers) == 0:
        return np.zeros(shape, dtype=bool)

    # A count that wraps round to zero would need as many spheres at one voxel as the type has
    # values.
    dtype = np.uint8 if len(centers) < 1 << 8 else np.uint16 if len(centers) < 1 << 16 else np.uint32
    changes = np.zeros((shape[0] + 1, shape[1] * shape[2]), dtype=dtype)
    order = np.argsort(radii, kind="stable")  # the batches hold spheres of similar size
    start = 0
    while start < len(order):
        rows = math.prod(_rows(radii[order[start:]].max(), h) for h in steps[1:])
        batch = order[start : start + max(1, _ROWS // rows)]
        _add_intervals(changes, centers[batch], radii[batch], axes, steps)
        start += len(batch)
    for plane in range(1, shape[0]):
        np.add(changes[plane], changes[plane - 1], out=changes[plane])
    return (changes[:-1] != 0).reshape(shape)


def _check_spheres(centers: Any, radii: Any) -> tuple[np.ndarray, np.ndarray]:
    centers = np.asarray(centers, dtype=np.float64)
    if centers.ndim != 2 or centers.shape[1] != 3:
        raise ValueError(f"centers has shape {centers.shape}; it must be (n, 3): x, y, z of every sphere.")
    radii = np.asarray(radii, dtype=np.float64)
    if radii.shape not in ((), centers.shape[:1]):
        raise ValueError(f"radii has shape {radii.shape}; it must be one number or shape {centers.shape[:1]}.")
    if not np.all(np.isfinite(centers)):
        raise ValueError("centers must be finite; leave out the spheres that have no place.")
    if not np.all((radii >= 0) & np.isfinite(radii)):
        raise ValueError(f"radii={radii!r} must be finite and not negative.")
    return centers, np.broadcast_to(radii, centers.shape[:1])


def _step(values: np.ndarray, name: str) -> float:
    if values.ndim != 1 or len(values) == 0 or not np.all(np.isfinite(values)):
        raise ValueError(f"{name} has shape {values.shape}; it must be finite coordinates along one axis, shape (n,).")
    if len(values) == 1:
        return 1.0  # any length serves for a single voxel
    step = float((values[-1] - values[0]) / (len(values) - 1))
    # A thousandth of a voxel: what the estimate of an interval's end tolerates before it is tested.
    if not step > 0 or np.any(np.abs(np.diff(values) - step) > 1e-3 * step / len(values)):
        raise ValueError(f"{name} must be evenly spaced and increasing, as Frame.axis_coordinates gives it.")
    return step


def _rows(radius: float, step: float) -> int:
    return math.floor(2 * radius / step) + 3


def _repeat(
    centers: np.ndarray, radii: np.ndarray, axes: list[np.ndarray], period: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Add the images of the spheres that reach the block, at ``center + m * period`` for whole
    m.
    """
    lengths = tuple(float(length) for length in period)
    if len(lengths) != 3 or not all(length > 0 for length in lengths):
        raise ValueError(f"period={period!r} must be three positive lengths; use inf where space does not repeat.")
    for axis, (values, length) in enumerate(zip(axes, lengths, strict=True)):
        if math.isinf(length) or len(centers) == 0:
            continue
        first = math.floor((values[0] - np.max(centers[:, axis] + radii)) / length)
        last = math.ceil((values[-1] - np.min(centers[:, axis] - radii)) / length)
        images = []
        for m in range(first, last + 1):
            moved = centers[:, axis] + m * length
            reaches = (moved + radii >= values[0]) & (moved - radii <= values[-1])
            image = centers[reaches]
            image[:, axis] = moved[reaches]
            images.append((image, radii[reaches]))
        centers = np.concatenate([image for image, _ in images])
        radii = np.concatenate([radius for _, radius in images])
    return centers, radii


def _add_intervals(
    changes: np.ndarray, centers: np.ndarray, radii: np.ndarray, axes: list[np.ndarray], steps: list[float]
) -> None:
    """Add +1 and -1 where the interval of every sphere begins and ends in every row of the block
    along x.
    """
    x, y, z = axes
    r2 = (radii * radii)[:, None, None]
    squares, indices = [], []
    for axis, values in ((1, y), (2, z)):
        count = min(_rows(radii.max(), steps[axis]), len(values))
        start = np.floor((centers[:, axis] - radii - values[0]) / steps[axis]).astype(np.int64)
        index = np.clip(start, 0, len(values) - count)[:, None] + np.arange(count)
        distance = values[index] - centers[:, axis, None]
        squares.append(distance * distance)
        indices.append(index)
    square = squares[0][:, :, None] + squares[1][:, None, :]  # dy*dy + dz*dz, shape (spheres, rows y, rows z)
    row = (indices[0] * len(z))[:, :, None] + indices[1][:, None, :]
    met = square <= r2
    half = np.sqrt(np.maximum(r2 - square, 0.0)) / steps[0]
    middle = ((centers[:, 0] - x[0]) / steps[0])[:, None, None]
    lower, upper = middle - half, middle + half
    first, last = np.ceil(lower), np.floor(upper)

    # The root of a difference of nearly equal numbers keeps half of their digits.
    scale = max(float(radii.max()), float(np.abs(x).max()), float(np.abs(centers[:, 0]).max())) / steps[0]
    tolerance = max(1e-3, 64 * np.sqrt(np.finfo(np.float64).eps) * scale)
    low, high = first - lower, upper - last  # from the ends of the interval to the voxel centres within, 0 to 1
    doubtful = (low < tolerance) | (low > 1 - tolerance) | (high < tolerance) | (high > 1 - tolerance)
    where = np.nonzero(doubtful & met)
    if len(where[0]):
        sphere = where[0]
        first[where], last[where] = _test_ends(
            first[where], last[where], square[where], centers[sphere, 0], r2[sphere, 0, 0], x, math.ceil(tolerance)
        )
    begin = np.clip(first, 0, len(x))
    end = np.clip(last + 1, 0, len(x))
    some = np.flatnonzero(met & (begin < end))
    row = row.reshape(-1)[some]
    plane, flat = changes.shape[1], changes.reshape(-1)
    one = changes.dtype.type(1)
    np.add.at(flat, begin.reshape(-1)[some].astype(np.int64) * plane + row, one)
    np.subtract.at(flat, end.reshape(-1)[some].astype(np.int64) * plane + row, one)


def _test_ends(
    first: np.ndarray,
    last: np.ndarray,
    square: np.ndarray,
    center: np.ndarray,
    limit: np.ndarray,
    x: np.ndarray,
    reach: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last voxel of rows that satisfy the inequality, searched `reach` around
    the estimate.
    """

    first, last = first.astype(np.int64), last.astype(np.int64)

    def inside(index: np.ndarray) -> np.ndarray:
        distance = x[np.clip(index, 0, len(x) - 1)] - center
        return (index >= 0) & (index < len(x)) & (distance * distance + square <= limit)

    # From outside towards the middle: the first voxel that is in, or an empty interval.
    begin, end = first - reach, last + reach
    for _ in range(2 * reach):
        begin = np.where(inside(begin), begin, begin + 1)
        end = np.where(inside(end), end, end - 1)
    return begin, end

"""How well voxels resolve the flow: wall area, and the share of flux through the narrowest
throats.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lithax.arrays import across_lines, distance_dtype, is_traced, line_distance
from lithax.solve._flow_problem import reference_lengths
from lithax.solve._mac_walls import AbstractLines, Boundary, run_lengths
from lithax.solve._percolation import what_joins
from lithax.solve._source import spacing_of


def wall_area(lines: AbstractLines, unlike: Callable[[int], Any], faces: tuple[float, float, float]) -> float:
    """Return the area of the walls: faces between open and closed voxels (`unlike`, by the axis
    that they lie across), of these areas across each axis, times 2/3.

    A sphere's staircase has 3/2 of its area, as has that of any isotropic surface.
    """
    return 2 / 3 * sum(faces[axis] * lines.count(unlike(axis)) for axis in range(3))


def face_areas(spacing: Any) -> tuple[float, float, float] | None:
    """Return the area of a voxel's face across each axis [square of the geometric mean of the voxel
    lengths]; None where a transformation hides these.
    """
    fixed = spacing if isinstance(spacing, tuple) else jax.lax.stop_gradient(spacing)
    if is_traced(fixed):
        return None
    _, (x, y, z) = reference_lengths(spacing_of(fixed))
    return x**0.5, y**0.5, z**0.5


def unlike_below(lines: AbstractLines, open_voxels: Any, axis: int) -> Any:
    """Return which voxels differ from the one before along an axis."""
    place = lines.places(axis)
    unlike = open_voxels ^ lines.beside(open_voxels, axis, -1, False)
    return unlike & (place > 0) & (place < lines.lengths[axis])


MISMATCH = 0.02
"""Share of the voxels of two opposite faces that may differ in any image taken for periodic."""


def repeats(lines: AbstractLines, open_voxels: Any, axis: int) -> Any:
    """Return whether an image may repeat itself along an axis: its two faces are neighbours then,
    and differ about as much as layers next to each other do within.
    """
    others: Any = tuple(a for a in range(3) if a != axis)
    first, last = (lines.layer(open_voxels, axis, place) for place in (0, lines.lengths[axis] - 1))
    within = lines.xp.max(lines.xp.sum(unlike_below(lines, open_voxels, axis), others))
    least = int(MISMATCH * lines.lengths[others[0]] * lines.lengths[others[1]])
    return lines.xp.sum(first ^ last) <= lines.xp.maximum(least, 1.5 * within)


Periodic = tuple[bool, bool, bool]
"""Along which axes an image repeats itself."""


def breakthrough_diameter(open_voxels: np.ndarray, axis: int, periodic: Periodic = (False, False, False)) -> float:
    """Return the diameter of the largest ball that passes from end to end along an axis [voxel],
    where the image repeats itself along that axis, on and on.

    Balls lie around voxel centres and reach half-way to the first solid one, as in
    `lithax.drainage`. 0 if nothing joins the ends, infinite without solid.
    """
    dtype = distance_dtype(open_voxels.shape, (1, 1, 1), "euclidean")
    squared = squared_distances(~open_voxels, 2, periodic[2], dtype)
    for across in (1, 0):
        squared = squared_distances(squared, across, periodic[across], dtype)
    if open_voxels.all():
        return float(np.inf)
    ends = "periodic" if periodic[axis] else "potential"
    # The first size is 0: solid.
    return widest_of(np.unique(squared)[1:], lambda size: bool(what_joins(squared >= size, axis, ends, periodic).any()))


def squared_distances(values: np.ndarray, axis: int, periodic: bool, dtype: np.dtype) -> np.ndarray:
    """Return squared distances to the nearest solid, one axis further: of True in solid along the
    first axis, then of what was found along the ones before.
    """
    n, around = values.shape[axis], 0
    if periodic:
        around = n // 2  # the nearest image of a voxel lies no further away
        values = np.pad(values, [(around, around) if a == axis else (0, 0) for a in range(3)], mode="wrap")
    if values.dtype == bool:
        found, _ = line_distance(values, axis, 1, metric="euclidean", dtype=dtype)
    else:
        found, _ = across_lines(values, axis, 1, metric="euclidean")
    return found[tuple(slice(around, around + n) if a == axis else slice(None) for a in range(3))]


def widest_of(sizes: np.ndarray, joins: Callable[[int], bool]) -> float:
    """Return the diameter of the largest ball that passes, of balls of squared sizes, the smallest
    first; `joins` says of one whether it does.
    """
    low, high = 0, len(sizes)  # how many of the sizes pass, at least and at most
    while low < high:
        middle = (low + high + 1) // 2
        if joins(int(sizes[middle - 1])):
            low = middle
        else:
            high = middle - 1
    return float(2 * np.sqrt(sizes[low - 1]) - 1) if low else 0.0


def narrow_share(
    lines: AbstractLines, velocity: Any, axis: int, boundaries: Sequence[Boundary], voxels: int = 2
) -> Any:
    """Return the largest share of the flux of a slice that passes openings of up to `voxels` voxels
    [-].

    Parameters
    ----------
    lines
        Where the velocity lies.
    velocity
        Velocity along `axis` on faces, 0 where a face carries no flow.
    axis
        Of the flow.
    boundaries
        What lies beyond the image along each axis: openings go on around periodic sides.
    voxels
        Width of an opening, along either direction across.
    """
    xp, active = lines.xp, velocity != 0
    narrow = xp.zeros_like(active)
    for across in range(3):
        if across != axis and lines.lengths[across] > 1:
            around: Boundary = "periodic" if boundaries[across] == "periodic" else "wall"
            narrow = narrow | (run_lengths(lines, active, across, around) <= voxels)
    others: Any = tuple(a for a in range(3) if a != axis)
    size = xp.abs(velocity)
    passed, through = xp.sum(xp.where(narrow, size, 0), others), xp.sum(size, others)
    return xp.max(passed / xp.where(through > 0, through, 1))

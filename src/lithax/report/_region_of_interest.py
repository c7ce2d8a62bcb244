"""Which voxels are rock: a core stands in air, and that air is no pore.

A core is found from the grey levels averaged along its axis, over which pores even out: the four
corners are equally dark, and what is brighter than half-way to the middle is a disc.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.geometry import Cylinder, Frame
from lithax.measure import Cells

AGREEMENT = 0.9
"""Share of disc and bright cells, overlap over union, above which a core is believed."""

CELLS = 64
"""Cells along the shortest axis in which a core is looked for."""

AIR = 0.95
"""Pore share along an edge of the image above which the border is called outside air."""


@dataclass(frozen=True)
class Core:
    """A core in an image."""

    region: Cylinder
    axis: int
    radius: float
    """[unit of length]"""
    length: float
    """[unit of length]"""
    agreement: float
    """Overlap of disc and bright cells over their union [-]."""


def find_core(grey: Cells, frame: Frame) -> Core | None:
    """Return the core that the image shows, a cell away from its surface; None if it shows none.

    Parameters
    ----------
    grey
        Cells of the scan.
    frame
        Where its voxels are.
    """
    found = [core for axis in range(3) if (core := _core_along(grey, frame, axis)) is not None]
    return max(found, key=lambda core: core.agreement, default=None)


def largest_cylinder(frame: Frame) -> Cylinder:
    """Return the largest cylinder along z that lies in the image."""
    low, high = frame.extent
    center = [0.5 * (a + b) for a, b in zip(low, high, strict=True)]
    radius = 0.5 * min(b - a for a, b in zip(low[:2], high[:2], strict=True))
    return Cylinder(center, (0.0, 0.0, 1.0), radius, high[2] - low[2])


def _core_along(grey: Cells, frame: Frame, axis: int) -> Core | None:
    across = [a for a in range(3) if a != axis]
    if min(grey.count.shape) < 8:
        return None
    mean = np.moveaxis(grey.mean, axis, -1)
    seen = mean.mean(axis=-1)  # an image with unknown voxels (NaN) is left alone below
    n, m = seen.shape
    corner, middle = max(1, min(n, m) // 20), min(n, m) // 5
    corners = np.array([float(seen[a, b].mean()) for a in _ends(n, corner) for b in _ends(m, corner)])
    inside = float(seen[n // 2 - middle : n // 2 + middle, m // 2 - middle : m // 2 + middle].mean())
    contrast = inside - float(corners.mean())
    if not (contrast > 0 and np.ptp(corners) < 0.25 * contrast):
        return None
    bright = seen > 0.5 * (inside + float(corners.mean()))
    length = [frame.voxel_length[a] * grey.edge for a in across]
    # Centres of the cells; the last one along an axis may be cut off, which is a fraction of a
    # cell.
    place = [
        np.asarray(frame.voxel_origin[a] + ((np.arange(k) + 0.5) * grey.edge - 0.5) * frame.voxel_length[a])
        for a, k in zip(across, bright.shape, strict=True)
    ]
    area = float(bright.sum()) * length[0] * length[1]
    center = [float((bright.sum(axis=1 - k) * place[k]).sum() / bright.sum()) for k in range(2)]
    radius = math.sqrt(area / math.pi)
    disc = (place[0][:, None] - center[0]) ** 2 + (place[1][None, :] - center[1]) ** 2 <= radius**2
    agreement = float((disc & bright).sum() / (disc | bright).sum())
    # A disc that fills the image to its corners is no core, and one of a few cells is something
    # else.
    if agreement < AGREEMENT or disc.all() or 2 * radius < 0.3 * max(n * length[0], m * length[1]):
        return None
    along = np.array([float(layer[disc].mean()) for layer in np.moveaxis(mean, -1, 0)])
    solid = np.flatnonzero(along > 0.5 * (inside + float(corners.mean())))
    begin, end = (int(solid[0]), int(solid[-1]) + 1) if solid.size else (0, len(along))
    step, n_axis = frame.voxel_length[axis], frame.shape[axis]
    low = frame.voxel_origin[axis] + (begin * grey.edge - 0.5) * step
    high = frame.voxel_origin[axis] + (min(end * grey.edge, n_axis) - 0.5) * step
    margin = grey.edge * step
    low, high = low + (margin if begin else 0.0), high - (margin if end < len(along) else 0.0)
    radius -= max(length)
    point, direction = [0.0] * 3, [0.0] * 3
    point[axis], direction[axis] = 0.5 * (low + high), 1.0
    for a, c in zip(across, center, strict=True):
        point[a] = c
    if not (radius > 0 and high > low):
        return None
    return Core(Cylinder(point, direction, radius, high - low), axis, radius, high - low, agreement)


def _ends(n: int, width: int) -> tuple[slice, slice]:
    return slice(0, width), slice(n - width, n)


def border_air(pores: Cells) -> float:
    """Return the largest pore share among the twelve edges of the image [-].

    The air around a core fills whole edges of the image; pores do not.
    """
    share = pores.mean
    edges: list[Any] = []
    for axis in range(3):
        rows = np.moveaxis(share, axis, -1)
        edges += [rows[a, b] for a in (0, -1) for b in (0, -1)]
    means = [float(np.nanmean(e)) for e in edges if not np.all(np.isnan(e))]
    return max(means, default=0.0)

"""Which clusters of pores carry flow: those that join the two ends, by the boundaries given.

Clusters are connected through voxel faces. Between held pressures a cluster must touch both ends;
in a periodic direction it must meet itself again one period further on, which touching both faces
does not prove.
"""

from typing import NamedTuple

import numpy as np

from lithax.arrays import bincount, joined_around, joining, label_block, lookup, wrapped_pairs
from lithax.solve._mac_walls import Boundary


class Clusters(NamedTuple):
    """Open voxels by how they are connected."""

    percolating: int
    """Voxels of clusters that join the ends."""
    accessible: int
    """Voxels of clusters that touch an end, or percolate; reservoirs are not counted."""
    removed: int
    """Number of clusters that do not join the ends."""
    removed_voxels: int


def find_clusters(
    open_voxels: np.ndarray, boundaries: tuple[Boundary, ...], axes: tuple[int, ...], reservoir: int = 0
) -> tuple[np.ndarray, Clusters]:
    """Return which voxels lie in clusters that carry flow along one of `axes`, and their numbers.

    Parameters
    ----------
    open_voxels
        True where there is fluid.
    boundaries
        What lies beyond the image along each axis.
    axes
        Directions of flow.
    reservoir
        How many of the layers at both ends of axis 0 join, and are not counted.
    """
    labels, count = label_block(open_voxels)
    if count == 0:
        return open_voxels, Clusters(0, 0, 0, 0)
    periodic = [axis for axis, boundary in enumerate(boundaries) if boundary == "periodic"]
    groups, wraps = joined_around(count, *wrapped_pairs(labels, 6, periodic))
    carries, touches = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    for axis in axes:
        first, last = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
        first[np.take(labels, 0, axis)] = last[np.take(labels, -1, axis)] = True
        ends = "periodic" if axis in periodic else "faces"
        joins, reaches = joining(groups, wraps[:, axis], first, last, ends)
        carries |= joins
        touches |= reaches
    sample = labels[reservoir : len(labels) - reservoir]
    sizes = bincount(sample, count + 1)
    lost = ~carries
    lost[0] = False
    return lookup(carries, labels), Clusters(
        int(sizes[1:][carries[1:]].sum()),
        int(sizes[touches].sum()),
        len(np.unique(groups[lost])),
        int(sizes[lost].sum()),
    )

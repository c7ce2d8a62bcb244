"""Which clusters of pores carry flow: those that join the two ends, by the boundaries given.

Clusters are connected through voxel faces. Between held pressures a cluster must touch both ends;
in a periodic direction it must meet itself again one period further on, which touching both faces
does not prove.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from lithax.arrays import label_block, merge_labels
from lithax.solve._mac_walls import Boundary


class Clusters(NamedTuple):
    """Open voxels by how they are connected."""

    percolating: np.ndarray
    """True in clusters that join the ends."""
    accessible: int
    """Voxels of clusters that touch an end, or percolate."""
    removed: int
    """Number of clusters that do not join the ends."""
    removed_voxels: int


def find_clusters(open_voxels: np.ndarray, boundaries: tuple[Boundary, ...], axes: tuple[int, ...]) -> Clusters:
    """Find the clusters that carry flow along one of `axes`.

    Parameters
    ----------
    open_voxels
        True where there is fluid.
    boundaries
        What lies beyond the image along each axis.
    axes
        Directions of flow.
    """
    labels, count = label_block(open_voxels)
    if count == 0:
        return Clusters(open_voxels, 0, 0, 0)
    periodic = [axis for axis, boundary in enumerate(boundaries) if boundary == "periodic"]
    joints = {axis: _joints(labels, axis) for axis in periodic}
    carries, touches = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    group = np.arange(count + 1)
    if joints:
        group, _ = merge_labels(np.concatenate([*joints.values(), np.zeros((0, 2), np.int64)]), count + 1)
    for axis in axes:
        if boundaries[axis] == "periodic":
            winding = _winding(joints, axis)
            carries |= np.isin(group, group[sorted(winding)]) if winding else False
            touches |= carries
        else:
            faces = [np.unique(np.take(labels, place, axis=axis)) for place in (0, -1)]
            first, last = (np.isin(group, group[face[face > 0]]) for face in faces)
            carries |= first & last
            touches |= first | last
    carries[0] = touches[0] = False
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)
    lost = ~carries
    lost[0] = False
    return Clusters(
        carries[labels],
        int(sizes[touches | carries].sum()),
        len(np.unique(group[lost])),
        int(sizes[lost].sum()),
    )


def joins_through_edges(open_voxels: np.ndarray, axis: int) -> bool:
    """Tell whether a cluster connected through faces, edges and corners touches both ends."""
    labels, _ = label_block(open_voxels, connectivity=26)
    first, last = (np.unique(np.take(labels, place, axis=axis)) for place in (0, -1))
    both = np.intersect1d(first, last)
    return bool((both > 0).any())


def _joints(labels: np.ndarray, axis: int) -> np.ndarray:
    """Return the pairs of labels that meet across the periodic faces of an axis, last layer
    first.
    """
    last, first = np.take(labels, -1, axis=axis).reshape(-1), np.take(labels, 0, axis=axis).reshape(-1)
    meet = (last > 0) & (first > 0)
    return np.unique(np.stack([last[meet], first[meet]], 1).astype(np.int64), axis=0)


def _winding(joints: dict[int, np.ndarray], axis: int) -> set[int]:
    """Return labels whose cluster meets itself again displaced along an axis.

    Each joint steps one period along its own axis. A cluster winds if two paths lead to one label
    with different displacements along `axis`.
    """
    neighbours: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for along, pairs in joints.items():
        shift = int(along == axis)
        for last, first in pairs.tolist():
            neighbours[last].append((first, shift))
            neighbours[first].append((last, -shift))
    place: dict[int, int] = {}
    found: set[int] = set()
    for start in neighbours:
        if start in place:
            continue
        place[start], stack, winds = 0, [start], False
        while stack:
            here = stack.pop()
            for there, shift in neighbours[here]:
                if there not in place:
                    place[there] = place[here] + shift
                    stack.append(there)
                elif place[there] != place[here] + shift:
                    winds = True
        if winds:
            found.add(start)
    return found

"""Walls on a staggered grid: which faces carry flow, and what the viscous operator's diagonal is.

Velocities sit on voxel faces (marker and cell). A face between two open voxels is active; every
other face holds u = 0. With off-diagonals of −1 everywhere, all that walls do stands in the
diagonal: a neighbour along the face's own normal counts 1, active or not (the wall is a voxel
away), a transverse neighbour counts 1 if active, and otherwise the weight of a wall half a voxel
away.

Three weights of that wall are known here.

* 2, the half-voxel rule of finite-volume codes: a slit of h voxels carries (h² + 2)/h² of its flow.
* chord: 2 / (1 − 2/(3h)), h the length of the run of active faces: the slit is exact at every h.
* corner: 1 where the neighbouring face touches one open voxel, an edge that juts into the flow. The
  staircase of a smooth grain is made of such edges, and is a smaller obstacle than its voxels.

``"half_voxel"`` is the first; ``"accurate"`` is chord and corner together.
"""

from typing import Literal

import numpy as np

Boundary = Literal["periodic", "pressure", "mirror", "wall"]
"""What lies beyond the two faces of the image along an axis.

``pressure``: constant pressure, no tangential velocity: the image mirrored with antisymmetric
tangential flow. ``mirror``: no normal velocity, no shear. ``wall``: solid.
"""

WALLS = ("accurate", "half_voxel")


def active_faces(open_voxels: np.ndarray, boundaries: tuple[Boundary, ...]) -> tuple[np.ndarray, ...]:
    """Return for each axis which lower faces of voxels lie between two open ones.

    Along an axis with constant pressure at its ends the first and the last plane of faces are
    active where their voxel is open, so the array must be one voxel longer than the image along it,
    closed there.
    """
    faces = []
    for axis, boundary in enumerate(boundaries):
        below = _neighbour(open_voxels, axis, -1, boundary == "periodic")
        active = open_voxels & below
        if boundary == "pressure":
            plane = _plane(axis, 0)
            active[plane] = open_voxels[plane]
            plane, last = _plane(axis, -1), _plane(axis, -2)
            active[plane] = open_voxels[last]
        faces.append(active)
    return tuple(faces)


def wall_diagonal(
    open_voxels: np.ndarray,
    active: tuple[np.ndarray, ...],
    boundaries: tuple[Boundary, ...],
    component: int,
    axis: int,
    rule: str,
) -> np.ndarray:
    """Return what neighbours along `axis` add to the diagonal for the velocity `component`, for
    unit weight.

    Faces on a plane of constant pressure own half a voxel: their transverse neighbours count half.
    """
    mine, boundary = active[component], boundaries[axis]
    if component == axis:
        sums = np.full(mine.shape, 2, np.float32)
        if boundary == "pressure":  # nothing changes along the flow at the ends: no neighbour beyond
            sums[_plane(axis, 0)] = sums[_plane(axis, -1)] = 1
        return np.where(mine, sums, np.float32(0))
    wrap = boundary == "periodic"
    if rule == "accurate":
        length = run_lengths(mine, axis, boundary)
        straight = (2 / (1 - 2 / (3 * np.arange(1, length.max(initial=1) + 1)))).astype(np.float32)
        wall = straight[np.maximum(length, 1) - 1]
        del length
    else:
        wall = np.full((), 2, np.float32)
    sums = np.zeros(mine.shape, np.float32)
    for step in (-1, 1):
        weight = np.where(_neighbour(mine, axis, step, wrap), np.float32(1), wall)
        if rule == "accurate":
            one = _neighbour(open_voxels, axis, step, wrap)
            other = _neighbour(
                _neighbour(open_voxels, component, -1, boundaries[component] == "periodic"), axis, step, wrap
            )
            if boundaries[component] == "pressure":  # mirrored there: both voxels of such a face are the same
                inside = _plane(component, 0)
                other[inside] = one[inside]
                outside, last = _plane(component, -1), _plane(component, -2)
                one[outside] = other[outside] = one[last]
            edge = (one ^ other) & ~_neighbour(mine, axis, step, wrap)
            weight = np.where(edge, np.float32(1), weight)
        if not wrap:
            beyond = _plane(axis, 0 if step == -1 else (-2 if boundary == "pressure" else -1))
            if boundary == "mirror":
                weight[beyond] = 0
            elif boundary == "pressure":  # antisymmetric beyond the plane: a ghost of opposite sign, no wall
                weight[beyond] = 2
        sums += weight
    if boundaries[component] == "pressure":
        sums[_plane(component, 0)] *= np.float32(0.5)
        sums[_plane(component, -1)] *= np.float32(0.5)
    return np.where(mine, sums, np.float32(0))


def run_lengths(active: np.ndarray, axis: int, boundary: Boundary) -> np.ndarray:
    """Return for each active face how many stand in its row along an axis, without a gap [voxel].

    Beyond a mirror or a plane of constant pressure the row goes on as its mirror image; around a
    periodic axis it goes on. A row without end counts as a very long one.
    """
    faces = np.moveaxis(active, axis, 0)
    n = faces.shape[0] - (boundary == "pressure")
    shape = (-1, 1, 1)
    place = np.arange(n, dtype=np.int32).reshape(shape)
    before = np.maximum.accumulate(np.where(faces[:n], np.int32(-1), place), axis=0)
    after = np.minimum.accumulate(np.where(faces[:n], np.int32(n), place)[::-1], axis=0)[::-1]
    first, last = before == -1, after == n
    length = after - before - 1
    if boundary == "periodic":
        lead, tail = np.broadcast_to(after[:1], after.shape), n - 1 - np.broadcast_to(before[-1:], after.shape)
        length = np.where(first ^ last, lead + tail, length)
    elif boundary in ("pressure", "mirror"):
        length = np.where(first | last, 2 * length, length)
    if boundary != "wall":
        length = np.where(first & last, _ENDLESS, length)
    result = np.zeros(faces.shape, np.int32)
    result[:n] = np.where(faces[:n], length, 0)
    return np.moveaxis(result, 0, axis)


_ENDLESS = 4096  # no wall at all is seen from such a row


def _plane(axis: int, position: int) -> tuple[slice, slice, slice]:
    cut = slice(position, position + 1 or None)
    x, y, z = (cut if a == axis else slice(None) for a in range(3))
    return x, y, z


def _neighbour(values: np.ndarray, axis: int, step: int, wrap: bool) -> np.ndarray:
    """Return the value one voxel further along an axis; False beyond the faces, unless it wraps
    around.
    """
    moved = np.roll(values, -step, axis)
    if not wrap:
        moved[_plane(axis, -1 if step == 1 else 0)] = False
    return moved

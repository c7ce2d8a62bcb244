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

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np

from lithax.grid import Index

Boundary = Literal["periodic", "pressure", "mirror", "wall"]
"""What lies beyond the two faces of the image along an axis.

``pressure``: constant pressure, no tangential velocity: the image mirrored with antisymmetric
tangential flow. ``mirror``: no normal velocity, no shear. ``wall``: solid.
"""

WALLS = ("accurate", "half_voxel")


class AbstractLines(ABC):
    """Rows of voxels along the three axes, and how to look along them: in the host's memory
    (`HostLines`), or over devices.
    """

    xp: Any
    """The array library: NumPy, or JAX's."""
    lengths: Index
    """Voxels of the image along each axis; arrays may be longer, closed there."""

    @abstractmethod
    def places(self, axis: int) -> Any:
        """Return where voxels lie along an axis, in a shape that broadcasts."""

    @abstractmethod
    def beside(self, values: Any, axis: int, step: int, wrap: bool) -> Any:
        """Return the value one voxel further; False beyond the faces, unless it wraps around."""

    @abstractmethod
    def highest_before(self, values: Any, axis: int) -> Any:
        """Return the highest value from the beginning of each row up to here."""

    @abstractmethod
    def lowest_after(self, values: Any, axis: int) -> Any:
        """Return the lowest value from here to the end of each row."""

    @abstractmethod
    def layer(self, values: Any, axis: int, place: int) -> Any:
        """Return one layer across an axis."""

    @abstractmethod
    def count(self, flags: Any) -> int:
        """Return how many flags are set."""


class HostLines(AbstractLines):
    """Arrays of NumPy."""

    xp = np

    def __init__(self, shape: tuple[int, ...], lengths: Index) -> None:
        self.shape, self.lengths = shape, lengths

    def places(self, axis: int) -> np.ndarray:
        return np.arange(self.shape[axis], dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(3)])

    def beside(self, values: np.ndarray, axis: int, step: int, wrap: bool) -> np.ndarray:
        moved = np.roll(values, -step, axis)
        if not wrap:
            np.moveaxis(moved, axis, 0)[-1 if step == 1 else 0] = False
        return moved

    def highest_before(self, values: np.ndarray, axis: int) -> np.ndarray:
        return np.maximum.accumulate(values, axis=axis)

    def lowest_after(self, values: np.ndarray, axis: int) -> np.ndarray:
        return np.flip(np.minimum.accumulate(np.flip(values, axis), axis=axis), axis)

    def layer(self, values: np.ndarray, axis: int, place: int) -> np.ndarray:
        return np.take(values, [place], axis)

    def count(self, flags: np.ndarray) -> int:
        return int(np.count_nonzero(flags))


def active_faces(lines: AbstractLines, open_voxels: Any, boundaries: tuple[Boundary, ...]) -> tuple[Any, Any, Any]:
    """Return for each axis which lower faces of voxels lie between two open ones.

    Along an axis with constant pressure at its ends the first and the last plane of faces are
    active where their voxel is open, so the array must be one voxel longer than the image along it,
    closed there.
    """
    faces = []
    for axis, boundary in enumerate(boundaries):
        below = lines.beside(open_voxels, axis, -1, boundary == "periodic")
        active = open_voxels & below
        if boundary == "pressure":
            place = lines.places(axis)
            active = active | ((place == 0) & open_voxels) | ((place == lines.lengths[axis]) & below)
        faces.append(active)
    return faces[0], faces[1], faces[2]


def wall_diagonal(
    lines: AbstractLines,
    open_voxels: Any,
    active: tuple[Any, Any, Any],
    boundaries: tuple[Boundary, ...],
    component: int,
    axis: int,
    rule: str,
    runs: Any = None,
) -> Any:
    """Return what neighbours along `axis` add to the diagonal for the velocity `component`, for
    unit weight.

    Faces on a plane of constant pressure own half a voxel: their transverse neighbours count half.
    `runs` are the run lengths of the accurate rule, where they are known already.
    """
    xp, mine, boundary = lines.xp, active[component], boundaries[axis]
    one, two, nothing = np.float32(1), np.float32(2), np.float32(0)
    if component == axis:
        sums = two
        if boundary == "pressure":  # nothing changes along the flow at the ends: no neighbour beyond
            sums = xp.where(_at_ends(lines, axis), one, two)
        return xp.where(mine, sums, nothing)
    wrap, place = boundary == "periodic", lines.places(axis)
    wall: Any = two
    below: Any = None
    if rule == "accurate":
        runs = run_lengths(lines, mine, axis, boundary) if runs is None else runs
        length = xp.maximum(runs, 1).astype(np.float32)
        wall = 6 * length / (3 * length - 2)  # 2 / (1 − 2/(3h))
        del length, runs
        below = lines.beside(open_voxels, component, -1, boundaries[component] == "periodic")
    sums = nothing
    for step in (-1, 1):
        active_beside = lines.beside(mine, axis, step, wrap)
        weight = xp.where(active_beside, one, wall)
        if rule == "accurate":
            this, other = lines.beside(open_voxels, axis, step, wrap), lines.beside(below, axis, step, wrap)
            edge = (this ^ other) & ~active_beside
            if boundaries[component] == "pressure":  # mirrored there: both voxels of such a face are the same
                edge = edge & ~_at_ends(lines, component)
            weight = xp.where(edge, one, weight)
        if boundary in ("mirror", "pressure"):
            beyond = place == (0 if step == -1 else lines.lengths[axis] - 1)
            # Antisymmetric beyond a plane of pressure: a ghost of opposite sign, no wall.
            weight = xp.where(beyond, nothing if boundary == "mirror" else two, weight)
        sums = sums + weight
    if boundaries[component] == "pressure":
        sums = sums * xp.where(_at_ends(lines, component), np.float32(0.5), one)
    return xp.where(mine, sums, nothing)


def _at_ends(lines: AbstractLines, axis: int) -> Any:
    """Return which planes of faces lie at held pressures."""
    place = lines.places(axis)
    return (place == 0) | (place == lines.lengths[axis])


def run_lengths(lines: AbstractLines, active: Any, axis: int, boundary: Boundary) -> Any:
    """Return for each active face how many stand in its row along an axis, without a gap [voxel].

    Beyond a mirror or a plane of constant pressure the row goes on as its mirror image; around a
    periodic axis it goes on. A row without end counts as a very long one.
    """
    xp, n, place = lines.xp, lines.lengths[axis], lines.places(axis)
    before = lines.highest_before(xp.where(active, np.int32(-1), place), axis)
    after = lines.lowest_after(xp.where(active, np.int32(n), xp.minimum(place, np.int32(n))), axis)
    first, last = before == -1, after == n
    length = after - before - 1
    if boundary == "periodic":
        lead, tail = lines.layer(after, axis, 0), n - 1 - lines.layer(before, axis, n - 1)
        length = xp.where(first ^ last, lead + tail, length)
    elif boundary in ("pressure", "mirror"):
        length = xp.where(first | last, 2 * length, length)
    if boundary != "wall":
        length = xp.where(first & last, np.int32(_ENDLESS), length)
    return xp.where(active, length, np.int32(0))


_ENDLESS = 4096  # no wall at all is seen from such a row

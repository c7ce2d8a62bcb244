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

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from lithax.chunked import available_cores
from lithax.grid import Index

Boundary = Literal["periodic", "pressure", "mirror", "wall"]
"""What lies beyond the two faces of the image along an axis.

``pressure``: constant pressure, no tangential velocity: the image mirrored with antisymmetric
tangential flow. ``mirror``: no normal velocity, no shear. ``wall``: solid.
"""

WALLS = ("accurate", "half_voxel")

_LAYERS, _AT_ONCE = 8, 2**18
"""Of an array in memory so many layers, or voxels, are looked at together, in the cache."""


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
    def runs(self, flags: Any, axis: int) -> Any:
        """Return for each flag that is set how many stand in its row along an axis without a gap; 0
        for others.
        """

    def by_layers(self, function: Callable[..., tuple[Any, ...]], wrap: bool, *arrays: Any) -> tuple[Any, ...]:
        """Return ``function(lines, *arrays)``, several arrays of which a layer along axis 0 depends
        on the same layer of the arguments and on its neighbours only; some layers at a time where
        that is quicker.
        """
        return function(self, *arrays)

    @abstractmethod
    def layer(self, values: Any, axis: int, place: int) -> Any:
        """Return one layer across an axis."""

    @abstractmethod
    def count(self, flags: Any) -> int:
        """Return how many flags are set."""


class HostLines(AbstractLines):
    """Arrays of NumPy, whose first layer lies at place `first` along axis 0."""

    xp = np

    def __init__(self, shape: tuple[int, ...], lengths: Index, first: int = 0) -> None:
        self.shape, self.lengths, self.first = shape, lengths, first

    def places(self, axis: int) -> np.ndarray:
        place = np.arange(self.shape[axis], dtype=np.int32) + (self.first if axis == 0 else 0)
        return place.reshape([-1 if a == axis else 1 for a in range(3)])

    def beside(self, values: np.ndarray, axis: int, step: int, wrap: bool) -> np.ndarray:
        moved = np.empty_like(values)
        rows, further = np.moveaxis(values, axis, 0), np.moveaxis(moved, axis, 0)
        if step == 1:
            further[:-1], further[-1] = rows[1:], rows[0] if wrap else 0
        else:
            further[1:], further[0] = rows[:-1], rows[-1] if wrap else 0
        return moved

    def runs(self, flags: np.ndarray, axis: int) -> np.ndarray:
        # Layer by layer, each in the processor's cache; the last axis lies closest in memory.
        order = (axis, *(a for a in range(flags.ndim) if a != axis)) if axis == flags.ndim - 1 else range(flags.ndim)
        flags = np.ascontiguousarray(np.transpose(flags, order))
        found = np.empty(flags.shape, np.int16 if self.shape[axis] < ENDLESS else np.int32)  # holds twice as many
        across = order.index(axis)
        rows, lengths = np.moveaxis(flags, across, 0), np.moveaxis(found, across, 0)
        run = np.zeros(rows.shape[1:], found.dtype)
        for row, length in zip(rows, lengths, strict=True):
            run += 1
            run *= row
            length[...] = run
        for k in range(len(rows) - 2, -1, -1):
            np.maximum(lengths[k], lengths[k + 1], out=lengths[k])
            lengths[k] *= rows[k]
        return np.ascontiguousarray(np.transpose(found, np.argsort(order)))

    def by_layers(self, function: Callable[..., tuple[Any, ...]], wrap: bool, *arrays: Any) -> tuple[np.ndarray, ...]:
        count = self.shape[0]
        thick = max(_LAYERS, _AT_ONCE // max(1, math.prod(self.shape[1:])))

        def some(start: int) -> tuple[np.ndarray, ...]:
            stop = min(start + thick, count)
            places = np.arange(start - 1, stop + 1)
            inside = wrap | ((places >= 0) & (places < count))

            def window(values: Any) -> Any:
                if values is None:
                    return None
                cut = values[places % count]
                cut[~inside] = 0
                return cut

            lines = HostLines((stop - start + 2, *self.shape[1:]), self.lengths, self.first + start - 1)
            return tuple(found[1:-1] for found in function(lines, *map(window, arrays)))

        with ThreadPoolExecutor(available_cores()) as pool:
            parts = list(pool.map(some, range(0, count, thick)))
        return tuple(np.concatenate(of_one) for of_one in zip(*parts, strict=True))

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
    plain = mine  # beside these a face weighs one
    if rule == "accurate":
        runs = run_lengths(lines, mine, axis, boundary) if runs is None else runs
        length = xp.maximum(runs, 1).astype(np.float32)
        wall = 6 * length / (3 * length - 2)  # 2 / (1 − 2/(3h))
        del length, runs
        edge = open_voxels ^ lines.beside(open_voxels, component, -1, boundaries[component] == "periodic")
        if boundaries[component] == "pressure":  # mirrored there: both voxels of such a face are the same
            edge = edge & ~_at_ends(lines, component)
        plain = mine | edge
    count, ends = np.uint8(0), np.uint8(0)
    for step in (-1, 1):
        beside = lines.beside(plain, axis, step, wrap)
        if boundary in ("mirror", "pressure"):
            beyond = place == (0 if step == -1 else lines.lengths[axis] - 1)
            beside, ends = beside & ~beyond, ends + beyond.astype(np.uint8)
        count = count + beside.astype(np.uint8)
    sums = count.astype(np.float32) + (2 - count - ends).astype(np.float32) * wall
    if boundary == "pressure":  # antisymmetric beyond: a ghost of opposite sign, no wall; nothing beyond a mirror
        sums = sums + 2 * ends.astype(np.float32)
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
    return beyond_ends(lines, active, axis, boundary, *raw_runs(lines, active, axis))


def raw_runs(lines: AbstractLines, active: Any, axis: int) -> tuple[Any, Any, Any]:
    """Return the run lengths within the image, in its first and in its last layer, too."""
    length = lines.runs(active, axis)
    return length, lines.layer(length, axis, 0), lines.layer(length, axis, lines.lengths[axis] - 1)


def beyond_ends(
    lines: AbstractLines, active: Any, axis: int, boundary: Boundary, length: Any, lead: Any, tail: Any
) -> Any:
    """Return the run lengths with what goes on beyond the first and the last layer."""
    if boundary == "wall":
        return length
    xp, n, place = lines.xp, lines.lengths[axis], lines.places(axis)
    first, last = place < lead, place >= n - tail
    if boundary == "periodic":
        length = xp.where(first ^ last, lead + tail, length)
    else:
        length = xp.where(first | last, 2 * length, length)
    length = xp.where(first & last, length.dtype.type(ENDLESS), length)
    return xp.where(active, length, length.dtype.type(0))


ENDLESS = 4096
"""Voxels of a row from which no wall at all is seen."""

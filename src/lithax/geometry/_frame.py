"""The frame of a voxel image: where its voxels are.

The centre of voxel ``(i, j, k)`` is ``voxel_origin + (i, j, k) * voxel_length``. This formula, in
float64 and in this order, is the only one: a coordinate never depends on the chunk or the block it
is computed for.
"""

import dataclasses
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lithax.geometry._axis_names import AxisNamesMixin
from lithax.geometry._unit import UnknownUnit, length_factor, lenient_unit, validate_unit

Triple = tuple[float, float, float]
Span = tuple[Triple, Triple]

_AXES = {"x": 0, "y": 1, "z": 2}


def _three_numbers(values: Any, name: str) -> Triple:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name}={values!r} must be a number, or three numbers along x, y and z.") from error
    if array.shape not in ((), (3,)):
        raise ValueError(f"{name}={values!r} must be a number, or three numbers along x, y and z.")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name}={values!r} must be finite.")
    return _triple(np.broadcast_to(array, (3,)).tolist())


def _triple(values: Iterable[float]) -> Triple:
    x, y, z = values
    return x, y, z


def _three_sizes(values: Any, name: str) -> tuple[int, int, int]:
    try:
        sizes = tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise TypeError(f"{name}={values!r} must be three integers, the numbers of voxels along x, y and z.") from error
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"{name}={values!r} must be three positive integers, the numbers of voxels along x, y and z.")
    return sizes[0], sizes[1], sizes[2]


@dataclasses.dataclass(frozen=True, init=False)
class Frame(AxisNamesMixin):
    """Number, size and place of the voxels of an image.

    Attributes
    ----------
    shape
        Number of voxels along x, y and z.
    voxel_length
        Distance between neighbouring voxel centres along each axis [voxel_unit].
    voxel_origin
        Coordinates of the centre of voxel (0, 0, 0) [voxel_unit].
    voxel_unit
        The unit of length of the two, or "" for none.
    """

    shape: tuple[int, int, int]
    voxel_length: Triple
    voxel_origin: Triple
    voxel_unit: str

    def __init__(
        self,
        shape: Any,
        voxel_length: Any = (1, 1, 1),
        voxel_origin: Any = (0, 0, 0),
        voxel_unit: Any = "",
    ):
        """Check the values; single numbers stand for all three axes.

        Parameters
        ----------
        shape
            Three positive integers.
        voxel_length, voxel_origin
            Three numbers, or one for all axes.
        voxel_unit
            A length that pint understands, or "" or None for none.

        Raises
        ------
        TypeError, ValueError
            If `shape` is not three positive integers, a length is not positive, a number is not
            finite, or the unit is not a length that pint understands.
        """
        lengths = _three_numbers(voxel_length, "voxel_length")
        if min(lengths) <= 0:
            raise ValueError(f"voxel_length={voxel_length!r} must be positive along every axis.")
        object.__setattr__(self, "shape", _three_sizes(shape, "shape"))
        object.__setattr__(self, "voxel_length", lengths)
        object.__setattr__(self, "voxel_origin", _three_numbers(voxel_origin, "voxel_origin"))
        object.__setattr__(self, "voxel_unit", validate_unit(voxel_unit))

    @classmethod
    def from_store(
        cls,
        shape: Any,
        voxel_length: Any = (1, 1, 1),
        voxel_origin: Any = (0, 0, 0),
        voxel_unit: Any = "",
    ) -> "Frame":
        """Make a frame from stored values: a unit that is not understood is kept as text, with one
        warning.
        """
        return cls(shape, voxel_length, voxel_origin, lenient_unit(voxel_unit))

    @property
    def unit_name(self) -> str:
        """What lengths are counted in, for labels: never "voxel" unless a voxel is one long.

        Returns
        -------
            The unit; without one "voxel" where every voxel length is 1, otherwise "length unit":
            the lengths were given, and what they are counted in was not.
        """
        if self.voxel_unit:
            return str(self.voxel_unit)
        return "voxel" if self.voxel_length == (1.0, 1.0, 1.0) else "length unit"

    @property
    def dimensions(self) -> Triple:
        """Edge lengths of the image, outer face to outer face [voxel_unit]."""
        return _triple(n * h for n, h in zip(self.shape, self.voxel_length, strict=True))

    @property
    def bounding_box(self) -> Span:
        """Coordinates of the first and of the last voxel centre [voxel_unit]."""
        last = _triple(o + (n - 1) * h for n, h, o in self._axes())
        return self.voxel_origin, last

    @property
    def extent(self) -> Span:
        """Coordinates of the lower and of the upper outer corner: half a voxel beyond
        `bounding_box` [voxel_unit].
        """
        lower = _triple(o - 0.5 * h for _, h, o in self._axes())
        upper = _triple(o + (n - 0.5) * h for n, h, o in self._axes())
        return lower, upper

    def _axes(self):
        return zip(self.shape, self.voxel_length, self.voxel_origin, strict=True)

    def index_to_coordinate(self, i: Any, j: Any, k: Any) -> tuple[Any, Any, Any]:
        """Return the coordinates of voxel centres [voxel_unit].

        Parameters
        ----------
        i, j, k
            Indices, numbers or arrays. Fractions lie between centres; negative indices lie below
            the first voxel, they do not count from the end.

        Returns
        -------
            x, y, z: floats for numbers, float64 arrays for arrays.
        """
        coordinates = []
        for index, h, o in zip((i, j, k), self.voxel_length, self.voxel_origin, strict=True):
            value = o + np.asarray(index, dtype=np.float64) * h
            coordinates.append(float(value) if np.ndim(value) == 0 else value)
        return tuple(coordinates)

    def coordinate_to_index(self, x: Any, y: Any, z: Any, outside: str = "raise") -> Any:
        """Return the indices of the voxels that points lie in, which are those with the nearest
        centres.

        A point on the face between two voxels belongs to the upper one; one on the upper outer face
        of the image to the last. So every point of `extent`, faces included, has exactly one voxel.

        Parameters
        ----------
        x, y, z
            Coordinates [voxel_unit], numbers or arrays that broadcast together.
        outside
            What to do with points outside `extent`. "raise": ValueError. "clip": the nearest voxel
            of the image. "keep": the index the voxel would have in a larger image, negative below
            the first. "none": None for a single point; for arrays, masked arrays in which these
            points are masked.

        Returns
        -------
            i, j, k: Python integers for numbers, int64 arrays for arrays.

        Raises
        ------
        ValueError
            If a coordinate is NaN, or too far away for "keep", or outside and `outside` is "raise".
        """
        if outside not in ("raise", "clip", "keep", "none"):
            raise ValueError(f"outside={outside!r} must be 'raise', 'clip', 'keep' or 'none'.")
        points = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (x, y, z)))
        scalar = points[0].ndim == 0
        indices = []
        inside = np.ones(points[0].shape, dtype=bool)
        for name, point, n, h, o, lower, upper in zip(
            "xyz", points, self.shape, self.voxel_length, self.voxel_origin, *self.extent, strict=True
        ):
            if np.any(np.isnan(point)):
                raise ValueError(f"{name} holds NaN, which lies in no voxel; leave such points out.")
            within = (point >= lower) & (point <= upper)
            inside &= within
            nearest = np.floor((point - o) / h + 0.5)
            if outside != "keep":
                nearest = np.clip(nearest, 0, n - 1)
            elif np.any(np.abs(nearest) >= 2.0**62):
                raise ValueError(f"{name}={point!r} is too far away to be given an index; use outside='clip'.")
            # Rounding must not push a point of the extent out of the image.
            nearest = np.where(within, np.clip(nearest, 0, n - 1), nearest)
            indices.append(nearest.astype(np.int64))
        if outside == "raise" and not np.all(inside):
            first = tuple(float(point[~inside][0]) for point in points)
            raise ValueError(
                f"x, y, z={first} must lie within the extent {self.extent} of the image; "
                "pass outside='clip', 'keep' or 'none' to allow points outside."
            )
        if scalar:
            if outside == "none" and not inside:
                return None
            return tuple(int(index) for index in indices)
        if outside == "none":
            return tuple(np.ma.masked_array(index, mask=~inside) for index in indices)
        return tuple(indices)

    def axis_coordinates(self, axis: int | str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the coordinates of the voxel centres along one axis [voxel_unit].

        Parameters
        ----------
        axis
            0, 1, 2 or "x", "y", "z".
        start, stop
            Range of indices; it may reach beyond the image. The default is the whole axis.

        Returns
        -------
            float64, shape (stop - start,).
        """
        number = _AXES.get(axis, axis) if isinstance(axis, str) else axis
        if number not in (0, 1, 2):
            raise ValueError(f"axis={axis!r} must be 0, 1, 2 or 'x', 'y', 'z'.")
        stop = self.shape[number] if stop is None else stop
        index = np.arange(operator.index(start), operator.index(stop), dtype=np.float64)
        return self.voxel_origin[number] + index * self.voxel_length[number]

    def coordinates(self, box: Sequence[slice] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, y, z of the voxel centres of a box, shaped (nx, 1, 1), (1, ny, 1), (1, 1, nz)
        to broadcast.
        """
        slices = (slice(None),) * 3 if box is None else tuple(box)
        starts, stops, steps = zip(*(_resolve(s, n) for s, n in zip(slices, self.shape, strict=True)), strict=True)
        x, y, z = (self.axis_coordinates(a, starts[a], stops[a])[:: steps[a]] for a in range(3))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def difference(self, other: "Frame", tolerance: float = 1e-6) -> str:
        """Say in what the grid of another frame differs from this one; "" if it does not.

        Parameters
        ----------
        other
            The frame to compare with, in any unit.
        tolerance
            Largest distance between corresponding voxel centres that still counts as none [voxel].
        """
        if self.shape != other.shape:
            return f"shape {other.shape} differs from {self.shape}"
        try:
            factor = length_factor(other.voxel_unit, self.voxel_unit)
        except ValueError:
            return f"voxel_unit {str(other.voxel_unit)!r} differs from {str(self.voxel_unit)!r}"
        for axis, n, h, o, other_h, other_o in zip(
            "xyz", self.shape, self.voxel_length, self.voxel_origin, other.voxel_length, other.voxel_origin, strict=True
        ):
            if abs(other_o * factor - o) > tolerance * h:
                return f"voxel_origin along {axis}, {other_o * factor}, differs from {o}"
            if abs(other_h * factor - h) * max(n - 1, 1) > tolerance * h:
                return f"voxel_length along {axis}, {other_h * factor}, differs from {h}"
        return ""

    def same_grid(self, other: "Frame", tolerance: float = 1e-6) -> bool:
        """Tell whether the voxels of both frames are in the same places, to `tolerance` [voxel].

        Units are converted; a frame without unit is never the same as one with.
        """
        return not self.difference(other, tolerance)

    def rescaled(self, scale: Any, shape: Any = None) -> "Frame":
        """Return the frame of a coarser or finer grid over the same volume.

        Parameters
        ----------
        scale
            New voxel length over old, along each axis [-]: 2 for half as many voxels, 0.5 for twice
            as many.
        shape
            Numbers of voxels of the new grid. The default is ``shape / scale``, which must be
            whole. With another shape the lower outer faces stay where they are and the upper ones
            move.

        Raises
        ------
        ValueError
            If `scale` is not positive, or does not divide the shape and none is given.
        """
        factors = _three_numbers(scale, "scale")
        if min(factors) <= 0:
            raise ValueError(f"scale={scale!r} must be positive along every axis.")
        if shape is None:
            exact = [n / factor for n, factor in zip(self.shape, factors, strict=True)]
            shape = [round(value) for value in exact]
            # A scale such as 1/3 is not exact; a millionth of a voxel is far above its rounding.
            if any(abs(whole - value) > 1e-6 or whole < 1 for whole, value in zip(shape, exact, strict=True)):
                raise ValueError(
                    f"scale={scale!r} must divide the shape {self.shape} along every axis; "
                    "pass shape= to say how many voxels remain."
                )
        lengths = tuple(h * factor for h, factor in zip(self.voxel_length, factors, strict=True))
        origin = tuple(o + 0.5 * (f - 1) * h for (_, h, o), f in zip(self._axes(), factors, strict=True))
        return Frame(shape, lengths, origin, self.voxel_unit)

    def sub(self, box: Sequence[slice]) -> "Frame":
        """Return the frame of a box of this image, as `array[box]` has it; steps stretch the voxel
        length.

        Raises
        ------
        ValueError
            If the box is empty, or a step is not positive.
        """
        resolved = [_resolve(s, n) for s, n in zip(box, self.shape, strict=True)]
        shape = [len(range(*r)) for r in resolved]
        if min(shape) < 1:
            raise ValueError(f"box={tuple(box)!r} must hold at least one voxel of the shape {self.shape}.")
        lengths = tuple(h * step for h, (_, _, step) in zip(self.voxel_length, resolved, strict=True))
        origin = tuple(o + start * h for (_, h, o), (start, _, _) in zip(self._axes(), resolved, strict=True))
        return Frame(shape, lengths, origin, self.voxel_unit)

    def to(self, unit: str) -> "Frame":
        """Return the same frame in another unit of length.

        Raises
        ------
        ValueError
            If `unit` is not a length, or this frame has no unit or one that is not understood.
        """
        factor = length_factor(self.voxel_unit, validate_unit(unit, "unit"))
        lengths = tuple(h * factor for h in self.voxel_length)
        return Frame(self.shape, lengths, tuple(o * factor for o in self.voxel_origin), unit)

    def replace(self, **changes: Any) -> "Frame":
        """Return this frame with some of `shape`, `voxel_length`, `voxel_origin`, `voxel_unit`
        changed.
        """
        return dataclasses.replace(self, **changes)

    @property
    def unit_known(self) -> bool:
        """Whether `voxel_unit` names a length that can be converted."""
        return self.voxel_unit != "" and not isinstance(self.voxel_unit, UnknownUnit)


def _resolve(box: slice, length: int) -> tuple[int, int, int]:
    start, stop, step = box.indices(length)
    if step < 1:
        raise ValueError(f"box slice {box} must have a positive step.")
    return start, max(start, stop), step

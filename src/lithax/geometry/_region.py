"""What every region of space can do: say what it contains, measure distance to its surface, be
combined.

Signed distances are negative inside. They are exact for the four shapes. For combinations they are
bounds: the sign is right, and the magnitude never exceeds the true distance (a union is exact
outside, an intersection inside).

A parameter that is given as numbers or as a NumPy array is kept as Python floats, so a region is a
constant of a compiled function and works with coordinates of any array library. A parameter given
as an array of another library is kept as it is, and can be differentiated or traced. To
differentiate with respect to a region made of floats, pass the region itself: it is a pytree.
"""

import abc
import operator
from functools import reduce
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import is_array, is_traced, namespace, to_numpy
from lithax.typing import Array


class AbstractRegion(eqx.Module):
    """A set of points of space. Combine with ``a | b``, ``a & b``, ``a - b`` and ``~a``."""

    @abc.abstractmethod
    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points belong to the region; those on the surface do, except that of a
        complement.

        Parameters
        ----------
        x, y, z
            Coordinates in the unit of the region's parameters: numbers, or arrays that broadcast
            together, such as shapes (nx, 1, 1), (1, ny, 1) and (1, 1, nz).

        Returns
        -------
            Booleans, in the shape that the coordinates broadcast to.
        """

    @abc.abstractmethod
    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance to the region's surface, negative inside, in the unit of the
        coordinates.

        It can be differentiated everywhere in the coordinates and in the parameters; at a kink (a
        centre, an axis, an edge) the gradient is one of the one-sided ones, or zero, never NaN.

        Parameters
        ----------
        x, y, z
            Coordinates in the unit of the region's parameters, as for `contains`.
        """

    def __or__(self, other: "AbstractRegion") -> "AbstractRegion":
        if not isinstance(other, AbstractRegion):
            return NotImplemented
        return Union(_members(self, Union) + _members(other, Union))

    def __and__(self, other: "AbstractRegion") -> "AbstractRegion":
        if not isinstance(other, AbstractRegion):
            return NotImplemented
        return Intersection(_members(self, Intersection) + _members(other, Intersection))

    def __sub__(self, other: "AbstractRegion") -> "AbstractRegion":
        if not isinstance(other, AbstractRegion):
            return NotImplemented
        return self & ~other

    def __invert__(self) -> "AbstractRegion":
        return Complement(self)


class Union(AbstractRegion):
    """The points that belong to at least one of several regions; made by ``a | b``."""

    regions: tuple[AbstractRegion, ...]

    def __check_init__(self):
        _check_members(self)

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points belong to any of the regions."""
        return reduce(operator.or_, (region.contains(x, y, z) for region in self.regions))

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the smallest of the distances: exact outside, a bound inside."""
        distances = (region.signed_distance(x, y, z) for region in self.regions)
        return reduce(lambda a, b: namespace(a, b).minimum(a, b), distances)


class Intersection(AbstractRegion):
    """The points that belong to all of several regions; made by ``a & b``."""

    regions: tuple[AbstractRegion, ...]

    def __check_init__(self):
        _check_members(self)

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points belong to all of the regions."""
        return reduce(operator.and_, (region.contains(x, y, z) for region in self.regions))

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the largest of the distances: exact inside, a bound outside."""
        distances = (region.signed_distance(x, y, z) for region in self.regions)
        return reduce(lambda a, b: namespace(a, b).maximum(a, b), distances)


class Complement(AbstractRegion):
    """The points that do not belong to a region, without its surface; made by ``~a``."""

    region: AbstractRegion

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points do not belong to the region."""
        inside = self.region.contains(x, y, z)
        return namespace(inside).logical_not(inside)

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance with the other sign."""
        return -self.region.signed_distance(x, y, z)

    def __invert__(self) -> AbstractRegion:
        return self.region


def _check_members(combination: Any) -> None:
    if not combination.regions or not all(isinstance(r, AbstractRegion) for r in combination.regions):
        raise TypeError(f"regions={combination.regions!r} must be a tuple of at least one region.")


def _members(region: AbstractRegion, kind: type[Union] | type[Intersection]) -> tuple[AbstractRegion, ...]:
    return region.regions if isinstance(region, kind) else (region,)


def scalar_parameter(value: Any) -> Any:
    """Keep an array of another library, turn everything else into a Python float."""
    if is_array(value) and not isinstance(value, np.ndarray | np.generic):
        return value
    return float(value)


def vector_parameter(value: Any) -> Any:
    """Keep an array of another library, turn everything else into three entries, each as
    `scalar_parameter` has it.
    """
    if is_array(value) and not isinstance(value, np.ndarray):
        return value
    return tuple(scalar_parameter(entry) for entry in value)


def check_length_three(value: Any, name: str) -> None:
    """Raise ValueError unless a vector has three components."""
    if (tuple(value.shape) if is_array(value) else (len(value),)) != (3,):
        raise ValueError(f"{name}={value!r} must have three components, along x, y and z.")


def concrete(value: Any) -> np.ndarray | None:
    """Return a parameter as float64, or None where a transformation hides its value."""
    entries = value if isinstance(value, tuple) else (value,)
    if any(is_traced(entry) for entry in entries):
        return None
    try:
        return np.asarray([np.asarray(to_numpy(e) if is_array(e) else e, dtype=np.float64) for e in entries]).reshape(
            -1
        )
    except RuntimeError:  # torch.func shows no values
        return None


def prepare(x: Any, y: Any, z: Any, *parameters: Any) -> tuple[Any, Array, Array, Array]:
    """Return the namespace, and the coordinates as floating-point arrays of that namespace."""
    flat = [entry for value in parameters for entry in (value if isinstance(value, tuple) else (value,))]
    coordinates = (x, y, z)
    xp = namespace(*coordinates, *flat)
    floating = [a.dtype for a in (*coordinates, *flat) if is_array(a) and xp.isdtype(a.dtype, "real floating")]
    dtype = floating[0] if floating else xp.zeros(()).dtype
    converted = []
    for coordinate in coordinates:
        if not is_array(coordinate):
            coordinate = xp.asarray(coordinate, dtype=dtype)
        elif not xp.isdtype(coordinate.dtype, "real floating"):
            coordinate = xp.astype(coordinate, dtype)
        converted.append(coordinate)
    return xp, *converted


def safe_sqrt(xp: Any, square: Array) -> Array:
    """Return the square root, with derivative zero instead of infinity at zero."""
    positive = square > 0
    root = xp.sqrt(xp.where(positive, square, xp.ones_like(square)))
    return xp.where(positive, root, xp.zeros_like(square))


def at_least_zero(xp: Any, value: Array) -> Array:
    """Return the larger of a value and zero."""
    return xp.where(value > 0, value, xp.zeros_like(value))

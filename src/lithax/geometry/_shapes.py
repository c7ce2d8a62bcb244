"""The four elementary regions, with exact signed distances.

The distances of the box and of the finite cylinder follow the usual construction: with ``q`` the
signed distances to the pairs of bounding surfaces, the distance is ``|max(q, 0)| + min(max(q),
0)``.
"""

import math
from typing import Any

import numpy as np

from lithax.geometry._region import (
    AbstractRegion,
    at_least_zero,
    check_length_three,
    concrete,
    prepare,
    safe_sqrt,
    scalar_parameter,
    vector_parameter,
)
from lithax.typing import Array


def _check_point(value: Any, name: str) -> None:
    check_length_three(value, name)
    numbers = concrete(value)
    if numbers is not None and not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name}={value!r} must be finite.")


def _check_direction(value: Any, name: str) -> None:
    _check_point(value, name)
    numbers = concrete(value)
    if numbers is not None and not np.any(numbers):
        raise ValueError(f"{name}={value!r} must not be zero; give a vector of any other length, such as (0, 0, 1).")


def _check_size(value: Any, name: str) -> None:
    numbers = concrete(value)
    # `not >=` also catches NaN.
    if numbers is not None and not (numbers.size == 1 and numbers[0] >= 0):
        raise ValueError(f"{name}={value!r} must be one number, not negative.")


class Sphere(AbstractRegion):
    """The points within a radius of a centre."""

    center: Any
    radius: Any

    def __init__(self, center: Any, radius: Any):
        """Make a sphere.

        Parameters
        ----------
        center
            Coordinates of the centre, three numbers or an array of shape (3,).
        radius
            Its radius, in the same unit; not negative.

        Raises
        ------
        ValueError
            If `center` does not have three finite components or `radius` is negative.
        """
        self.center = vector_parameter(center)
        self.radius = scalar_parameter(radius)

    def __check_init__(self):
        _check_point(self.center, "center")
        _check_size(self.radius, "radius")

    def _square(self, x: Any, y: Any, z: Any) -> tuple[Any, Array]:
        xp, x, y, z = prepare(x, y, z, self.center, self.radius)
        dx, dy, dz = x - self.center[0], y - self.center[1], z - self.center[2]
        return xp, dx * dx + (dy * dy + dz * dz)  # in the order of generate.rasterise_spheres

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points lie in the sphere or on it."""
        _, square = self._square(x, y, z)
        return square <= self.radius * self.radius

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance to the sphere's surface, negative inside."""
        xp, square = self._square(x, y, z)
        return safe_sqrt(xp, square) - self.radius


class Cylinder(AbstractRegion):
    """The points within a radius of a straight line, and within half a length of a point on it."""

    point: Any
    direction: Any
    radius: Any
    length: Any

    def __init__(self, point: Any, direction: Any, radius: Any, length: Any = math.inf):
        """Make a cylinder.

        Parameters
        ----------
        point
            Coordinates of the middle of the axis: a finite cylinder reaches ``length / 2`` to
            either side of it.
        direction
            A vector along the axis, of any length but zero.
        radius
            Its radius; not negative.
        length
            Its length, flat end to flat end; not negative. The default is a cylinder without ends.

        Raises
        ------
        ValueError
            If `direction` is zero, a vector does not have three finite components, or `radius` or
            `length` is negative.
        """
        self.point = vector_parameter(point)
        self.direction = vector_parameter(direction)
        self.radius = scalar_parameter(radius)
        self.length = scalar_parameter(length)

    def __check_init__(self):
        _check_point(self.point, "point")
        _check_direction(self.direction, "direction")
        _check_size(self.radius, "radius")
        _check_size(self.length, "length")

    def _resolve(self, x: Any, y: Any, z: Any) -> tuple[Any, Array, Array, Any]:
        # The square of the distance from the axis times |direction|^2, the distance along it times
        # |direction|, and |direction|^2. Without a division points on the surface are decided
        # exactly where the numbers allow it. Each component of the cross product lies in one plane,
        # which is cheap for coordinates that broadcast.
        xp, x, y, z = prepare(x, y, z, self.point, self.direction, self.radius, self.length)
        dx, dy, dz = x - self.point[0], y - self.point[1], z - self.point[2]
        vx, vy, vz = (self.direction[axis] for axis in range(3))
        cx, cy, cz = dy * vz - dz * vy, dz * vx - dx * vz, dx * vy - dy * vx
        return xp, cx * cx + cy * cy + cz * cz, dx * vx + dy * vy + dz * vz, vx * vx + vy * vy + vz * vz

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points lie in the cylinder or on it."""
        _, radial, axial, norm = self._resolve(x, y, z)
        inside = radial <= self.radius * self.radius * norm
        if isinstance(self.length, float) and math.isinf(self.length):
            return inside
        half = self.length / 2
        return inside & (axial * axial <= half * half * norm)

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance to the cylinder's surface, negative inside."""
        xp, radial, axial, norm = self._resolve(x, y, z)
        norm = norm**0.5
        side = safe_sqrt(xp, radial) / norm - self.radius
        if isinstance(self.length, float) and math.isinf(self.length):
            return side
        end = xp.abs(axial) / norm - self.length / 2
        outside = at_least_zero(xp, side) ** 2 + at_least_zero(xp, end) ** 2
        return safe_sqrt(xp, outside) - at_least_zero(xp, -xp.maximum(side, end))


class Box(AbstractRegion):
    """The points between two corners, along the axes."""

    lower: Any
    upper: Any

    def __init__(self, lower: Any, upper: Any):
        """Make a box.

        Parameters
        ----------
        lower, upper
            Coordinates of the two extreme corners; infinite ones leave the box open there.

        Raises
        ------
        ValueError
            If a corner does not have three components, one is NaN, or `lower` exceeds `upper`.
        """
        self.lower = vector_parameter(lower)
        self.upper = vector_parameter(upper)

    def __check_init__(self):
        check_length_three(self.lower, "lower")
        check_length_three(self.upper, "upper")
        lower, upper = concrete(self.lower), concrete(self.upper)
        if lower is not None and upper is not None and not np.all(lower <= upper):
            raise ValueError(f"lower={self.lower!r} must not exceed upper={self.upper!r} along any axis.")

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points lie in the box or on its surface."""
        _, x, y, z = prepare(x, y, z, self.lower, self.upper)
        inside_x, inside_y, inside_z = (
            (c >= low) & (c <= high)
            for c, low, high in zip((x, y, z), _components(self.lower), _components(self.upper), strict=True)
        )
        return inside_x & inside_y & inside_z

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance to the box's surface, negative inside."""
        xp, x, y, z = prepare(x, y, z, self.lower, self.upper)
        beyond_x, beyond_y, beyond_z = (
            xp.maximum(low - c, c - high)
            for c, low, high in zip((x, y, z), _components(self.lower), _components(self.upper), strict=True)
        )
        outside = at_least_zero(xp, beyond_x) ** 2 + at_least_zero(xp, beyond_y) ** 2 + at_least_zero(xp, beyond_z) ** 2
        nearest = xp.maximum(xp.maximum(beyond_x, beyond_y), beyond_z)
        return safe_sqrt(xp, outside) - at_least_zero(xp, -nearest)


class HalfSpace(AbstractRegion):
    """The points on one side of a plane: the side that the normal points away from."""

    point: Any
    normal: Any

    def __init__(self, point: Any, normal: Any):
        """Make a half-space.

        Parameters
        ----------
        point
            Coordinates of a point of the plane.
        normal
            A vector perpendicular to the plane, pointing out of the region, of any length but zero.

        Raises
        ------
        ValueError
            If `normal` is zero, or a vector does not have three finite components.
        """
        self.point = vector_parameter(point)
        self.normal = vector_parameter(normal)

    def __check_init__(self):
        _check_point(self.point, "point")
        _check_direction(self.normal, "normal")

    def _height(self, x: Any, y: Any, z: Any) -> tuple[Any, Array]:
        xp, x, y, z = prepare(x, y, z, self.point, self.normal)
        nx, ny, nz = (self.normal[axis] for axis in range(3))
        return xp, (x - self.point[0]) * nx + (y - self.point[1]) * ny + (z - self.point[2]) * nz

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points lie behind the plane or on it."""
        _, height = self._height(x, y, z)
        return height <= 0

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the height above the plane, negative inside."""
        _, height = self._height(x, y, z)
        nx, ny, nz = (self.normal[axis] for axis in range(3))
        return height / (nx * nx + ny * ny + nz * nz) ** 0.5


def _components(vector: Any) -> tuple[Any, Any, Any]:
    return vector[0], vector[1], vector[2]

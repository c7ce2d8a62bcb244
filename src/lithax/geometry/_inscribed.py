"""The box inside a region: what is left of a round plug for a solver that wants flat sides."""

import math
from typing import Any

from lithax.geometry._region import AbstractRegion, concrete
from lithax.geometry._shapes import Box, Cylinder, Sphere


def inscribed_cuboid(region: AbstractRegion) -> Box:
    """Return the largest box along the axes, square across, that a region holds.

    A sphere holds a cube of edge 2r/√3; a cylinder along x, y or z a square of edge √2 r over its
    length (infinite where it has no ends); a box is its own.

    Parameters
    ----------
    region
        A sphere, a box, or a cylinder along one of the axes.

    Raises
    ------
    TypeError
        If the region is of another kind.
    ValueError
        If a cylinder is not along an axis.

    Examples
    --------
    >>> box = inscribed_cuboid(Cylinder((0, 0, 5), (0, 0, 1), radius=2**0.5, length=10))
    >>> [round(v, 3) for v in (*box.lower, *box.upper)]
    [-1.0, -1.0, 0.0, 1.0, 1.0, 10.0]
    """
    if isinstance(region, Box):
        return region
    if isinstance(region, Sphere):
        half = region.radius / math.sqrt(3)
        return _around(region.center, (half, half, half))
    if isinstance(region, Cylinder):
        direction = concrete(region.direction)
        along = [] if direction is None else [a for a in range(3) if direction[a] != 0]
        if len(along) != 1:
            raise ValueError(
                f"region is a cylinder along {region.direction!r}; it must be along x, y or z. Turn the image first, or give a Box."
            )
        across = region.radius / math.sqrt(2)
        x, y, z = (region.length / 2 if a == along[0] else across for a in range(3))
        return _around(region.point, (x, y, z))
    raise TypeError(
        f"region is a {type(region).__name__}; give a Sphere, a Box, or a Cylinder along an axis (or the Box you want)."
    )


def _around(centre: Any, half: tuple[Any, Any, Any]) -> Box:
    return Box([c - h for c, h in zip(centre, half, strict=True)], [c + h for c, h in zip(centre, half, strict=True)])

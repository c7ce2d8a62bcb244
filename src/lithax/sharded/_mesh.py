"""How devices are laid over the three axes of an image."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lithax.grid import Index
from lithax.runtime import chosen_devices

_AXES = ("x", "y", "z")


def make_mesh(counts: Sequence[int] | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh with the axes x, y and z.

    Parameters
    ----------
    counts
        Number of devices along x, y and z; by default as equal as their number allows, x taking the
        most.
    devices
        By default those of `lithax.runtime.using`, otherwise all devices of all processes.

    Raises
    ------
    ValueError
        If the devices do not fill the mesh.

    Examples
    --------
    >>> dict(make_mesh((1, 1, 1), jax.devices()[:1]).shape)
    {'x': 1, 'y': 1, 'z': 1}
    """
    found = list(devices if devices is not None else chosen_devices() or jax.devices())
    wanted = _near_cube(len(found)) if counts is None else tuple(int(n) for n in counts)
    if len(wanted) != 3 or min(wanted) < 1 or math.prod(wanted) != len(found):
        raise ValueError(
            f"counts={counts!r} must be three numbers whose product is the number of devices, which is {len(found)}; pass devices= "
            f"to take others, or leave counts out."
        )
    return Mesh(np.array(found, object).reshape(wanted), _AXES)


def _near_cube(count: int) -> Index:
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    options = [(a, b, count // (a * b)) for a, b in itertools.product(divisors, divisors) if count % (a * b) == 0]
    return min((o for o in options if o[0] >= o[1] >= o[2]), key=sum)


def axis_names(mesh: Mesh) -> tuple[str | None, str | None, str | None]:
    """Return which axis of a mesh divides x, y and z: by their names, or, if it has others, in
    their order.

    Raises
    ------
    ValueError
        If the mesh has more than three axes, or some of them are named after axes of the image and
        some are not.
    """
    names = mesh.axis_names
    if set(names) <= set(_AXES):
        x, y, z = (name if name in names else None for name in _AXES)
        return x, y, z
    if len(names) > 3 or set(names) & set(_AXES):
        raise ValueError(
            f"mesh has the axes {names}; an image is divided along x, y and z: name them so, or pass lx.sharded.make_mesh()."
        )
    x, y, z = (*names, *(None,) * (3 - len(names)))
    return x, y, z


def sharding_of(mesh: Mesh) -> NamedSharding:
    """Return how an image is divided over the devices of a mesh."""
    return NamedSharding(mesh, PartitionSpec(*axis_names(mesh)))


def counts_of(mesh: Mesh) -> Index:
    """Return the number of parts along x, y and z."""
    x, y, z = (1 if name is None else mesh.shape[name] for name in axis_names(mesh))
    return x, y, z

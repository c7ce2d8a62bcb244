"""From storage to devices: each process reads its own part."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh

from lithax.grid import BlockSource, Index
from lithax.sharded._mesh import counts_of, sharding_of


def filled_shape(shape: Index, mesh: Mesh) -> Index:
    """Return the smallest shape, not below `shape`, that divides into equal parts for the devices
    of a mesh.

    Examples
    --------
    >>> from lithax.sharded import make_mesh
    >>> filled_shape((5, 6, 7), make_mesh((1, 1, 1), jax.devices()[:1]))
    (5, 6, 7)
    """
    x, y, z = (-(-n // c) * c for n, c in zip(shape, counts_of(mesh), strict=True))
    return x, y, z


def load(source: BlockSource, mesh: Mesh, filler: Any = 0) -> jax.Array:
    """Return an image as one array over the devices of a mesh; each process reads the voxels of its
    own devices only.

    Parameters
    ----------
    source
        The image.
    mesh
        The devices.
    filler
        Value of voxels beyond the upper faces, where the shape does not divide by the mesh.
    """
    shape = filled_shape(source.shape, mesh)

    def part(index: Any) -> np.ndarray:
        wanted = [s.indices(n)[:2] for s, n in zip(index, shape, strict=True)]
        values = np.full([b - a for a, b in wanted], filler, source.dtype)
        x, y, z = (slice(min(a, n), min(b, n)) for (a, b), n in zip(wanted, source.shape, strict=True))
        if all(s.stop > s.start for s in (x, y, z)):
            read = getattr(source, "read_parallel", source.read)
            inside = tuple(slice(0, s.stop - s.start) for s in (x, y, z))
            values[inside] = read((x, y, z))
        return values

    # 64-bit voxels stay what they are.
    with jax.enable_x64(True):
        return jax.make_array_from_callback(shape, sharding_of(mesh), part, dtype=source.dtype)


def valid(mesh: Mesh, shape: Index) -> jax.Array:
    """Return the boolean array over the devices of a mesh that tells the voxels of an image from
    filler.

    Parameters
    ----------
    mesh
        The devices.
    shape
        Shape of the image, before it was filled.
    """
    sharding = sharding_of(mesh)

    def make() -> jax.Array:
        inside = jnp.ones((), bool)
        for axis, (n, filled) in enumerate(zip(shape, filled_shape(shape, mesh), strict=True)):
            along = [1, 1, 1]
            along[axis] = filled
            inside = inside & (jnp.arange(filled) < n).reshape(along)
        return inside

    return jax.jit(make, out_shardings=sharding)()

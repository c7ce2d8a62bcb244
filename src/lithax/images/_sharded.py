"""Images on many devices: there, and back."""

import math
from typing import Any

import jax
import numpy as np

from lithax.grid import Box, Index
from lithax.images._collective import together, world_or_connected
from lithax.images._create import new_image
from lithax.images._described import description_of
from lithax.images._voxel_image import VoxelImage
from lithax.sharded import load, make_mesh

_CHUNK = 128


def shard(image: VoxelImage, mesh: Any = None, *, pad: Any = 0) -> jax.Array:
    """Load an image as one array over the devices of all processes, each of which reads its own
    part only.

    Parameters
    ----------
    image
        The image.
    mesh
        A `jax.sharding.Mesh` with up to three axes, which divide x, y and z (by these names, or in
        this order); by default all devices, as near to a cube as their number allows.
    pad
        Value of the filler beyond the upper faces, where the shape does not divide by the mesh.
        `lithax.sharded.valid` tells filler from voxels; `lithax.sharded.exchange_halo` and `save`
        pass it over when they are told the shape of the image;
        so do `lithax.solve.conductivity` and `permeability`, with ``shape=image.shape``, which
        count filler as rock otherwise.

    Raises
    ------
    RuntimeError
        If several processes work together whose devices JAX does not see as one set.

    Examples
    --------
    >>> import lithax as lx
    >>> x = lx.shard(lx.ones((8, 8, 8), "f4"))
    >>> x.shape, float(x.sum())
    ((8, 8, 8), 512.0)
    """
    if not isinstance(image, VoxelImage):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array).")
    world = image.world
    if world.count > 1 and jax.process_count() != world.count:
        raise RuntimeError(
            f"shard() over {world.count} processes needs JAX to see the devices of all of them; begin the program with "
            f"lithax.runtime.connect('jax')."
        )
    with together(world):
        return load(image.stored, make_mesh() if mesh is None else mesh, pad)


def save(
    array: jax.Array,
    store: Any = None,
    path: str | None = None,
    *,
    like: VoxelImage | None = None,
    shape: Any = None,
    chunks: Any = None,
    shards: Any = None,
    world: Any = None,
    **options: Any,
) -> VoxelImage:
    """Store an array that lies on many devices as an image; each process writes what its devices
    hold.

    Parameters
    ----------
    array
        Three-dimensional array, on any devices.
    store, path, world, **options
        As for `create`.
    like
        An image whose shape, place and voxel size the new one has.
    shape
        Shape of the image, where `array` has filler beyond its upper faces; that of `like` by
        default, or of the array.
    chunks, shards
        As for `create`. With several processes, what is stored as one object must lie in one of
        them; by default chunks are chosen so.

    Raises
    ------
    ValueError
        If the array has not three axes, is smaller than the shape, or a chunk or shard would belong
        to two processes.
    """
    if len(array.shape) != 3:
        raise ValueError(f"array has shape {array.shape}; an image has three axes.")
    world = world_or_connected(like.world if world is None and like is not None else world)
    if shape is None:
        shape = array.shape if like is None else like.shape
    size = tuple(shape)
    if len(size) != 3 or any(n > m for n, m in zip(size, array.shape, strict=True)):
        raise ValueError(f"shape={size} must be three numbers, none beyond array's {array.shape}.")
    pieces = {
        tuple(s.indices(n)[:2] for s, n in zip(piece.index, array.shape, strict=True)): piece
        for piece in array.addressable_shards
        if piece.replica_id == 0
    }
    if chunks is None and shards is None:
        chunks = "auto" if world.count == 1 else _fitting_chunks(array)
    known: dict[str, Any] = {} if like is None else description_of(like) | {"field_name": "", "field_unit": ""}
    with new_image(
        size,
        np.dtype(array.dtype),
        "auto" if chunks is None else chunks,
        store,
        path,
        shards=shards,
        world=world,
        filled_by="save",
        **known | options,
    ) as image:
        stored = image.stored
        host = {place: np.asarray(piece.data) for place, piece in pieces.items()}

        def values(box: Box) -> np.ndarray:
            found = np.empty([s.stop - s.start for s in box], array.dtype)
            for place, data in host.items():
                spans = [(max(s.start, a), min(s.stop, b)) for s, (a, b) in zip(box, place, strict=True)]
                if all(a < b for a, b in spans):
                    there = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(spans, box, strict=True))
                    here = tuple(slice(a - p, b - p) for (a, b), (p, _) in zip(spans, place, strict=True))
                    found[there] = data[here]
            return found

        units = stored.unit_grid
        own = [unit for unit in units if _held(units.box(unit), host) == math.prod(_lengths(units.box(unit)))]
        if sum(world.gather(len(own))) != len(units):
            raise ValueError(
                f"chunks={stored.chunks} and shards={stored.shards} put voxels of several processes into one object, which only one may "
                f"write; leave chunks out, or let them divide the devices' parts of shape {array.sharding.shard_shape(array.shape)}."
            )

        stored.write_units(own, values, check=world.check)
    return image


def _lengths(box: Box) -> list[int]:
    return [s.stop - s.start for s in box]


def _held(box: Box, host: Any) -> int:
    """Return how many voxels of a box lie in this process."""
    return sum(
        math.prod(max(0, min(s.stop, b) - max(s.start, a)) for s, (a, b) in zip(box, place, strict=True))
        for place in host
    )


def _fitting_chunks(array: jax.Array) -> Index:
    """Return chunks that divide the devices' parts: the largest divisors near those of an ordinary
    image.
    """
    edges = []
    for n in array.sharding.shard_shape(array.shape):
        best = max(d for d in range(1, min(n, _CHUNK) + 1) if n % d == 0)
        edges.append(best if best >= 16 else n)
    x, y, z = edges
    return x, y, z

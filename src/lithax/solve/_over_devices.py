"""Voxels that lie over many devices: where they come from, what they conduct, which take part.

Each process reads, labels and converts the pieces of its own devices; counts, extremes and what
lies on the faces of pieces are told to all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced, settled
from lithax.chunked import ChunkCache
from lithax.geometry import Frame
from lithax.grid import Index
from lithax.images import as_domain, make_selection
from lithax.runtime import AbstractWorld, connected, device_or_devices
from lithax.sharded import ShardedGrid, make_mesh, sharding_of
from lithax.solve._medium import Medium, read_medium
from lithax.solve._source import Source, spacing_of


def lies_over_devices(image: Any) -> bool:
    """Tell whether the voxels of an image or array belong on several devices.

    Raises
    ------
    RuntimeError
        If several processes work together whose devices JAX does not see as one set.
    """
    if isinstance(getattr(image, "frame", None), Frame):
        world = getattr(image, "world", None) or connected()
        _check_world(world)
        return world.count > 1 or len(device_or_devices(world) or ()) > 1
    if is_traced(image) or not isinstance(image, jax.Array):
        return False
    if len(image.sharding.device_set) == 1 or image.sharding.is_fully_replicated:
        return False
    _check_world(connected())
    return True


def _check_world(world: Any) -> None:
    if world.count != jax.process_count() if world.count > 1 else jax.process_count() > 1:
        raise RuntimeError(
            f"a solve over {max(world.count, jax.process_count())} processes needs JAX to see the devices of all of them; begin the "
            "program with lithax.runtime.connect('jax'), or call it in one process with image[...] and "
            "spacing=image.voxel_length."
        )


@dataclass(frozen=True, eq=False)
class AbstractVoxels:
    """The voxels on a grid, as they were given, and what is known of all of them."""

    raw: jax.Array
    grid: ShardedGrid
    world: AbstractWorld
    present: np.ndarray
    """Values that occur; of a field the extremes."""
    tally: np.ndarray
    """How many voxels hold each of them; of a field, nothing."""
    selection: Any

    @property
    def shape(self) -> Index:
        """Of the image."""
        return self.grid.shape

    def pieces(self) -> Iterator[tuple[Index, Any, np.ndarray]]:
        """Yield of each piece of this process where it begins, the device's part, and the voxels
        without filler.
        """
        yield from pieces_of(self.raw, self.grid)

    def inside(self, start: Index, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return which voxels of a piece belong to the sample; None for all."""
        if self.selection is None:
            return None
        x, y, z = shape
        return self.selection.block(ChunkCache(0), start, (x, y, z), (0, 0, 0), "reflect", False)

    def looked_up(self, voxels: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Return what a table says of each voxel, one entry for each value that occurs."""
        return table[np.searchsorted(self.present, voxels)]

    def placed(self, parts: dict[Index, tuple[Any, np.ndarray]], dtype: Any) -> jax.Array:
        """Return an array on the grid from the voxels of each piece; zero elsewhere."""
        buffers = []
        for piece in self.raw.addressable_shards:
            start = tuple(s.indices(n)[0] for s, n in zip(piece.index, self.grid.filled, strict=True))
            whole = np.zeros(self.grid.part, dtype)
            if start in parts:
                values = parts[start][1]  # pyright: ignore[reportArgumentType]
                whole[tuple(slice(0, n) for n in values.shape)] = values
            buffers.append(jax.device_put(whole, piece.device))
        return jax.make_array_from_single_device_arrays(self.grid.filled, sharding_of(self.grid.mesh), buffers)


@dataclass(frozen=True, eq=False)
class Voxels(AbstractVoxels):
    """Voxels and what they conduct."""

    medium: Medium
    """Of the values that occur (fields: the extremes), as an image of shape (k, 1, 1)."""

    @property
    def is_field(self) -> bool:
        """Whether the voxels hold conductivities."""
        return self.medium.data.dtype.kind == "f" and self.medium.table is None

    def conductivity(self, voxels: np.ndarray) -> np.ndarray:
        """Return what voxels conduct, in the type to solve in."""
        dtype = self.medium.dtype
        if self.is_field:
            return voxels.astype(dtype)
        return self.looked_up(voxels, np.asarray(self.medium.conductivities(), dtype).reshape(-1))

    def pore(self, voxels: np.ndarray) -> np.ndarray:
        """Return which voxels count as pore."""
        if self.medium.pore is not None:
            return self.looked_up(voxels, np.asarray(self.medium.pore).reshape(-1))
        return self.conductivity(voxels) > 0

    def put(self, parts: dict[Index, tuple[Any, np.ndarray]]) -> jax.Array:
        """Return an array on the grid from the voxels of each piece; zero elsewhere."""
        return self.placed(parts, self.medium.dtype)


def pieces_of(array: jax.Array, grid: ShardedGrid) -> Iterator[tuple[Index, Any, np.ndarray]]:
    """Yield of each device of this process that holds voxels of the image where they begin, the
    device, and the voxels.
    """
    for piece in array.addressable_shards:
        spans = [s.indices(n)[:2] for s, n in zip(piece.index, grid.filled, strict=True)]
        lengths = [min(b, n) - a for (a, b), n in zip(spans, grid.shape, strict=True)]
        if min(lengths) > 0:
            x, y, z = (a for a, _ in spans)
            yield (x, y, z), piece.device, np.asarray(piece.data)[tuple(slice(0, n) for n in lengths)]


def source_over_devices(image: Any, shape: Any, spacing: Any) -> tuple[Source, AbstractWorld]:
    """Return the geometry of voxels over devices, and the processes that hold them.

    Raises
    ------
    ValueError
        If `shape` does not fit, or the array has not three axes.
    """
    frame = getattr(image, "frame", None)
    if isinstance(frame, Frame):
        lengths = frame.voxel_length if spacing is None else spacing_of(spacing)
        boolean = str(image.dtype).endswith("bool")
        return Source(image, lengths, frame.replace(voxel_length=lengths), image, boolean), image.world
    if image.ndim != 3:
        raise ValueError(
            f"image has shape {image.shape} and lies over several devices, where one value per voxel is solved for, three "
            "axes; move conductivities along x, y and z to one device: jax.device_put(image, jax.devices()[0])."
        )
    size = tuple(image.shape) if shape is None else tuple(shape)
    lengths = (1.0, 1.0, 1.0) if spacing is None else spacing_of(spacing)
    return Source(image, lengths, Frame(size, lengths), None, image.dtype == bool), connected()


def mesh_of(image: Any, source: Source) -> Any:
    """Return the devices: those that hold an array; for an image all, in slabs along x where these
    are thick enough.
    """
    if source.image is None:
        sharding = image.sharding
        if isinstance(sharding, jax.sharding.NamedSharding) and len(sharding.spec) == 3:
            names = [() if s is None else (s,) if isinstance(s, str) else tuple(s) for s in sharding.spec]
            if all(len(n) <= 1 for n in names):
                devices: Any = sharding.mesh.devices
                order = [sharding.mesh.axis_names.index(n[0]) for n in names if n]
                if len(order) == devices.ndim:
                    counts = [sharding.mesh.shape[n[0]] if n else 1 for n in names]
                    return make_mesh(counts, list(devices.transpose(order).reshape(-1)))
        return make_mesh(devices=sorted(sharding.device_set, key=lambda d: d.id))
    world = image.world
    devices = jax.devices() if world.count > 1 else list(device_or_devices(world) or jax.devices())
    slabs = source.frame.shape[0] >= 16 * len(devices)
    return make_mesh((len(devices), 1, 1) if slabs else None, devices)


def read_voxels(
    image: Any, source: Source, grid: ShardedGrid, world: AbstractWorld, pore: Any, values: Any, where: Any
) -> Voxels:
    """Bring the voxels onto the grid, and say what they conduct; the errors are those of
    `read_medium`.
    """
    raw, present, tally, selection = read_values(image, source, grid, world, where)
    medium = read_medium(present.reshape(-1, 1, 1), pore, values)
    return Voxels(raw, grid, world, present, tally, selection, medium)


def read_values(
    image: Any, source: Source, grid: ShardedGrid, world: AbstractWorld, where: Any
) -> tuple[jax.Array, np.ndarray, np.ndarray, Any]:
    """Bring the voxels onto the grid; return them, the values that occur and how often, and the
    selection.
    """
    raw = regridded(image, grid.shape, grid) if source.image is None else grid.load(image.stored)
    kind = np.dtype(raw.dtype).kind
    found = [voxels for _, _, voxels in pieces_of(raw, grid)]
    if kind == "f":
        # NaN is the largest and the smallest of all.
        ends = [float(f(v)) for v in found for f in (np.min, np.max)]
        extremes = np.asarray([e for part in world.gather(ends) for e in part])
        present = np.asarray([extremes.min(), extremes.max()], raw.dtype)
        tally = np.zeros(0, int)
    else:
        counted: dict[int, int] = {}
        own = [np.unique(v, return_counts=True) for v in found]
        for part in world.gather([(v.tolist(), n.tolist()) for v, n in own]):
            for keys, numbers in part:
                for key, number in zip(keys, numbers, strict=True):
                    counted[key] = counted.get(key, 0) + number
        present = np.asarray(sorted(counted), raw.dtype)
        tally = np.asarray([counted[key] for key in sorted(counted)])
    selection = make_selection(
        as_domain(where), Frame(grid.shape, source.spacing) if source.image is None else source.frame
    )
    return raw, present, tally, selection


def regridded(array: jax.Array, shape: Index, grid: ShardedGrid, order: tuple[int, int, int] = (0, 1, 2)) -> jax.Array:
    """Return an array with other filler, or none, on a grid; `order`: its axes in that of the
    grid's.
    """
    return settled(_placed(array, shape, grid, order))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _placed(array: jax.Array, shape: Index, grid: ShardedGrid, order: tuple[int, int, int]) -> jax.Array:
    x, y, z = shape
    v = jnp.transpose(array[:x, :y, :z], order)
    v = jnp.pad(v, [(0, f - n) for f, n in zip(grid.filled, v.shape, strict=True)])
    return jax.lax.with_sharding_constraint(v, sharding_of(grid.mesh))


def returned(array: jax.Array, like: jax.Array, grid: ShardedGrid) -> jax.Array:
    """Return what lies on a grid as an array like one given: its shape and devices, zero in its
    filler.
    """

    def place(v: jax.Array) -> jax.Array:
        x, y, z = grid.shape
        return jnp.pad(v[:x, :y, :z], [(0, f - n) for f, n in zip(like.shape, grid.shape, strict=True)])

    return settled(jax.jit(place, out_shardings=like.sharding)(array))


def counted_section(
    voxels: AbstractVoxels, inside: dict[Index, np.ndarray | None], axis: int | None
) -> np.ndarray | None:
    """Return how many voxels of the sample lie in each plane across an axis; None where all do."""
    if voxels.selection is None or axis is None:
        return None
    counts = np.zeros(voxels.shape[axis], int)
    for start, mask in inside.items():
        if mask is not None:
            found = np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))
            counts[start[axis] : start[axis] + len(found)] += found
    return np.sum(voxels.world.gather(counts), 0)


def volume_of(voxels: AbstractVoxels, inside: dict[Index, np.ndarray | None]) -> int:
    """Return how many voxels the sample has."""
    if voxels.selection is None:
        return math.prod(voxels.shape)
    return sum(voxels.world.gather(sum(int(np.count_nonzero(m)) for m in inside.values() if m is not None)))

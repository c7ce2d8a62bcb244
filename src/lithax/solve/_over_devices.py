"""Voxels that lie over many devices: where they come from, what they conduct, which take part.

Each process reads, labels and converts the pieces of its own devices; counts, extremes and what
lies on the faces of pieces are told to all.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced, settled
from lithax.geometry import Frame
from lithax.grid import Index
from lithax.images import as_domain, make_selection
from lithax.runtime import AbstractWorld, connected, device_or_devices
from lithax.sharded import ShardedGrid, make_mesh, sharding_of
from lithax.solve._domain import inside_of
from lithax.solve._medium import Medium, read_medium
from lithax.solve._source import Source, source_of
from lithax.solve._voxel_meaning import Meaning, looked_up, tallied


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
        return None if self.selection is None else inside_of(self.selection, start, shape)

    def looked_up(self, voxels: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Return what a table says of each voxel, one entry for each value that occurs."""
        return looked_up(self.present, voxels, table)

    def placed(self, parts: dict[Index, tuple[Any, np.ndarray]], dtype: Any) -> jax.Array:
        """Return an array on the grid from the voxels of each piece; zero elsewhere."""
        return from_pieces(self.raw, self.grid, {start: v for start, (_, v) in parts.items()}, dtype)


@dataclass(frozen=True, eq=False)
class Voxels(AbstractVoxels):
    """Voxels and what they conduct."""

    medium: Medium
    """Of the values that occur (fields: the extremes), as an image of shape (k, 1, 1)."""

    @property
    def meaning(self) -> Meaning:
        """What the values mean."""
        return Meaning(self.present, self.medium)

    @property
    def is_field(self) -> bool:
        """Whether the voxels hold conductivities."""
        return self.meaning.is_field

    def conductivity(self, voxels: np.ndarray) -> np.ndarray:
        """Return what voxels conduct, in the type to solve in."""
        return self.meaning.conductivity(voxels)

    def pore(self, voxels: np.ndarray) -> np.ndarray:
        """Return which voxels count as pore."""
        return self.meaning.pore(voxels)

    def conducting(self, keep: dict[Index, np.ndarray], scale: np.ndarray) -> jax.Array:
        """Return what voxels conduct, divided by `scale`, on the grid; zero where not `keep`."""
        if self.is_field:  # the voxels lie on the grid already
            kept = self.placed({start: (device, keep[start]) for start, device, _ in self.pieces()}, bool)
            return settled(_kept(self.raw, kept, jnp.asarray(scale)))
        parts = {}
        for start, device, v in self.pieces():
            part = self.conductivity(v)
            part /= scale
            part *= keep[start]
            parts[start] = device, part
        return self.placed(parts, scale.dtype)


@jax.jit
def _kept(field: jax.Array, keep: jax.Array, scale: jax.Array) -> jax.Array:
    return jnp.where(keep, field.astype(scale.dtype) / scale, 0)


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


def from_pieces(like: jax.Array, grid: ShardedGrid, pieces: dict[Index, np.ndarray], dtype: Any) -> jax.Array:
    """Return an array on a grid from the voxels of each piece, by where it begins; zero
    elsewhere.
    """
    buffers = []
    for piece in like.addressable_shards:
        x, y, z = (s.indices(n)[0] for s, n in zip(piece.index, grid.filled, strict=True))
        whole = np.zeros(grid.part, dtype)
        if (x, y, z) in pieces:
            values = pieces[x, y, z]
            whole[tuple(slice(0, n) for n in values.shape)] = values
        buffers.append(jax.device_put(whole, piece.device))
    return jax.make_array_from_single_device_arrays(grid.filled, sharding_of(grid.mesh), buffers)


def source_over_devices(image: Any, shape: Any, spacing: Any) -> tuple[Source, AbstractWorld]:
    """Return the geometry of voxels over devices, and the processes that hold them.

    Raises
    ------
    ValueError
        If `shape` does not fit, or the array has not three axes.
    """
    if isinstance(getattr(image, "frame", None), Frame):
        return source_of(image, spacing), image.world
    if image.ndim != 3:
        raise ValueError(
            f"image has shape {image.shape} and lies over several devices, where one value per voxel is solved for, three "
            "axes; move conductivities along x, y and z to one device: jax.device_put(image, jax.devices()[0])."
        )
    return source_of(image, spacing, shape), connected()


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
    # A field of float16 is solved in float32, and has a largest number, too.
    kind = np.dtype(image.dtype) if source.image is None else image.stored.dtype
    largest = float(np.finfo(kind).max) if np.dtype(kind).kind == "f" else math.inf
    raw, present, tally, selection = read_values(image, source, grid, world, where, largest)
    medium = read_medium(present.reshape(-1, 1, 1), pore, values)
    return Voxels(raw, grid, world, present, tally, selection, medium)


def read_values(
    image: Any, source: Source, grid: ShardedGrid, world: AbstractWorld, where: Any, largest: float
) -> tuple[jax.Array, np.ndarray, np.ndarray, Any]:
    """Bring the voxels onto the grid; return them, the values that occur and how often, and the
    selection.

    A field may hold anything outside of the selection: if there is something that is not between 0
    and `largest`, it is 0 there.
    """
    raw = regridded(image, grid.shape, grid) if source.image is None else grid.load(image.stored)
    frame = Frame(grid.shape, source.spacing) if source.image is None else source.frame
    selection = make_selection(as_domain(where), frame)
    if np.dtype(raw.dtype).kind == "f":
        extremes = extremes_of((v for *_, v in pieces_of(raw, grid)), world)
        if selection is not None and not (extremes[0] >= 0 and extremes[1] <= largest):
            inside = {
                start: np.where(inside_of(selection, start, v.shape), v, 0) for start, _, v in pieces_of(raw, grid)
            }
            raw = from_pieces(raw, grid, inside, raw.dtype)
            extremes = extremes_of((v for *_, v in pieces_of(raw, grid)), world)
        return raw, extremes.astype(raw.dtype), np.zeros(0, int), selection
    counted: dict[int, int] = {}
    for part in world.gather([tallied(v) for _, _, v in pieces_of(raw, grid)]):
        for keys, numbers in part:
            for key, number in zip(keys, numbers, strict=True):
                counted[key] = counted.get(key, 0) + number
    present = np.asarray(sorted(counted), raw.dtype)
    return raw, present, np.asarray([counted[key] for key in sorted(counted)]), selection


def extremes_of(pieces: Iterable[np.ndarray], world: AbstractWorld) -> np.ndarray:
    """Return the smallest and the largest value in the pieces of all processes; NaN is both."""
    own = [float(f(v)) for v in pieces if v.size for f in (np.min, np.max)]
    found = np.asarray([e for part in world.gather(own) for e in part])
    return np.asarray([found.min(), found.max()])


def regridded(
    array: jax.Array,
    shape: Index,
    grid: ShardedGrid,
    order: tuple[int, int, int] = (0, 1, 2),
    by: tuple[int, int, int] = (0, 0, 0),
) -> jax.Array:
    """Return an array with other filler, or none, on a grid.

    Parameters
    ----------
    array
        On any devices.
    shape
        Of the voxels that are taken over.
    grid
        Where they shall lie.
    order
        The axes of the array in the order of the grid's.
    by
        How many layers further up they shall lie along each axis of the array, above layers of
        zeros; negative: so many layers of the array before them are left out.
    """
    return settled(_placed(array, shape, grid, order, by))


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _placed(
    array: jax.Array, shape: Index, grid: ShardedGrid, order: tuple[int, int, int], by: tuple[int, int, int]
) -> jax.Array:
    v = array[tuple(slice(max(0, -k), max(0, -k) + n) for k, n in zip(by, shape, strict=True))]
    before = [max(0, by[a]) for a in order]
    v = jnp.transpose(v, order)
    v = jnp.pad(v, [(k, f - n - k) for k, f, n in zip(before, grid.filled, v.shape, strict=True)])
    return jax.lax.with_sharding_constraint(v, sharding_of(grid.mesh))


def between_reservoirs(
    voxels: jax.Array,
    section: jax.Array | None,
    value: Any,
    shape: Index,
    grid: ShardedGrid,
    axis: int,
    layers: int,
    order: tuple[int, int, int] = (0, 1, 2),
) -> jax.Array:
    """Return voxels on a grid that is longer along an axis, between layers that hold a value.

    Parameters
    ----------
    voxels
        On any grid.
    section
        Boolean, like the voxels: where its first plane across the axis is True, the layers are
        open; None for all of it.
    value
        In the open part of the layers; zero elsewhere.
    shape
        Of the voxels.
    grid
        Where they shall lie.
    axis, layers
        Along which axis of the voxels, and how many on each side.
    order
        As for `regridded`.
    """
    return settled(_between(voxels, section, jnp.asarray(value, voxels.dtype), shape, grid, axis, layers, order))


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def _between(
    voxels: jax.Array,
    section: Any,
    value: Any,
    shape: Index,
    grid: ShardedGrid,
    axis: int,
    layers: int,
    order: tuple[int, int, int],
) -> jax.Array:
    by, across = offset_along(axis, layers), order.index(axis)
    moved = _placed(voxels, shape, grid, order, by)
    open_ends = jnp.ones((), bool)
    for a, filled in enumerate(grid.filled):
        n, place = shape[order[a]], jnp.arange(filled)
        inside = place < n
        if a == across:
            inside = (place < layers) | (place >= layers + n) & (place < n + 2 * layers)
        open_ends = open_ends & inside.reshape([-1 if b == a else 1 for b in range(3)])
    if section is not None:
        first = _placed(section, shape, grid, order, by)
        open_ends = open_ends & jax.lax.slice_in_dim(first, layers, layers + 1, axis=across)
    return jnp.where(open_ends, value, moved)


def offset_along(axis: int, count: int) -> Index:
    """Return a number along one axis, and 0 along the others."""
    x, y, z = (count if a == axis else 0 for a in range(3))
    return x, y, z


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

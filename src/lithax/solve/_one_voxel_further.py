"""What lies one voxel further along an axis: on one device, or next door.

An axis of an array is described by whether it is periodic; or, where the array lies over several
devices, by a `PartedAxis`. Stencils are written with `shifted` and do not know which.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from lithax.arrays import settled, stage
from lithax.sharded import ShardedGrid, axis_names
from lithax.typing import Array

NextDoor = tuple[Array, Array]
"""The layers below and above a device's part of an array."""


class PartedAxis(eqx.Module):
    """One axis of a grid that lies over devices; static, so two equal ones compile once."""

    grid: ShardedGrid = eqx.field(static=True)
    axis: int = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)

    def __bool__(self) -> bool:
        return self.periodic

    @property
    def whole(self) -> int:
        """Voxels along the axis, filler apart."""
        return self.grid.shape[self.axis]

    @property
    def count(self) -> int:
        """Devices along the axis."""
        return self.grid.counts[self.axis]

    @property
    def name(self) -> str | None:
        """That of the mesh's axis."""
        return axis_names(self.grid.mesh)[self.axis]

    def run(self, function: Callable[..., Any], *arrays: Array, thin: bool = False) -> Any:
        """Run a function of the parts on every device; `thin`: what it returns is one voxel thick,
        and the same on all devices along the axis.
        """
        names = axis_names(self.grid.mesh)
        own = PartitionSpec(*names)
        out = PartitionSpec(*(None if thin and a == self.axis else name for a, name in enumerate(names)))
        return jax.shard_map(function, mesh=self.grid.mesh, in_specs=own, out_specs=out, check_vma=False)(*arrays)

    @property
    def has_filler(self) -> bool:
        """Whether the devices hold layers beyond the grid along the axis."""
        return self.grid.filled[self.axis] != self.whole

    def next_door(self, parts: Sequence[Array]) -> list[NextDoor]:
        """Return the layers below and above the parts of one device, zeros beyond the ends; by one
        message.
        """
        cut = partial(lax.slice_in_dim, axis=self.axis)
        ends = [(cut(part, 0, 1), cut(part, part.shape[self.axis] - 1, part.shape[self.axis])) for part in parts]
        if not ends:
            return []
        if len({part.dtype for part in parts}) == 1:
            first, last = (jnp.stack(layers) for layers in zip(*ends, strict=True))
            low, high = from_both_sides(first, last, self.name, self.count)
            return [(low[k], high[k]) for k in range(len(parts))]
        first, last = (jnp.concatenate([_as_bytes(layer) for layer in layers]) for layers in zip(*ends, strict=True))
        both = from_both_sides(first, last, self.name, self.count)
        found, start = [], 0
        for layer, _ in ends:
            stop = start + layer.size * layer.dtype.itemsize
            low, high = (_from_bytes(lax.slice_in_dim(v, start, stop), layer) for v in both)
            found.append((low, high))
            start = stop
        return found

    def neighbours(self, part: Array) -> tuple[Array, Array]:
        """Return the values one voxel back and one voxel further, on one device."""
        if self.count == 1 or self.periodic:
            return self.shifted(part, -1), self.shifted(part, 1)
        ((low, high),) = self.next_door([part])
        return _moved(part, self.axis, -1, low), _moved(part, self.axis, 1, high)

    def shifted(self, part: Array, step: int) -> Array:
        """Return the value one voxel further, on one device."""
        n = part.shape[self.axis]
        cut = partial(lax.slice_in_dim, part, axis=self.axis)
        owner, end = divmod(self.whole - 1, n)  # where the last voxel lies
        here = lax.axis_index(self.name) if self.count > 1 else 0
        sent = cut(0, 1) if step == 1 else cut(n - 1, n)
        if self.periodic and step == -1 and end != n - 1:
            sent = jnp.where(here == owner, cut(end, end + 1), sent)
        ring = [(k, (k + 1) % (owner + 1)) for k in range(owner + 1)] if self.periodic else _row(self.count)
        if self.count > 1:
            seen = lax.ppermute(sent, self.name, ring if step == -1 else [(b, a) for a, b in ring])
        else:
            seen = sent if self.periodic else None
        moved = _moved(part, self.axis, step, seen)
        if seen is not None and self.periodic and step == 1 and end != n - 1:  # the image ends before the part does
            place = lax.broadcasted_iota(np.int32, part.shape, self.axis)
            moved = jnp.where((here == owner) & (place == end), seen, moved)
        return moved


def _as_bytes(v: Array) -> Array:
    v = v.astype(np.uint8) if v.dtype == bool else lax.bitcast_convert_type(v, np.uint8)
    return v.reshape(-1)


def _from_bytes(v: Array, like: Array) -> Array:
    size = like.dtype.itemsize
    v = v.reshape(*like.shape, *((size,) if size > 1 else ()))
    return v.astype(bool) if like.dtype == bool else lax.bitcast_convert_type(v, like.dtype)


def from_both_sides(first: Array, last: Array, name: str | None, count: int) -> tuple[Array, Array]:
    """Return what lies below and above, on each of the devices in a row, zeros beyond the ends.

    Parameters
    ----------
    first, last
        The planes at a device's lower and upper face.
    name
        Of the mesh's axis.
    count
        Devices along it. Of two each has one neighbour: one message instead of two that wait for
        each other.
    """
    if count > 2:
        row = _row(count)
        return lax.ppermute(last, name, row), lax.ppermute(first, name, [(b, a) for a, b in row])
    below = lax.axis_index(name) == 0
    seen = lax.ppermute(jnp.where(below, last, first), name, [(0, 1), (1, 0)])
    return jnp.where(below, 0, seen), jnp.where(below, seen, 0)


def _row(count: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(count - 1)]


Axis = bool | PartedAxis
"""Whether an axis is periodic, and how it lies over devices if it does."""

Axes = tuple[Axis, Axis, Axis]


def on_each_device(function: Callable[..., Array], wrap: Axes, *arrays: Array) -> Array:
    """Return what a function makes of the parts of every device, one after the other; on one device
    of the arrays.
    """
    first = wrap[0]
    if not isinstance(first, PartedAxis):
        return function(*arrays)
    names = axis_names(first.grid.mesh)
    out = PartitionSpec(tuple(name for name in names if name is not None))
    run = jax.shard_map(function, mesh=first.grid.mesh, in_specs=PartitionSpec(*names), out_specs=out, check_vma=False)
    return run(*arrays)


def shifted(values: Array, axis: int, step: int, wrap: Axis) -> Array:
    """Return the value one voxel further along an axis; 0 beyond the faces, unless it wraps
    around.
    """
    if isinstance(wrap, PartedAxis):
        return wrap.run(partial(wrap.shifted, step=step), values)
    n = values.shape[axis]
    end = 0 if step == 1 else n - 1
    return _moved(values, axis, step, lax.slice_in_dim(values, end, end + 1, axis=axis) if wrap else None)


def _moved(values: Array, axis: int, step: int, beyond: Array | None) -> Array:
    """Return the value one voxel further, and `beyond` in the last layer; None: 0."""
    n = values.shape[axis]
    cut = partial(lax.slice_in_dim, values, axis=axis)
    inner, end = (cut(1, n), n - 1) if step == 1 else (cut(0, n - 1), 0)
    nothing = jnp.zeros_like(cut(0, 1))
    moved = jnp.concatenate([inner, nothing] if step == 1 else [nothing, inner], axis)
    if beyond is None:
        return moved
    # Chosen, not joined: a stencil of joined slices takes twice as long where both hold values.
    return jnp.where(lax.broadcasted_iota(np.int32, values.shape, axis) == end, beyond, moved)


def neighbours(values: Array, axis: int, wrap: Axis) -> tuple[Array, Array]:
    """Return the values one voxel back and one voxel further, as `shifted` does."""
    if isinstance(wrap, PartedAxis):
        return wrap.run(wrap.neighbours, values)
    return shifted(values, axis, -1, wrap), shifted(values, axis, 1, wrap)


def next_door(arrays: Sequence[Array], wrap: Axes) -> tuple[NextDoor | None, ...]:
    """Return what a `stencil` asks of the devices next door, for several arrays by one message, as
    arrays that lie over the devices; None where there is nobody to be asked, or more than one axis
    lies over devices.
    """
    over = _divided(wrap)
    if over is None:
        return (None,) * len(arrays)
    return jax.tree.map(settled, _next_door(tuple(arrays), over))


@partial(jax.jit, static_argnums=1)
def _next_door(arrays: tuple[Array, ...], over: PartedAxis) -> tuple[NextDoor, ...]:
    own = PartitionSpec(*axis_names(over.grid.mesh))
    ask = jax.shard_map(
        lambda *parts: tuple(over.next_door(parts)), mesh=over.grid.mesh, in_specs=own, out_specs=own, check_vma=False
    )
    return ask(*arrays)


def _divided(wrap: Axes) -> PartedAxis | None:
    """Return the axis that lies over devices, where it is one and no copies are in the way."""
    parted = [axis for axis in wrap if isinstance(axis, PartedAxis)]
    over = [axis for axis in parted if axis.count > 1]
    if len(over) != 1 or any(axis.periodic for axis in over) or any(a.periodic and a.has_filler for a in parted):
        return None
    return over[0]


def stencil(
    function: Callable[..., Array],
    wrap: Axes,
    arrays: tuple[Array, ...],
    near: tuple[tuple[int, ...], ...],
    beyond: tuple[NextDoor | None, ...] = (),
) -> Array:
    """Return ``function(wrap, *arrays)``, of which every voxel depends on itself and on the voxels
    next to it.

    Where one axis lies over devices, every device computes its part as if nothing lay beyond, and
    then once more its outermost layers, from what lies next door: whatever reads across the border
    for every voxel costs the compiler its vectors.

    Parameters
    ----------
    function
        Written with `shifted` and `neighbours`.
    wrap
        Of the arrays.
    arrays
        On the voxels, one layer thick along axes along which they do not change; or numbers.
    near
        For each of the first arrays, along which axes its neighbours are read; of the others none
        are.
    beyond
        For the first arrays, what `next_door` returned, or None: then it is asked for here.
    """
    first = _divided(wrap)
    if first is None:
        return function(wrap, *arrays)
    names, axis = axis_names(first.grid.mesh), first.axis
    inner = tuple(False if a is first else bool(a) for a in wrap)
    asked = [k for k, axes in enumerate(near) if axis in axes]
    shapes = [jnp.shape(array) for array in arrays]
    specs = tuple(PartitionSpec(*(None if n == 1 else name for n, name in zip(s, names))) for s in shapes)  # noqa: B905

    given = {k: layers for k, layers in enumerate(beyond) if layers is not None and k in asked}
    missing = [k for k in asked if k not in given]

    def own(given: dict[int, NextDoor], *parts: Array) -> Array:
        ghosts = given | dict(zip(missing, first.next_door([parts[k] for k in missing]), strict=True))
        made = stage(partial(function, inner), *parts)
        n = made.shape[axis]
        if not asked:
            return made
        for place in (0, n - 1):
            around = [_around(part, axis, place, n, ghosts.get(k)) for k, part in enumerate(parts)]
            layer = lax.slice_in_dim(function(inner, *around), 1, 2, axis=axis)
            made = lax.dynamic_update_slice_in_dim(made, layer, place, axis)
        return made

    over_devices = PartitionSpec(*names)
    run = jax.shard_map(
        own, mesh=first.grid.mesh, in_specs=(over_devices, *specs), out_specs=over_devices, check_vma=False
    )
    return run(given, *arrays)


def _around(part: Array, axis: int, place: int, n: int, ghosts: tuple[Array, Array] | None) -> Array:
    """Return a layer of a part between those below and above it; `ghosts`: those next door."""
    if part.ndim == 0 or part.shape[axis] == 1 < n:
        return part
    here = lax.slice_in_dim(part, place, place + 1, axis=axis)
    if ghosts is None:
        return jnp.concatenate([here] * 3, axis)  # nobody reads its neighbours
    below = lax.slice_in_dim(part, place - 1, place, axis=axis) if place else ghosts[0]
    above = lax.slice_in_dim(part, place + 1, place + 2, axis=axis) if place < n - 1 else ghosts[1]
    return jnp.concatenate([below, here, above], axis)


def length_of(values: Array, axis: int, wrap: Axis) -> int:
    """Return how many layers an array has along an axis, filler apart."""
    return wrap.whole if isinstance(wrap, PartedAxis) else values.shape[axis]

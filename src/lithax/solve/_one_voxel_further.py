"""What lies one voxel further along an axis: on one device, or next door.

An axis of an array is described by whether it is periodic; or, where the array lies over several
devices, by a `PartedAxis`. Stencils are written with `shifted` and do not know which.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from lithax.arrays import stage
from lithax.sharded import ShardedGrid, axis_names
from lithax.typing import Array


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

    def next_door(self, parts: list[Array]) -> list[tuple[Array, Array]]:
        """Return the layers below and above the parts of one device, zeros beyond the ends; by as
        few messages as there are types of numbers.
        """
        found: dict[int, tuple[Array, Array]] = {}
        for dtype in {part.dtype: None for part in parts}:
            same = [k for k, part in enumerate(parts) if part.dtype == dtype]
            cut = partial(lax.slice_in_dim, axis=self.axis)
            first, last = (
                jnp.stack([cut(parts[k], end, end + 1) for k in same])
                for end in (0, parts[same[0]].shape[self.axis] - 1)
            )
            low, high = from_both_sides(first, last, self.name, self.count)
            found |= {k: (low[i], high[i]) for i, k in enumerate(same)}
        return [found[k] for k in range(len(parts))]

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


def whole_axis(wrap: Axes) -> int | None:
    """Return an axis of which every device holds the whole, of those whose planes are rows in
    memory; None if both are divided.
    """
    return next((a for a, w in enumerate(wrap[:2]) if not isinstance(w, PartedAxis) or w.count == 1), None)


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


def stencil(
    function: Callable[..., Array], wrap: Axes, arrays: tuple[Array, ...], near: tuple[tuple[int, ...], ...]
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
    """
    parted = [axis for axis in wrap if isinstance(axis, PartedAxis)]
    over = [axis for axis in parted if axis.count > 1]
    if len(over) != 1 or any(axis.periodic for axis in over) or any(a.periodic and a.has_filler for a in parted):
        return function(wrap, *arrays)
    first, names = over[0], axis_names(over[0].grid.mesh)
    axis = first.axis
    inner = tuple(False if a is first else bool(a) for a in wrap)
    asked = [k for k, axes in enumerate(near) if axis in axes]
    shapes = [jnp.shape(array) for array in arrays]
    specs = tuple(PartitionSpec(*(None if n == 1 else name for n, name in zip(s, names))) for s in shapes)  # noqa: B905

    def own(*parts: Array) -> Array:
        ghosts = dict(zip(asked, first.next_door([parts[k] for k in asked]), strict=True))
        made = stage(partial(function, inner), *parts)
        n = made.shape[axis]
        if not asked:
            return made
        for place in (0, n - 1):
            around = [_around(part, axis, place, n, ghosts.get(k)) for k, part in enumerate(parts)]
            layer = lax.slice_in_dim(function(inner, *around), 1, 2, axis=axis)
            made = lax.dynamic_update_slice_in_dim(made, layer, place, axis)
        return made

    return jax.shard_map(own, mesh=first.grid.mesh, in_specs=specs, out_specs=PartitionSpec(*names), check_vma=False)(
        *arrays
    )


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

"""Rows of voxels that lie over devices: what walls and throats are found by (`_mac_walls`)."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import fence, settled
from lithax.grid import Index
from lithax.sharded import ShardedGrid
from lithax.solve._mac_walls import ENDLESS, AbstractLines
from lithax.solve._one_voxel_further import PartedAxis, shifted
from lithax.typing import Array


class DeviceLines(AbstractLines):
    """Arrays on a `ShardedGrid`."""

    xp = jnp

    def __init__(self, grid: ShardedGrid, lengths: Index) -> None:
        self.grid, self.lengths = grid, lengths

    def places(self, axis: int) -> Array:
        place = jnp.arange(self.grid.filled[axis], dtype=np.int32)
        return place.reshape([-1 if a == axis else 1 for a in range(3)])

    def beside(self, values: Array, axis: int, step: int, wrap: bool) -> Array:
        return fence(_beside(values, step, PartedAxis(self.grid, axis, wrap)))

    def runs(self, flags: Array, axis: int) -> Array:
        n, parted = self.grid.filled[axis], PartedAxis(self.grid, axis, False)
        number = np.dtype(np.int16 if n < ENDLESS else np.int32).type  # holds twice as many
        place = self.places(axis).astype(number)
        before = _running(jnp.where(flags, number(-1), place), parted, up=True)
        after = _running(jnp.where(flags, number(n), place), parted, up=False)
        return fence(jnp.where(flags, after - before - number(1), number(0)))

    def layer(self, values: Array, axis: int, place: int) -> Array:
        parted = PartedAxis(self.grid, axis, False)

        def own(part: Array) -> Array:
            owner, at = divmod(place, part.shape[axis])
            found = lax.slice_in_dim(part, at, at + 1, axis=axis)
            if parted.count == 1:
                return found
            here = lax.axis_index(parted.name) == owner
            return lax.psum(jnp.where(here, found, 0), parted.name)

        return parted.run(own, values, thin=True)

    def count(self, flags: Array) -> int:
        with jax.enable_x64(True):
            return int(settled(_counted(flags)))


@jax.jit
def _counted(flags: Array) -> Any:
    return jnp.sum(flags, dtype=np.int64)


@partial(jax.jit, static_argnums=(1, 2))
def _beside(values: Array, step: int, parted: PartedAxis) -> Array:
    return shifted(values, parted.axis, step, parted)


@partial(jax.jit, static_argnames=("parted", "up"))
def _running(values: Array, parted: PartedAxis, up: bool) -> Array:
    """Return the highest value so far along an axis, or the lowest to come."""
    axis = parted.axis

    def own(part: Array) -> Array:
        found = (lax.cummax if up else lax.cummin)(part, axis, reverse=not up)
        if parted.count == 1:
            return found
        last = found.shape[axis] - 1 if up else 0
        ends = lax.all_gather(lax.slice_in_dim(found, last, last + 1, axis=axis), parted.name)
        number = jnp.arange(parted.count).reshape(-1, 1, 1, 1)
        here, limit = lax.axis_index(parted.name), np.iinfo(values.dtype)
        if up:
            return jnp.maximum(found, jnp.max(jnp.where(number < here, ends, limit.min), 0))
        return jnp.minimum(found, jnp.min(jnp.where(number > here, ends, limit.max), 0))

    return parted.run(own, values)

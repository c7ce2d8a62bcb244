"""How the cells of a solver lie in memory: with a layer around them, so that a stencil is a sum of shifted flat slices.

A cell sees its neighbour along x, y or z at a fixed distance in memory. Where no weight joins the two (walls, ends of a
row) what stands there does not matter, so whole rows, planes and blocks are taken in one go: on a CPU four times as fast
as slices along three axes. Along x there is always one layer of ghost cells below and above; along y and z only where
the image is periodic. Ghost cells along a periodic axis hold copies; elsewhere they hold zeros.
"""

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.grid import Index


class Layout(eqx.Module):
    """Shape of the cells and which axes are periodic; static, so two equal ones compile once."""

    shape: Index = eqx.field(static=True)
    periodic: tuple[bool, bool, bool] = eqx.field(static=True, default=(False, False, False))

    @property
    def ghosts(self) -> Index:
        """Ghost layers on each side, along x, y and z."""
        return 1, int(self.periodic[1]), int(self.periodic[2])

    @property
    def padded(self) -> Index:
        """Shape of an array that holds cells and ghost cells."""
        x, y, z = (n + 2 * g for n, g in zip(self.shape, self.ghosts, strict=True))
        return x, y, z

    @property
    def strides(self) -> Index:
        """How far apart neighbours along x, y and z lie in memory."""
        _, y, z = self.padded
        return y * z, z, 1

    def pad(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells."""
        return jnp.pad(cells, [(g, g) for g in self.ghosts])

    def cells(self, v: jax.Array) -> jax.Array:
        """Return an array without its ghost cells."""
        x, y, z = (slice(g, g + n) for n, g in zip(self.shape, self.ghosts, strict=True))
        return v[x, y, z]

    def filled(self, v: jax.Array) -> jax.Array:
        """Copy the cells at the far side of every periodic axis into the ghost cells."""
        for axis in range(3):
            if self.periodic[axis]:
                last = self.shape[axis]
                low, high = [slice(None)] * 3, [slice(None)] * 3
                low[axis], high[axis] = slice(last, last + 1), slice(1, 2)
                inner = [slice(None)] * 3
                inner[axis] = slice(1, last + 1)
                v = jnp.concatenate([v[tuple(low)], v[tuple(inner)], v[tuple(high)]], axis)
        return v

    def shifted(self, v: jax.Array, axis: int, steps: int) -> jax.Array:
        """Return, flat, the neighbours `steps` cells up along an axis, for all cells between the first and last layer along x."""
        margin = self.strides[0]
        start = margin + steps * self.strides[axis]
        return v.reshape(-1)[start : start + self.shape[0] * margin]

    def widened(self, flat: jax.Array) -> jax.Array:
        """Return what `shifted` returns in the shape of the padded array, zeros in the first and last layer along x."""
        return jnp.pad(flat, self.strides[0]).reshape(self.padded)

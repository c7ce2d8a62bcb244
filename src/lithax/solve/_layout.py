"""How the cells of a solver lie in memory: with a layer around them, so that a stencil is a sum of
shifted flat slices.

A cell sees its neighbour along x, y or z at a fixed distance in memory. Where no weight joins the
two (walls, ends of a row) what stands there does not matter, so whole rows, planes and blocks are
taken in one go: on a CPU four times as fast as slices along three axes. Along x there is always one
layer of ghost cells below and above; along y and z only where the image is periodic or its faces
are held at zero. Ghost cells along a periodic axis hold copies; elsewhere zeros.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax import lax
from jax import numpy as jnp

from lithax.arrays import stage
from lithax.grid import Index


class AbstractLayout(eqx.Module):
    """Cells with ghost cells around them: of a whole grid (`Layout`), or of what one device has of
    it.
    """

    shape: eqx.AbstractVar[Index]
    periodic: eqx.AbstractVar[tuple[bool, bool, bool]]
    held: eqx.AbstractVar[tuple[bool, bool, bool]]

    @property
    def overlap(self) -> int:
        """Layers of other devices' cells that are computed here as well."""
        return 0

    @property
    @abstractmethod
    def ghosts(self) -> Index:
        """Ghost layers on each side, along x, y and z."""

    @abstractmethod
    def pad(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells."""

    @abstractmethod
    def filled(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right."""

    @abstractmethod
    def exchanged(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right that other devices must be asked for: before a stage
        (`lithax.arrays.stage`), which would copy the array to write into it.
        """

    @abstractmethod
    def seen(self, v: jax.Array) -> jax.Array:
        """Return what `exchanged` returned with the rest of its ghost cells right, as the first
        thing of a stage.
        """

    @abstractmethod
    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the sum of products over all cells of the grid, in the type of `a`."""

    @abstractmethod
    def widened(self, flat: jax.Array) -> jax.Array:
        """Return what `shifted` returns in the shape of the padded array."""

    @abstractmethod
    def joined(self, cells: jax.Array, coarse: "AbstractLayout") -> jax.Array:
        """Return aggregates of these cells as the coarser level keeps them."""

    @abstractmethod
    def own(self, e: jax.Array, coarse: "AbstractLayout", step: tuple[bool, bool, bool]) -> jax.Array:
        """Return the aggregates of these cells from what the coarser level keeps, padded."""

    def from_aggregates(self, v: jax.Array, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return what `own` returned, given to every cell, in padded form."""
        x, y, z = self.shape
        return self.pad(v[:x, :y, :z])

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

    def cells(self, v: jax.Array) -> jax.Array:
        """Return an array without its ghost cells."""
        return lax.slice(v, self.ghosts, [g + n for g, n in zip(self.ghosts, self.shape, strict=True)])

    def shifted(self, v: jax.Array, axis: int, steps: int) -> jax.Array:
        """Return, flat, the neighbours `steps` cells up along an axis, for all cells between the
        first and last layer along x.
        """
        margin = self.strides[0]
        start = margin + steps * self.strides[axis]
        return lax.slice(lax.reshape(v, (v.size,)), (start,), (start + (self.padded[0] - 2) * margin,))


class Layout(AbstractLayout):
    """Shape of the cells, which axes are periodic, and along which the end faces are joined to
    ghost cells that hold zero.

    Static, so two equal ones compile once.
    """

    shape: Index = eqx.field(static=True)
    periodic: tuple[bool, bool, bool] = eqx.field(static=True, default=(False, False, False))
    held: tuple[bool, bool, bool] = eqx.field(static=True, default=(False, False, False))
    wide: bool = eqx.field(static=True, default=True)
    """Whether sums over the cells are taken in double precision; not where a transformation reads
    the program again.
    """

    @property
    def ghosts(self) -> Index:
        """Ghost layers on each side, along x, y and z."""
        _, y, z = (int(p or h) for p, h in zip(self.periodic, self.held, strict=True))
        return 1, y, z

    def pad(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells."""
        if self.ghosts == (1, 0, 0):
            return between_zeros(cells, self.padded)
        return jnp.pad(cells, [(g, g) for g in self.ghosts])

    def filled(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right: copies of the cells at the far side of a periodic axis, zeros
        at a held one.
        """
        for axis in range(3):
            last = self.shape[axis]
            low, inner, high = ([slice(None)] * 3 for _ in range(3))
            inner[axis] = slice(1, last + 1)
            if self.periodic[axis]:
                low[axis], high[axis] = slice(last, last + 1), slice(1, 2)
                v = jnp.concatenate([v[tuple(low)], v[tuple(inner)], v[tuple(high)]], axis)
            elif self.held[axis] and axis > 0:  # along x they are zero already
                v = jnp.pad(v[tuple(inner)], [(int(a == axis), int(a == axis)) for a in range(3)])
        return v

    def exchanged(self, v: jax.Array) -> jax.Array:
        """Return the array as it is: there is nobody to ask."""
        return v

    def seen(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right, which the compiler joins to what reads them."""
        return self.filled(v)

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the sum of products over the cells, in the type of `a`."""
        if self.ghosts == (1, 0, 0):  # ghost cells along x are zero
            return self.total(a * b)
        return summed_apart(self.total, lambda a, b: self.cells(a) * self.cells(b), a, b)

    def total(self, v: jax.Array) -> jax.Array:
        """Return the sum of an array, in its type; partial sums in double precision where
        `wide`.
        """
        if self.wide:
            # A scope of its own: JAX's setting stays as it is.
            with jax.enable_x64(True):
                return jnp.sum(v.astype(jnp.float64)).astype(v.dtype)
        for _ in range(v.ndim):  # short sums of sums lose fewer digits than a long one
            v = jnp.sum(v, -1)
        return v

    def widened(self, flat: jax.Array) -> jax.Array:
        """Return what `shifted` returns in the shape of the padded array, zeros in the first and
        last layer along x.
        """
        return between_zeros(flat, self.padded)

    def joined(self, cells: jax.Array, coarse: AbstractLayout) -> jax.Array:
        """Return the aggregates as they are."""
        return cells

    def own(self, e: jax.Array, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return the aggregates as they are."""
        return coarse.cells(e)


def between_zeros(layers: jax.Array, padded: Index) -> jax.Array:
    """Return layers along x between two of zeros, whatever their shape is.

    Joined as rows: the compiler then decides layer by layer which it writes, and its loop over a
    layer is as quick as without. With a pad it decides cell by cell, which takes four times as
    long as the whole stencil.
    """
    edge = jnp.zeros((1, padded[1] * padded[2]), layers.dtype)
    return jnp.concatenate([edge, layers.reshape(padded[0] - 2, padded[1] * padded[2]), edge]).reshape(padded)


def summed_apart(total: Callable[..., jax.Array], of: Callable[..., jax.Array], *operands: Any) -> jax.Array:
    """Return ``total(of(*operands))``, one after the other, and after what else is summed.

    The compiler would write down every slice that a sum has in it, and all sums' slices at once.
    """
    return stage(lambda *operands: total(stage(of, *operands)), *operands)

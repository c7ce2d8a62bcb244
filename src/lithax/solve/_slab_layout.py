"""A level of the multigrid cut into slabs of planes across x, each with some planes of its
neighbours on both sides, its *skirts*: the same stencils, of which the planes near the cut are
thrown away.
"""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.grid import Index
from lithax.solve._layout import AbstractLayout, Layout, between_zeros


class Slabs(eqx.Module):
    """How a level is cut, and what is done on it: static, decides the compiled programs."""

    layout: Layout = eqx.field(static=True)
    thickness: int = eqx.field(static=True)
    """Planes of a slab without its skirts: even."""
    step: tuple[bool, bool, bool] = eqx.field(static=True)
    """Along which axes the level is halved to make the next."""
    weights: tuple[float, ...] = eqx.field(static=True)
    """Steps of the smoother."""

    @property
    def down(self) -> int:
        """Skirt of a reading on the way to the coarser level: a product with K, then the smoother
        from zero, then a residual.
        """
        return len(self.weights) + 1

    @property
    def up(self) -> int:
        """Skirt of a reading on the way back: the smoother from zero, the smoother again, and a
        product before or after.
        """
        return 2 * len(self.weights)

    @property
    def coarse(self) -> Layout:
        """The next level."""
        x, y, z = (-(-n // 2) if halved else n for n, halved in zip(self.layout.shape, self.step, strict=True))
        return replace(self.layout, shape=(x, y, z))

    @property
    def begins(self) -> range:
        """Where the slabs begin."""
        return range(0, self.layout.shape[0], self.thickness)

    def own_planes(self, begin: int) -> int:
        """Return how many planes belong to a slab: fewer to the last."""
        return min(self.thickness, self.layout.shape[0] - begin)

    def rows(self, begin: int) -> slice:
        """Return where in the next level the planes of a slab are summed."""
        step = 2 if self.step[0] else 1
        return slice(begin // step, -(-(begin + self.own_planes(begin)) // step))

    def rows_of(self, places: np.ndarray) -> np.ndarray:
        """Return the number of the plane of the next level that holds each plane; -1 as it is."""
        return np.where(places < 0, -1, places // (2 if self.step[0] else 1))

    def core(self, v: jax.Array, skirt: int, more: int = 0) -> jax.Array:
        """Return the planes of the slab itself, and `more` of them above, of an array without
        ghosts.
        """
        return lax.slice_in_dim(v, skirt, skirt + self.thickness + more)

    def padded_core(self, v: jax.Array, skirt: int) -> jax.Array:
        """Return the same of a padded array, with a plane on both sides."""
        return lax.slice_in_dim(v, skirt, skirt + self.thickness + 2)

    def once(self, places: jax.Array, skirt: int, v: jax.Array, around: int = 0) -> jax.Array:
        """Return an array of the slab's planes, with `around` more on both sides, with zeros in
        planes above the grid's last: in a periodic grid they are its first ones again.
        """
        if not self.layout.periodic[0]:
            return v  # there it holds zeros
        numbers = places[skirt] + jnp.arange(v.shape[0]) - around
        return v * (numbers < self.layout.shape[0]).astype(v.dtype).reshape(-1, 1, 1)

    def ends(self, places: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return which plane is the first of the grid, and which the one behind the last."""
        last = places == self.layout.shape[0] - 1
        behind = jnp.concatenate([jnp.zeros((1,), bool), last[:-1]])
        return (places == 0).reshape(-1, 1, 1), behind.reshape(-1, 1, 1)


class SlabLayout(AbstractLayout):
    """Shape of the slab, and the numbers of its planes in the grid.

    Along x nothing is joined at the cuts. Where the slab reaches beyond held ends, its planes have
    the number -1, and whatever is computed holds zeros there.
    """

    shape: Index = eqx.field(static=True)
    periodic: tuple[bool, bool, bool] = eqx.field(static=True)
    held: tuple[bool, bool, bool] = eqx.field(static=True)
    places: jax.Array
    """Shape (nx,)."""

    @property
    def within(self) -> Layout:
        """The same planes as a grid of its own."""
        return Layout(self.shape, self.periodic, self.held)

    @property
    def ghosts(self) -> Index:
        """Ghost layers on each side, along x, y and z."""
        return self.within.ghosts

    def pad(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells."""
        return self.within.pad(cells)

    def filled(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells along y and z right."""
        return self.within.filled(v)

    def exchanged(self, v: jax.Array) -> jax.Array:
        """Return the array as it is: the planes of its neighbours are among its own."""
        return v

    def seen(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells along y and z right."""
        return self.filled(v)

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the sum of products over the cells of the slab."""
        return self.within.dot(a, b)

    def widened(self, flat: jax.Array) -> jax.Array:
        """Return what `shifted` returns in the shape of the padded array, zeros beyond the ends of
        the grid.
        """
        rows = flat.reshape(self.shape[0], -1)
        inside = (self.places >= 0).astype(flat.dtype)  # a product: the compiler's loop stays one of vectors
        return between_zeros(rows * inside[:, None], self.padded)

    def joined(self, cells: jax.Array, coarse: AbstractLayout) -> jax.Array:
        """Return the aggregates as they are."""
        return cells

    def own(self, e: jax.Array, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return the aggregates as they are."""
        return coarse.cells(e)


def slab_of(layout: Layout, places: jax.Array) -> SlabLayout:
    """Return the layout of the planes with these numbers in a grid."""
    within = cut_free(layout, places.shape[0])
    return SlabLayout(within.shape, within.periodic, within.held, places)


def cut_free(layout: Layout, planes: int) -> Layout:
    """Return the layout of so many planes of a grid, with nothing joined at the cuts."""
    _, y, z = layout.shape
    return replace(layout, shape=(planes, y, z), periodic=(False, *layout.periodic[1:]), held=(False, *layout.held[1:]))


def places_of(layout: Layout, begin: int, thickness: int, skirt: int) -> np.ndarray:
    """Return the numbers of the planes of a slab that begins at `begin`, with its skirts; -1 beyond
    held ends and beyond the last slab's upper skirt.

    >>> places_of(Layout((5, 4, 4), (True, False, False)), 4, 2, 1).tolist()
    [3, 4, 0, -1]
    """
    n = layout.shape[0]
    places = np.arange(begin - skirt, begin + thickness + skirt)
    if layout.periodic[0]:
        return np.where(places < min(begin + thickness, n) + skirt, places % n, -1).astype(np.int32)
    return np.where((places >= 0) & (places < n), places, -1).astype(np.int32)

"""The cells of a slab of planes across x, cut out of a grid with some planes of its neighbours: the
same stencils, of which the planes near the cut are thrown away.
"""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np

from lithax.grid import Index
from lithax.solve._layout import AbstractLayout, Layout, between_zeros


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

    def own(self, cells: jax.Array, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return the aggregates as they are."""
        return cells


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

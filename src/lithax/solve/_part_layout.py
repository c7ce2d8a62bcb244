"""The cells of one device, where a grid lies over many: the same stencils, with ghost cells that
hold the cells next door.

Used inside `jax.shard_map`, where every device runs the same program. Beyond the last cells of the
grid lie filler cells; whatever is computed holds zeros there. The weight of the upper end face of a
held axis is that of the lower face of the first filler cell, so a held axis has at least one.

Parts may overlap: a device then computes its neighbours' outermost layers as well. What it has of
them grows wrong from outside, by one layer with each stencil, so it asks next door only after a few
of them: a message costs as much as a stencil on a hundred thousand cells.
"""

import math

import equinox as eqx
import jax
from jax import lax
from jax import numpy as jnp

from lithax.grid import Index
from lithax.solve._layout import AbstractLayout, between_zeros
from lithax.solve._one_voxel_further import from_both_sides


class PartLayout(AbstractLayout):
    """Shape of the cells of one device and of the whole grid, and how the devices lie; static."""

    shape: Index = eqx.field(static=True)
    whole: Index = eqx.field(static=True)
    """Shape of the grid, without filler."""
    names: tuple[str | None, str | None, str | None] = eqx.field(static=True)
    """Which axis of the mesh divides x, y and z."""
    counts: Index = eqx.field(static=True)
    """Devices along x, y and z."""
    periodic: tuple[bool, bool, bool] = eqx.field(static=True)
    held: tuple[bool, bool, bool] = eqx.field(static=True)
    overlapping: int = eqx.field(static=True, default=0)
    """`overlap`; none where an axis is periodic."""

    @property
    def overlap(self) -> int:
        """Layers of other devices' cells that are computed here as well."""
        return self.overlapping

    @property
    def ghosts(self) -> Index:
        """Ghost layers on each side, along x, y and z."""
        joined = (True, *(p or h for p, h in zip(self.periodic[1:], self.held[1:], strict=True)))
        x, y, z = (1 + self.overlap if c > 1 else int(j) for j, c in zip(joined, self.counts, strict=True))
        return x, y, z

    @property
    def shared(self) -> Index:
        """How many of the ghost layers are another device's cells."""
        x, y, z = (g if c > 1 else 0 for g, c in zip(self.ghosts, self.counts, strict=True))
        return x, y, z

    def positions(self, axis: int, *, padded: bool = False) -> jax.Array:
        """Return where in the grid the cells of this device lie along an axis, in a shape that
        broadcasts against arrays of three axes.
        """
        ghost, n = self.ghosts[axis] if padded else 0, self.shape[axis]
        return (self._start(axis) - ghost + jnp.arange(n + 2 * ghost)).reshape(_along(axis))

    def _start(self, axis: int) -> jax.Array | int:
        name = self.names[axis]
        return 0 if name is None else lax.axis_index(name) * self.shape[axis]

    def valid(self) -> jax.Array:
        """Return, in the shape of the cells, True for those of the grid and False for filler."""
        return jnp.broadcast_to(self.across(None), self.shape)

    def across(self, axis: int | None) -> jax.Array:
        """Return True for cells of the grid by their place along the other axes; broadcasts."""
        inside = jnp.ones((1, 1, 1), bool)
        for a, n in enumerate(self.whole):
            if a != axis and self.counts[a] * self.shape[a] > n:
                inside = inside & (self.positions(a) < n)
        return inside

    def pad(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells, and into the filler."""
        return self.surrounded(jnp.where(self.across(None), cells, 0))

    def surrounded(self, cells: jax.Array) -> jax.Array:
        """Put zeros around the cells, the filler among them."""
        if self.ghosts == (1, 0, 0):
            return between_zeros(cells, self.padded)
        return jnp.pad(cells, [(g, g) for g in self.ghosts])

    def from_aggregates(self, v: jax.Array, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return what `own` returned, given to every cell, in padded form: right in the ghost cells
        of parts that overlap.
        """
        reach = self._reach(step)
        if not any(reach):
            return super().from_aggregates(v, step)
        begin = [r * (2 if halved else 1) - s for r, s, halved in zip(reach, self.shared, step, strict=True)]
        v = lax.slice(v, begin, [b + n + 2 * s for b, n, s in zip(begin, self.shape, self.shared, strict=True)])
        for axis, n in enumerate(self.whole):
            if self.shared[axis] or self.counts[axis] * self.shape[axis] > n:
                place = self.positions(axis, padded=self.shared[axis] > 0)
                v = jnp.where((place >= 0) & (place < n), v, 0)
        return jnp.pad(v, [(g - s, g - s) for g, s in zip(self.ghosts, self.shared, strict=True)])

    def _reach(self, step: tuple[bool, bool, bool]) -> Index:
        """Return how many aggregates cover the cells of the neighbours, where parts overlap."""
        x, y, z = (-(-s // 2) if halved else s for s, halved in zip(self.shared, step, strict=True))
        return (x, y, z) if self.overlap else (0, 0, 0)

    def filled(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right: what the devices next door hold, zeros beyond the ends;
        along a periodic axis the cells at the far side, also in the first filler cell.
        """
        for axis in range(3):
            if self.periodic[axis] or self.counts[axis] > 1:
                v = self._with_neighbours(v, axis)
        return v

    def exchanged(self, v: jax.Array) -> jax.Array:
        """Make the ghost cells right, in place if nobody else reads the array."""
        return self.filled(v)

    def seen(self, v: jax.Array) -> jax.Array:
        """Return the array as it is: all its ghost cells were exchanged."""
        return v

    def _with_neighbours(self, v: jax.Array, axis: int) -> jax.Array:
        n, name, count, ghost = self.shape[axis], self.names[axis], self.counts[axis], self.ghosts[axis]
        first, last = (lax.slice_in_dim(v, k, k + ghost, axis=axis) for k in (ghost, n))
        above: jax.Array | int = ghost + n
        owner, end = divmod(self.whole[axis] - 1, n)
        if self.periodic[axis]:
            # A ring of the devices that hold cells of the grid; the last of them ends where the
            # grid does.
            final = lax.slice_in_dim(v, end + 1, end + 2, axis=axis)
            if name is not None:
                at_end = lax.axis_index(name) == owner
                last, above = jnp.where(at_end, final, last), jnp.where(at_end, end + 2, n + 1)
            else:
                last, above = final, end + 2
        if count == 1 or name is None:
            low, high = last, first
        elif self.periodic[axis]:
            up = [(k, (k + 1) % (owner + 1)) for k in range(owner + 1)]
            low = lax.ppermute(last, name, up)
            high = lax.ppermute(first, name, [(b, a) for a, b in up])
        else:
            low, high = from_both_sides(first, last, name, count)
        v = lax.dynamic_update_slice_in_dim(v, low, 0, axis)
        return lax.dynamic_update_slice_in_dim(v, high, above, axis)

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the sum of products over the cells of all devices; ghost cells and filler hold
        zeros in one of the two.
        """
        return self.total(a * b)

    def total(self, v: jax.Array) -> jax.Array:
        """Return the sum over all devices, in double precision and in their order: the same bits on
        each.
        """
        with jax.enable_x64(True):
            return jnp.sum(self.gathered(jnp.sum(v.astype(jnp.float64)))).astype(v.dtype)

    def gathered(self, value: jax.Array) -> jax.Array:
        """Return the values of all devices, stacked along a new first axis."""
        names = tuple(name for name in self.names if name is not None)
        return lax.all_gather(value, names) if names else value[None]

    def widened(self, flat: jax.Array) -> jax.Array:
        """Return what `shifted` returns in the shape of the padded array, zeros in ghost cells and
        filler, but for cells of other devices.
        """
        return between_zeros(self._masked(flat.reshape(self.padded[0] - 2, -1), self.held), self.padded)

    def once(self, rows: jax.Array) -> jax.Array:
        """Return what is known of the lower faces of all cells, by layers along x, with each face
        of the grid once and zeros elsewhere.
        """
        return self._masked(rows, (False, False, False))  # held ends are lower faces of filler

    def _masked(self, rows: jax.Array, held: tuple[bool, bool, bool]) -> jax.Array:
        """Put zeros into ghost cells along y and z and into filler that weights join to the
        grid; where parts overlap into the outermost ghost cells only.
        """
        along, across = [], []
        for axis, n in enumerate(self.whole):
            ends = self.counts[axis] * self.shape[axis] > n or (self.overlap > 0 and self.counts[axis] > 1)
            beyond = ends and (held[axis] or self.periodic[axis])
            ghost = self.ghosts[axis]
            if beyond or (axis > 0 and ghost):
                position = self.positions(axis, padded=True)
                if axis == 0:
                    position = position[1:-1]
                own = jnp.arange(position.size).reshape(position.shape)
                inside = (own >= 1) & (own < position.size - 1) if axis > 0 and ghost else own >= 0
                if beyond:
                    inside = inside & (position < n)
                if beyond and self.overlap:
                    inside = inside & (position >= 0)
                (across if axis else along).append(inside)
        # Products: the compiler's loop stays one of vectors.
        for inside in along:
            rows = rows * inside.reshape(-1, 1).astype(rows.dtype)
        if across:
            plane = jnp.broadcast_to(math.prod(across), (1, *self.padded[1:]))
            rows = rows * plane.reshape(1, -1).astype(rows.dtype)
        return rows

    def joined(self, cells: jax.Array, coarse: AbstractLayout) -> jax.Array:
        """Return aggregates of this device's cells as the coarser level keeps them: on each device
        its own, or all of them.
        """
        return cells if isinstance(coarse, PartLayout) else self.collected(cells, coarse.shape)

    def collected(self, cells: jax.Array, shape: Index) -> jax.Array:
        """Return what all devices hold, up to a shape."""
        for axis, name in enumerate(self.names):
            if name is not None and self.counts[axis] > 1:
                cells = lax.all_gather(cells, name, axis=axis, tiled=True)
        x, y, z = shape
        return cells[:x, :y, :z]

    def own(self, e: jax.Array, coarse: AbstractLayout, step: tuple[bool, bool, bool]) -> jax.Array:
        """Return the aggregates of this device's cells from what the coarser level keeps, padded;
        where parts overlap also those of the neighbours' cells that it computes.
        """
        reach = self._reach(step)
        if isinstance(coarse, PartLayout):
            e = coarse.exchanged(e) if any(reach) else e
            begin = [g - r for g, r in zip(coarse.ghosts, reach, strict=True)]
            return lax.slice(e, begin, [b + n + 2 * r for b, n, r in zip(begin, coarse.shape, reach, strict=True)])
        cells = coarse.cells(e)
        shape = [n // 2 if halved else n for n, halved in zip(self.shape, step, strict=True)]
        filler = [(r, max(0, m * c - n) + r) for r, m, c, n in zip(reach, shape, self.counts, cells.shape, strict=True)]
        places = [0 if name is None else lax.axis_index(name) for name in self.names]
        return lax.dynamic_slice(
            jnp.pad(cells, filler),
            [p * m for p, m in zip(places, shape, strict=True)],
            [m + 2 * r for m, r in zip(shape, reach, strict=True)],
        )


def _along(axis: int) -> list[int]:
    return [-1 if a == axis else 1 for a in range(3)]

"""A grid of voxels over many devices: what loops over a whole image stand on, multigrid and Krylov
methods among them.

The shape of an image need not divide by the devices. What is added at the upper faces, filler, is a
copy of one voxel while a function runs, and zero afterwards: it influences no value and no
gradient, whatever it holds when it is handed in.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lithax.grid import BlockSource, Halo, Index
from lithax.sharded._halo import padded_part
from lithax.sharded._load import filled_shape
from lithax.sharded._mesh import axis_names, counts_of, make_mesh, sharding_of


class ShardedGrid(eqx.Module):
    """Mesh, shape, and what the parts of the devices must be a multiple of; all static."""

    mesh: Mesh = eqx.field(static=True)
    shape: Index = eqx.field(static=True)
    multiple: Index = eqx.field(static=True)
    spare: Index = eqx.field(static=True)

    def __init__(
        self,
        shape: Sequence[int],
        mesh: Mesh | None = None,
        multiple: int | Sequence[int] = 1,
        spare: Sequence[int] = (0, 0, 0),
    ):
        """Lay a grid over devices.

        Parameters
        ----------
        shape
            Of the image [voxel].
        mesh
            The devices; by default all, as near to a cube as their number allows.
        multiple
            What the part of each device must divide by, one number or one per axis: 2**levels for a
            grid that is to be made coarser so often.
        spare
            Layers of filler at least, along x, y and z; on every coarser grid, too.

        Raises
        ------
        ValueError
            If shape or multiple are not three positive whole numbers, or spare is negative.
        """
        self.mesh = make_mesh() if mesh is None else mesh
        self.shape = _three("shape", shape)
        self.multiple = _three("multiple", (multiple,) * 3 if isinstance(multiple, int | np.integer) else multiple)
        self.spare = _three("spare", spare, 0)

    @property
    def counts(self) -> Index:
        """Devices along x, y and z."""
        return counts_of(self.mesh)

    @property
    def filled(self) -> Index:
        """Shape of an array on this grid, filler included."""
        x, y, z = (m * n for m, n in zip(self.multiple, filled_shape(self._in_multiples, self.mesh), strict=True))
        return x, y, z

    @property
    def part(self) -> Index:
        """Shape of what one device has."""
        x, y, z = (n // c for n, c in zip(self.filled, self.counts, strict=True))
        return x, y, z

    @property
    def _in_multiples(self) -> Index:
        # Spare layers are counted in multiples, so that they are there once the grid is coarse.
        x, y, z = (-(-n // m) + k for n, m, k in zip(self.shape, self.multiple, self.spare, strict=True))
        return x, y, z

    @property
    def _spec(self) -> PartitionSpec:
        return PartitionSpec(*axis_names(self.mesh))

    def valid(self) -> jax.Array:
        """Return True for voxels of the image, False for filler."""

        def make() -> jax.Array:
            inside = jnp.ones((), bool)
            for axis, (n, filled) in enumerate(zip(self.shape, self.filled, strict=True)):
                inside = inside & (jnp.arange(filled) < n).reshape([-1 if a == axis else 1 for a in range(3)])
            return jnp.broadcast_to(inside, self.filled)

        return jax.jit(make, out_shardings=sharding_of(self.mesh))()

    def load(self, source: BlockSource | np.ndarray, filler: Any = 0) -> jax.Array:
        """Return an image, or a NumPy array, on this grid; each process reads the voxels of its own
        devices only.

        Parameters
        ----------
        source
            What is read: ``image.stored``, or an array.
        filler
            Value beyond the upper faces.

        Raises
        ------
        ValueError
            If its shape is not that of the grid.
        """
        if tuple(source.shape) != self.shape:
            raise ValueError(f"source has shape {tuple(source.shape)}, the grid {self.shape}; they must agree.")

        def part(index: Any) -> np.ndarray:
            wanted = [s.indices(n)[:2] for s, n in zip(index, self.filled, strict=True)]
            values = np.full([b - a for a, b in wanted], filler, source.dtype)
            x, y, z = (slice(min(a, n), min(b, n)) for (a, b), n in zip(wanted, self.shape, strict=True))
            if all(s.stop > s.start for s in (x, y, z)):
                read = getattr(source, "read_parallel", getattr(source, "read", None))
                inside = tuple(slice(0, s.stop - s.start) for s in (x, y, z))
                values[inside] = source[x, y, z] if isinstance(source, np.ndarray) else read((x, y, z))  # pyright: ignore[reportOptionalCall]
            return values

        with jax.enable_x64(True):  # 64-bit voxels stay what they are
            return jax.make_array_from_callback(self.filled, sharding_of(self.mesh), part, dtype=source.dtype)

    def save(self, array: jax.Array, put: Callable[[tuple[slice, slice, slice], np.ndarray], Any]) -> None:
        """Hand over, part by part, what the devices of this process have of an array, without
        filler.

        Parameters
        ----------
        array
            On this grid.
        put
            Called with the place of a part in the image, and its values; `lithax.save` with
            ``shape=grid.shape`` is the way into a store.
        """
        self._check(array)
        for piece in array.addressable_shards:
            if piece.replica_id == 0:
                spans = [s.indices(n)[:2] for s, n in zip(piece.index, self.filled, strict=True)]
                x, y, z = (slice(a, min(b, n)) for (a, b), n in zip(spans, self.shape, strict=True))
                if all(s.stop > s.start for s in (x, y, z)):
                    inside = tuple(slice(0, s.stop - s.start) for s in (x, y, z))
                    put((x, y, z), np.asarray(piece.data)[inside])

    def stencil(
        self,
        body: Callable[..., Any],
        halo: int | Halo,
        boundary: str = "reflect",
        boundary_value: Any = 0,
    ) -> Callable[..., Any]:
        """Return a function of one or several arrays on this grid that applies a stencil, to be
        used under `jax.jit`.

        Parameters
        ----------
        body
            Takes a padded block of each array and returns the core, or a tuple of cores, of the
            same type or another.
        halo, boundary, boundary_value
            How far to see, and what lies outside the image, as in `exchange_halo`; the same for all
            arrays.
        """

        def apply(*arrays: jax.Array) -> Any:
            if not arrays:
                raise ValueError("stencil() got no array; pass at least one.")
            for array in arrays:
                self._check(array)
            whole = self.filled == self.shape
            valid = None if whole else self.valid()
            padded = padded_part(self.filled, halo, self.mesh, boundary, boundary_value, self.shape)

            def local(inside: Any, *blocks: jax.Array) -> Any:
                out = body(*(padded(block) for block in blocks))
                if whole:
                    return out
                return jax.tree.map(lambda v: jnp.where(inside, v, jnp.zeros_like(v)), out)

            # A body that divides or takes logarithms meets numbers of the image in the filler: a
            # NaN there would poison a gradient.
            blocks = arrays if valid is None else tuple(jnp.where(valid, a, a[0, 0, 0]) for a in arrays)
            specs = (PartitionSpec() if whole else self._spec, *(self._spec,) * len(blocks))
            return jax.shard_map(local, mesh=self.mesh, in_specs=specs, out_specs=self._spec)(
                jnp.ones((), bool) if whole else valid, *blocks
            )

        return apply

    def dot(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the sum of products over the voxels of the image, on every device.

        Sums of the parts are added in the order of the parts: on one mesh the same bits in every
        run and process.
        """
        self._check(a)
        self._check(b)
        if self.filled != self.shape:
            valid = self.valid()
            a, b = jnp.where(valid, a, 0), jnp.where(valid, b, 0)
        names = tuple(name for name in axis_names(self.mesh) if name is not None)

        def local(x: jax.Array, y: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sum(x * y, (1, 2)))[None]

        # One number per device; the array of them is small and is summed as a whole.
        parts = jax.shard_map(local, mesh=self.mesh, in_specs=(self._spec,) * 2, out_specs=PartitionSpec(names))(a, b)
        return jnp.sum(jax.lax.with_sharding_constraint(parts, jax.sharding.NamedSharding(self.mesh, PartitionSpec())))

    def coarser(self, factor: int = 2) -> "ShardedGrid":
        """Return the grid whose voxels are `factor` of these along every axis; an odd tail is a
        voxel of its own.

        Each device's part of the coarser grid lies over its part of this one, where `multiple`
        divides by the factor.

        Raises
        ------
        ValueError
            If it does not.
        """
        if any(m % factor for m in self.multiple):
            raise ValueError(
                f"factor={factor} does not divide multiple={self.multiple}; make the grid with a multiple of factor**levels."
            )
        a, b, c = (-(-n // factor) for n in self.shape)
        x, y, z = (m // factor for m in self.multiple)
        return ShardedGrid((a, b, c), self.mesh, (x, y, z), self.spare)

    def _check(self, array: Any) -> None:
        if tuple(array.shape) != self.filled:
            raise ValueError(
                f"array has shape {tuple(array.shape)}; on this grid it is {self.filled}, filler included."
            )


def _three(name: str, value: Sequence[int], least: int = 1) -> Index:
    entries = tuple(value)
    if len(entries) != 3 or any(not isinstance(n, int | np.integer) or n < least for n in entries):
        raise ValueError(f"{name}={value!r} must be three whole numbers >= {least}.")
    x, y, z = (int(n) for n in entries)
    return x, y, z

"""First guesses of a conduction solve over devices: each process reads, of a potential kept in an
image or in memory, what its devices need.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import settled
from lithax.grid import Box, Index
from lithax.sharded import ShardedGrid, sharding_of
from lithax.solve._conduction_setup import Run
from lithax.solve._fields import check_finite, driven, potential_to_start_from, ramp_of, whole_multiples


class _Repeated:
    """The values of coarse voxels, read as those of the finer ones that lie in them."""

    def __init__(self, source: Any, factors: Index, dtype: Any) -> None:
        self.source, self.factors, self.dtype = source, factors, np.dtype(dtype)
        x, y, z = (n * f for n, f in zip(source.shape, factors, strict=True))
        self.shape = (x, y, z)

    def read(self, box: Box) -> np.ndarray:
        coarse = tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(box, self.factors, strict=True))
        values = self.source[coarse] if isinstance(self.source, np.ndarray) else self.source.read(coarse)
        for axis, (s, f) in enumerate(zip(box, self.factors, strict=True)):
            first = s.start % f
            cut = tuple(slice(first, first + s.stop - s.start) if a == axis else slice(None) for a in range(3))
            values = np.repeat(values, f, axis)[cut] if f > 1 else values
        return np.asarray(values, self.dtype)


def guess_over_devices(
    x0: Any, run: Run, number: int, grid: ShardedGrid, filled: tuple[int, ...], dtype: Any
) -> jax.Array:
    """Return u of a first guess on a grid, as `guess_from` does.

    Parameters
    ----------
    x0
        A result with its potential, or potentials: images, arrays in memory, or over devices.
    run, number
        Of the solve.
    grid
        That of the image, without reservoirs.
    filled
        Shape of an array over devices that holds a potential of the image's shape and filler.
    dtype
        To solve in.
    """
    potential, size = potential_to_start_from(x0, run, number), grid.shape
    over_devices = isinstance(potential, jax.Array) and not potential.sharding.is_fully_replicated
    shape = size if over_devices and tuple(potential.shape) == filled else tuple(potential.shape)
    factors = whole_multiples(shape, size)
    if over_devices:
        placed = settled(_repeated(potential.astype(dtype), shape, factors, grid))
    else:
        source = getattr(potential, "stored", None)
        if source is None:
            source = np.asarray(potential)
            check_finite(source)
        finer: Any = _Repeated(source, factors, dtype)
        placed = grid.load(finer)
    axis = run.order[driven(run, number)]
    return settled(_deviation(placed, grid, axis, factors[axis]))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _repeated(potential: jax.Array, shape: Index, factors: Index, grid: ShardedGrid) -> jax.Array:
    x, y, z = shape
    v = potential[:x, :y, :z]
    for axis, factor in enumerate(factors):
        v = jnp.repeat(v, factor, axis) if factor > 1 else v
    v = jnp.pad(v, [(0, f - n) for f, n in zip(grid.filled, grid.shape, strict=True)])
    return jax.lax.with_sharding_constraint(v, sharding_of(grid.mesh))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _deviation(potential: jax.Array, grid: ShardedGrid, axis: int, factor: int) -> jax.Array:
    places = jnp.arange(grid.filled[axis]) // factor
    ramp = ramp_of(places.astype(potential.dtype), grid.shape[axis] // factor)
    return 1 - ramp.reshape([-1 if a == axis else 1 for a in range(3)]) - potential

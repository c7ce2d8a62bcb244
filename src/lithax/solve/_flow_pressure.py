"""The pressure of a step of the flow: conjugate gradients, preconditioned with its multigrid cycle.

What is left of the pressure's error decides how many steps tight rock takes; velocities are held by
walls, and one cycle solves for them. Where each voxel is pore for itself, aggregates of eight
voxels lump parts of the pore space that no face joins, and even an exact solution on the level
below leaves errors that differ between such parts. Conjugate gradients over a few cycles find them,
and what a cycle leaves in tight noise. Whether they are worth their time is found once for a pore
space; where they are not, one cycle is taken as it is.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lithax.arrays import is_traced, settled, stage
from lithax.solve._field_arithmetic import along, dot_one
from lithax.solve._flow_cycle import FlowCycle, PressureLevel, widened
from lithax.solve._one_voxel_further import shifted
from lithax.solve._spares import Spares, give, into_spare, spare_of
from lithax.typing import Array

HARD, CYCLES = 0.04, 4
"""In a pore space where the second of two cycles, each times its best length, leaves more than this
share of r·D⁻¹ r, D the diagonal, pressures take so many cycles.
"""


class _State(NamedTuple):
    """What one step of conjugate gradients hands to the next."""

    x: Array
    r: Array
    p: Array | None
    """None before the first step, where arrays are not traced."""
    size: Any
    """r·P r, which p was made of."""


def pressure_of(
    cycle: FlowCycle, level: PressureLevel, excess: Array, damping: float, cycles: Any, spares: Spares | None = None
) -> Array:
    """Return c e + P e for an excess e of fluid in each voxel, P a cycle, or as many steps of
    conjugate gradients as cycles are worth their time; `excess` is used up.

    Parameters
    ----------
    cycle, level
        The multigrid cycle, and Gᵀ W G.
    excess
        e.
    damping
        c, what the cycles are assisted by.
    cycles
        How many.
    spares
        Arrays to be written over.
    """
    x = stage(_times, excess, damping, spare_of(spares, excess))
    state = _State(x, excess, None, _one(excess))
    if not is_traced(excess):
        for _ in range(int(cycles)):
            z = cycle(state.r, level, spares)
            state = _further(level, spares, state, z) if cycles > 1 else _alone(state, z)
        give(spares, state.r, state.p)
        return state.x

    def step(_: Any, state: _State) -> _State:
        z = cycle(state.r, level)
        return jax.lax.cond(cycles > 1, partial(_further, level, None), _alone, state, z)

    return jax.lax.fori_loop(0, cycles, step, state._replace(p=jnp.zeros_like(excess))).x


def cycles_for(cycle: FlowCycle, level: PressureLevel, spares: Spares | None = None) -> Any:
    """Return how many cycles the pressure of a step is worth, one or `CYCLES`, from what a second
    cycle leaves of the response to a unit push.
    """

    def step(r: Array, _: Any) -> tuple[Array, Any]:
        z = cycle(r, level, spares)
        image = stage(_image, z, level, spare_of(spares, z))
        r = stage(_shortened, r, z, image)
        give(spares, z, image)
        return r, settled(_over_diagonal(r, level))

    r = stage(_pushed, level)
    if is_traced(r):
        _, (before, after) = jax.lax.scan(step, r, length=2)
        return jnp.where(after > HARD * before, CYCLES, 1)
    r, before = step(r, None)
    r, after = step(r, None)
    give(spares, r)
    return CYCLES if after > HARD * before else 1


def _one(like: Array) -> Array:
    return jnp.ones((), like.dtype)


def _further(level: PressureLevel, spares: Spares | None, state: _State, z: Array) -> _State:
    """Take a step of conjugate gradients, z = P r."""
    x, r, p, before = state
    size = settled(dot_one(r, z))
    if p is not None:
        z = stage(along, z, [settled(_ratio(size, before))], [p])
        give(spares, p)
    image = stage(_image, z, level, spare_of(spares, z))
    length = settled(_ratio(size, settled(dot_one(z, image))))
    x = stage(along, x, [length], [z])
    r = stage(along, r, [-length], [image])
    give(spares, image)
    return _State(x, r, z, size)


def _alone(state: _State, z: Array) -> _State:
    """Take z as it is."""
    return state._replace(x=stage(along, state.x, [1.0], [z]), p=z)


@jax.jit
def _ratio(a: Any, b: Any) -> Any:
    return a / jnp.maximum(b, jnp.finfo(b.dtype).tiny)


@into_spare
def _times(v: Array, factor: Any, spare: Array | None) -> Array:
    return factor * v


@into_spare
def _image(v: Array, level: PressureLevel, spare: Array | None) -> Array:
    """Return Gᵀ W G v in the voxels that hold fluid."""
    return jnp.where(level.active, -level.rest(v, jnp.zeros((), v.dtype)), 0)


@partial(jax.jit, donate_argnums=0)
def _shortened(r: Array, z: Array, image: Array) -> Array:
    """Return r less its image under the best multiple of z."""
    return r - _ratio(dot_one(r, z), dot_one(z, image)) * image


@jax.jit
def _over_diagonal(r: Array, level: PressureLevel) -> Array:
    """Return r·D⁻¹ r."""
    return dot_one(r, level.over_diagonal(r))


@jax.jit
def _pushed(level: PressureLevel) -> Array:
    """Return Gᵀ W of a unit push along all axes."""
    total = jnp.zeros((), level.dtype)
    for axis, stored in enumerate(level.given):
        total = total + widened(stored, level.dtype) - widened(shifted(stored, axis, 1, level.wrap[axis]), level.dtype)
    return jnp.where(level.active, total, 0)

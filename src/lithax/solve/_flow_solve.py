"""Solve for one driving force, by a host loop or inside a compiled program, and attach the
derivative.

One step function, two drivers. The host loop runs compiled stages, so that a bar moves, Ctrl-C
works and sums are kept in float64; under `jax.jit` the same step runs in `lax.while_loop`.

K is symmetric and k = bᵀx / V, so the adjoint of the value is the solution itself: with x held
fixed, the derivative of k_L = (2 b·x − x·K x) / V in the medium is that of k. No second solve,
nothing unrolled. A cotangent of the fields costs one solve, through `lax.custom_linear_solve`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from lithax.arrays import is_traced, settled
from lithax.solve import _stokes as stokes
from lithax.solve._field_arithmetic import dot_one
from lithax.solve._mac import Fields, MacOperator
from lithax.solve._one_voxel_further import Axis, PartedAxis, length_of
from lithax.solve._spares import Spares, give, spare_of, spares_for
from lithax.typing import Array

LEAST_ITERATIONS = 4

PATIENCE = 12
"""Iterations without a better agreement after which a solve ends: rounding does not let it go on.
"""


class FlowSettings(NamedTuple):
    """When to stop, and what to keep."""

    tolerance: float
    """|k_F − k_L|, |k_E − k_L| and the spread of the flux over slices, relative to k_L."""
    gradient_tolerance: float | None
    """Largest change of u² in the last step (L2), where derivatives are taken; None: not asked for.
    """
    max_iterations: int
    stored: int = 2
    """Directions kept by the residual method, at least one."""


class Flow(NamedTuple):
    """A solved flow for a unit push along one axis."""

    x: Fields
    iterations: Any
    flux: Any
    dissipation: Any
    stationary: Any
    spread: Any
    """Largest departure of the flux through a slice from the mean, relative."""
    change: Any
    finished: Any


def driving_force(operator: MacOperator, axis: int) -> Fields:
    """Return the right-hand side of a unit pressure gradient along an axis."""
    faces = tuple(stokes.push(operator, d) if d == axis else jnp.zeros_like(operator.diagonal[d]) for d in range(3))
    return (*faces, jnp.zeros_like(operator.diagonal[0]))


@partial(jax.jit, static_argnames="axis")
def pushed(x: Fields, half: Array | None, axis: int) -> Array:
    """Return b·x of a unit push along an axis; x is 0 where no flow is."""
    return (x[axis] if half is None else half * x[axis]).sum(2).sum(1).sum()


def solve_flow(
    operator: MacOperator,
    precondition: stokes.Preconditioner,
    axis: int,
    settings: FlowSettings,
    report: Callable[[int, stokes.FlowState, float], None] | None = None,
    spares: Spares | None = None,
    kept: Any = None,
) -> Flow:
    """Solve K x = b for a unit push along `axis`; a float32 solve that no longer improves is given
    up. Results of stages are written over `spares`; states are looked for, and put, where they are
    `kept` (a `KeptFlow`).
    """
    b = driving_force(operator, axis)
    half = operator.half if axis == 0 else None
    best: Any = jnp.full((), jnp.inf, b[0].dtype)
    traced = is_traced(operator.diagonal[0]) or is_traced(b[0])
    none, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    carry: Any = (stokes.first_state(b, settings.stored if traced else 0), Judgement(best, best, none, no, ~no))
    slope = math.inf if settings.gradient_tolerance is None else settings.gradient_tolerance
    del b

    def work(x: Fields) -> Any:
        return pushed(x, half, axis)

    def rest(x: Fields, component: int, spare: Array | None, beyond: Any) -> Array:
        return stokes.rest_of_push(operator, x, component, axis, spare, beyond)

    def go(carry: Any) -> Any:
        state, before = carry
        state = stokes.step(state, work, rest, precondition, settings.stored, spares)
        spread = settled(_spread(state.x[axis], axis, operator.wrap[axis]))
        change = settled(stokes.relative_change(state)) if slope < math.inf else 0.0
        numbers = (state.flux, state.dissipation, state.stationary, change, state.iteration)
        return state, _judged(numbers, spread, before, settings.tolerance, slope, settings.max_iterations)

    def more(carry: Any) -> Any:
        return carry[1].goes_on

    if traced:
        carry = jax.lax.while_loop(more, go, carry)
    else:
        carry = (None if kept is None else kept.restored(carry)) or go(carry)
        while bool(more(carry)):
            if kept is not None:
                kept.look(carry)
            if report is not None:
                report(int(carry[0].iteration), carry[0], float(carry[1].spread))
            carry = go(carry)
    state, judged = carry
    return Flow(
        state.x, state.iteration, state.flux, state.dissipation, state.stationary, judged.spread,
        settled(stokes.relative_change(state)), judged.finished,
    )  # fmt: skip


class Judgement(NamedTuple):
    """What is thought of a state."""

    spread: Any
    best: Any
    """The smallest gap so far: the largest disagreement of the three values and of the slices."""
    since: Any
    """Iterations since then."""
    finished: Any
    goes_on: Any


@jax.jit
def _judged(numbers: Any, spread: Any, before: Judgement, tolerance: Any, slope: Any, most: Any) -> Judgement:
    flux, dissipation, stationary, change, iteration = numbers
    scale = jnp.maximum(abs(stationary), jnp.finfo(stationary.dtype).tiny)
    gap = jnp.maximum(jnp.maximum(abs(flux - stationary), abs(dissipation - stationary)) / scale, spread)
    gap = jnp.maximum(gap, jnp.finfo(stationary.dtype).eps)  # sums that are equal by chance know no more digits
    since = jnp.where(gap < before.best, 0, before.since + 1)
    finished = (gap <= tolerance) & (iteration >= LEAST_ITERATIONS) & (change <= slope)
    goes_on = (iteration < most) & ~finished & (since < PATIENCE)
    return Judgement(spread, jnp.minimum(gap, before.best), since, finished, goes_on)


@partial(jax.jit, static_argnames=("axis", "wrap"))
def _spread(u: Array, axis: int, wrap: Axis) -> Array:
    planes = planes_of(u, axis, wrap)
    mean = planes.mean()
    return jnp.abs(planes - mean).max() / jnp.maximum(jnp.abs(mean), jnp.finfo(u.dtype).tiny)


@partial(jax.jit, static_argnames=("axis", "wrap"))
def planes_of(u: Array, axis: int, wrap: Axis) -> Array:
    """Return the flux through each plane of faces across an axis."""
    planes = jnp.moveaxis(u, axis, 0).sum(2).sum(1)[: length_of(u, axis, wrap)]
    if isinstance(wrap, PartedAxis):  # every process reads all of them
        planes = jax.lax.with_sharding_constraint(planes, NamedSharding(wrap.grid.mesh, PartitionSpec()))
    return planes


def stationary_value(operator: MacOperator, x: Fields, y: Fields, axes: tuple[int, int]) -> Array:
    """Return (b_x·y + b_y·x) − x·K y for pushes along two axes, the stationary form of b_x·K⁻¹b_y;
    differentiable in K.
    """
    half = operator.half if axes[0] == 0 else None
    found = jnp.zeros((), x[0].dtype)
    spares = spares_for(operator.diagonal[0])  # the stages that were compiled for the solve
    beyond = operator.beyond(y)
    for part in range(4):
        # Small differences first, then sums.
        remains = stokes.rest_of_push(operator, y, part, axes[1], spare_of(spares, y[part]), beyond)
        found = found + settled(dot_one(x[part], remains))
        give(spares, remains)
    return settled(pushed(y, half, axes[0])) + found

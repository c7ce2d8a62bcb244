"""A solve that starts from the potential of nearly the same pore space, and how far it is from the
end after one step.

Where walls have moved, the first guess is wrong by much, and nearby only: four sweeps of the
smoother take that away. What the coarser levels make of the rest is smoothed, and the potential
moved along it to where the energy is least. What this step removes is a part of the error like any
other, and what it leaves is a share of what it removed that changes little from one solve of a
series to the next: 0.02 to 0.2 in nine of ten scans that were drawn, so 0.25 at least
is assumed, and more where more was seen. Where that is too much, the coarser levels tell: what they
make of the residual, times the residual, was a half of the error, and a quarter in 98 of 100. Where
that is too much as well, it is the beginning of a further step, without the sweeps.

Four arrays of the size of the image do for a whole series. Every stage is a program of its own that
writes over one of them: memory of that size is the system's, to be asked for and cleared each time,
and that takes as long as two sweeps.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.solve._conduction_problem import Drive, energy_and_spread, flat_right_hand_side
from lithax.solve._conjugate_gradients import State
from lithax.solve._face_operator import FaceOperator
from lithax.solve._multigrid import Multigrid, chebyshev_weights
from lithax.solve._seen_spectrum import nothing_seen
from lithax.solve._spares import written_over

SWEEPS = 4
"""Of the smoother, before the first step."""
SHARE = 0.25
"""Of what is left after a step to what was left before it, at least."""
TIMES_BELOW = 4
"""What is left of the energy to what the coarser levels would take of it, at most."""


@written_over
def _smoothed(operator: FaceOperator, drive: Drive, u: jax.Array, weight: jax.Array) -> jax.Array:
    u = operator.layout.filled(u)
    return operator.moved(u, flat_right_hand_side(operator.layout, operator.faces, drive), weight)


@written_over
def _left(operator: FaceOperator, drive: Drive, u: jax.Array) -> jax.Array:
    b = flat_right_hand_side(operator.layout, operator.faces, drive)
    return operator.layout.widened(b - operator.flat(operator.layout.filled(u)))


_from_below = written_over(Multigrid.from_below)
_relaxed = written_over(FaceOperator.relaxed)
_image = written_over(FaceOperator.__call__)


@jax.jit
def _product(operator: FaceOperator, a: jax.Array, b: jax.Array) -> jax.Array:
    return operator.layout.dot(a, b)


@partial(jax.jit, donate_argnums=(0, 1))
def _moved(
    u: jax.Array, r: jax.Array, z: jax.Array, image: jax.Array, product: jax.Array, curvature: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    """Return the potential and the residual of the least energy along z, and the decrease."""
    going = (product > 0) & (curvature > 0)
    alpha = jnp.where(going, product / jnp.where(going, curvature, 1), 0)
    return u + alpha * z, r - alpha * image, alpha * product


@jax.jit
def _numbers(operator: FaceOperator, drive: Drive, u: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    return energy_and_spread(operator.layout, operator.faces, drive, operator.layout.filled(u), r)


@jax.jit
def _after(
    operator: FaceOperator, drive: Drive, u: jax.Array, r: jax.Array, product: jax.Array, decrease: jax.Array,
    before: jax.Array, count: jax.Array,
) -> tuple[Any, ...]:  # fmt: skip
    """Return what a state holds besides three arrays, in its order.

    The step was not one of conjugate gradients: the next is as if it were the first of them, and
    the direction counts for nothing.
    """
    energy, balance = energy_and_spread(operator.layout, operator.faces, drive, operator.layout.filled(u), r)
    nothing, unknown = jnp.zeros_like(energy), jnp.full_like(energy, jnp.inf)
    ratio = jnp.where(before > 0, decrease / jnp.where(before > 0, before, 1), 1)
    return (
        nothing, product, energy, decrease, jnp.stack([jnp.ones_like(ratio), ratio]), nothing_seen(nothing), unknown,
        unknown, balance, count + 1, decrease <= 0,
    )  # fmt: skip


def nearby_step(
    cycle: Multigrid, drive: Drive, before: State, spare: jax.Array | None
) -> tuple[State, jax.Array]:  # fmt: skip
    """Return the state after the first step, and an array to hand in next time.

    Parameters
    ----------
    cycle, drive
        Of the solve.
    before
        The last state of the solve before, whose potential is the first guess; used up.
    spare
        An array like its potential, which is used up, too; None makes one.
    """
    operator, u, r = cycle.levels[0], before.u, before.r
    other = jnp.zeros_like(u) if spare is None else spare
    for weight in chebyshev_weights(SWEEPS):
        u, r = _smoothed(r, operator, drive, u, weight), u
    r = _left(r, operator, drive, u)
    nothing = jnp.zeros_like(before.energy)
    z = _from_below(before.q, cycle, r)
    return _along(cycle, drive, (u, r, z, other), nothing, jnp.zeros((), jnp.int32))


def looked_below(cycle: Multigrid, state: State) -> tuple[State, float]:
    """Return the state with what the coarser levels make of its residual for its direction, and the
    relative error of the energy by it.
    """
    z = _from_below(state.q, cycle, state.r)
    product, energy = float(_product(cycle.levels[0], state.r, z)), float(state.energy)
    return eqx.tree_at(lambda s: s.q, state, z), TIMES_BELOW * product / energy if energy > 0 else 0.0


def further_step(cycle: Multigrid, drive: Drive, state: State, spare: jax.Array) -> tuple[State, jax.Array]:
    """Return the state after one step more of what `looked_below` returned; otherwise as
    `nearby_step`.
    """
    return _along(cycle, drive, (state.u, state.r, state.q, spare), state.decrease, state.count)


def _along(
    cycle: Multigrid, drive: Drive, arrays: tuple[jax.Array, ...], before: jax.Array, count: jax.Array
) -> tuple[State, jax.Array]:  # fmt: skip
    """Smooth a direction, and move along it; `before` and `count` are those of the last step."""
    operator, (u, r, z, other) = cycle.levels[0], arrays
    for weight in cycle.weights[0] if cycle.weights else ():
        z, other = _relaxed(other, operator, z, r, weight), z
    product = _product(operator, r, z)
    other = _image(other, operator, z)
    u, r, decrease = _moved(u, r, z, other, product, _product(operator, z, other))
    return State(u, r, z, *_after(operator, drive, u, r, product, decrease, before, count)), other


def balance_of(cycle: Multigrid, drive: Drive, state: State) -> float:
    """Return by how much the currents fail to balance."""
    return float(_numbers(cycle.levels[0], drive, state.u, state.r)[1])


def nearby_error(state: State, seen: float) -> float:
    """Return the relative error of the energy after the first step, or a further one.

    Parameters
    ----------
    state
        After the step.
    seen
        The largest ratio of two successive decreases in earlier solves of the series.
    """
    energy, decrease = float(state.energy), float(state.decrease)
    # After a further step a ratio was seen, and as much as the step removed is taken to be left at
    # least.
    share = max(SHARE, seen) if int(state.count) == 1 else max(float(state.ratios[1]), 0.5)
    share = min(share, 0.98)
    return decrease * share / (1 - share) / energy if energy > 0 else 0.0

"""From face weights to the solution: the host's loop, the compiled loop, and the derivatives of the
latter.

*The value* is stationary in the potential, so its derivative needs the potential only: (step + Δu)²
on every face. *Fields* are differentiated by the implicit function theorem: K u̇ = ḃ − K̇ u, one
more solve per direction or, transposed, per cotangent. No iteration is unrolled. The error of the
value is the square of that of the potential, that of the derivative is not: under differentiation
the solve goes on until the estimate of the former is below half the square of `gradient_tolerance`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.solve._conduction_problem import (
    Drive,
    Faces,
    lost_power,
    mixed_energy,
    operator_of,
    right_hand_side,
    slice_currents,
    spread,
    stationary_energy,
    symmetric,
    typical_spread,
)
from lithax.solve._conjugate_gradients import State, loop, start, step, until
from lithax.solve._face_operator import FaceOperator
from lithax.solve._layout import Layout
from lithax.solve._multigrid import Multigrid, multigrid

Spread = Callable[[jax.Array], jax.Array]
"""Of the currents through all planes."""


class Settings(eqx.Module):
    """What decides the compiled program: hashable, so that equal settings compile once."""

    layout: Layout = eqx.field(static=True)
    strengths: tuple[float, float, float] = eqx.field(static=True)
    axis: int | None = eqx.field(static=True)
    linear: bool = eqx.field(static=True)


class Stats(eqx.Module):
    """How a solve ended; carries no derivative."""

    iterations: Any
    error: Any
    balance: Any
    residual: Any
    done: Any

    def converged(self, tolerance: Any) -> Any:
        """Return whether the steps ended by themselves, with an error of at most `tolerance`."""
        return self.done & (self.error <= tolerance)


class Tolerances(eqx.Module):
    """What ends a solve: the error of the value and the spread of the currents, that of the
    gradient, the most steps.
    """

    value: Any
    balance: Any
    gradient: Any
    most: Any

    @classmethod
    def of(cls, tolerance: float, gradient: float, most: int, dtype: Any) -> "Tolerances":
        """Return those of a solve whose value is to be right to `tolerance`.

        The spread over slices falls as the root of the error of the value, which is of second
        order.
        """
        value, balance, slope = (np.asarray(v, dtype) for v in (tolerance, 2 * math.sqrt(tolerance), gradient))
        return cls(value, balance, slope, np.asarray(most, np.int32))

    def for_gradient(self) -> "Tolerances":
        """Return the tolerances of a solve whose value is differentiated."""
        tight = jnp.minimum(self.value, 0.5 * self.gradient**2)
        return Tolerances(tight, self.balance, self.gradient, self.most)


def imbalance(
    settings: Settings, faces: Faces, drive: Drive, u: jax.Array, r: jax.Array, of: Spread = spread
) -> jax.Array:
    """Return by how much the currents fail to balance, relative to the current.

    Where the current runs from end to end this is its spread `of` all planes of faces; under linear
    loading, where it enters through the sides as well, what the residual adds to the power at the
    surface.
    """
    layout = settings.layout
    if not settings.linear:
        if settings.axis is not None:
            return of(slice_currents(layout, faces, drive, u, settings.axis))
        spreads = jnp.stack([of(slice_currents(layout, faces, drive, u, axis)) for axis in range(3)])
        return jnp.sum(jnp.where(drive.steps > 0, spreads, 0))  # of the axis that is driven
    ramp = jnp.zeros(layout.shape, u.dtype)
    for axis, n in enumerate(layout.shape):
        ramp = ramp + (drive.steps[axis] * (jnp.arange(n) + 0.5)).reshape([-1 if a == axis else 1 for a in range(3)])
    power = mixed_energy(layout, faces, drive, u, drive, u)
    return lost_power(layout.dot(layout.pad(ramp), r), power)


def levels_of(faces: Faces, settings: Settings) -> Multigrid:
    """Return the levels of an operator, given its weights.

    Not compiled with what follows: what inverts the last level on the host would be a callback.
    """
    return multigrid(operator_of(settings.layout, faces), strengths=settings.strengths)


@partial(jax.jit, static_argnums=3)
def begin(cycle: Multigrid, drive: Drive, guess: jax.Array | None, settings: Settings) -> State:
    """Return the state before the first step."""
    layout, operator = settings.layout, cycle.levels[0]
    b = layout.pad(right_hand_side(layout, operator.faces, drive))
    u = None if guess is None else layout.filled(layout.pad(guess.astype(b.dtype)))
    return start(operator, b, u, mixed_energy(layout, operator.faces, drive, u, drive, u))


def _step(cycle: Multigrid, drive: Drive, tolerances: Tolerances, state: State, settings: Settings) -> State:
    operator = cycle.levels[0]
    balance = partial(imbalance, settings, operator.faces, drive, of=typical_spread)
    return step(operator, cycle, state, tolerances.value, balance, tolerances.balance)


@partial(jax.jit, static_argnums=4, donate_argnums=3)
def advance(
    cycle: Multigrid, drive: Drive, tolerances: Tolerances, state: State, settings: Settings, last: Any
) -> State:
    """Take steps until the solve is done or `last` were taken; the state handed in is used up."""
    return loop(lambda s: _step(cycle, drive, tolerances, s, settings), state, last)


@partial(jax.jit, static_argnums=3)
def stats_of(cycle: Multigrid, drive: Drive, state: State, settings: Settings, allowed: Any) -> tuple[Stats, jax.Array]:
    """Return how a solve ended (see `ended`), and the power: the current for a drop of one."""
    layout, faces = settings.layout, cycle.levels[0].faces
    power = mixed_energy(layout, faces, drive, state.u, drive, state.u)
    none = Drive(jnp.zeros_like(drive.steps))
    current = mixed_energy(layout, faces, drive, state.u, drive, None)
    own = mixed_energy(layout, faces, none, state.u, none, state.u)
    return ended(state, power, current, own, imbalance(settings, faces, drive, state.u, state.r), allowed), power


def ended(
    state: State, power: jax.Array, current: jax.Array, own: jax.Array, balance: jax.Array, allowed: Any
) -> Stats:
    """Return how a solve ended.

    Parameters
    ----------
    state
        The last one.
    power, current
        Two numbers for the value, equal at the solution only: they differ by uᵀr, with the residual
        r of u itself, not that which the steps handed on.
    own
        uᵀKu. Another multiple of u lowers the power by (uᵀr)²/uᵀKu, which is part of the error, and
        of second order as it is; what uᵀr is by rounding is not.
    balance
        See `imbalance`.
    allowed
        The balance that the steps had to reach. Where rounding ended them before, the estimate is
        that of which it is twice the root.
    """
    ratio = jnp.where(state.first > 0, state.product / jnp.where(state.first > 0, state.first, 1), 0)
    some = (power > 0) & (own > 0)
    missed = jnp.where(some, (current - power) ** 2 / jnp.where(some, own * power, 1), 0)
    error = jnp.maximum(jnp.where(jnp.isfinite(state.error), state.error, 1), missed)
    # What is summed is known to so many digits only, however many steps are taken.
    error = jnp.maximum(error, jnp.where(power > 0, jnp.finfo(power.dtype).eps, 0))
    broken = state.done & ~(state.balance <= allowed)
    error = jnp.where(broken, jnp.maximum(error, jnp.minimum(state.balance**2 / 4, 1)), error)
    return Stats(state.count, error, balance, jnp.sqrt(jnp.maximum(ratio, 0)), state.done & ~broken)


def solve_on_host(
    cycle: Multigrid,
    state: State,
    drive: Drive,
    tolerances: Tolerances,
    settings: Settings,
    watch: Any,
) -> tuple[jax.Array, Stats, jax.Array]:
    """Run the host's loop; `watch` looks at the state now and then. Returns u, how the solve ended
    and the power.
    """
    most, cells = int(tolerances.most), math.prod(settings.layout.shape)

    def take(state: State) -> State:
        return advance(cycle, drive, tolerances, state, settings, until(state, cells, most))

    state = loop(take, watch.restored(state), most, watch)
    return state.u, *stats_of(cycle, drive, state, settings, tolerances.balance)


@partial(eqx.filter_custom_jvp)
def potential(faces: Faces, drive: Drive, tolerances: Tolerances, settings: Settings) -> tuple[jax.Array, Stats]:
    """Return u, padded, and how the solve ended, by the compiled loop; differentiable by one more
    solve.
    """
    faces = lax.stop_gradient(faces)
    cycle = levels_of(faces, settings)
    state = begin(cycle, drive, None, settings)
    state = loop(lambda s: _step(cycle, drive, tolerances, s, settings), state, tolerances.most)
    return settings.layout.filled(state.u), stats_of(cycle, drive, state, settings, tolerances.balance)[0]


@potential.def_jvp
def _potential_jvp(primals: Any, tangents: Any) -> Any:
    faces, drive, tolerances, settings = primals
    changes = tuple(jnp.zeros_like(c) if t is None else t for c, t in zip(faces, tangents[0], strict=True))
    layout = settings.layout
    u, stats = potential(faces, drive, tolerances, settings)

    def left_over(faces: Faces) -> jax.Array:
        out = FaceOperator(layout, faces)(u)
        return right_hand_side(layout, faces, drive) - layout.cells(out)

    _, change = jax.jvp(left_over, (faces,), (changes,))
    rate = layout.filled(layout.pad(_any_right_hand_side(faces, change, tolerances, settings)))
    still = jax.tree.map(lambda s: jnp.zeros_like(s) if eqx.is_inexact_array(s) else None, stats)
    return (u, stats), (rate, still)


def _any_right_hand_side(faces: Faces, b: jax.Array, tolerances: Tolerances, settings: Settings) -> jax.Array:
    """Solve K v = b in the shape of the voxels; transposed, it is itself."""
    layout = settings.layout

    def product(v: jax.Array) -> jax.Array:
        return layout.cells(FaceOperator(layout, faces)(layout.pad(v)))

    def solve(_: Any, b: jax.Array) -> jax.Array:
        operator = operator_of(layout, faces)
        cycle = multigrid(operator, strengths=settings.strengths)
        # From zero the decreases add up to the energy of the solution: it starts at 0 and falls to
        # minus that.
        state = start(operator, layout.pad(b), None, jnp.zeros((), b.dtype))

        def take(state: State) -> State:
            after = step(operator, cycle, state, jnp.asarray(0.0, b.dtype), lambda u, r: u[0, 0, 0] * 0, jnp.inf)
            error = after.rest / jnp.where(after.energy < 0, -after.energy, 1)
            # The relative error of the field is the root of that of its energy.
            small = (after.count >= 3) & (error <= tolerances.gradient**2)
            return eqx.tree_at(lambda s: s.done, after, small | (after.decrease <= 0))

        return layout.cells(loop(take, state, tolerances.most).u)

    return lax.custom_linear_solve(product, b, solve, symmetric=True)


class Solved(eqx.Module):
    """What the compiled solve returns."""

    matrix: Any
    """Shape (k, k) for k drives: the current along one for a drop of one along another."""
    u: Any
    """Shape (k, ...), if fields are asked for: the potential beside the ramp, padded."""
    stats: Stats


def _solved(faces: Faces, steps: jax.Array, tolerances: Tolerances, settings: Settings, fields: bool) -> Solved:
    def one(steps: jax.Array) -> tuple[jax.Array, Stats]:
        return potential(faces, Drive(steps), tolerances, settings)

    count = steps.shape[0]
    if count == 1:  # a loop around one turn would only cost memory
        u, stats = jax.tree.map(lambda v: v[None], one(steps[0]))
    else:
        u, stats = lax.map(one, steps)
    matrix = energies(settings.layout, faces, steps, u)
    return Solved(matrix, u if fields else None, stats)


def energies(layout: Layout, faces: Faces, steps: jax.Array, u: Any) -> jax.Array:
    """Return the symmetric matrix of the currents along every drive for a drop along every
    other.
    """
    return symmetric(
        lambda i, j: stationary_energy(layout, faces, Drive(steps[i]), u[i], Drive(steps[j]), u[j]), steps.shape[0]
    )


@eqx.filter_custom_jvp
def solve_compiled(faces: Faces, steps: jax.Array, tolerances: Tolerances, settings: Settings, fields: bool) -> Solved:
    """Solve in a compiled loop for each drive; under differentiation to the tolerance of the
    gradient.
    """
    return _solved(faces, steps, tolerances, settings, fields)


@solve_compiled.def_jvp
def _solve_compiled_jvp(primals: Any, tangents: Any) -> Any:
    faces, steps, tolerances, settings, fields = primals
    changes = tuple(jnp.zeros_like(c) if t is None else t for c, t in zip(faces, tangents[0], strict=True))

    def numbers(faces: Faces) -> Any:
        solved = _solved(faces, steps, tolerances.for_gradient(), settings, fields)
        return eqx.partition(solved, eqx.is_inexact_array)

    (values, rest), (rates, _) = eqx.filter_jvp(numbers, (faces,), (changes,))
    return eqx.combine(values, rest), rates

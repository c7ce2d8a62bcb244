"""Preconditioned conjugate gradients with an error estimate in the energy: one step function, two
loops around it.

Every step lowers the energy by α rᵀz, exactly the squared error it removes (Hestenes & Stiefel, J.
Res. NBS 49 (1952), theorem 6:1): the decreases are a series whose rest is the error of the value.
The rest is the larger of two: what the spectrum that was seen allows (`SeenSpectrum`), and the
series taken as geometric, with the larger of the last two ratios, as Strakoš & Tichý (ETNA 13
(2002)) justify in finite precision; after two steps with their only ratio, or a third. The first is
safe where one ratio was small by chance, the second where the decreases begin to grow again.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lithax.arrays import stage
from lithax.solve._face_operator import FaceOperator
from lithax.solve._multigrid import Multigrid
from lithax.solve._seen_spectrum import nothing_seen


class State(eqx.Module):
    """What one step hands to the next."""

    u: Any
    r: Any
    q: Any
    product: Any
    """rᵀz of the residual that the last step began with."""
    first: Any
    """That of the first step."""
    energy: Any
    decrease: Any
    ratios: Any
    seen: Any
    """A `SeenSpectrum`."""
    rest: Any
    """How much the energy is above that of the solution, at most."""
    error: Any
    """The same, relative to the energy."""
    balance: Any
    count: Any
    done: Any


Balance = Callable[[jax.Array, jax.Array], jax.Array]

AT_ONCE = 3e8
"""How many cells, times steps, the host lets pass before it looks again: some seconds."""


def start(operator: FaceOperator, b: jax.Array, u: jax.Array | None, energy: jax.Array) -> State:
    """Return the state before the first step.

    Parameters
    ----------
    operator
        The operator.
    b, u
        Right-hand side and first guess, padded.
    energy
        The energy of the first guess, which the decreases are taken from.
    """
    r = b if u is None else operator.residual(u, b)
    u = jnp.zeros_like(b) if u is None else u
    return begun(u, r, jnp.zeros_like(b), energy.astype(b.dtype))


def begun(u: Any, r: Any, q: Any, energy: jax.Array) -> State:
    """Return the state before the first step, whatever holds its vectors."""
    dtype = energy.dtype
    nothing, unknown = jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype)
    return State(
        u, r, q, nothing, nothing, energy, nothing, jnp.ones(2, dtype), nothing_seen(nothing), unknown, unknown,
        unknown, jnp.zeros((), jnp.int32), jnp.zeros((), bool),
    )  # fmt: skip


def step(
    operator: FaceOperator, cycle: Multigrid, state: State, tolerance: Any, balance: Balance, allowed: Any
) -> State:
    """Take one step, and say whether the energy is known to `tolerance` and the currents balance to
    `allowed`.
    """
    layout = operator.layout
    z = cycle(state.r)
    product = layout.dot(state.r, z)
    beta = share_kept(state, product)
    q = stage(lambda z, q: z + beta * q, z, state.q)
    q = operator.layout.exchanged(q)
    image = stage(operator, q)
    alpha, after = advanced(state, product, beta, layout.dot(q, image))
    u, r = state.u + alpha * q, state.r - alpha * image
    small = after.error <= tolerance
    unbalanced = lax.cond(small, balance, lambda u, r: jnp.full((), jnp.inf, u.dtype), u, r)
    done = small & (unbalanced <= allowed) | after.done
    return replace(after, u=u, r=r, q=q, balance=unbalanced, done=done)


def share_kept(state: State, product: jax.Array) -> jax.Array:
    """Return how much of the last direction is in the next one, given rᵀz."""
    return jnp.where(state.product > 0, product / jnp.where(state.product > 0, state.product, 1), 0)


def advanced(state: State, product: jax.Array, beta: jax.Array, curvature: jax.Array) -> tuple[jax.Array, State]:
    """Return how far a step goes, and the state after it but for its vectors and the balance.

    It is done where rᵀz or qᵀKq (`curvature`) is not positive, or rᵀz is less of the first one than
    numbers are known to, squared: nothing is left to solve, or rounding is all there is, and
    further steps would add to it.
    """
    least = jnp.finfo(product.dtype).eps ** 2 * state.first  # zero before the first step
    going = (product > least) & (curvature > 0)
    alpha = jnp.where(going, product / jnp.where(going, curvature, 1), 0)
    decrease = alpha * product
    energy = state.energy - decrease
    ratio = jnp.where(state.decrease > 0, decrease / jnp.where(state.decrease > 0, state.decrease, 1), 1)
    ratios = jnp.stack([state.ratios[1], ratio])
    # After two steps there is one ratio, and later ones have been seen to be larger.
    worst = jnp.where(state.count == 1, jnp.maximum(ratio, 1 / 3), jnp.max(ratios))
    worst = jnp.clip(worst, 0.1, 0.98)
    seen = state.seen.after(alpha, beta, product, state.count == 0)
    rest = jnp.maximum(decrease * worst / (1 - worst), seen.rest(product))
    # A geometric rest needs a ratio; nothing left to solve needs none.
    rest = jnp.where(going, jnp.where(state.count < 1, jnp.inf, rest), 0)
    error = rest / jnp.where(energy > 0, energy, 1)
    first = jnp.where(state.count == 0, product, state.first)
    return alpha, State(
        state.u, state.r, state.q, product, first, energy, decrease, ratios, seen, rest, error, state.balance,
        state.count + 1, ~going,
    )  # fmt: skip


def until(state: State, cells: int, most: int) -> np.ndarray:
    """Return the number of steps after which the host looks at a solve again.

    A compiled program that takes several asks the system for its temporary memory once, not with
    every step: each page of it is cleared first, which takes a third of the time of a step.
    """
    return np.asarray(min(most, int(state.count) + max(1, int(AT_ONCE // cells))), np.int32)


def loop(take: Callable[[State], State], state: State, most: Any, watch: Any = None) -> State:
    """Repeat a step until it is done or `most` were taken: on the host, or as a loop of the
    compiled function.

    Parameters
    ----------
    take
        One step; on the host several, if they are one program (`until`).
    state
        Where to begin.
    most
        How many steps at most.
    watch
        A function of the state, called on the host after each `take`: a progress bar, a checkpoint;
        its `interrupted` gets what Ctrl-C left. None compiles the loop.
    """
    if watch is None:
        return lax.while_loop(lambda s: ~s.done & (s.count < most), take, state)
    try:
        while not bool(state.done) and int(state.count) < most:
            state = take(state)
            watch(state)
    except KeyboardInterrupt:
        # Between a step and its name, what it began with is used up: an earlier state is on disk.
        if not any(leaf.is_deleted() for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)):
            watch.interrupted(state)
        raise
    return state

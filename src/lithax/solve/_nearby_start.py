"""A solve that starts from the potential of nearly the same pore space, and how far it is from the
end after one step.

Where walls have moved, the first guess is wrong by much, and nearby only: four sweeps of the
smoother take that away. What the first step then removes is a part of the error like any other, and
what it leaves is a share of what it removed that changes little from one solve of a series to the
next: on smoothed noise of porosity 0.25 to 0.40 it was 0.03 to 0.09, so 0.2 at least is assumed,
and more where more was seen.
"""

from functools import partial

import equinox as eqx
import jax

from lithax.arrays import stage
from lithax.solve._conduction_problem import Drive, mixed_energy, right_hand_side
from lithax.solve._conduction_solve import Settings, imbalance
from lithax.solve._conjugate_gradients import State, start
from lithax.solve._face_operator import relaxed, residual
from lithax.solve._multigrid import Multigrid, chebyshev_weights

SWEEPS = 4
"""Of the smoother, before the first step."""
SHARE = 0.2
"""Of what is left after a step to what was left before it, at least."""


@partial(jax.jit, static_argnums=3, donate_argnums=2)
def begin_nearby(cycle: Multigrid, drive: Drive, guess: jax.Array, settings: Settings) -> State:
    """Return the state before the first step, from a smoothed first guess (padded), which is used
    up.
    """
    layout, operator = settings.layout, cycle.levels[0]
    b = stage(lambda *faces: layout.pad(right_hand_side(layout, faces, drive)), *operator.faces)
    u = guess
    for weight in chebyshev_weights(SWEEPS):
        u = stage(relaxed, operator, u, b, weight)
    u = stage(layout.filled, u)
    energy = mixed_energy(layout, operator.faces, drive, u, drive, u)
    r = stage(residual, operator, u, b)
    return eqx.tree_at(lambda state: state.u, start(operator, r, None, energy), u)


@partial(jax.jit, static_argnums=3)
def balance_of(cycle: Multigrid, drive: Drive, state: State, settings: Settings) -> jax.Array:
    """Return by how much the currents fail to balance."""
    return imbalance(settings, cycle.levels[0].faces, drive, state.u, state.r)


def error_after_one(state: State, seen: float) -> float:
    """Return the relative error of the energy after the first step.

    Parameters
    ----------
    state
        After the step.
    seen
        The largest ratio of two successive decreases in earlier solves of the series.
    """
    share = min(max(SHARE, seen), 0.98)
    energy = float(state.energy)
    return float(state.decrease) * share / (1 - share) / energy if energy > 0 else 0.0

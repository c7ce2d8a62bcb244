"""The state of a long solve of a flow, kept in a folder: one that was killed goes on from there."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve._checkpoint import Checkpoint, Slot, identity_of, own_pieces
from lithax.solve._flow_solve import FlowSettings, Judgement
from lithax.solve._stokes import FlowState


@dataclass(frozen=True)
class KeptFlow:
    """Where the states of one solve are kept."""

    slot: Slot
    stored: int
    """Directions that the solve keeps."""

    def restored(self, fresh: tuple[FlowState, Judgement]) -> tuple[FlowState, Judgement] | None:
        """Return the last state that all processes have kept, if there is one.

        Parameters
        ----------
        fresh
            That before the first step, whose fields lie where those of the others did.
        """
        x = fresh[0].x
        number, count, flag = (np.zeros((), dtype) for dtype in (x[0].dtype, np.int32, bool))
        directions, sizes = (x,) * self.stored, (number,) * self.stored
        state = FlowState(x, x, directions, sizes, count, number, number, number, number)
        like = state, Judgement(number, number, count, flag, flag)
        kept = self.slot.restored(like)
        if kept is like:
            return None
        return jax.tree.map(lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v, kept)

    def look(self, carry: tuple[FlowState, Judgement]) -> None:
        """Keep a state, if it is time; the first ones have fewer directions, and are not kept."""
        if len(carry[0].directions) == self.stored:
            # Numbers are the same on all devices.
            state = jax.tree.map(lambda v: v if np.ndim(v) else np.asarray(v), carry)
            self.slot.look(state, int(carry[0].iteration))


def kept_flow(checkpoint: Checkpoint, name: str, problem: Any, settings: FlowSettings, options: Any) -> KeptFlow:
    """Return where a solve keeps its states; problem, settings and `options` identify it."""
    arrays = (piece for leaf in jax.tree.leaves(problem) for piece in own_pieces(leaf))
    return KeptFlow(checkpoint.slot(name, identity_of(arrays, repr((settings, options)))), settings.stored)

"""What looks at a solve on the host: a bar with the estimate of the error, and what keeps its
state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from lithax.runtime import AbstractWorld
from lithax.solve._checkpoint import Checkpoint, Slot, identity_of
from lithax.solve._conjugate_gradients import State


@dataclass(frozen=True)
class Watch:
    """Whether there is a bar, and where states are kept; `start` makes a look for each solve."""

    progress: bool
    checkpoint: Checkpoint | None = None

    def start(self, run: Any, number: int, arrays: Iterable[Any], settings: tuple[Any, ...]) -> "Look":
        """Return what sees the state of a solve after some steps, which arrays and settings
        identify.
        """
        along = "xyz"[number if run.axis is None else run.axis]
        bar = None
        if self.progress:
            from tqdm import tqdm

            bar = tqdm(desc=f"conduction along {along}", unit=" steps")
        if self.checkpoint is None:
            return Look(bar, None)
        return Look(bar, self.checkpoint.slot(along, identity_of(arrays, repr(settings))))

    def end(self) -> None:
        """Forget the states: the call has its result."""
        if self.checkpoint is not None:
            self.checkpoint.clear()


def watch_of(progress: bool, checkpoint: Any, world: AbstractWorld) -> Watch:
    """Return what a call is watched by; `checkpoint` is a folder or None."""
    if checkpoint is None:
        return Watch(progress)
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"checkpoint={checkpoint!r} must be a folder, as text or a path.")
    if Path(checkpoint).exists() and not Path(checkpoint).is_dir():
        raise NotADirectoryError(f"checkpoint={str(checkpoint)!r} is a file; name a folder, which need not exist yet.")
    return Watch(progress, Checkpoint(Path(checkpoint), world))


@dataclass(frozen=True)
class Look:
    """A function of the state after some steps."""

    bar: Any
    slot: Slot | None

    def restored(self, fresh: State) -> State:
        """Return the state to go on from."""
        if self.slot is None:
            return fresh
        state = self.slot.restored(fresh)
        # Kept with another tolerance it may not be the end.
        return eqx.tree_at(lambda s: s.done, state, jnp.zeros_like(state.done)) if state is not fresh else fresh

    def __call__(self, state: State) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(f"error of the value {float(state.error):.2g}", refresh=False)
            self.bar.update(int(state.count) - self.bar.n)
            if bool(state.done):
                self.bar.close()
        if self.slot is not None:
            self.slot.look(state, int(state.count))

    def interrupted(self, state: State) -> None:
        """Keep the state that Ctrl-C left."""
        if self.slot is not None:
            self.slot.keep(state, int(state.count))

"""What the user sees of a solve on the host: a bar with the estimate of the error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lithax.solve._conjugate_gradients import State


@dataclass(frozen=True)
class Watch:
    """Whether there is a bar; `start` makes one for each solve."""

    progress: bool

    def start(self, run: Any, number: int) -> Callable[[State], None]:
        """Return the function that sees the state after each step."""
        if not self.progress:
            return _look_away
        from tqdm import tqdm

        along = "xyz"[number if run.axis is None else run.axis]
        bar = tqdm(desc=f"conduction along {along}", unit=" steps")

        def see(state: State) -> None:
            bar.set_postfix_str(f"error of the value {float(state.error):.2g}", refresh=False)
            bar.update()
            if bool(state.done):
                bar.close()

        return see


def _look_away(state: State) -> None:
    pass

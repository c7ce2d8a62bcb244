"""What a report is doing, line by line."""

import sys
import time


class Steps:
    """Writes a line to standard error when a step begins, with the time since the start; silent
    when asked.

    Steps that take longer show the bars of the combinators below their line.
    """

    def __init__(self, show: bool = True):
        self.show = show
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start [s]."""
        return time.monotonic() - self._start

    def __call__(self, text: str) -> None:
        if self.show:
            sys.stderr.write(f"{self.seconds:6.1f} s  {text}\n")
            sys.stderr.flush()

"""One bar for long work: silent when asked, readable in a log file."""

import sys
import time
from typing import Any


class Progress:
    """Counts voxels; on a terminal a bar with voxels per second, in a log a line now and then.

    Work that is over within a second shows nothing.
    """

    _LINE_EVERY = 15.0

    def __init__(self, total: int, label: str, show: bool, already: int = 0):
        self.total, self.label = total, label
        self.done = self._already = already
        self._bar: Any = None
        self._lines = show and not sys.stderr.isatty()
        self._start = self._last = time.monotonic()
        if show and not self._lines:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=already, desc=label, unit="voxel", unit_scale=True, delay=1.0)

    def add(self, voxels: int) -> None:
        """Count voxels as done."""
        self.done += voxels
        if self._bar is not None:
            self._bar.update(voxels)
        elif self._lines and (now := time.monotonic()) - self._last >= self._LINE_EVERY:
            self._last = now
            rate = (self.done - self._already) / (now - self._start)
            left = f", {(self.total - self.done) / rate:.0f} s left" if rate else ""
            sys.stderr.write(
                f"{self.label}: {100 * self.done / self.total:3.0f} %, {rate / 1e6:.1f} million voxels/s{left}\n"
            )
            sys.stderr.flush()

    def close(self) -> None:
        """Take the bar away, or leave it complete."""
        if self._bar is not None:
            self._bar.close()

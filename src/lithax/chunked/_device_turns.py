"""Which device computes the next block: the one with the most room."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from lithax.errors import MemoryLimitError
from lithax.runtime import device_memory


class DeviceTurns:
    """The devices of a process, among which blocks are dealt out as they become free.

    Parameters
    ----------
    devices
        JAX devices; None for the default one, which is not asked how much it holds.
    block_bytes
        Memory that one block needs on a device: arguments, results and what is between [byte].
    budgets
        Memory that blocks may fill on each device [byte], None for any; by default what
        `budgets_of` says, to be asked in the thread in which devices were chosen.

    Raises
    ------
    MemoryLimitError
        If the memory budget of a device has no room for a single block.
    """

    def __init__(self, devices: Sequence[Any] | None, block_bytes: int, budgets: Sequence[int | None] | None = None):
        self.devices = tuple(devices or (None,))
        budgets = budgets_of(devices) if budgets is None else budgets
        self.rooms = tuple(_room(d, block_bytes, b) for d, b in zip(self.devices, budgets, strict=True))
        self._taken = [0] * len(self.devices)
        self._last = len(self.devices) - 1
        self._changed = threading.Condition()

    @property
    def at_once(self) -> int | None:
        """How many blocks may be on the devices at the same time; None: any number."""
        rooms = [room for room in self.rooms if room is not None]
        return sum(rooms) if len(rooms) == len(self.rooms) else None

    @contextlib.contextmanager
    def take(self) -> Iterator[Any]:
        """Wait for a device with room for a block, and compute there inside the ``with`` block."""
        with self._changed:
            while (place := self._free()) is None:
                self._changed.wait()
            self._taken[place] += 1
            self._last = place
        try:
            device = self.devices[place]
            with on_device(device):
                yield device
        finally:
            with self._changed:
                self._taken[place] -= 1
                self._changed.notify()

    def _free(self) -> int | None:
        count = len(self.devices)
        # The least busy one; of several, the one whose turn it is.
        order = [(self._last + 1 + k) % count for k in range(count)]
        free = [k for k in order if (room := self.rooms[k]) is None or self._taken[k] < room]
        return min(free, key=lambda k: self._taken[k], default=None)


def on_device(device: Any) -> contextlib.AbstractContextManager[Any]:
    """Compute on a device inside the ``with`` block; None: on the default one."""
    return contextlib.nullcontext() if device is None else jax.default_device(device)


def compiled_bytes(compiled: Any) -> tuple[int, int]:
    """Return the memory that one call of a compiled function needs besides arguments and results,
    and in all [byte].
    """
    told = compiled.memory_analysis()
    between, arguments, results = (
        int(getattr(told, f"{name}_size_in_bytes", 0) or 0) for name in ("temp", "argument", "output")
    )
    return between, between + arguments + results


def budgets_of(devices: Sequence[Any] | None) -> tuple[int | None, ...]:
    """Return how much memory blocks may fill on each device [byte]; None for any."""
    return tuple(None if device is None else device_memory(device) for device in devices or (None,))


def _room(device: Any, block_bytes: int, budget: int | None) -> int | None:
    if budget is None:
        return None
    if block_bytes > budget:
        raise MemoryLimitError(
            f"a block needs {block_bytes / 2**20:.3g} MiB on {device}, whose memory budget is {budget / 2**20:.3g} MiB; use smaller chunks, "
            f"or raise the budget: lithax.runtime.using(devices=..., memory=...)."
        )
    return budget // max(block_bytes, 1)

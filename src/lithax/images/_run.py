"""How a call runs: the options that every function over images takes, as one value."""

import functools
import time
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import psutil

from lithax.chunked import available_cores
from lithax.grid import Share
from lithax.runtime import default_of, device_or_devices, size_in_bytes

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Run:
    """Where a call computes, how much memory it may take and how many blocks are in flight, and who
    shares it.

    As a user gives it; `settled` fills in what was left out, from `lithax.runtime.using` and from
    the machine.
    """

    backend: Any = "jax"
    """"jax", "numpy", "torch", "cupy", or an array-API namespace."""
    device: Any = None
    """Where the backend computes: one of its devices, for JAX a tuple of them; None: those of
    `lithax.runtime.using`.
    """
    memory_limit: Any = None
    """What the call may take at most [byte], or text such as "2 GiB"; None: half of what is free.
    """
    workers: Any = None
    """Blocks in flight; None: as many as there are cores, and a few."""
    world: Any = None
    """The processes that share the work."""
    progress: bool = True
    """Whether the first process shows a bar."""

    def settled(self, world: Any) -> "Run":
        """Return the same with nothing left out, for the processes of a world.

        Raises
        ------
        ValueError
            If `workers` is no whole number from 1, or `memory_limit` no size.
        """
        return replace(
            self,
            device=device_or_devices(world) if self.device is None and self.backend == "jax" else self.device,
            memory_limit=limit_or_default(self.memory_limit, world),
            workers=workers_or_default(self.workers, world),
            world=world,
            progress=bool(self.progress) and default_of("progress") is not False,
        )

    @property
    def share(self) -> Share:
        """This process's part of the work."""
        return Share(self.world.index, self.world.count)

    def over_blocks(self, label: str) -> dict[str, Any]:
        """Return what a pass over blocks takes of this (`each_block`, `reduce_blocks`,
        `MapJob`).
        """
        return {
            "workers": self.workers,
            "label": label,
            "show_progress": self.progress and self.world.first,
            "share": self.share,
            "watch": self.world.check,
        }


def pop_fields(kind: type[_Kind], options: dict[str, Any]) -> _Kind:
    """Return a `Run` or an `Output` of those of the options that it has, which are removed."""
    return kind(**{f.name: options.pop(f.name) for f in fields(kind) if f.name in options})  # pyright: ignore[reportArgumentType]


def workers_or_default(workers: int | None, world: Any = None) -> int:
    """Return the number of blocks in flight: a quarter more than this process has cores, so that
    none waits for the disk.

    On two cores a third block takes more from the other two, of cache and of turns, than it fills
    in: measured at 10 % of a pass.
    """
    workers = default_of("workers") if workers is None else workers
    if workers is None:
        cores = available_cores() if world is None or world.count == 1 else world.cores[world.index]
        return cores + cores // 4
    if not isinstance(workers, int | np.integer) or workers < 1:
        raise ValueError(f"workers={workers!r} must be a whole number >= 1: how many blocks are in flight.")
    return int(workers)


@functools.lru_cache(1)
def _available(tenth: int) -> int:
    """Return the bytes that are free, looked up once in a tenth of a second: small calls follow
    each other faster.
    """
    return psutil.virtual_memory().available


def limit_or_default(memory_limit: Any, world: Any = None) -> int:
    """Return a memory limit in bytes, for this process; by default its share of half of what is
    free.

    Text such as "2 GiB" is understood.
    """
    memory_limit = default_of("memory_limit") if memory_limit is None else memory_limit
    if memory_limit is None:
        sharing = 1 if world is None else len(world.neighbours)
        return _available(int(10 * time.monotonic())) // 2 // sharing
    return size_in_bytes("memory_limit", memory_limit)

"""On which devices this process computes."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lithax.runtime._choice import BUDGET, CHOSEN, DEFAULTS, size_in_bytes
from lithax.runtime._connect import connected


def devices() -> tuple[Any, ...]:
    """Return the JAX devices on which this process computes.

    Those chosen by `using`; otherwise its share of the machine's: where several processes on one
    machine see the same accelerators, they are dealt out in turn, so that with as many processes as
    GPUs each has one.
    """
    return connected().devices


@contextlib.contextmanager
def using(
    devices: Sequence[Any] | None = None,
    *,
    memory: int | str | None = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Compute on certain devices of this process, or with other defaults, inside the ``with``
    block.

    Parameters
    ----------
    devices
        Numbers (positions in ``jax.local_devices()``) or JAX devices; none of them, ``[]``, means
        the CPU. None: those that `devices` names.
    memory
        How much of the memory of each device blocks, or a solve, may fill [byte]; text such as
        "8 GiB" is understood. It decides how many blocks are on a device at a time. By default nine
        tenths of what is free on an accelerator.
    memory_limit, workers
        What the calls inside take where they are not given these themselves; see
        `lithax.chunk_map`.
    progress
        False: no bars.

    Raises
    ------
    ValueError
        If there is no such device, or a value is of no use.

    Examples
    --------
    >>> with using(devices=[0]) as chosen:
    ...     len(chosen)
    1
    """
    given = {"memory_limit": memory_limit, "workers": workers, "progress": progress}
    given = {name: value for name, value in given.items() if value is not None}
    if memory_limit is not None:
        given["memory_limit"] = size_in_bytes("memory_limit", memory_limit)
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers={workers!r} must be a whole number >= 1: how many blocks are in flight.")
    token = DEFAULTS.set({**DEFAULTS.get(), **given})
    try:
        if given and devices is None and memory is None:  # the devices stay as they are
            yield CHOSEN.get() or ()
        else:
            with _computing_on(devices, memory) as chosen:
                yield chosen
    finally:
        DEFAULTS.reset(token)


@contextlib.contextmanager
def _computing_on(devices: Sequence[Any] | None, memory: int | str | None) -> Iterator[tuple[Any, ...]]:
    import jax

    budget = None if memory is None else size_in_bytes("memory", memory)
    local = jax.local_devices()
    chosen = []
    for item in connected().devices if devices is None else devices:
        if isinstance(item, jax.Device):
            found = item
        elif isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(local):
            found = local[item]
        else:
            raise ValueError(
                f"devices={list(devices or ())!r} names {item!r}; this process has the devices 0 to {len(local) - 1}: "
                f"{', '.join(map(str, local))}."
            )
        if found in chosen:
            raise ValueError(f"devices={list(devices or ())!r} names {found} twice; name each device once.")
        chosen.append(found)
    if not chosen:
        chosen = [jax.local_devices(backend="cpu")[0]]
    tokens = CHOSEN.set(tuple(chosen)), BUDGET.set(BUDGET.get() if budget is None else budget)
    try:
        with jax.default_device(chosen[0]):
            yield tuple(chosen)
    finally:
        CHOSEN.reset(tokens[0])
        BUDGET.reset(tokens[1])


def report() -> str:
    """Return which process runs on which machine and on which devices, one line each; every process
    must call it.

    Launchers that name a killed process by its PID do not say which one of yours it was: here it
    stands.

    Examples
    --------
    >>> print(report())  # doctest: +SKIP
    process 0 of 2 on node17 (PID 7849): cuda:0 (NVIDIA H200)
    process 1 of 2 on node17 (PID 7850): cuda:1 (NVIDIA H200)
    """
    world = connected()
    own = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in world.devices)
    hosts = world.hosts
    lines = world.gather((os.getpid(), own))
    return "\n".join(
        f"process {k} of {world.count} on {hosts[k]} (PID {pid}): {line}" for k, (pid, line) in enumerate(lines)
    )

"""On which devices this process computes."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

_CHOSEN: ContextVar[tuple[Any, ...] | None] = ContextVar("lithax_devices", default=None)
_BUDGET: ContextVar[int | None] = ContextVar("lithax_device_memory", default=None)
_DEFAULTS: ContextVar[Mapping[str, Any]] = ContextVar("lithax_defaults", default=MappingProxyType({}))
_SHARE = 0.9
"""Part of an accelerator's free memory that blocks may fill; some is lost between them."""


def devices() -> tuple[Any, ...]:
    """Return the JAX devices on which this process computes.

    Those chosen by `using`; otherwise its share of the machine's: where several processes on one
    machine see the same accelerators, they are dealt out in turn, so that with as many processes as
    GPUs each has one.
    """
    from lithax.runtime._connect import connected

    return connected().devices


def devices_of(world: Any) -> tuple[Any, ...]:
    """Return the devices of the process that is here in a world."""
    import jax

    chosen = _CHOSEN.get()
    if chosen is not None:
        return chosen
    local = jax.local_devices()
    if world.count == 1 or jax.process_count() > 1 or local[0].platform == "cpu":
        return tuple(local)
    neighbours = world.neighbours
    place = neighbours.index(world.index)
    return tuple(local[place :: len(neighbours)]) or (local[place % len(local)],)


def chosen_devices() -> tuple[Any, ...] | None:
    """Return the devices that `using` chose, or None."""
    return _CHOSEN.get()


def device_or_devices(world: Any) -> tuple[Any, ...] | None:
    """Return the devices among which blocks are dealt out; None for the default one.

    Several devices of the CPU are one processor, and are used only if they were chosen.
    """
    chosen = _CHOSEN.get()
    if chosen is not None:
        return chosen
    import jax

    return None if jax.default_backend() == "cpu" else devices_of(world)


def device_memory(device: Any) -> int | None:
    """Return how much of a device's memory blocks may fill [byte]: what `using` said, or most of
    what is free there.

    None for a CPU without a budget of its own: its memory is that of the machine, which
    ``memory_limit`` is about.
    """
    budget = _BUDGET.get()
    if budget is not None:
        return budget
    if device.platform == "cpu":
        return None
    statistics = device.memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return None if limit is None else int(_SHARE * (limit - statistics.get("bytes_in_use", 0)))


def default_of(option: str) -> Any:
    """Return what `using` said of an option of the calls inside it: None if it said nothing."""
    return _DEFAULTS.get().get(option)


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
        How much of the memory of each device blocks may fill [byte]; text such as "8 GiB" is
        understood. It decides how many blocks are on a device at a time. By default nine tenths of
        what is free on an accelerator.
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
    token = _DEFAULTS.set({**_DEFAULTS.get(), **given})
    try:
        if given and devices is None and memory is None:  # the devices stay as they are
            yield _CHOSEN.get() or ()
        else:
            with _computing_on(devices, memory) as chosen:
                yield chosen
    finally:
        _DEFAULTS.reset(token)


@contextlib.contextmanager
def _computing_on(devices: Sequence[Any] | None, memory: int | str | None) -> Iterator[tuple[Any, ...]]:
    import jax

    from lithax.runtime._connect import connected

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
    tokens = _CHOSEN.set(tuple(chosen)), _BUDGET.set(_BUDGET.get() if budget is None else budget)
    try:
        with jax.default_device(chosen[0]):
            yield tuple(chosen)
    finally:
        _CHOSEN.reset(tokens[0])
        _BUDGET.reset(tokens[1])


def size_in_bytes(name: str, size: int | float | str) -> int:
    """Return a size in bytes; text such as "2 GiB" is understood.

    Raises
    ------
    ValueError
        If it is no size, or not positive; `name` is the argument that the message names.

    Examples
    --------
    >>> size_in_bytes("memory_limit", "1.5 KiB")
    1536
    """
    if isinstance(size, str):
        text = size.strip().lower()
        number = text.rstrip("bkmgti ")
        try:
            value = int(float(number) * _UNITS[text[len(number) :].strip() or "b"])
        except (ValueError, KeyError):
            raise ValueError(f"{name}={size!r} is not a size; write for example 2 * 2**30 or '2 GiB'.") from None
    else:
        value = size
    if not value > 0:
        raise ValueError(f"{name}={size!r} must be a positive number of bytes.")
    return int(value)


_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


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
    from lithax.runtime._connect import connected

    world = connected()
    own = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in world.devices)
    hosts = world.hosts
    lines = world.gather((os.getpid(), own))
    return "\n".join(
        f"process {k} of {world.count} on {hosts[k]} (PID {pid}): {line}" for k, (pid, line) in enumerate(lines)
    )

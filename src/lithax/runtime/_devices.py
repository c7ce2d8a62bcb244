"""On which devices this process computes."""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

_CHOSEN: ContextVar[tuple[Any, ...] | None] = ContextVar("lithax_devices", default=None)


def devices() -> tuple[Any, ...]:
    """Return the JAX devices on which this process computes.

    Those chosen by `using`; otherwise its share of the machine's: where several processes on one machine see the same
    accelerators, they are dealt out in turn, so that with as many processes as GPUs each has one.
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


@contextlib.contextmanager
def using(devices: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Compute on certain devices of this process inside the ``with`` block.

    Parameters
    ----------
    devices
        Numbers (positions in ``jax.local_devices()``) or JAX devices; none of them, ``[]``, means the CPU.

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> with using(devices=[0]) as chosen:
    ...     len(chosen)
    1
    """
    import jax

    local = jax.local_devices()
    chosen = []
    for item in devices:
        if isinstance(item, jax.Device):
            found = item
        elif isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(local):
            found = local[item]
        else:
            raise ValueError(
                f"devices={list(devices)!r} names {item!r}; this process has the devices 0 to {len(local) - 1}: "
                f"{', '.join(map(str, local))}."
            )
        if found in chosen:
            raise ValueError(f"devices={list(devices)!r} names {found} twice; name each device once.")
        chosen.append(found)
    if not chosen:
        chosen = [jax.local_devices(backend="cpu")[0]]
    token = _CHOSEN.set(tuple(chosen))
    try:
        with jax.default_device(chosen[0]):
            yield tuple(chosen)
    finally:
        _CHOSEN.reset(token)


def report() -> str:
    """Return which process runs on which machine and on which devices, one line each; every process must call it.

    Examples
    --------
    >>> print(report())  # doctest: +SKIP
    process 0 of 2 on node17: cuda:0 (NVIDIA H200)
    process 1 of 2 on node17: cuda:1 (NVIDIA H200)
    """
    from lithax.runtime._connect import connected

    world = connected()
    own = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in world.devices)
    hosts = world.hosts
    lines = world.gather(own)
    return "\n".join(f"process {k} of {world.count} on {hosts[k]}: {line}" for k, line in enumerate(lines))

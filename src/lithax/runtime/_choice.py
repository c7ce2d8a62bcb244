"""What `using` chose for the work inside its block, and what holds where it chose nothing."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

CHOSEN: ContextVar[tuple[Any, ...] | None] = ContextVar("lithax_devices", default=None)
BUDGET: ContextVar[int | None] = ContextVar("lithax_device_memory", default=None)
DEFAULTS: ContextVar[Mapping[str, Any]] = ContextVar("lithax_defaults", default=MappingProxyType({}))
_SHARE = 0.9
"""Part of an accelerator's free memory that blocks may fill; some is lost between them."""


def devices_of(world: Any) -> tuple[Any, ...]:
    """Return the devices of the process that is here in a world."""
    import jax

    chosen = CHOSEN.get()
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
    return CHOSEN.get()


def device_or_devices(world: Any) -> tuple[Any, ...] | None:
    """Return the devices among which blocks are dealt out; None for the default one.

    Several devices of the CPU are one processor, and are used only if they were chosen.
    """
    chosen = CHOSEN.get()
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
    budget = BUDGET.get()
    if budget is not None:
        return budget
    if device.platform == "cpu":
        return None
    statistics = device.memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return None if limit is None else int(_SHARE * (limit - statistics.get("bytes_in_use", 0)))


def default_of(option: str) -> Any:
    """Return what `using` said of an option of the calls inside it: None if it said nothing."""
    return DEFAULTS.get().get(option)


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

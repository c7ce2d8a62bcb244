"""Work that one process does for all: making a store, writing metadata."""

from collections.abc import Callable
from typing import Any, TypeVar

from lithax.grid import World
from lithax.runtime import connected

_Result = TypeVar("_Result")


def world_or_connected(world: Any) -> World:
    """Return the world given, or the connected one."""
    return connected() if world is None else world


def on_first(world: World, work: Callable[[], _Result]) -> _Result | None:
    """Do `work` on the first process and return its result there, None elsewhere; if it fails, all processes raise."""
    result, error = None, None
    if world.first:
        try:
            result = work()
        except Exception as raised:
            if world.count == 1:
                raise
            error = raised
    world.agree(error)
    return result

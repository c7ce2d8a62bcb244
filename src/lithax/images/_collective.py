"""Work that one process does for all, such as making a store, and work that all do together."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from lithax.errors import MetadataError
from lithax.grid import Share, World
from lithax.runtime import DifferentCalls, connected, is_agreed
from lithax.storage import AbstractStoredArray, Location, open_array

_Result = TypeVar("_Result")


def share_of(world: World) -> Share:
    """Return this process's part of the work of a world."""
    return Share(world.index, world.count)


def world_or_connected(world: Any) -> World:
    """Return the world given, or the connected one."""
    return connected() if world is None else world


def on_first(world: World, work: Callable[[], _Result]) -> _Result | None:
    """Do `work` on the first process and return its result there, None elsewhere; if it fails, all
    raise the same error.
    """
    result, error = None, None
    if world.first:
        try:
            result = work()
        except Exception as raised:
            if world.count == 1:
                raise
            error = raised
    world.agree(error, same_type=True)
    return result


@contextlib.contextmanager
def together(world: World) -> Iterator[None]:
    """Let the processes come to the end of the ``with`` block together: if one fails there, all
    raise.

    The others notice when they meet, or sooner where they `check`.
    """
    if world.count == 1:
        yield
        return
    error = None
    try:
        yield
    except BaseException as raised:
        if is_agreed(raised):
            raise
        error = raised
        world.announce(raised)
    world.agree(error)


@contextlib.contextmanager
def cleared_together(world: World) -> Iterator[None]:
    """After a failure on which all agreed, let nobody go on before the first process has removed
    what was begun.
    """
    try:
        yield
    except BaseException as error:
        if world.count > 1 and is_agreed(error) and not isinstance(error, DifferentCalls):
            with contextlib.suppress(Exception):
                world.barrier()
        raise


def check_same(world: World, name: str, parts: Callable[[], Mapping[str, Any]]) -> None:
    """Raise ValueError on every process if the processes do not make the same call.

    Parameters
    ----------
    world
        The processes.
    name
        The function that they call.
    parts
        Returns what must be equal, by name; called if there are several processes.
    """
    if world.count == 1:
        return
    own = {"function": name} | dict(parts())
    # Another process may be in a plain world.gather(), and then learns of the error at its next
    # meeting.
    everyone = [
        other if isinstance(other, Mapping) and "function" in other else {"function": "world.gather"}
        for other in world.gather(own)
    ]
    for index, other in enumerate(everyone):
        different = [k for k in everyone[0].keys() | other.keys() if everyone[0].get(k) != other.get(k)]
        if different:
            # A digest says that something differs, not what.
            part = min(
                different,
                key=lambda k: (
                    k != "function",
                    k != "evaluation",
                    k in ("computation", "arrays", "chunks", "shards"),
                    k,
                ),
            )
            part, first, here = _inside(part, everyone[0].get(part), other.get(part))
            error = ValueError(
                f"{name}() was called with different arguments: {part} is {_short(first)} in process 0 and "
                f"{_short(here)} in process {index}; every process must make the same call."
            )
            world.agree(error)


def described(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options in a form that processes can compare; of objects that only say where they lie
    in memory, the type.
    """
    texts = {name: repr(value) for name, value in options.items()}
    return {name: type(options[name]).__name__ if " at 0x" in text else text for name, text in texts.items()}


def open_shared_array(place: Location, world: World) -> AbstractStoredArray:
    """Open an array that the first process has just made.

    Raises
    ------
    FileNotFoundError
        If this process does not see it.
    """
    try:
        return open_array(place)
    except (FileNotFoundError, MetadataError) as error:
        raise FileNotFoundError(
            f"store={place.label} was made by process 0, but process {world.index} does not see it ({error}); choose a place that "
            f"the machines share."
        ) from error


def refuse_memory(name: str, label: str, unshared: bool, world: World) -> None:
    """Raise ValueError if a result would be kept where the processes do not see each other's part
    of it.
    """
    if unshared and world.count > 1:
        raise ValueError(
            f"{name}={label} is the memory of one process, and {world.count} work together, none of which would see what the others "
            f"made; pass store= with a place that all of them reach, or make an image of this process alone with world=lithax.runtime.SerialWorld()."
        )


def _inside(part: str, first: Any, other: Any) -> tuple[str, Any, Any]:
    """Go down to the first entry in which two descriptions of one form differ."""
    if isinstance(first, Mapping) and isinstance(other, Mapping) and first.keys() == other.keys():
        name = next(name for name in first if first[name] != other[name])
        return _inside(f"{part}.{name}", first[name], other[name])
    if isinstance(first, list) and isinstance(other, list) and len(first) == len(other) == 1:
        return _inside(part, first[0], other[0])
    return part, first, other


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."

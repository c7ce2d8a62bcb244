"""Groups that are more than an image: rooms above `images` say how theirs are opened."""

from collections.abc import Callable
from typing import Any

_OPENERS: list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]] = []


def register_group(recognises: Callable[[Any], bool], opens: Callable[[Any, Any], Any]) -> None:
    """Let `open` hand the groups that ``recognises(location)`` is True for to ``opens(location,
    world)``.
    """
    _OPENERS.append((recognises, opens))


def open_group(location: Any, world: Any) -> Any:
    """Open a group that is more than an image; None if it is not."""
    node = location.node()
    if node is None or node.kind != "group":
        return None
    return next((opens(location, world) for recognises, opens in _OPENERS if recognises(location)), None)

"""Groups that are more than an image: rooms above this one say how theirs are opened."""

from collections.abc import Callable
from typing import Any

from lithax.storage import Location

_OPENERS: list[tuple[Callable[[Location], bool], Callable[[Location, Any], Any]]] = []


def register_group(recognises: Callable[[Location], bool], opens: Callable[[Location, Any], Any]) -> None:
    """Let `open` hand the groups that ``recognises(place)`` is True for to ``opens(place,
    world)``.
    """
    _OPENERS.append((recognises, opens))


def open_group(place: Location, world: Any) -> Any:
    """Open a group that is more than an image; None if it is not."""
    node = place.node()
    if node is None or node.kind != "group":
        return None
    return next((opens(place, world) for recognises, opens in _OPENERS if recognises(place)), None)

"""Copies of a handle, and what of it travels to another process."""

import copy
from typing import Any, Self

from lithax.images._collective import world_or_connected


class HandleMixin:
    """Pickling and copying of images: by store and path; the world belongs to a process, and
    another one has its own.
    """

    _world: Any

    def __getstate__(self) -> dict[str, Any]:
        # The world belongs to the process; another one has its own.
        return {name: value for name, value in self.__dict__.items() if name != "_world"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._world = world_or_connected(None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__getstate__().items()})
        made._world = self._world
        return made

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

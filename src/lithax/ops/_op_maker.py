"""Functions that make an operation of their parameters, and apply it where they are given an
array.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lithax.arrays import is_array
from lithax.ops._call_shown import call_shown


class OpMaker:
    """What returns a voxel operation for some parameters: made by `op_maker`.

    ``coarsen("mean", 2)`` is an operation, ``coarsen(array, method="mean", scale=2)`` its result,
    and ``chunk_map(coarsen, image, method="mean", scale=2)`` the same for an image.
    """

    def __init__(self, make: Callable):
        functools.update_wrapper(self, make)
        self.make = make
        self.__signature__ = inspect.signature(make)
        self.__doc__ = call_shown(self)

    def __repr__(self) -> str:
        return f"<op_maker {self.make.__name__}>"

    def operation(self, arguments: tuple[Any, ...], parameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the operation, and the parameters that are none of the maker's (such as
        `boundary`).
        """
        names = inspect.signature(self.make).parameters
        own = {name: value for name, value in parameters.items() if name in names}
        return self.make(*arguments, **own), {k: v for k, v in parameters.items() if k not in names}

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        """Return the operation; or, if the first argument is an array, what the operation makes of
        it.
        """
        if arguments and is_array(arguments[0]):
            made, rest = self.operation(arguments[1:], parameters)
            return made(arguments[0], **rest)
        return self.make(*arguments, **parameters)


def op_maker(make: Callable) -> OpMaker:
    """Let a function that returns an operation take arrays, too, and pass through the
    combinators.
    """
    return OpMaker(make)

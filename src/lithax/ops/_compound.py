"""Operations that are chains of others: their parameters choose the steps."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lithax.ops._call_shown import call_shown
from lithax.typing import Array


class Compound:
    """An operation that stands for a chain. Made by `compound`.

    `chain(**parameters)` gives the chain itself, for a combinator or for a larger chain.
    """

    def __init__(self, make: Callable):
        functools.update_wrapper(self, make)
        self.make = make
        own, kinds = inspect.signature(make), inspect.Parameter
        array = kinds("array", kinds.POSITIONAL_ONLY)
        added = (kinds("valid", kinds.KEYWORD_ONLY, default=None), kinds("seed", kinds.KEYWORD_ONLY, default=0))
        self.__signature__ = own.replace(
            parameters=[array, *own.parameters.values(), *added], return_annotation=kinds.empty
        )
        self.__doc__ = call_shown(self)

    @property
    def name(self) -> str:
        """The name of the function that makes the chain."""
        return self.make.__name__

    def __repr__(self) -> str:
        return f"<compound {self.name}>"

    def chain(self, **parameters: Any) -> Any:
        """Return the chain for these parameters.

        Raises
        ------
        TypeError
            If one of them is not a parameter of this operation.
        """
        accepted = inspect.signature(self.make).parameters
        for name in parameters:
            if name not in accepted:
                raise TypeError(f"{self.name}() has no parameter {name!r}; its parameters are: {', '.join(accepted)}.")
        return self.make(**parameters)

    def __call__(self, array: Array, *, valid: Array | None = None, seed: int = 0, **parameters: Any) -> Array:
        """Apply the chain to a whole array."""
        return self.chain(**parameters)(array, valid=valid, seed=seed)


def compound(make: Callable) -> Compound:
    """Make an operation from a function of parameters that returns a chain."""
    return Compound(make)

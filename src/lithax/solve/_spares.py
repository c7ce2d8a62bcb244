"""Arrays that nobody reads any more, for compiled functions to write their results over.

A fresh array of more than 32 MB costs twice what a stencil on it does: `malloc` asks the system for
its pages, which are cleared one by one when they are touched, and gives them back at once. Small
ones it keeps itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.typing import Array

_MOST, _MOST_OVER_DEVICES = 8, 12
_SMALL = 2 << 20
"""Bytes of a device's part of an array up to which one large program is quicker than many small
ones.
"""

into_spare = partial(jax.jit, donate_argnames="spare", keep_unused=True)
"""Compile a function that writes its result over its argument `spare`, or over nothing if it is
None; further arguments as for `jax.jit`.
"""


def written_over(function: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Return a compiled function with one more argument, the first: memory for its result, which is
    used up. `static` numbers the arguments of `function` that are not arrays.
    """
    numbers = tuple(n + 1 for n in static)
    return jax.jit(lambda _, *operands: function(*operands), static_argnums=numbers, donate_argnums=0, keep_unused=True)


class Spares:
    """A few arrays to be written over; made by `spares_for`.

    Functions that are compiled by `into_spare` take one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[Array] = []

    def take(self, like: Array) -> Array:
        """Return an array of the shape and type of another one, whatever is in it."""
        for place, array in enumerate(self._held):
            if array.shape == like.shape and array.dtype == like.dtype:
                return self._held.pop(place)
        return jnp.zeros_like(like)

    def give(self, *arrays: Array) -> None:
        """Take arrays that are not read again."""
        self._held += arrays[: self._most - len(self._held)]


def spares_for(array: Array) -> Spares | None:
    """Return a place for spare arrays like one, or none: inside of compiled functions the compiler
    decides what is written where, and over devices small parts are left to it.
    """
    if is_traced(array):
        return None
    count = len(array.sharding.device_set)
    if count == 1:
        return Spares(_MOST)
    return Spares(_MOST_OVER_DEVICES) if array.nbytes > count * _SMALL else None


def spare_of(spares: Spares | None, like: Array) -> Array | None:
    """Return a spare array like another one; None without a place for them."""
    return None if spares is None else spares.take(like)


def give(spares: Spares | None, *arrays: Array) -> None:
    """Give arrays up, where there is a place for them."""
    if spares is not None:
        spares.give(*arrays)

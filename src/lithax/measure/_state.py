"""The states of measurements joined inside a block."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from lithax.arrays import PIECE, fold_pieces, namespace
from lithax.measure._measurement import State
from lithax.typing import Array


def by_pieces(
    function: Callable[..., State], *blocks: Array | None, counters: int = 0, join: Callable | None = None
) -> State:
    """Summarise blocks in pieces that stay in the cache.

    `function` takes flat pieces of the blocks (None stays None) and returns a state of sums,
    "minimum" and "maximum"; of anything else if `join` says how it is joined, and zeros are its
    neutral element. Pieces are long enough for adding up `counters` of them to cost little.
    """
    if any(block is not None and math.prod(block.shape) >= 2**31 for block in blocks):
        function = _in_64_bits(function)  # a piece may count in 32
    flat = [None if block is None else namespace(block).reshape(block, (-1,)) for block in blocks]
    return fold_pieces(function, join or join_states, identity, *flat, size=max(PIECE, 4 * counters))


def _in_64_bits(function: Callable[..., State]) -> Callable[..., State]:
    def wide(*pieces: Array | None) -> State:
        return {
            name: namespace(x).astype(x, namespace(x).int64) if x.dtype == namespace(x).int32 else x
            for name, x in function(*pieces).items()
        }

    return wide


def combine_states(a: State, b: State) -> State:
    """Join two states in host memory, their integers in 64 bits."""
    return join_states(widened(a), widened(b))


def widened(state: State) -> State:
    """Return a state in host memory with its signed integers as int64."""
    return {name: x.astype(np.int64) if x.dtype.kind == "i" else x for name, x in state.items()}


def join_states(a: State, b: State) -> State:
    """Join two states of sums, "minimum" and "maximum", of any library, in their own dtypes."""
    return {name: _join(name, a[name], b[name]) for name in a}


def neutral(dtype: Any, xp: Any) -> tuple[Any, Any]:
    """Return the neutral elements of minimum and maximum: infinities, or the largest and the
    smallest integer.
    """
    if xp.isdtype(dtype, "real floating"):
        return math.inf, -math.inf
    return int(xp.iinfo(dtype).max), int(xp.iinfo(dtype).min)


def _join(name: str, a: Array, b: Array) -> Array:
    xp = namespace(a, b)
    if name == "minimum":
        return xp.minimum(a, b)
    return xp.maximum(a, b) if name == "maximum" else a + b


def identity(state: State) -> State:
    """Return the neutral element of `join_states`; only JAX asks for it, with shapes and dtypes for
    the state.
    """

    def empty(name: str, x: Any) -> Any:
        top, bottom = neutral(x.dtype, jnp) if name in ("minimum", "maximum") else (0, 0)
        return jnp.full(x.shape, top if name == "minimum" else bottom, x.dtype)

    return {name: empty(name, x) for name, x in state.items()}

"""Sums and inner products of the fields of a flow, each a compiled function of its own.

A sum is written over its first argument, which is used up. Inner products run over lines, then
planes, then the rest, so that rounding does not pile up.
"""

from functools import partial
from typing import Any

import jax

from lithax.typing import Array


@partial(jax.jit, donate_argnums=0)
def along(x: Array, factors: Any, directions: Any) -> Array:
    """Return x + Σ factor · direction."""
    for factor, direction in zip(factors, directions, strict=True):
        x = x + factor * direction
    return x


@partial(jax.jit, donate_argnums=0)
def subtract(a: Array, b: Array) -> Array:
    return a - b


@jax.jit
def dot_one(a: Array, b: Array) -> Array:
    """Inner product of two arrays."""
    return (a * b).sum(2).sum(1).sum()


@jax.jit
def dot(a: Any, b: Any) -> Array:
    """Inner product of two tuples of arrays."""
    return sum(dot_one(x, y) for x, y in zip(a, b, strict=True))

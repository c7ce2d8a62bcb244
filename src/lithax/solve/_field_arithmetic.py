"""Sums and inner products of the fields of a flow, each a compiled function of its own.

A sum is written over its first argument, which is used up. Inner products run over lines, then
planes, then the rest, so that rounding does not pile up.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

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


def summed_in_planes(of: Callable[..., Array], *arrays: Array) -> Array:
    """Return the sums of ``of(*arrays)``, element by element, over the first axis and the last: a
    sum for every row.

    What other devices hold is for the caller to add, for many sums at once: each sum over devices
    is a message that all wait for.

    Notes
    -----
    XLA on the CPU knows the sum of a product of two arrays. Anything else it writes down first,
    which takes three times as long, and more where the system clears new memory: so plane by plane.
    """

    def at_once(*arrays: Array) -> Array:
        return of(*arrays).sum(2).sum(0)

    def in_planes(*arrays: Array) -> Array:
        count, rows, _ = arrays[0].shape

        def plane(k: Any, sums: Array) -> Array:
            parts = (lax.dynamic_index_in_dim(v, k, 0, keepdims=False) for v in arrays)
            return lax.dynamic_update_index_in_dim(sums, of(*parts).sum(1), k, 0)

        return lax.fori_loop(0, count, plane, jnp.zeros((count, rows), arrays[0].dtype)).sum(0)

    return lax.platform_dependent(*arrays, cpu=in_planes, default=at_once)


@jax.jit
def dot(a: Any, b: Any) -> Array:
    """Inner product of two tuples of arrays."""
    return sum(dot_one(x, y) for x, y in zip(a, b, strict=True))

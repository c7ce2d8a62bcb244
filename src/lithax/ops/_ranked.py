"""Values of given ranks among the neighbours: a selection network for few, a search bit by bit for
many.
"""

import functools
from collections.abc import Callable
from typing import Any

from lithax.arrays import fence, fold_taps, from_order_keys, is_jax, namespace, order_keys, with_derivative
from lithax.ops._extremum import larger, on_ordered, smaller
from lithax.ops._neighbourhood import Neighbourhood
from lithax.ops._selection_network import select
from lithax.typing import Array

NETWORK = 64
"""Neighbours up to which a network selects; a larger one takes seconds to compile and is no faster.
"""

NARROW = 125
"""The same for integers of 8 and 16 bits, of which a vector register holds many: 18 ns per voxel,
the search 100.
"""


def selected(x: Array, rank: Any, hood: Neighbourhood) -> Array:
    """Return the values of one rank, a number, or an array of one rank per voxel of the core; NaN
    counts as the largest.
    """
    if is_jax(x):
        return _searched(x, rank, hood)
    xp = namespace(x)
    # Sorted slab by slab, so that the neighbours of a few layers are held at once.
    thick = max(1, int(2**22 // max(1, len(hood.offsets) * hood.core[1] * hood.core[2])))
    slabs = []
    for begin in range(0, hood.core[0], thick):
        end = min(begin + thick, hood.core[0])
        part = x[begin : end + 2 * hood.halo[0], :, :]
        inner = Neighbourhood(part, hood.offsets, hood.halo)
        ordered = xp.sort(xp.stack(inner.parts(part)), axis=0)
        if isinstance(rank, int):
            slabs.append(ordered[rank, ...])
            continue
        wanted = rank[begin:end, :, :]
        slab = ordered[0, ...]
        for k in range(1, len(hood.offsets)):
            slab = xp.where(wanted == k, ordered[k, ...], slab)
        slabs.append(slab)
    return xp.concat(slabs, axis=0)


def _searched(x: Array, rank: Any, hood: Neighbourhood) -> Array:
    # The largest key of which not more than `rank` neighbours are smaller, found from its highest
    # bit on.
    from jax import lax
    from jax import numpy as jnp

    keys, bits = order_keys(x)

    def turn(number: Any, found: Array) -> Array:
        bit = jnp.asarray(1, keys.dtype) << (jnp.asarray(bits - 1, keys.dtype) - number.astype(keys.dtype))
        trial = found | bit
        count = fold_taps(
            lambda s, p: s + (p[0] < trial).astype(jnp.int32),
            jnp.zeros(tuple(hood.core), jnp.int32), [keys], hood.starts, hood.core,
        )  # fmt: skip
        return jnp.where(count <= rank, trial, found)

    start = jnp.zeros(tuple(hood.core), keys.dtype)
    found = lax.fori_loop(jnp.int32(0), jnp.int32(bits), turn, start)
    return from_order_keys(found, x.dtype)


def _slope(x: Array, change: Array, result: Array, valid: Array | None, hood: Neighbourhood) -> Array:
    # The value of a rank is one of the neighbours, and moves with it; equal ones share.
    xp = namespace(x)

    def add(state: Any, parts: Any) -> Any:
        total, count = state
        chosen = parts[0] == result if valid is None else (parts[0] == result) & parts[2]
        return total + xp.where(chosen, parts[1], xp.zeros_like(parts[1])), count + xp.astype(chosen, result.dtype)

    arrays = (x, change) if valid is None else (x, change, valid)
    zero = xp.zeros_like(result)
    total, count = hood.fold(add, (zero, zero), *arrays)
    return total / xp.where(count > 0, count, xp.ones_like(count))


def with_slope(block: Array, function: Callable, hood: Neighbourhood, valid: Array | None = None) -> Any:
    """Return ``function(block)``, values of neighbours or a tuple of such, with their derivative
    and in the dtype of `block`.
    """
    xp = namespace(block)
    if not xp.isdtype(block.dtype, "real floating"):
        return on_ordered(block, function)

    def rule(arguments: tuple, tangents: tuple) -> tuple[Any, Any]:
        (x,), (change,) = arguments, tangents
        results = function(x)
        if isinstance(results, tuple):
            return results, tuple(_slope(x, change, result, valid, hood) for result in results)
        return results, _slope(x, change, results, valid, hood)

    return with_derivative(function, rule)(block)


def nan_spread(found: Array, x: Array, hood: Neighbourhood) -> Array:
    """Put NaN where a neighbour is NaN."""
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        return found
    return xp.where(hood.any(xp.isnan(x)), xp.full_like(found, float("nan")), found)


def _by_keys(x: Array, rank: int, hood: Neighbourhood) -> Array:
    # A processor takes the smaller of two whole numbers by one instruction, of two floats of which
    # one may be NaN by three. NaN is the largest number, and wins where any neighbour is NaN.
    xp = namespace(x)
    keys, bits = order_keys(x)
    parts = hood.parts(fence(keys))
    found = select(parts, (rank,), smaller, larger)[0]
    largest = functools.reduce(larger, parts)
    nan = xp.asarray((1 << bits) - 1, dtype=keys.dtype)
    return from_order_keys(xp.where(largest == nan, largest, found), x.dtype)


def value_of_rank(block: Array, rank: int, hood: Neighbourhood) -> Array:
    """Return the value of a rank, the same for every voxel; NaN reaches every neighbourhood that
    holds it.
    """
    xp = namespace(block)

    def run(x: Array) -> Array:
        few = NARROW if xp.isdtype(x.dtype, "integral") and xp.iinfo(x.dtype).bits <= 16 else NETWORK
        if len(hood.offsets) <= few:
            narrow = is_jax(x) and xp.isdtype(x.dtype, "real floating") and xp.finfo(x.dtype).bits <= 32
            return _by_keys(x, rank, hood) if narrow else select(hood.parts(x), (rank,), smaller, larger)[0]
        return nan_spread(selected(x, rank, hood), x, hood)

    return with_slope(block, run, hood)

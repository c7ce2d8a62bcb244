"""Folds over many neighbours of every voxel: a loop of the compiled function, not hundreds of
slices in its text.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lithax.arrays._namespace import is_jax, namespace
from lithax.typing import Array

GROUP = 8
"""Neighbours that one turn of the loop takes together: what is summed is then read and written once
for all of them.
"""


def fold_taps(
    body: Callable[..., Any],
    state: Any,
    arrays: Sequence[Array],
    starts: Sequence[tuple[int, ...]],
    core: Sequence[int],
    *weights: Sequence[float],
    group: int = GROUP,
) -> Any:
    """Run ``state = body(state, parts, *w)`` for every neighbour, in order.

    Parameters
    ----------
    body
        Takes the state (a pytree of arrays of shape `core`), a list of the arrays' parts, and the
        weights of this neighbour as 0-d arrays or numbers of the dtype of the first array. Returns
        the next state.
    state
        What the fold begins with.
    arrays
        Padded blocks of one shape.
    starts
        Where each neighbour's part begins in the arrays.
    core
        Shape of a part.
    weights
        Sequences as long as `starts`.
    group
        Neighbours per turn of the compiled loop.
    """
    count = len(starts)
    if not is_jax(*arrays):
        for start, *w in zip(starts, *weights, strict=True):
            cut = tuple(slice(s, s + n) for s, n in zip(start, core, strict=True))
            state = body(state, [array[cut] for array in arrays], *map(float, w))
        return state
    import jax
    from jax import lax
    from jax import numpy as jnp

    group = max(1, min(group, count))
    turns = count // group
    table = np.asarray(starts, np.int32).reshape(-1, 3)
    dtype = next((a.dtype for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)), jnp.float32)
    columns = [np.asarray(w, dtype) for w in weights]

    def some(state: Any, table: Any, columns: Any, number: int) -> Any:
        for k in range(number):
            parts = [lax.dynamic_slice(a, tuple(table[k, axis] for axis in range(3)), tuple(core)) for a in arrays]
            state = body(state, parts, *(c[k] for c in columns))
        return state

    def turn(state: Any, xs: Any) -> Any:
        return some(state, xs[0], xs[1], group), None

    cut = turns * group
    chunks = (
        jnp.asarray(table[:cut].reshape(turns, group, 3)),
        [jnp.asarray(c[:cut].reshape(turns, group)) for c in columns],
    )
    # Followed backwards, a turn is computed again instead of keeping what every neighbour left
    # behind.
    state, _ = lax.scan(jax.checkpoint(turn), state, chunks)
    if count > cut:
        state = some(state, jnp.asarray(table[cut:]), [jnp.asarray(c[cut:]) for c in columns], count - cut)
    return state


def neighbour_starts(offsets: Sequence[tuple[int, int, int]], halo: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return where the part of each neighbour begins in a block padded by `halo`."""
    return [(halo[0] + i, halo[1] + j, halo[2] + k) for i, j, k in offsets]


def repeat_times(count: Any, body: Callable[[Any], Any], state: Any) -> Any:
    """Run ``state = body(state)`` so many times: a loop of the compiled function on JAX, where it
    compiles once and `count` may be traced.
    """
    first = state[0] if isinstance(state, tuple) else state
    if is_jax(first):
        from jax import lax

        return lax.fori_loop(0, count, lambda _, s: body(s), state)
    for _ in range(count):
        state = body(state)
    return state


def put_inside(x: Array, inner: Array) -> Array:
    """Return `x` with all but its outermost voxels replaced; these keep their values on JAX and are
    zero elsewhere.
    """
    if is_jax(x):
        from jax import lax

        return lax.dynamic_update_slice(x, inner, (1,) * x.ndim)
    xp = namespace(x)
    for axis in range(x.ndim):
        edge = xp.zeros_like(inner[tuple(slice(0, 1) if a == axis else slice(None) for a in range(x.ndim))])
        inner = xp.concat([edge, inner, edge], axis=axis)
    return inner

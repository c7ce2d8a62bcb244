"""A window that moves over a block: displacements as a loop of the compiled function instead of one
slice each.
"""

from collections.abc import Callable
from typing import Any

from lithax.arrays import fori_loop, is_traced
from lithax.grid import as_halo
from lithax.typing import Array


def displaced(block: Array, offset: Any, radius: Any) -> Array:
    """Return the inside of a block, `radius` voxels from its faces, displaced by `offset`.

    Parameters
    ----------
    block
        An array with three axes.
    offset
        Displacement along each axis [voxel], from ``-radius`` to ``radius``; may be traced.
    radius
        The largest displacement [voxel], one or three.

    Examples
    --------
    >>> import numpy as np
    >>> displaced(np.arange(5).reshape(5, 1, 1), (1, 0, 0), (1, 0, 0))[:, 0, 0]
    array([2, 3, 4])
    """
    reach = as_halo(radius, "radius")
    shape = tuple(n - 2 * r for n, r in zip(block.shape, reach, strict=True))
    if min(shape) < 1:
        raise ValueError(f"radius={radius!r} leaves nothing of a block of shape {tuple(block.shape)}.")
    start = tuple(r + o for r, o in zip(reach, offset, strict=True))
    if is_traced(block) or any(map(is_traced, start)):
        from jax import lax

        return lax.dynamic_slice(block, start, shape)
    return block[tuple(slice(int(s), int(s) + n) for s, n in zip(start, shape, strict=True))]


def fold_displacements(step: Callable[..., Any], state: Any, block: Array, radius: Any) -> Any:
    """Run ``state = step(state, window, offset)`` for every displacement of a window, up to
    `radius` voxels along each axis.

    On JAX it is one loop of the compiled function, whatever the number of displacements: a search
    over 11³ of them compiles like one. For the bodies of operations with ``halo=radius`` (or more,
    where `step` itself looks further).

    Parameters
    ----------
    step
        Takes the state, `displaced` of the block, and the displacement as three integers; returns
        the state anew, a pytree of arrays whose shapes and types stay.
    state
        What there is before the first displacement.
    block, radius
        As for `displaced`. Displacements come in C order, from ``-radius`` to ``radius``.

    Examples
    --------
    >>> import numpy as np
    >>> int(fold_displacements(lambda s, window, _: s + window, 0, np.ones((3, 3, 3)), 1)[0, 0, 0])
    27
    """
    reach = as_halo(radius, "radius")
    nx, ny, nz = (2 * r + 1 for r in reach)

    def turn(i: Any, state: Any) -> Any:
        place = i // (ny * nz), i // nz % ny, i % nz
        offset = tuple(p - r for p, r in zip(place, reach, strict=True))
        return step(state, displaced(block, offset, reach), offset)

    if is_traced(block):
        from jax import lax

        return lax.fori_loop(0, nx * ny * nz, turn, state)
    return fori_loop(0, nx * ny * nz, turn, state)

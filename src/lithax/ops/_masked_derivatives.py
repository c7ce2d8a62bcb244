"""Derivatives of a field of which only some voxels are taken in.

Smoothed, such a field is the quotient of two sums over the voxels taken in, of values and of
weights (see `_masked`). Its derivatives follow by the rule for quotients, so that where all voxels
are taken in they are those of the plain filter, and a constant field has none whatever is left out.
"""

from collections.abc import Callable, Sequence
from typing import Any

from lithax.arrays import fence, namespace
from lithax.ops._masked import weighted, where_present
from lithax.ops._parameters import cast
from lithax.ops._separable import shifted
from lithax.typing import Array

Orders = tuple[int, int, int]
Filter = Callable[[Array, Orders], Array]


def _orders(*axes: int) -> Orders:
    a, b, c = (axes.count(axis) for axis in range(3))
    return a, b, c


def derivatives_within(
    x: Array, valid: Array, smooth: Filter, wanted: Sequence[tuple[int, ...]]
) -> tuple[list[Array], Array]:
    """Return derivatives of the smoothed field, and where there is one.

    Parameters
    ----------
    x, valid
        The padded block, of floats, and which of its voxels are taken in.
    smooth
        Takes a block and the order of the derivative along each axis.
    wanted
        For each derivative its axes, one or two.
    """
    xp = namespace(x)
    x, weight = weighted(x, valid)
    done: dict[tuple[int, ...], Array] = {}

    def total(field: Array, *axes: int) -> Array:
        return fence(smooth(field, _orders(*axes)))

    weights = total(weight)
    present = weights > 0
    share = 1.0 / xp.where(present, weights, xp.ones_like(weights))
    value = total(x) * share
    moved = {axis: total(weight, axis) for axis in range(3) if any(axis in axes for axes in wanted)}

    def slope(axis: int) -> Array:
        if (axis,) not in done:
            done[axis,] = (total(x, axis) - value * moved[axis]) * share
        return done[axis,]

    for axes in wanted:
        if len(axes) == 1:
            slope(axes[0])
        else:
            a, b = axes
            rest = slope(a) * moved[b] + slope(b) * moved[a] + value * total(weight, a, b)
            done[axes] = (total(x, a, b) - rest) * share
    return [where_present(present, done[axes]) for axes in wanted], present


def difference_within(x: Array, valid: Array, axis: int, spacing: Any = 1.0) -> Array:
    """Return the mean of the differences to the neighbours along `axis` that are taken in, 0 where
    there is none; where both are, the central difference. Arrays become two voxels shorter.
    """
    xp = namespace(x)
    inner = x.shape[axis] - 2
    before, here, after = (shifted(x, axis, k, inner) for k in range(3))
    has_before, is_in, has_after = (shifted(valid, axis, k, inner) for k in range(3))
    zero = xp.zeros_like(here)
    up = xp.where(is_in & has_after, after - here, zero)
    down = xp.where(is_in & has_before, here - before, zero)
    both = is_in & has_before & has_after
    return (up + down) * xp.where(both, xp.full_like(here, 0.5), xp.ones_like(here)) / cast(spacing, x.dtype, "spacing")

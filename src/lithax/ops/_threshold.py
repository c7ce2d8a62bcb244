"""From grey levels to a phase."""

import math
import operator
from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import as_real, namespace, order_shift, orderable, real_dtype
from lithax.ops._parameters import cast, check_interval, is_number
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

Comparison = Callable[[Any, Any], Any]


def _compare(x: Array, bound: Any, comparison: Comparison) -> Array:
    xp = namespace(x)
    shift = order_shift(x)
    x = orderable(x)
    if shift and not is_number(bound):
        bound = orderable(bound)
    if xp.isdtype(x.dtype, "bool"):
        x = xp.astype(x, xp.uint8)
    if is_number(bound):
        if xp.isdtype(x.dtype, "real floating"):
            return comparison(x, float(bound))
        return _compare_whole(x, bound, comparison, shift)
    if xp.isdtype(bound.dtype, "real floating"):
        common = real_dtype(xp, x.dtype)
    else:
        common = x.dtype if xp.isdtype(x.dtype, "real floating") else xp.result_type(x.dtype, bound.dtype)
    return comparison(xp.astype(x, common, copy=False), xp.astype(bound, common, copy=False))


def _compare_whole(x: Array, bound: Any, comparison: Comparison, shift: int = 0) -> Array:
    # Whole numbers are compared with whole numbers, exactly; the dtype of x may not hold the bound.
    xp = namespace(x)
    limits = xp.iinfo(x.dtype)
    low, high = int(limits.min) + shift, int(limits.max) + shift
    if bound < low or bound > high:
        return xp.full_like(x, bool(comparison(0, bound)), dtype=xp.bool)
    return comparison(x, (math.ceil(bound) if comparison is operator.ge else math.floor(bound)) - shift)


@voxel_op
def threshold(
    block: Shaped[Any, "x y z"], *, value: Any = None, lower: Any = None, upper: Any = None
) -> Bool[Any, "x y z"]:
    """Tell the voxels above a value, or within an interval, from the others.

    Whole numbers are compared exactly, also with fractional or huge bounds. NaN is neither above
    nor within anything. The result has no derivative; `soft_threshold` has one.

    Parameters
    ----------
    block
        Grey levels, one per voxel.
    value
        True is ``block > value``, as for the thresholds of scikit-image; in the unit of `block`.
    lower, upper
        True is ``lower <= block <= upper``; one of them may be left out.

    Returns
    -------
        Boolean, True for the phase.

    Raises
    ------
    ValueError
        If neither `value` nor a bound is given, or both are, or one is NaN, or `lower` exceeds
        `upper`.
    TypeError
        If `block` is complex.
    """
    xp = namespace(block)
    if xp.isdtype(block.dtype, "complex floating"):
        raise TypeError(f"an array of {block.dtype} has no order; take its real part or its modulus first.")
    if (value is None) == (lower is None and upper is None):
        raise ValueError(
            f"value={value!r}, lower={lower!r}, upper={upper!r}: give value, for block > value, or lower and upper, for the interval."
        )
    bounds: dict[str, Any] = {"value": value, "lower": lower, "upper": upper}
    for name, bound in bounds.items():
        if is_number(bound) and math.isnan(bound):
            raise ValueError(f"{name}={bound!r} is no grey level, and nothing lies above or below it; give a number.")
    if value is not None:
        return _compare(block, value, operator.gt)
    check_interval(lower, upper)
    if upper is None:
        return _compare(block, lower, operator.ge)
    below = _compare(block, upper, operator.le)
    return below if lower is None else _compare(block, lower, operator.ge) & below


@voxel_op
def soft_threshold(block: Shaped[Any, "x y z"], *, value: Any, width: Any) -> Shaped[Any, "x y z"]:
    """Return the degree, from 0 to 1, to which voxels lie above a value: a `threshold` with a
    derivative.

    The logistic function of ``(block - value) / width``, written with tanh, which does not
    overflow.

    Parameters
    ----------
    block
        Grey levels, one per voxel.
    value
        Where the result is 1/2, in the unit of `block`; may be traced.
    width
        How far from it the result is 0.73, in the unit of `block`; may be traced. Small widths
        approach `threshold`.

    Raises
    ------
    ValueError
        If `width` is not positive.
    """
    if is_number(width) and not width > 0:
        raise ValueError(f"width={width!r} must be positive; for a sharp threshold use threshold.")
    xp = namespace(block)
    x = as_real(block)
    return 0.5 * xp.tanh((x - cast(value, x.dtype, "value")) * (0.5 / cast(width, x.dtype, "width"))) + 0.5

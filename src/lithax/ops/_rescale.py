"""Grey levels moved, stretched and cut off, voxel by voxel."""

import math
from typing import Any

from jaxtyping import Inexact, Shaped

from lithax.arrays import as_real, namespace, order_shift, orderable
from lithax.ops._extremum import on_ordered
from lithax.ops._parameters import cast, check_interval, is_number
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def _bound(x: Array, bound: Any, name: str) -> Any:
    # The bound in the dtype of x; None where no value of that dtype lies beyond it.
    xp = namespace(x)
    if is_number(bound) and math.isnan(bound):
        raise ValueError(f"{name}={bound!r} bounds nothing; give a number, or leave {name} out.")
    if not xp.isdtype(x.dtype, "integral"):
        return cast(bound, x.dtype, name)
    low, high = int(xp.iinfo(x.dtype).min), int(xp.iinfo(x.dtype).max)
    if not is_number(bound):
        if not xp.isdtype(bound.dtype, "integral"):
            raise TypeError(
                f"{name} is an array of {bound.dtype}, the image is {x.dtype}; clip keeps the dtype, so make {name} whole."
            )
        own = xp.iinfo(bound.dtype)
        bound = xp.clip(bound, max(low, int(own.min)), min(high, int(own.max)))
        return xp.astype(bound, x.dtype, copy=False)
    if (bound <= low) if name == "lower" else (bound >= high):
        return None
    if not low <= bound <= high:
        raise ValueError(
            f"{name}={bound!r}: {x.dtype} reaches from {low} to {high}; convert the image, or change {name}."
        )
    if bound != math.floor(bound):
        raise TypeError(
            f"{name}={bound!r} is not whole, the image is {x.dtype}; clip keeps the dtype: round {name}, or convert the image."
        )
    return int(bound)


@voxel_op
def clip(block: Shaped[Any, "x y z"], *, lower: Any = None, upper: Any = None) -> Shaped[Any, "x y z"]:
    """Move what lies outside an interval to its nearer end; `numpy.clip`, but the dtype is kept.
    NaN stays.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel.
    lower, upper
        Ends of the interval, in the unit of `block`; one may be left out. Whole numbers for an
        image of integers.

    Raises
    ------
    ValueError
        If neither is given, `lower` exceeds `upper`, or the dtype has no value within the interval.
    TypeError
        If `block` is boolean or complex, or holds integers and a bound is not whole.
    """
    xp = namespace(block)
    if not xp.isdtype(block.dtype, ("integral", "real floating")):
        raise TypeError(f"an array of {block.dtype} cannot be clipped; convert it to a real type first.")
    if lower is None and upper is None:
        raise ValueError("lower=None, upper=None: give clip at least one end of the interval.")
    check_interval(lower, upper)
    x = block
    for name, given in (("lower", lower), ("upper", upper)):
        bound = None if given is None else _bound(x, given, name)
        if bound is not None:
            x = _limited(x, bound, name == "lower")
    return x


def _limited(x: Array, bound: Any, below: bool) -> Array:
    whole = x

    def limit(x: Array) -> Array:
        xp = namespace(x)
        if is_number(bound):
            end = xp.full_like(x, bound - order_shift(whole))
        else:
            end = xp.astype(orderable(xp.astype(bound, whole.dtype, copy=False)), x.dtype, copy=False)
        return xp.where(x < end if below else x > end, end, x)

    return on_ordered(x, limit)


def _interval(value: Any, name: str) -> tuple[Any, Any]:
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(f"{name}={value!r} must be two numbers, (from, to).") from None
    return low, high


@voxel_op(static="clip")
def rescale(
    block: Shaped[Any, "x y z"], *, input_range: Any, output_range: Any = (0.0, 1.0), clip: bool = False
) -> Inexact[Any, "x y z"]:
    """Map one range of grey levels linearly onto another.

    The ranges are given, not found: the range of one block is not that of the image.
    `measure.minimum_maximum` finds it.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel.
    input_range
        The two values, in the unit of `block`, that become those of `output_range`; may be traced.
    output_range
        What they become; (0, 1) by default. A falling range inverts the image.
    clip
        Whether values beyond `input_range` end at the ends of `output_range`, instead of following
        the line.

    Raises
    ------
    ValueError
        If the two ends of `input_range` are equal, or a range is not two numbers.
    """
    xp = namespace(block)
    x = as_real(block)
    low, high = (cast(v, x.dtype, "input_range") for v in _interval(input_range, "input_range"))
    start, stop = (cast(v, x.dtype, "output_range") for v in _interval(output_range, "output_range"))
    if is_number(low) and is_number(high) and not high - low != 0:
        raise ValueError(f"input_range={input_range!r} has no width, so no line maps it; give two different values.")
    part = (x - low) * (1.0 / (high - low))
    if clip:
        part = xp.where(part < 0, xp.zeros_like(part), xp.where(part > 1, xp.ones_like(part), part))
    return part * (stop - start) + start


@voxel_op
def standardize(block: Shaped[Any, "x y z"], *, mean: Any, standard_deviation: Any) -> Inexact[Any, "x y z"]:
    """Return by how many standard deviations the voxels lie above the mean.

    Mean and standard deviation are given, not found: those of one block are not those of the image.
    `measure.moments` finds them.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel.
    mean, standard_deviation
        In the unit of `block`; may be traced.

    Raises
    ------
    ValueError
        If `standard_deviation` is not positive.
    """
    if is_number(standard_deviation) and not standard_deviation > 0:
        raise ValueError(
            f"standard_deviation={standard_deviation!r} must be positive; a constant image cannot be standardized."
        )
    x = as_real(block)
    return (x - cast(mean, x.dtype, "mean")) * (1.0 / cast(standard_deviation, x.dtype, "standard_deviation"))

"""Parameters of operations: one value or one per axis, numbers or arrays, beside a block of any
dtype.
"""

import math
import numbers
from typing import Any

from lithax.arrays import is_array, namespace


def is_number(value: Any) -> bool:
    """Whether `value` is a real number known now; what else a parameter can be is an array, perhaps
    traced.
    """
    return isinstance(value, numbers.Real)


def cast(value: Any, dtype: Any, name: str) -> Any:
    """Return a parameter in a form that meets a block of `dtype` without promoting it.

    Raises
    ------
    ValueError
        If it is NaN.
    TypeError
        If it is neither a number nor an array.
    """
    if is_number(value):
        if math.isnan(value):
            raise ValueError(f"{name}={value!r} would leave no voxel a number; give a number.")
        return float(value)
    if not is_array(value):
        raise TypeError(f"{name}={value!r} must be a number, or an array that holds one.")
    return namespace(value).astype(value, dtype, copy=False)


def per_axis(value: Any, name: str) -> tuple[Any, Any, Any]:
    """Return an entry per axis of a number, a sequence of three, or an array of shape () or (3,).

    Raises
    ------
    ValueError
        If `value` is none of these.
    """
    entries: tuple[Any, ...] = ()
    if is_number(value) or (is_array(value) and value.ndim == 0):
        entries = (value,) * 3
    elif isinstance(value, tuple | list):
        entries = tuple(value)
    elif is_array(value) and tuple(value.shape) == (3,):
        entries = (value[0], value[1], value[2])
    if len(entries) != 3 or not all(is_number(v) or is_array(v) for v in entries):
        raise ValueError(f"{name}={value!r} must be a number, or three of them, one per axis.")
    return entries


def spacing_per_axis(spacing: Any) -> tuple[Any, Any, Any]:
    """Return the distance between voxel centres along each axis.

    Raises
    ------
    ValueError
        If a distance is not positive.
    """
    entries = per_axis(spacing, "spacing")
    if any(is_number(h) and not (h > 0 and math.isfinite(h)) for h in entries):
        raise ValueError(f"spacing={spacing!r} must be positive; give the voxel length, or 1 to work in voxels.")
    return entries


def check_interval(lower: Any, upper: Any) -> None:
    """Raise ValueError if two numbers are in the wrong order; arrays and None are not looked at."""
    if is_number(lower) and is_number(upper) and lower > upper:
        raise ValueError(f"lower={lower!r} exceeds upper={upper!r}, so no value lies between; exchange them.")

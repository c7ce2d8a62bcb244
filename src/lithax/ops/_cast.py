"""Parameters beside a block: numbers adapt to any dtype, arrays are cast."""

import numbers
from typing import Any

from lithax.arrays import is_array, namespace
from lithax.typing import Array


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy, known now."""
    return isinstance(value, numbers.Real)


def cast(value: Any, dtype: Any) -> Any:
    """Return a parameter so that it can meet a block of `dtype` without promoting it."""
    if is_number(value) or not is_array(value):
        return value if isinstance(value, int) else float(value)
    xp = namespace(value)
    return xp.astype(value, dtype, copy=False)


def per_axis(value: Any, name: str) -> tuple[Any, Any, Any]:
    """Return one entry per axis of a number, a sequence of three, or an array of shape () or (3,).

    Raises
    ------
    ValueError
        If `value` is none of these.
    """
    if isinstance(value, tuple | list):
        entries = tuple(value)
    elif is_number(value) or (is_array(value) and value.ndim == 0):
        entries = (value,) * 3
    elif is_array(value) and tuple(value.shape) == (3,):
        entries = (value[0], value[1], value[2])
    else:
        entries = ()
    if len(entries) != 3:
        raise ValueError(f"{name}={value!r} must be one number, or three, one per axis.")
    return entries


def working(block: Array, dtype: Any) -> Array:
    """Return the block in the floating type in which it is filtered."""
    return namespace(block).astype(block, dtype, copy=False)

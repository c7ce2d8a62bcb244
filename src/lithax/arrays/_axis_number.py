"""Which axis is meant by a number or by a name."""

import operator
from typing import Any


def axis_number(axis: Any, argument: str = "axis") -> int:
    """Return 0, 1 or 2 of an axis given by number (from the end if below 0) or by name.

    Raises
    ------
    ValueError
        If there is no such axis.

    >>> axis_number("z"), axis_number(-1)
    (2, 2)
    """
    if isinstance(axis, str):
        number = "xyz".index(axis) if axis in ("x", "y", "z") else 3
    else:
        try:
            number = 3 if isinstance(axis, bool) else operator.index(axis)
        except TypeError:
            number = 3
    if not -3 <= number < 3:
        raise ValueError(f"{argument}={axis!r} must be 0, 1, 2 or 'x', 'y', 'z'.")
    return number % 3

"""Results that are equal when their numbers are, NaN included."""

import dataclasses
import math
from typing import Any

import numpy as np


class Result:
    """Base of frozen dataclasses, declared with ``eq=False``, whose fields may hold NaN.

    A dataclass compares field by field with ``==`` from Python 3.13 on, and NaN differs from
    itself: the same measurement made twice would then be unequal.
    """

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _key(self) == _key(other)

    def __hash__(self) -> int:
        return hash(_key(self))


def _key(value: Any) -> Any:
    """Return what equal values share, whatever the sign or payload of their NaN."""
    if isinstance(value, Result):
        return tuple(_key(getattr(value, field.name)) for field in dataclasses.fields(value))  # type: ignore[arg-type]
    if isinstance(value, tuple | list):
        return tuple(map(_key, value))
    if isinstance(value, np.ndarray):
        return (value.shape, _key(value.ravel().tolist()))
    if isinstance(value, complex | np.complexfloating):
        return (_key(float(value.real)), _key(float(value.imag)))
    return "NaN" if isinstance(value, float | np.floating) and math.isnan(value) else value

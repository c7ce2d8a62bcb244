"""Three values, one per axis."""

from collections.abc import Iterable
from typing import TypeVar

_Value = TypeVar("_Value")


def three(values: Iterable[_Value]) -> tuple[_Value, _Value, _Value]:
    """Return exactly three values as a tuple, which `tuple` itself cannot promise."""
    x, y, z = values
    return x, y, z

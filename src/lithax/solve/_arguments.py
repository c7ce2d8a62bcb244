"""Checks of arguments that several functions of conduction take, each with the rule broken."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ValueError for a word that is not one of those known."""
    if value not in known:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(repr(k) for k in known)}.")


def check_relative_error(name: str, value: Any) -> None:
    """Raise ValueError for what is not between 0 and 1."""
    if not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ValueError(f"{name}={value!r} must lie between 0 and 1: a relative error, such as 5e-3.")


def is_wanted(gradient: Any) -> bool:
    """Return whether `gradient` asks for the derivative for every voxel: True, or a store."""
    return gradient is not None and gradient is not False


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Raise ValueError for what is no whole number, or too small."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number >= {least}.")

"""Checks of arguments that several solvers take, each with the rule broken."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lithax.arrays import is_traced


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ValueError for a word that is not one of those known."""
    if value not in known:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(repr(k) for k in known)}.")


def check_unit(unit: Any, example: str) -> None:
    """Raise TypeError for what is no text."""
    if not isinstance(unit, str | None):
        raise TypeError(f"unit={unit!r} must be text, the name of a unit such as {example!r}.")


def check_relative_error(name: str, value: Any) -> None:
    """Raise ValueError for what is not between 0 and 1."""
    if not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ValueError(f"{name}={value!r} must lie between 0 and 1: a relative error, such as 5e-3.")


def check_known(**given: Any) -> None:
    """Raise TypeError for an argument that a transformation hides: its value decides what is done
    on the host.
    """
    for name, value in given.items():
        if any(is_traced(leaf) for leaf in jax.tree.leaves(value)):
            raise TypeError(
                f"{name}= is traced by jax.jit, jax.grad or another transformation, but its value must be known before the "
                f"solve: give it from outside of the transformed function."
            )


def check_area(area: Any) -> None:
    """Raise ValueError for what is no cross-section."""
    if area is not None and (not isinstance(area, int | float | np.number) or not 0 < area < np.inf):
        raise ValueError(f"area={area!r} must be a positive number, in the square of the unit of the spacing.")


def is_wanted(gradient: Any) -> bool:
    """Return whether `gradient` asks for the derivative for every voxel: True, or a store."""
    return gradient is not None and gradient is not False


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Raise ValueError for what is no whole number, or too small."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number >= {least}.")


def refuse_given(given: Mapping[str, Any], names: Sequence[str], text: str) -> None:
    """Raise ValueError, the text with its name for {}, for an argument that is given though it
    should not be.
    """
    for name in names:
        value = given.get(name)
        if hasattr(value, "shape") or value:
            raise ValueError(text.format(name))


def check_edge(edge: Any, length: Any, most: int) -> None:
    """Raise ValueError for an edge of a block, one of those in `edge`, that is no whole number of
    voxels, at least two and no more than there are.
    """
    if not isinstance(length, int | np.integer) or isinstance(length, bool) or not 2 <= length <= most:
        raise ValueError(
            f"edge={edge!r} must be whole numbers of voxels, at least 2, that fit into the image: {most} at most."
        )

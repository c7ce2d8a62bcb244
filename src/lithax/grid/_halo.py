"""How far an operation looks beyond the voxel it computes."""

import operator
from typing import Any

Halo = tuple[int, int, int]


def as_halo(value: Any, name: str = "halo") -> Halo:
    """Return a halo per axis from an integer or three integers.

    Raises
    ------
    ValueError
        If `value` is neither, or is negative.
    """
    try:
        widths = (
            tuple(operator.index(v) for v in value) if isinstance(value, tuple | list) else (operator.index(value),) * 3
        )
    except TypeError:
        widths = ()
    if len(widths) != 3 or min(widths) < 0:
        raise ValueError(f"{name}={value!r} must be a number of voxels >= 0, or a tuple of three, one per axis.")
    return widths


def as_halos(value: Any, inputs: int, name: str = "halo") -> tuple[Halo, ...]:
    """Return a halo per input: a list gives each input its own, anything else serves all."""
    if isinstance(value, list):
        if len(value) != inputs:
            raise ValueError(f"{name}={value!r} lists {len(value)} halos for {inputs} inputs; give one per input.")
        return tuple(as_halo(v, name) for v in value)
    return (as_halo(value, name),) * inputs


def add_halos(a: Halo, b: Halo) -> Halo:
    """Return the halo of one operation after another."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])

"""What `conductivity` and its plan refuse before any work: words that are not known, numbers,
stores that are not free.
"""

from typing import Any

import numpy as np

from lithax.images import check_free
from lithax.solve._arguments import (
    check_area,
    check_choice,
    check_known,
    check_relative_error,
    check_unit,
    check_whole_number,
    is_wanted,
)
from lithax.solve._conduction_setup import AXES, Boundaries
from lithax.solve._fields import FLUX, POTENTIAL


def boundaries_of(axis: Any, ends: Any, sides: Any, loading: Any, reservoir: Any) -> Boundaries:
    """Return what happens at the faces; ValueError for words that are not known, or exclude each
    other.
    """
    for name, value, known in (
        ("axis", axis, (*AXES, "all")),
        ("ends", ends, ("potential", "periodic")),
        ("sides", sides, ("insulating", "periodic")),
        ("loading", loading, (None, "linear")),
    ):
        check_choice(name, value, known)
    if loading == "linear" and (ends != "potential" or sides != "insulating"):
        raise ValueError(f"loading='linear' takes the place of ends={ends!r} and sides={sides!r}; leave these two out.")
    if reservoir and (loading == "linear" or ends == "periodic"):
        raise ValueError(f"reservoir={reservoir!r} needs ends='potential' and no loading: leave it out here.")
    return Boundaries(ends, sides, loading == "linear")


def check_numbers(
    tolerance: Any, gradient_tolerance: Any, most: Any, reservoir: Any, area: Any, percolation_at: Any, unit: Any
) -> None:
    """Raise TypeError or ValueError for numbers, and a unit, that a solve cannot be asked for."""
    check_unit(unit, "S/m")
    check_known(
        tolerance=tolerance, gradient_tolerance=gradient_tolerance, max_iterations=most, reservoir=reservoir, area=area,
        percolation_at=percolation_at,
    )  # fmt: skip
    check_area(area)
    if percolation_at is not None and (
        not isinstance(percolation_at, int | float | np.number) or not 0 < percolation_at < np.inf
    ):
        raise ValueError(f"percolation_at={percolation_at!r} must be a conductivity, finite and above 0.")
    for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
        check_relative_error(name, value)
    for name, value, least in (("max_iterations", most, 1), ("reservoir", reservoir, 0)):
        check_whole_number(name, value, least)


def check_gradient(gradient: Any, axis: str, image: Any) -> None:
    """Raise an error where the derivative for every voxel cannot be found, or kept."""
    if not is_wanted(gradient):
        return
    if axis == "all":
        raise ValueError("gradient= is that of one value; name the axis, or differentiate with jax.grad for all three.")
    if gradient is not True and not hasattr(image, "frame"):
        raise ValueError("gradient= names a store, but image is an array; pass gradient=True, or an image.")
    if gradient is not True:
        check_free("gradient", gradient)


def check_fields(fields: Any, axis: str, image: Any) -> None:
    """Raise an error where the fields cannot be kept."""
    if isinstance(fields, bool):
        return
    if axis == "all":
        raise ValueError(
            f"fields={fields!r} names a store for the fields of one axis; name the axis, or pass fields=True."
        )
    if not hasattr(image, "frame"):
        raise ValueError(f"fields={fields!r} names a store, but image is an array; pass fields=True, or an image.")
    check_free("fields", fields, POTENTIAL, *FLUX)

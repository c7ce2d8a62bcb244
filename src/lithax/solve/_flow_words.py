"""The words and numbers of a permeability: what they may be, and what they stand for."""

from typing import Any

import numpy as np

from lithax.solve._area_unit import square_metres
from lithax.solve._arguments import (
    check_area,
    check_choice,
    check_known,
    check_relative_error,
    check_unit,
    check_whole_number,
)
from lithax.solve._flow_input import AXES, FlowInput, area_of
from lithax.solve._mac_walls import WALLS, Boundary

ENDS = ("pressure", "periodic")
SIDES: dict[str, Boundary] = {"symmetric": "mirror", "no_slip": "wall", "periodic": "periodic"}


def scale_of(voxel_unit: str, spacing: Any, unit: Any) -> tuple[float, str]:
    """Return what a permeability in the unit of length squared is multiplied by, and the unit of
    the result.
    """
    check_unit(unit, "mD")
    area = area_of(voxel_unit)
    if area is None:
        if unit not in (None, "voxel²", "voxel2"):
            raise ValueError(
                f"unit={unit!r} needs the voxel length, and the image has no voxel_unit: give spacing='2 um', or "
                f"image.update(voxel_length=..., voxel_unit=...); without it k is in voxel²."
            )
        unscaled = isinstance(spacing, tuple) and spacing == (1.0, 1.0, 1.0)
        return 1.0, "voxel²" if unscaled else "length²"
    if unit in ("voxel²", "voxel2"):
        raise ValueError(f"unit={unit!r} is what value_voxel is in; value has a physical unit, such as 'mD' or 'm²'.")
    wanted = "m²" if unit is None else unit
    return area / square_metres(wanted), wanted


def wall_rule(wall: str | None, given: FlowInput) -> str:
    """Return the rule of the walls; ValueError if the image does not allow the one asked for."""
    soft = given.soft is not None or bool(given.phases)
    if wall is None:
        return "half_voxel" if soft else "accurate"
    if wall not in WALLS:
        raise ValueError(f"wall={wall!r} must be 'accurate' or 'half_voxel'.")
    if wall == "accurate" and soft:
        raise ValueError(
            "wall='accurate' counts voxels between sharp walls, and the image has soft walls or porous phases; use "
            "wall='half_voxel', or leave wall out."
        )
    return wall


def check_words(
    axis: Any, ends: Any, sides: Any, reservoir: Any, tolerance: Any, gradient_tolerance: Any, most: Any, area: Any,
    fields: Any = False,
) -> None:  # fmt: skip
    """Raise ValueError if a word is unknown, or a number out of range."""
    for name, word, known in (("axis", axis, (*AXES, "all")), ("ends", ends, ENDS), ("sides", sides, tuple(SIDES))):
        check_choice(name, word, known)
    check_known(
        reservoir=reservoir, tolerance=tolerance, gradient_tolerance=gradient_tolerance, max_iterations=most, area=area
    )
    for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
        check_relative_error(name, value)
    for name, value, least in (("max_iterations", most, 1), ("reservoir", reservoir, 0)):
        check_whole_number(name, value, least)
    check_area(area)
    if area is not None and axis == "all" and ends == sides == "periodic" and reservoir == 0:
        raise ValueError("area= is a cross-section; the tensor of a whole image needs none. Leave it out.")
    if not isinstance(fields, bool | np.bool_):
        raise ValueError(
            f"fields={fields!r} must be True or False: velocity and pressure come with the result; save them from there, "
            f"result.pressure.copy(store='pressure.zarr') of an image."
        )

"""The words and numbers of a permeability: what they may be, and what they stand for."""

from typing import Any

import numpy as np

from lithax.solve._area_unit import square_metres
from lithax.solve._flow_input import AXES, FlowInput, area_of
from lithax.solve._mac_walls import WALLS, Boundary

ENDS = ("pressure", "periodic")
SIDES: dict[str, Boundary] = {"symmetric": "mirror", "no_slip": "wall", "periodic": "periodic"}


def scale_of(voxel_unit: str, spacing: Any, unit: str | None) -> tuple[float, str]:
    """Return what a permeability in the unit of length squared is multiplied by, and the unit of
    the result.
    """
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
    axis: Any, ends: Any, sides: Any, reservoir: Any, tolerance: Any, gradient_tolerance: Any, most: Any, area: Any
) -> None:
    """Raise ValueError if a word is unknown, or a number out of range."""
    if axis not in (*AXES, "all"):
        raise ValueError(f"axis={axis!r} must be 'x', 'y', 'z' or 'all'.")
    if ends not in ENDS:
        raise ValueError(f"ends={ends!r} must be 'pressure' or 'periodic'.")
    if sides not in SIDES:
        raise ValueError(f"sides={sides!r} must be 'symmetric', 'no_slip' or 'periodic'.")
    if not isinstance(reservoir, int | np.integer) or reservoir < 0:
        raise ValueError(f"reservoir={reservoir!r} must be a number of voxels >= 0.")
    for name, value in (("tolerance", tolerance), ("gradient_tolerance", gradient_tolerance)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value!r} must be a relative error between 0 and 1, such as 5e-3.")
    if not isinstance(most, int | np.integer) or most < 1:
        raise ValueError(f"max_iterations={most!r} must be a whole number >= 1.")
    if area is not None and not area > 0:
        raise ValueError(f"area={area!r} must be a positive cross-section, in the square of the unit of spacing.")

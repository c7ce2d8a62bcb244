"""Units of permeability: an area, or a darcy."""

from typing import Any

from lithax.geometry import length_factor

DARCY = 9.869233e-13
"""One darcy [m²]; a millidarcy is a thousandth."""

_KNOWN = {
    "m2": 1.0, "m²": 1.0, "m^2": 1.0, "m**2": 1.0,
    "um2": 1e-12, "um²": 1e-12, "µm²": 1e-12, "μm²": 1e-12, "um^2": 1e-12, "um**2": 1e-12, "nm²": 1e-18,
    "D": DARCY, "darcy": DARCY, "mD": DARCY * 1e-3, "millidarcy": DARCY * 1e-3, "md": DARCY * 1e-3,
    "uD": DARCY * 1e-6, "µD": DARCY * 1e-6, "nD": DARCY * 1e-9,
}  # fmt: skip


def square_metres(unit: str, name: str = "unit") -> float:
    """Return a unit of permeability in m².

    Raises
    ------
    ValueError
        If it is neither a darcy nor an area that pint understands.
    """
    if unit in _KNOWN:
        return _KNOWN[unit]
    import pint

    registry = pint.get_application_registry()
    try:
        return float(registry.Quantity(1.0, registry.Unit(unit)).to("m**2").magnitude)
    except Exception as error:  # a parser of free text raises a dozen unrelated kinds
        raise ValueError(
            f"{name}={unit!r} must be a unit of permeability, such as 'mD', 'm²' or 'um²' ({error})."
        ) from error


def permeability_quantity(value: Any, name: str) -> tuple[Any, float | None]:
    """Split ``"1.5 mD"``, a pint quantity or a number into a number and its unit [m²]; None without
    a unit.
    """
    if isinstance(value, str):
        number, _, unit = value.strip().partition(" ")
        try:
            return float(number), square_metres(unit.strip(), name) if unit.strip() else None
        except ValueError as error:
            raise ValueError(f"{name}={value!r} must be a number and a unit, such as '1.5 mD'. {error}") from error
    if hasattr(value, "magnitude") and hasattr(value, "to"):
        return float(value.to("m**2").magnitude), 1.0
    return value, None


def check_has_length(value: Any, given: Any, area: float | None, voxel_unit: str) -> None:
    """Raise ValueError if the permeability of a phase has a unit (`area`) and the image none of
    length.
    """
    if area is not None and voxel_unit == "":
        raise ValueError(
            f"permeability[{value}]={given!r} has a unit, but the image has no voxel_unit: give spacing='2 um', or a plain "
            f"number in voxel²."
        )


def voxel_area(voxel_unit: str, reference: Any) -> Any:
    """Return the area of a reference voxel [m²], or None without a unit of length."""
    return None if voxel_unit == "" else (reference * length_factor(voxel_unit, "m")) ** 2

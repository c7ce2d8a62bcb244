"""Units of length: a few that every scan uses, known here; all others asked of pint, imported only
then.

Pint evaluates text: ``9**9**9**9`` in a store would keep it busy for ever. It is therefore only
asked about names and their small powers, such as ``survey_foot`` or ``m**2/m``.
"""

import re
import warnings
from fractions import Fraction
from typing import Any

# In metres, as exact decimals: a ratio of two of them is rounded once.
_COMMON = {
    "km": "1e3",
    "m": "1",
    "meter": "1",
    "metre": "1",
    "dm": "1e-1",
    "cm": "1e-2",
    "centimeter": "1e-2",
    "mm": "1e-3",
    "millimeter": "1e-3",
    "millimetre": "1e-3",
    "um": "1e-6",
    "\N{MICRO SIGN}m": "1e-6",
    "\N{GREEK SMALL LETTER MU}m": "1e-6",
    "micrometer": "1e-6",
    "micrometre": "1e-6",
    "micron": "1e-6",
    "nm": "1e-9",
    "nanometer": "1e-9",
    "nanometre": "1e-9",
    "angstrom": "1e-10",
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "1e-10",
    "\N{ANGSTROM SIGN}": "1e-10",
    "inch": "0.0254",
    "in": "0.0254",
    "foot": "0.3048",
    "ft": "0.3048",
}


_NAME = r"[^\W\d]\w*"
_FACTOR = rf"{_NAME}(?:\s*(?:\*\*|\^)\s*-?\d)?"
_UNIT = re.compile(rf"{_FACTOR}(?:\s*[*/]\s*{_FACTOR}){{0,7}}")
_LONGEST = 64

PIXELS = frozenset({"px", "pix", "pixel", "pixels", "vox", "vx", "voxel", "voxels", "dot", "dots", "pel", "pels"})
"""Counts of picture elements. Pint takes some of them for the lengths that they have in print."""


class UnknownUnit(str):
    """A unit of length read from a store that pint does not understand: kept as text, never
    converted.
    """

    __slots__ = ()


def _pint_metres(unit: str) -> float:
    """Return the length of `unit` [m] as pint understands it; ValueError if it does not, or if it
    is no length.
    """
    if unit.strip().lower() in PIXELS:
        raise ValueError("it counts picture elements")
    if len(unit) > _LONGEST or not _UNIT.fullmatch(unit.strip()):
        raise ValueError("a unit is a name, such as 'um', or a few with one-digit powers")
    import pint

    registry = pint.get_application_registry()
    try:
        return float(registry.Quantity(1.0, registry.Unit(unit)).to("meter").magnitude)
    except pint.DimensionalityError as error:
        raise ValueError(f"it measures {error.dim1}") from error
    except Exception as error:  # a parser of free text raises a dozen unrelated kinds
        raise ValueError(str(error)) from error


def _metres(unit: str) -> Fraction:
    if unit in _COMMON:
        return Fraction(_COMMON[unit])
    return Fraction(_pint_metres(unit))


def _short(unit: str) -> str:
    return unit if len(unit) <= _LONGEST else unit[: _LONGEST - 3] + "..."


def validate_unit(unit: Any, name: str = "voxel_unit") -> str:
    """Return `unit` if it is a length, or "" for none.

    Raises
    ------
    TypeError
        If `unit` is not text.
    ValueError
        If pint does not understand it, or it is not a length. An `UnknownUnit` passes.
    """
    if unit is None:
        return ""
    if not isinstance(unit, str):
        raise TypeError(f"{name}={unit!r} must be the name of a unit of length, such as 'um', or '' for none.")
    if unit == "" or unit in _COMMON or isinstance(unit, UnknownUnit):
        return unit
    try:
        _pint_metres(unit)
    except ValueError as error:
        raise ValueError(
            f"{name}={_short(unit)!r} is no unit of length ({error}); use for example 'um', 'mm', or '' for none."
        ) from error
    return unit


def lenient_unit(unit: Any, name: str = "voxel_unit") -> str:
    """Return `unit`; one that is not understood becomes an `UnknownUnit`, with one warning."""
    text = "" if unit is None else str(unit)
    try:
        return validate_unit(text, name)
    except ValueError:
        warnings.warn(
            f"{name}={_short(text)!r} is not a length that pint understands; it is kept as text and cannot be converted. "
            f"Set {name} to a known length, such as 'um', to convert it.",
            UserWarning,
            stacklevel=3,
        )
        return UnknownUnit(text)


def unit_in_file(unit: str, file: Any) -> str:
    """Return the unit that a file of another format gives: "" for a count of voxels, an
    `UnknownUnit` with a warning.
    """
    unit = unit.strip()
    if unit.lower() in PIXELS:
        return ""
    try:
        return validate_unit(unit)
    except ValueError:
        warnings.warn(
            f"{file} has the unit {_short(unit)!r}, which is not a length that pint understands; it is kept as text and cannot "
            "be converted. Pass voxel_unit= to say what is right.",
            UserWarning,
            stacklevel=3,
        )
        return UnknownUnit(unit)


def length_factor(source: str, target: str) -> float:
    """Return how many `target` units one `source` unit is long [-].

    Equal names need not be understood; two empty ones are the same.

    Raises
    ------
    ValueError
        If one of two different units is empty, is not understood, or is not a length.
    """
    if source == target:
        return 1.0
    for name, unit in (("source", source), ("target", target)):
        if unit == "":
            raise ValueError(
                f"{name} unit '' has no length, so {source!r} cannot be converted to {target!r}; name a unit."
            )
        if isinstance(unit, UnknownUnit):
            raise ValueError(
                f"{name} unit {str(unit)!r} is not a length that pint understands, so {str(source)!r} cannot be "
                f"converted to {str(target)!r}; set the image's voxel_unit to a known length first."
            )
        validate_unit(unit, f"{name} unit")
    return float(_metres(source) / _metres(target))

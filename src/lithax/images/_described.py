"""What is known of an image besides its voxels: names, unit and place, checked before they are
stored.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lithax.geometry import Frame

_TEXTS = ("field_name", "field_unit", "description")
_GEOMETRY = ("voxel_origin", "voxel_length", "voxel_unit")
DESCRIBED = (*_TEXTS, *_GEOMETRY)
"""What is known of an image besides its voxels; arguments of `create`."""


def description_of(image: Any) -> dict[str, Any]:
    """Return what is known of an image, or of a raw file, besides its voxels."""
    return {name: getattr(image, name) for name in DESCRIBED}


def geometry_of(frame: Frame) -> dict[str, Any]:
    """Return where a frame lies and how large its voxels are, in the words of `create`."""
    return {name: getattr(frame, name) for name in _GEOMETRY}


def metadata_changes(frame: Frame, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check changes of metadata against a frame and return them in the form that is stored.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a value wrong.
    """
    unknown = set(changes) - set(DESCRIBED)
    if unknown:
        raise TypeError(
            f"{', '.join(sorted(unknown))} cannot be updated; what can is {', '.join(DESCRIBED)}. "
            "Use image.attrs for metadata of your own."
        )
    for name in _TEXTS:
        if name in changes and not isinstance(changes[name], str):
            raise TypeError(f"{name}={changes[name]!r} must be text.")
    geometry = {name: changes[name] for name in _GEOMETRY if name in changes}
    dataclasses.replace(frame, **geometry)
    geometry = _in_one_unit(frame, geometry)
    checked = dataclasses.replace(frame, **geometry) if geometry else frame
    return {
        **{name: changes[name] for name in _TEXTS if name in changes},
        **{name: getattr(checked, name) for name in geometry},
    }


def _in_one_unit(frame: Frame, geometry: dict[str, Any]) -> dict[str, Any]:
    """Return changes of a frame so that lengths and origin are in the unit it will have."""
    unit = geometry.get("voxel_unit", frame.voxel_unit)
    names = ("voxel_length", "voxel_origin")
    missing = [name for name in names if name not in geometry]
    if str(unit) == str(frame.voxel_unit) or len(missing) != 1 or not any(getattr(frame, missing[0])):
        return geometry
    (name,) = missing
    try:
        return {**geometry, name: getattr(frame.to(unit), name)}
    except ValueError as error:
        raise ValueError(
            f"voxel_unit={unit!r} with {names[name == names[0]]}= alone leaves {name}={getattr(frame, name)} in "
            f"{str(frame.voxel_unit)!r}, which cannot be converted; give {name}= in {unit!r} as well."
        ) from error

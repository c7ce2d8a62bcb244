"""Parameters that are lengths: numbers of voxels, or text with a unit, such as "5 um"."""

import math
import re
from collections.abc import Mapping
from typing import Any

from lithax.geometry import Frame, length_factor

KINDS = ("width", "reach", "window", "ball", "scales", "widths", "spacing")
"""What a parameter is: a real number along each axis; whole voxels to both sides; the odd edge of a
box; one real number, for which voxels must be cubes; several of these; several real numbers,
each along each axis; the voxel length itself.
"""
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s.].*?)\s*")
_SLACK = 1e-9  # a length of whole voxels is not lost to rounding


def unit_needed(value: Any, kind: str) -> bool:
    """Whether a value of a parameter is known only with the voxels of an image."""
    if kind == "spacing":
        return isinstance(value, str)
    return isinstance(value, str) or (isinstance(value, tuple | list) and any(isinstance(v, str) for v in value))


def refuse_lengths(parameters: Mapping[str, Any], kinds: Mapping[str, str], op: str) -> None:
    """Raise ValueError where a parameter cannot be used without an image."""
    for name, kind in kinds.items():
        value = parameters.get(name)
        if not unit_needed(value, kind):
            continue
        named = f"{name}={value!r} of {op}()"
        texts = [v for v in (value if isinstance(value, tuple | list) else (value,)) if isinstance(v, str)]
        if kind != "spacing" and not all(map(_TEXT.fullmatch, texts)):
            raise ValueError(_no_length(named))
        raise ValueError(
            f"{named} is known only with the voxels of an image; give numbers of voxels here, or the operation and an image to "
            f"lx.chunk_map."
        )


def _no_length(named: str) -> str:
    return f"{named} is no length; give numbers of voxels, or for an image a number with a unit, such as '5 um'."


def lengths_in_voxels(parameters: Mapping[str, Any], kinds: Mapping[str, str], frame: Frame, op: str) -> dict[str, Any]:
    """Return the parameters of an operation with all lengths in voxels of an image.

    Raises
    ------
    ValueError
        If a text is no length, the image has no unit, or a ball is asked for and its voxels are not
        cubes.
    """
    return {
        name: _in_voxels(f"{name}={value!r} of {op}()", value, kinds[name], frame)
        if name in kinds and unit_needed(value, kinds[name])
        else value
        for name, value in parameters.items()
    }


def _in_voxels(named: str, value: Any, kind: str, frame: Frame) -> Any:
    if kind == "spacing":
        if value != "image":
            raise ValueError(f"{named} is not known; give numbers, or 'image' for the voxel length of the image.")
        return frame.voxel_length
    if kind in ("scales", "widths"):
        each = {"scales": "ball", "widths": "width"}[kind]
        return tuple(
            _in_voxels(named, v, each, frame) if isinstance(v, str) else v
            for v in (value if isinstance(value, tuple | list) else (value,))
        )
    entries = tuple(value) if isinstance(value, tuple | list) else (value,) * 3
    if len(entries) != 3:
        raise ValueError(f"{named} must be one length, or three, one per axis.")
    found = [_one(named, v, h, frame) for v, h in zip(entries, frame.voxel_length, strict=True)]
    if kind == "width":
        return tuple(found)
    if kind == "reach":
        return tuple(math.floor(v + _SLACK) for v in found)
    if kind == "window":
        return tuple(2 * math.floor(0.5 * v + _SLACK) + 1 for v in found)
    if not all(math.isclose(v, found[0], rel_tol=1e-6) for v in found):
        raise ValueError(
            f"{named} is the same in all directions, but a voxel is {' x '.join(f'{h:g}' for h in frame.voxel_length)} "
            f"{frame.voxel_unit}; resample the image to cubes first."
        )
    return found[0]


def _one(named: str, value: Any, voxel: float, frame: Frame) -> float:
    if not isinstance(value, str):
        return value
    parts = _TEXT.fullmatch(value)
    if parts is None:
        raise ValueError(_no_length(named))
    if not frame.unit_known:
        raise ValueError(
            f"{named}: the voxels of the image have no unit of length; give voxels, or say it with image.update(voxel_unit=...)."
        )
    try:
        return float(parts[1]) * length_factor(parts[2], frame.voxel_unit) / voxel
    except ValueError as error:
        raise ValueError(f"{named} is no length: {error}") from error

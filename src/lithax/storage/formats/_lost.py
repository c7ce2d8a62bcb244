"""What is known of an image and has no place in a format."""

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any


def without_place(image: Any, held: Collection[str]) -> list[str]:
    """Return the names of what is known of an image, other than the default, and not among what a
    format holds.
    """
    known = {
        "voxel_length": any(h != 1 for h in image.voxel_length),
        "voxel_unit": image.voxel_unit,
        "voxel_origin": any(image.voxel_origin),
        "field_name": image.field_name,
        "field_unit": image.field_unit,
        "description": image.description,
    }
    return [name for name, value in known.items() if value and name not in held]


def warn_of_lost(image: Any, file: Path, kind: str, held: Collection[str] = ()) -> None:
    """Name in one warning what a format has no place for."""
    if lost := without_place(image, held):
        warnings.warn(
            f"{file.name}: {kind} has no place for {', '.join(lost)}, which the file now lacks; NRRD keeps all that is known.",
            UserWarning,
            stacklevel=3,
        )

"""Where the axis of a core, or of a scanner, cuts its slices."""

import math
from typing import Any


def check_center(center: Any) -> tuple[float, float]:
    """Return where an axis cuts a slice.

    Raises
    ------
    ValueError
        If it is not two finite numbers.
    """
    try:
        place = tuple(float(c) for c in center)
    except (TypeError, ValueError):
        place = ()
    if len(place) != 2 or not all(map(math.isfinite, place)):
        raise ValueError(
            f"center={center!r} must be two voxel indices, where the axis cuts a slice, along the two other axes in their order."
        )
    return place

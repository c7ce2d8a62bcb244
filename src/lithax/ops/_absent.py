"""What a masked form returns where its neighbourhood holds no voxel at all: NaN, or 0 and False where there is no NaN."""

from typing import Any

from lithax.arrays import namespace
from lithax.typing import Array


def where_present(present: Array, value: Array) -> Array:
    """Keep `value` where `present`, and put NaN (0 for integers, False for booleans) elsewhere."""
    xp = namespace(value)
    absent: Any = float("nan") if xp.isdtype(value.dtype, "real floating") else value.dtype == xp.bool and False or 0
    return xp.where(present, value, xp.full_like(value, absent))

"""The square root where a quantity may be exactly zero."""

from lithax.arrays import namespace
from lithax.typing import Array


def smooth_root(x: Array) -> Array:
    """Return the square root of ``x >= 0``, with derivative 0 instead of infinity at 0; NaN stays
    NaN.
    """
    xp = namespace(x)
    zero = x == 0
    return xp.where(zero, x, xp.sqrt(xp.where(zero, xp.ones_like(x), x)))

"""What the masked forms share."""

from lithax.arrays import fence, namespace
from lithax.typing import Array


def where_present(present: Array, value: Array) -> Array:
    """Keep `value` where `present`; elsewhere put NaN, or 0 and False where there is no NaN.

    `present` is False where the neighbourhood of a voxel, itself included, holds no voxel that is
    taken in.
    """
    xp = namespace(value)
    if xp.isdtype(value.dtype, "real floating"):
        return xp.where(present, value, xp.full_like(value, float("nan")))
    return xp.where(present, value, xp.zeros_like(value))


def weighted(x: Array, valid: Array) -> tuple[Array, Array]:
    """Return `x` with zeros in place of the voxels left out, and weights of 1 and 0 in its dtype.

    The values go before anything is computed from them: multiplied by a weight of 0, a NaN would
    remain, and in a derivative it would remain even if the product were replaced afterwards.
    Fenced, or both would be made again for every tap.
    """
    xp = namespace(x)
    return fence(xp.where(valid, x, xp.zeros_like(x))), fence(xp.astype(valid, x.dtype))


def normalised(total: Array, weight: Array) -> Array:
    """Divide a weighted sum over the voxels taken in by the sum of their weights."""
    xp = namespace(total)
    present = weight > 0
    # A quotient that is discarded must still be finite: its derivative is multiplied by zero, not
    # dropped.
    return where_present(present, total / xp.where(present, weight, xp.ones_like(weight)))

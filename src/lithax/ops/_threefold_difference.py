"""The part of a field that varies along all three axes at once, voxel against voxel: mostly
noise.
"""

from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace
from lithax.ops._separable import AXES, shifted
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a standard normal number."""


def _sizes(block: Array) -> list[int]:
    return [n - 2 for n in block.shape]


def _difference(x: Array) -> Array:
    core = _sizes(x)
    for axis in AXES:
        x = shifted(x, axis, 1, core[axis]) - shifted(x, axis, 0, core[axis])
    return abs(x) * (1.0 / 8.0**0.5)


def _difference_masked(block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"]) -> Float[Any, "x-2 y-2 z-2"]:
    xp = namespace(block)
    x = as_real(block)
    x = _difference(xp.where(valid, x, xp.zeros_like(x)))
    core = _sizes(block)
    complete = valid
    for axis in AXES:
        complete = shifted(complete, axis, 1, core[axis]) & shifted(complete, axis, 0, core[axis])
    return xp.where(complete, x, xp.full_like(x, float("nan")))


@voxel_op(halo=1, masked=_difference_masked)
def threefold_difference(block: Shaped[Any, "x y z"]) -> Float[Any, "x-2 y-2 z-2"]:
    """Take the absolute difference along x, y and z, one after the other, of 2×2×2 voxels, over the
    root of 8.

    White noise of standard deviation s becomes absolute values with the mean square s²; what
    depends on one or two coordinates only vanishes. `lx.measure.noise` takes its median.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by one voxel. The eight voxels are
        this one and its neighbours on the lower side.

    Returns
    -------
        The difference, not negative, in the unit of `block`. Masked: NaN unless all eight are taken
        in.
    """
    return _difference(as_real(block))

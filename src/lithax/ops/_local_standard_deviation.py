"""The standard deviation in a box, without the cancellation of <x^2> - <x>^2."""

import operator
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace
from lithax.grid import Halo
from lithax.ops._masked import weighted, where_present
from lithax.ops._separable import AXES, CHEAP, shifted, windows
from lithax.ops._smooth_root import smooth_root
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import trim, window_halo, window_size
from lithax.typing import Array

LARGEST_SIZE = 501
"""Deviations are added one neighbour at a time; beyond this compiling takes minutes."""


def deviation_halo(size: Any = None, radius: Any = None) -> Halo:
    """Return the halo of a box, whose edge is bounded.

    Raises
    ------
    ValueError
        If it is longer than `LARGEST_SIZE`.
    """
    sizes = window_size(size, radius)
    if max(sizes) > LARGEST_SIZE:
        raise ValueError(
            f"size={size!r}, radius={radius!r}: a box of {max(sizes)} voxels is too wide; at most {LARGEST_SIZE} are possible. Work "
            f"on a coarser image (lx.ops.coarsen), or take the square root of the difference of two means (lx.ops.uniform)."
        )
    return window_halo(size, radius)


def _deviation(mean: Array, count: Any, sizes: tuple[int, int, int]) -> tuple[Array, Any]:
    # Variance over boxes, and the number of voxels in each; `count` is 1 for voxels taken in and 0
    # for others, or just 1.0.
    xp = namespace(mean)
    uniform = isinstance(count, float)
    squares = None
    for axis, size in ((axis, sizes[axis]) for axis in AXES if sizes[axis] > 1):
        if squares is not None and size > CHEAP:
            mean, squares = fence(mean), fence(squares)
            count = count if uniform else fence(count)
        length = mean.shape[axis] - size + 1
        if uniform:
            total = count * size
            merged = windows(mean, size, axis, operator.add) / float(size)
        else:
            total = windows(count, size, axis, operator.add)
            merged = windows(mean * count, size, axis, operator.add) / xp.where(total > 0, total, xp.ones_like(total))
        merged = fence(merged) if size > CHEAP else merged
        summed = None if squares is None else windows(squares, size, axis, operator.add)
        for k in range(size):
            part = (shifted(mean, axis, k, length) - merged) ** 2
            part = part * (count if uniform else shifted(count, axis, k, length))
            summed = part if summed is None else summed + part
        mean, squares, count = merged, summed, total
    if squares is None:
        return xp.zeros_like(mean), count
    return squares / (count if uniform else xp.where(count > 0, count, xp.ones_like(count))), count


def _real(block: Array) -> Array:
    if namespace(block).isdtype(block.dtype, "complex floating"):
        raise TypeError(
            f"an array of {block.dtype} has no standard deviation here; take its real part or its modulus first."
        )
    return as_real(block)


def _standard_deviation_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None
) -> Float[Any, "_ _ _"]:
    sizes = window_size(size, radius)
    x = _real(block)
    x, weight = weighted(x, valid)
    variance, count = _deviation(trim(x, sizes), trim(weight, sizes), sizes)
    return where_present(count > 0, smooth_root(variance))


@voxel_op(halo=deviation_halo, static=("size", "radius"), masked=_standard_deviation_masked)
def local_standard_deviation(
    block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None
) -> Float[Any, "_ _ _"]:
    """Take the standard deviation in a box (divided by the number of voxels, not one less).

    Mean and sum of squared deviations of rows are merged into those of planes and boxes, so nothing
    is lost where the deviation is small beside the mean. Integers and booleans are taken as floats.
    NaN reaches the voxels whose box contains it.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one
        voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local standard deviation, in the unit of `block`; its derivative is 0 where the box is
        constant. Masked: of the voxels taken in, NaN where the box holds none.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign; if
        the box is wider than 501 voxels.

    References
    ----------
    Chan, Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician
    37 (1983), eq. 1.5. doi:10.1080/00031305.1983.10483115
    """
    sizes = window_size(size, radius)
    x = trim(_real(block), sizes)
    return smooth_root(_deviation(x, 1.0, sizes)[0])

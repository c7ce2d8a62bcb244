"""The standard deviation in a box, without the cancellation of <x^2> - <x>^2."""

from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace
from lithax.grid import Halo
from lithax.ops._box_moments import box_moments
from lithax.ops._masked import weighted, where_present
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
    x = trim(x, sizes)
    _, _, variance, count = box_moments(x, x, trim(weight, sizes), sizes)
    return where_present(count > 0, smooth_root(variance))


@voxel_op(
    halo=deviation_halo,
    static=("size", "radius"),
    masked=_standard_deviation_masked,
    lengths={"size": "window", "radius": "reach"},
)
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
    return smooth_root(box_moments(x, x, 1.0, sizes)[2])

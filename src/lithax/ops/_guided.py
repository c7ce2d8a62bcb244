"""Smoothing that follows the edges of another image, or of the same."""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace
from lithax.grid import Halo
from lithax.ops._box_moments import box_moments
from lithax.ops._masked import where_present
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._uniform import uniform
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import window_size
from lithax.typing import Array


def guided_halo(radius: Any = 2) -> Halo:
    """Return the reach of two boxes, one after the other."""
    x, y, z = window_size(None, radius)
    return x - 1, y - 1, z - 1


def _inner(x: Array, widths: list[int]) -> Array:
    for axis, width in enumerate(widths):
        x = shifted(x, axis, width, x.shape[axis] - 2 * width)
    return x


def _guided(block: Array, guide: Array, valid: Array | None, epsilon: Any, radius: Any) -> Array:
    if is_number(epsilon) and not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(
            f"epsilon={epsilon!r} must be positive, a variance in the squared unit of the guide; the square of a few standard "
            f"deviations of the noise is usual (lx.measure.noise)."
        )
    xp = namespace(block, guide)
    if any(xp.isdtype(b.dtype, "complex floating") for b in (block, guide)):
        raise TypeError("guided takes real numbers; filter real and imaginary parts apart.")
    same = guide is block
    block = as_real(block)
    guide = block if same else as_real(guide)
    sizes = window_size(None, radius)
    reach = [n // 2 for n in sizes]
    count: Any = 1.0
    if valid is not None:
        block, guide = (fence(xp.where(valid, x, xp.zeros_like(x))) for x in (block, guide))
        count = fence(xp.astype(valid, guide.dtype))
    mean, variance = _of(guide, count, sizes)
    target, covariance = (mean, variance) if same else _with(guide, block, count, sizes)
    slope = fence(covariance / (variance + cast(epsilon, variance.dtype, "epsilon")))
    level = fence(target - slope * mean)
    if valid is None:
        slope, level = (uniform.body(x, size=sizes) for x in (slope, level))
        return slope * _inner(guide, [2 * r for r in reach]) + level
    assert uniform.masked is not None
    near = _inner(valid, reach)
    slope, level = (uniform.masked(x, near, size=sizes) for x in (slope, level))
    present = _inner(near, reach)
    zero = xp.zeros_like(slope)
    slope, level = xp.where(present, slope, zero), xp.where(present, level, zero)
    return where_present(present, slope * _inner(guide, [2 * r for r in reach]) + level)


def _of(guide: Array, count: Any, sizes: Halo) -> tuple[Array, Array]:
    mean, _, variance, _ = box_moments(guide, guide, count, sizes)
    return mean, variance


def _with(guide: Array, block: Array, count: Any, sizes: Halo) -> tuple[Array, Array]:
    _, target, covariance, _ = box_moments(guide, block, count, sizes)
    return target, covariance


def _guided_masked(
    block: Shaped[Any, "x y z"],
    guide: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    epsilon: Any,
    radius: Any = 2,
) -> Float[Any, "_ _ _"]:
    return _guided(block, guide, valid, epsilon, radius)


@voxel_op(halo=guided_halo, static="radius", masked=_guided_masked, lengths={"radius": "reach"})
def guided(
    block: Shaped[Any, "x y z"], guide: Shaped[Any, "x y z"], *, epsilon: Any, radius: Any = 2
) -> Float[Any, "_ _ _"]:
    """Smooth an image where its guide is smooth: in every box the result is the line through the
    guide that fits best, and a voxel takes the mean of the lines of the boxes that hold it.

    The guide is another image of the same voxels (a second energy, a scan with more exposure), or
    the image itself: where its variance in a box is far below `epsilon` the mean is taken, far
    above it stays. No gradient is reversed, and the cost per voxel is that of boxes: it grows with
    the radius only through their deviations. Neither scipy.ndimage nor scikit-image has it;
    OpenCV's ``ximgproc.guidedFilter`` works on planes.

    Differentiable in both images and in `epsilon`. NaN reaches every voxel within two radii.

    Parameters
    ----------
    block
        Field to be smoothed, one value per voxel; padded by twice `radius`.
    guide
        Image whose edges are followed; the same array for the image itself.
    epsilon
        Variance in a box below which it is smoothed, in the squared unit of the guide. May be
        traced.
    radius
        Radius of the boxes [voxel], one or three.

    Returns
    -------
        The smoothed field, in the unit of `block`. Masked: boxes hold the voxels taken in only; NaN
        where the voxel itself is left out.

    Raises
    ------
    ValueError
        If `epsilon` is not positive, or `radius` negative.

    References
    ----------
    He, Sun and Tang, Guided image filtering, IEEE Transactions on Pattern Analysis and Machine
    Intelligence 35 (2013) 1397-1409, eqs. 5-8. doi:10.1109/TPAMI.2012.213
    """
    return _guided(block, guide, None, epsilon, radius)

"""The smallest and the largest value in a box."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import namespace
from lithax.ops._masked import where_present
from lithax.ops._separable import along_axes, windows
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import trim, window_halo, window_size
from lithax.typing import Array

Combine = Callable[[Array, Array], Array]


def smaller(xp: Any, dtype: Any) -> Combine:
    """Return the function of two arrays that gives the smaller value; NaN wins."""
    if xp.isdtype(dtype, "bool"):
        return xp.logical_and
    _refuse_complex(xp, dtype)
    return xp.minimum


def larger(xp: Any, dtype: Any) -> Combine:
    """Return the function of two arrays that gives the larger value; NaN wins."""
    if xp.isdtype(dtype, "bool"):
        return xp.logical_or
    _refuse_complex(xp, dtype)
    return xp.maximum


def largest_value(xp: Any, dtype: Any) -> Any:
    """Return the value that no value of `dtype` exceeds: what `smaller` ignores."""
    if xp.isdtype(dtype, "bool"):
        return True
    return float("inf") if xp.isdtype(dtype, "real floating") else int(xp.iinfo(dtype).max)


def smallest_value(xp: Any, dtype: Any) -> Any:
    """Return the value that exceeds no value of `dtype`: what `larger` ignores."""
    if xp.isdtype(dtype, "bool"):
        return False
    return float("-inf") if xp.isdtype(dtype, "real floating") else int(xp.iinfo(dtype).min)


def _refuse_complex(xp: Any, dtype: Any) -> None:
    if xp.isdtype(dtype, "complex floating"):
        raise TypeError(f"an array of {dtype} has no order; take its real part or its modulus first.")


def _box(x: Array, sizes: tuple[int, int, int], combine: Combine) -> Array:
    return along_axes(trim(x, sizes), sizes, lambda v, axis: windows(v, sizes[axis], axis, combine))


def _box_masked(x: Array, valid: Array, sizes: tuple[int, int, int], combine: Combine, ignored: Any) -> Array:
    xp = namespace(x)
    kept = xp.where(valid, x, xp.full_like(x, ignored))
    return where_present(_box(valid, sizes, xp.logical_or), _box(kept, sizes, combine))


def _minimum_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None
) -> Shaped[Any, "_ _ _"]:
    xp, dtype = namespace(block), block.dtype
    return _box_masked(block, valid, window_size(size, radius), smaller(xp, dtype), largest_value(xp, dtype))


def _maximum_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None
) -> Shaped[Any, "_ _ _"]:
    xp, dtype = namespace(block), block.dtype
    return _box_masked(block, valid, window_size(size, radius), larger(xp, dtype), smallest_value(xp, dtype))


@voxel_op(halo=window_halo, static=("size", "radius"), masked=_minimum_masked)
def minimum(block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Take the smallest value in a box; `scipy.ndimage.minimum_filter`.

    The dtype is kept. NaN reaches every voxel whose box contains it.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local minimum, in the unit of `block`. Masked: over the voxels taken in; where the box holds none, NaN, or 0 and
        False where there is no NaN.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign.
    TypeError
        If `block` is complex.
    """
    return _box(block, window_size(size, radius), smaller(namespace(block), block.dtype))


@voxel_op(halo=window_halo, static=("size", "radius"), masked=_maximum_masked)
def maximum(block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Take the largest value in a box; `scipy.ndimage.maximum_filter`.

    The dtype is kept. NaN reaches every voxel whose box contains it.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local maximum, in the unit of `block`. Masked: over the voxels taken in; where the box holds none, NaN, or 0 and
        False where there is no NaN.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign.
    TypeError
        If `block` is complex.
    """
    return _box(block, window_size(size, radius), larger(namespace(block), block.dtype))

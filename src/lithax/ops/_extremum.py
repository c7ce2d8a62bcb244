"""The smallest and the largest value in a box."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import in_dtype_of, namespace, orderable
from lithax.ops._masked import where_present
from lithax.ops._separable import along_axes, windows
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import clipped_window, trim, window_halo, window_size
from lithax.typing import Array

Combine = Callable[[Array, Array], Array]


def on_ordered(block: Array, function: Callable[[Array], Array]) -> Array:
    """Apply a function that only compares and copies values, and keep the dtype.

    Raises
    ------
    TypeError
        If `block` is complex.
    """
    xp = namespace(block)
    if xp.isdtype(block.dtype, "complex floating"):
        raise TypeError(f"an array of {block.dtype} has no order; take its real part or its modulus first.")
    return in_dtype_of(function(orderable(block)), block)


def smaller(a: Array, b: Array) -> Array:
    """Return the smaller values; NaN wins."""
    xp = namespace(a)
    return a & b if xp.isdtype(a.dtype, "bool") else xp.minimum(a, b)


def larger(a: Array, b: Array) -> Array:
    """Return the larger values; NaN wins."""
    xp = namespace(a)
    return a | b if xp.isdtype(a.dtype, "bool") else xp.maximum(a, b)


def without(x: Array, valid: Array, combine: Combine) -> Array:
    """Put, where not `valid`, the value that `combine` (`smaller` or `larger`) passes over."""
    xp = namespace(x)
    if xp.isdtype(x.dtype, "bool"):
        ignored: Any = combine is smaller
    elif xp.isdtype(x.dtype, "real floating"):
        ignored = float("inf") if combine is smaller else float("-inf")
    else:
        limits = xp.iinfo(x.dtype)
        ignored = int(limits.max if combine is smaller else limits.min)
    return xp.where(valid, x, xp.full_like(x, ignored))


def _box(x: Array, sizes: tuple[int, int, int], combine: Combine) -> Array:
    return along_axes(trim(x, sizes), sizes, lambda v, axis: windows(v, sizes[axis], axis, combine))


def _masked(combine: Combine) -> Callable[..., Array]:
    """Return the form for selections of the box filter that combines values so."""

    def masked(
        block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None
    ) -> Shaped[Any, "_ _ _"]:
        sizes = window_size(size, radius)
        present = _box(valid, sizes, larger)
        return where_present(present, on_ordered(block, lambda x: _box(without(x, valid, combine), sizes, combine)))

    return masked


@voxel_op(
    halo=window_halo,
    static=("size", "radius"),
    masked=_masked(smaller),
    fit=clipped_window,
    lengths={"size": "window", "radius": "reach"},
)
def minimum(block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Take the smallest value in a box; `scipy.ndimage.minimum_filter`.

    The dtype is kept. NaN reaches every voxel whose box contains it.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one
        voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local minimum, in the unit of `block`. Masked: over the voxels taken in; where the box
        holds none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign.
    TypeError
        If `block` is complex.
    """
    sizes = window_size(size, radius)
    return on_ordered(block, lambda x: _box(x, sizes, smaller))


@voxel_op(
    halo=window_halo,
    static=("size", "radius"),
    masked=_masked(larger),
    fit=clipped_window,
    lengths={"size": "window", "radius": "reach"},
)
def maximum(block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Take the largest value in a box; `scipy.ndimage.maximum_filter`.

    The dtype is kept. NaN reaches every voxel whose box contains it.

    Parameters
    ----------
    block, size, radius
        As for `minimum`.

    Returns
    -------
        The local maximum, in the unit of `block`. Masked: over the voxels taken in; where the box
        holds none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError, TypeError
        As for `minimum`.
    """
    sizes = window_size(size, radius)
    return on_ordered(block, lambda x: _box(x, sizes, larger))

"""What lies outside the image: the five boundary rules as index maps, and padding by them.

The names mean what scipy.ndimage means by them, for a row ``a b c d``:

========  ======================
reflect   d c b a | a b c d | d c b a
mirror      d c b | a b c d | c b a
nearest   a a a a | a b c d | d d d d
wrap      a b c d | a b c d | a b c d
constant  k k k k | a b c d | k k k k
========  ======================
"""

from typing import Any

import numpy as np

from lithax.arrays._control import cond
from lithax.arrays._namespace import is_jax, namespace
from lithax.typing import Array

BOUNDARIES = ("reflect", "nearest", "mirror", "wrap", "constant")


def check_boundary(boundary: Any) -> str:
    """Return `boundary`, or raise ValueError naming those there are."""
    if boundary not in BOUNDARIES:
        raise ValueError(
            f"boundary={boundary!r} is not a boundary rule; use one of {', '.join(map(repr, BOUNDARIES))}."
        )
    return boundary


def boundary_index(position: Array, size: Any, boundary: str) -> Array:
    """Map positions on an axis of `size` voxels, some of them outside, to the positions whose value
    they take.

    For "constant" the nearest voxel stands in; the caller replaces it. `size` may be traced.
    """
    xp = namespace(position)
    if boundary == "wrap":
        return position % size
    if boundary == "reflect":
        folded = position % (2 * size)
        return xp.where(folded < size, folded, 2 * size - 1 - folded)
    if boundary == "mirror":
        folded = position % (2 * size - 2 + (size == 1))
        return xp.where(folded < size, folded, 2 * size - 2 - folded)
    return xp.where(position < 0, 0, xp.where(position >= size, size - 1, position))


def pad(x: Array, widths: tuple[int, ...], boundary: str, value: Any = 0) -> Array:
    """Pad both sides of every axis by `widths` voxels, by a boundary rule; widths may exceed the
    axis.
    """
    xp = namespace(x)
    for axis, width in enumerate(widths):
        if width == 0:
            continue
        size = x.shape[axis]
        if boundary == "constant":
            shape = list(x.shape)
            shape[axis] = width
            low = high = xp.full(tuple(shape), value, dtype=x.dtype, **_device(x))
        else:
            low = _rows(x, boundary_index(np.arange(-width, 0), size, boundary), axis)
            high = _rows(x, boundary_index(np.arange(size, size + width), size, boundary), axis)
        x = xp.concat([low, x, high], axis=axis)
    return x


def refill(x: Array, offset: Any, shape: Any, halo: tuple[int, ...], boundary: str, value: Any) -> Array:
    """Fill again, by a boundary rule, what lies outside the image within `halo` voxels of its
    faces.

    `offset` is the position in the image of the block's first voxel, `shape` the shape of the
    image; both may be traced. Voxels further outside are left as they are: nothing in the image
    depends on them.
    """
    outside = [
        (offset[axis] < 0) | (offset[axis] + x.shape[axis] > shape[axis]) for axis in range(x.ndim) if halo[axis]
    ]
    if not outside:
        return x
    anywhere = outside[0]
    for flag in outside[1:]:
        anywhere = anywhere | flag

    def fill(block: Array) -> Array:
        for axis in range(block.ndim):
            width = min(halo[axis], block.shape[axis])
            if width:
                for start in (-width, shape[axis]):
                    block = _refill_slab(block, offset[axis], start, width, shape[axis], axis, boundary, value)
        return block

    return cond(anywhere, fill, lambda block: block, x)


def _refill_slab(
    x: Array, offset: Any, start: Any, width: int, size: Any, axis: int, boundary: str, value: Any
) -> Array:
    # A window of `width` rows, moved into the block where it sticks out; rows inside the image keep
    # their values.
    xp = namespace(x)
    length = x.shape[axis]
    if is_jax(x):
        from jax import lax

        at = xp.clip(start - offset, 0, length - width)
        row = at + xp.arange(width, dtype=at.dtype if hasattr(at, "dtype") else None)
        source = xp.clip(boundary_index(row + offset, size, boundary) - offset, 0, length - 1)
        kept = lax.dynamic_slice_in_dim(x, at, width, axis)
        new = xp.full_like(kept, value) if boundary == "constant" else xp.take(x, source, axis=axis, mode="clip")
        outside = xp.reshape((row + offset < 0) | (row + offset >= size), _along(axis, x.ndim))
        return lax.dynamic_update_slice_in_dim(x, xp.where(outside, new, kept), at, axis)
    at = min(max(start - int(offset), 0), length - width)
    row = np.arange(at, at + width)
    position = row + int(offset)
    outside = (position < 0) | (position >= size)
    if not outside.any():
        return x
    source = np.clip(boundary_index(position, size, boundary) - int(offset), 0, length - 1)
    everywhere = np.arange(length)
    everywhere[row[outside]] = source[outside]
    filled = _rows(x, everywhere, axis)
    if boundary == "constant":
        flags = np.zeros(length, dtype=bool)
        flags[row[outside]] = True
        flags = xp.asarray(flags.reshape(_along(axis, x.ndim)), **_device(x))
        filled = xp.where(flags, xp.asarray(value, dtype=x.dtype, **_device(x)), filled)
    return filled


def _rows(x: Array, index: np.ndarray, axis: int) -> Array:
    xp = namespace(x)
    return xp.take(x, xp.asarray(index, **_device(x)), axis=axis)


def _along(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(-1 if a == axis else 1 for a in range(ndim))


def _device(x: Array) -> dict[str, Any]:
    # A traced array has no device; elsewhere new arrays must join the block they belong to.
    if is_jax(x) or isinstance(x, np.ndarray):
        return {}
    return {"device": x.device}

"""Casting that loses nothing but the last digits of floating-point numbers."""

from typing import Any

import numpy as np

from lithax.grid import Index


def cast_exactly(values: np.ndarray, dtype: np.dtype, start: Index = (0, 0, 0), name: str = "dtype") -> np.ndarray:
    """Return values as another type, or say which one it cannot hold.

    Between floating-point types values are rounded, as long as they stay finite. Everything else
    must be exact: fractions and NaN do not become integers, integers do not become floats that
    differ from them, and only 0 and 1 become booleans.

    Parameters
    ----------
    values
        Voxels of a block.
    dtype
        Type to cast to.
    start
        Place in the image of the block's first voxel, for the message.
    name
        What the user calls `dtype`, for the message.

    Raises
    ------
    TypeError
        If complex values would become real.
    ValueError
        If a value cannot be held; it is named.
    """
    source, target = values.dtype, dtype.newbyteorder("=")
    if source == target or source.kind == "b":
        return values.astype(target, copy=False)
    if source.kind == "c" and target.kind != "c":
        raise TypeError(
            f"{name}={str(target)!r} cannot hold the complex values of this image; "
            "keep a complex type, or write the two parts to two files (split_complex=True)."
        )
    if source.kind == "c":
        with np.errstate(over="ignore"):
            cast = values.astype(target)
        wrong = np.isfinite(values) & ~np.isfinite(cast)
    elif target.kind == "b":
        cast = values.astype(target)
        wrong = (values != 0) & (values != 1)
    elif target.kind in "ui":
        cast, wrong = _to_integer(values, target)
    else:
        cast, wrong = _to_floating(values, target)
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        voxel = tuple(int(p) + s for p, s in zip(place, start, strict=True))
        raise ValueError(
            f"{name}={str(target)!r} cannot hold the value {values[place]!s} of voxel {voxel}{_limits(target)}; "
            f"choose a wider type, or rescale, round or clip the image first."
        )
    return cast


def _to_integer(values: np.ndarray, target: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    info = np.iinfo(target)
    if values.dtype.kind == "f":
        # Both bounds are powers of two (or zero), which every floating type but float16 has.
        wide = values if values.dtype.itemsize > 2 else values.astype(np.float32)
        wrong = ~((wide >= float(info.min)) & (wide < float(info.max) + 1) & (np.trunc(wide) == wide))
    else:
        own = np.iinfo(values.dtype)
        wrong = np.zeros(values.shape, dtype=bool)
        if own.min < info.min:
            wrong |= values < info.min
        if own.max > info.max:
            wrong |= values > info.max
    with np.errstate(invalid="ignore"):
        return values.astype(target), wrong


def _to_floating(values: np.ndarray, target: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore"):
        cast = values.astype(target)
    if values.dtype.kind == "f":
        return cast, np.isfinite(values) & ~np.isfinite(cast)
    real = np.real(cast)
    own = np.iinfo(values.dtype)
    if own.bits - (own.min < 0) <= np.finfo(real.dtype).nmant + 1 and own.max <= np.finfo(real.dtype).max:
        return cast, np.zeros(values.shape, dtype=bool)
    wide = real.astype(np.float64)
    # Rounded up to the first integer beyond the type, a value could not be cast back.
    inside = (wide >= float(own.min)) & (wide < float(own.max) + 1)
    return cast, ~inside | (np.where(inside, wide, 0).astype(values.dtype) != values)


def _limits(target: np.dtype) -> str:
    if target.kind == "b":
        return " (0 or 1)"
    info: Any = np.iinfo(target) if target.kind in "ui" else np.finfo(target)
    return f" ({info.min} to {info.max})"

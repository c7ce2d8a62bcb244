"""Voxels in dtypes that every array library computes with, and the sums they need."""

import math
from typing import Any

import numpy as np

from lithax.arrays import is_jax, namespace, widest_float, widest_integer
from lithax.typing import Array


def dtype_name(x: Any) -> str:
    """Return the dtype of an array of any library by NumPy's name: "float32", "uint8", "bool"."""
    dtype = x.dtype
    return dtype.name if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2]


def plain(x: Array) -> Array:
    """Return the same values in a dtype in which all libraries can compare and subtract.

    Booleans and integers up to 16 bits become int32, 32-bit unsigned ones int64; half-precision
    floats become float32. The rest stays.
    """
    xp = namespace(x)
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(f"The array is complex ({x.dtype}), and has no order; measure its real part, or its magnitude.")
    if xp.isdtype(x.dtype, "bool"):
        return xp.astype(x, xp.int32)
    if xp.isdtype(x.dtype, "integral"):
        name = dtype_name(x)
        if name in ("int8", "uint8", "int16", "uint16"):
            return xp.astype(x, xp.int32)
        if name == "uint32" and widest_integer(xp) == xp.int64:
            return xp.astype(x, xp.int64)
        return x
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def is_float(x: Array) -> bool:
    """Whether the array holds floating-point numbers."""
    return namespace(x).isdtype(x.dtype, "real floating")


def as_sum(x: Array) -> Array:
    """Return the values in the dtype in which sums are kept: float64."""
    xp = namespace(x)
    return xp.astype(plain(x), widest_float(xp))


def total(x: Array) -> Array:
    """Add up all voxels in their own dtype."""
    return namespace(x).sum(x, dtype=x.dtype)


def count(flags: Array) -> Array:
    """Return the number of True, in the widest integers."""
    xp = namespace(flags)
    return xp.sum(xp.astype(flags, xp.uint8), dtype=widest_integer(xp))


def voxels(x: Array, valid: Array | None) -> Array:
    """Return the number of voxels taken in."""
    if valid is not None:
        return count(valid)
    return constant(math.prod(x.shape), widest_integer(namespace(x)), like=x)


def constant(value: Any, dtype: Any, like: Array) -> Array:
    """Return a number as an array of the library, and on the device, of `like`."""
    xp = namespace(like)
    if is_jax(like) or isinstance(like, np.ndarray):
        return xp.asarray(value, dtype=dtype)
    return xp.asarray(value, dtype=dtype, device=like.device)


def sequence(length: int, like: Array) -> Array:
    """Return 0 ... length - 1 as an array of the library, and on the device, of `like`."""
    return constant(np.arange(length), widest_integer(namespace(like)), like=like)

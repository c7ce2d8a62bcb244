"""Voxel arithmetic with NumPy's rules of types, on every array library.

The dtype in which a NumPy ufunc would compute is looked up in NumPy itself, and both operands are
cast to it before the operation; so 8-bit 10 times 0.5 is 5.0 and not 0, whatever library the arrays
come from.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.arrays import gaps_named, in_dtype_of, is_array, is_jax, namespace, order_shift, orderable, wrapping
from lithax.typing import Array


def set(a: Array, b: Any) -> Array:
    """Return `b` in the shape of `a` (numpy.copyto)."""
    xp = namespace(a, b)
    return xp.broadcast_to(b, a.shape) if is_array(b) else xp.full(a.shape, b)


def add(a: Array, b: Any) -> Array:
    """Return ``a + b`` (numpy.add)."""
    return _binary(np.add, "add", a, b)


def subtract(a: Array, b: Any) -> Array:
    """Return ``a - b`` (numpy.subtract); unsigned integers wrap as NumPy's do."""
    return _binary(np.subtract, "subtract", a, b)


def multiply(a: Array, b: Any) -> Array:
    """Return ``a * b`` (numpy.multiply)."""
    return _binary(np.multiply, "multiply", a, b)


def divide(a: Array, b: Any) -> Array:
    """Return ``a / b`` as real numbers (numpy.true_divide)."""
    return _binary(np.true_divide, "divide", a, b)


def minimum(a: Array, b: Any) -> Array:
    """Return the smaller of the two; NaN if one is (numpy.minimum)."""
    return _binary(np.minimum, "minimum", a, b)


def maximum(a: Array, b: Any) -> Array:
    """Return the larger of the two; NaN if one is (numpy.maximum)."""
    return _binary(np.maximum, "maximum", a, b)


def logical_and(a: Array, b: Any) -> Array:
    """Return whether both are not 0 (numpy.logical_and)."""
    return _truth(a, b, lambda p, q: p & q)


def logical_or(a: Array, b: Any) -> Array:
    """Return whether at least one is not 0 (numpy.logical_or)."""
    return _truth(a, b, lambda p, q: p | q)


def logical_xor(a: Array, b: Any) -> Array:
    """Return whether exactly one is not 0 (numpy.logical_xor)."""
    return _truth(a, b, lambda p, q: p ^ q)


def average(a: Array, b: Any) -> Array:
    """Return the mean of the two as a real number: halves are added, so that no sum overflows."""
    xp, a, b, dtype = _cast(np.true_divide, a, b)
    half = xp.asarray(0.5, dtype=dtype)
    return a * half + b * half


def absolute_difference(a: Array, b: Any) -> Array:
    """Return the larger minus the smaller: no wrap for unsigned integers, unlike ``abs(a - b)``."""
    xp, a, b, _ = _cast(np.maximum, a, b)
    if xp.isdtype(a.dtype, "complex floating"):
        return xp.abs(a - b)
    if xp.isdtype(a.dtype, "bool"):
        return a ^ b
    if order_shift(a):
        a, b = orderable(a), orderable(b)
        return (xp.maximum(a, b) - xp.minimum(a, b)).view(xp.uint64)  # the shift of both cancels
    return in_dtype_of(xp.maximum(orderable(a), orderable(b)) - xp.minimum(orderable(a), orderable(b)), a)


ARITHMETIC: dict[str, Callable[[Array, Any], Array]] = {
    f.__name__: f
    for f in (
        set, add, subtract, multiply, divide, logical_and, logical_or, logical_xor, minimum, maximum, average,
        absolute_difference,
    )
}  # fmt: skip
"""The operations by name."""


def _binary(ufunc: np.ufunc, name: str, a: Any, b: Any) -> Array:
    xp, a, b, _ = _cast(ufunc, a, b)
    if xp.isdtype(a.dtype, "bool") and name in ("add", "maximum"):
        return a | b
    if xp.isdtype(a.dtype, "bool") and name in ("multiply", "minimum"):
        return a & b
    if name in ("minimum", "maximum"):
        if xp.isdtype(a.dtype, "complex floating") and not isinstance(a, np.ndarray) and not is_jax(a):
            raise TypeError(f"{name} of {a.dtype}: complex numbers have no order; take real parts or magnitudes first.")
        return in_dtype_of(getattr(xp, name)(orderable(a), orderable(b)), a)
    if name in ("add", "subtract"):
        signed = getattr(xp, name)(wrapping(a), wrapping(b))
        return signed if signed.dtype == a.dtype or wrapping(a) is a else signed.view(a.dtype)
    with gaps_named(name, a, b):
        return getattr(xp, name)(a, b)


def _truth(a: Any, b: Any, combine: Callable) -> Array:
    xp = namespace(a, b)
    first, second = (xp.asarray(v) for v in (a, b))
    return combine(*(v if xp.isdtype(v.dtype, "bool") else v != 0 for v in (first, second)))


def _cast(ufunc: np.ufunc, a: Any, b: Any) -> tuple[Any, Array, Array, Any]:
    xp = namespace(a, b)
    kinds = tuple(
        numpy_dtype(v.dtype) if is_array(v) else np.dtype(bool) if isinstance(v, bool) else type(v) for v in (a, b)
    )
    try:
        left, right, _ = ufunc.resolve_dtypes((*kinds, None))
    except TypeError:
        raise TypeError(
            f"NumPy has no {ufunc.__name__} of {kinds[0]} and {kinds[1]}; convert one of them first."
        ) from None
    for value, dtype in ((a, left), (b, right)):
        if isinstance(value, int) and not isinstance(value, bool) and dtype.kind in "iu":
            limits = np.iinfo(dtype)
            if not limits.min <= value <= limits.max:
                raise OverflowError(
                    f"the number {value} does not fit into {dtype} ({limits.min} to {limits.max}); give it a wider type, "
                    f"for example numpy.int64({value}), or convert the image."
                )
    wanted = _namespace_dtype(xp, left)
    first = xp.astype(a, wanted) if is_array(a) else xp.asarray(a, dtype=wanted)
    wanted = _namespace_dtype(xp, right)
    second = xp.astype(b, wanted) if is_array(b) else xp.asarray(b, dtype=wanted)
    return xp, first, second, wanted


def numpy_dtype(dtype: Any) -> np.dtype:
    """Return a dtype of any array library as NumPy's."""
    try:
        return np.dtype(dtype)
    except TypeError:
        return np.dtype(str(dtype).rsplit(".", 1)[-1])


def _namespace_dtype(xp: Any, dtype: np.dtype) -> Any:
    return getattr(xp, "bool" if dtype == np.bool_ else dtype.name)

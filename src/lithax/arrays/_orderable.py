"""Values whose order the library knows, and what it lacks said in words."""

import contextlib
from collections.abc import Iterator
from typing import Any

import array_api_compat

from lithax.arrays._namespace import namespace
from lithax.typing import Array

_WIDER = {"torch.uint16": "int32", "torch.uint32": "int64"}
_SIGN = -(2**63)


def orderable(x: Array) -> Array:
    """Return `x` in a dtype that its library can compare and order; `in_dtype_of` is the way back.

    PyTorch stores unsigned integers but does not order them. Those of 16 and 32 bits are widened;
    those of 64 bits become signed ones, lowered by 2**63 (`order_shift`), in the same order. All
    else is returned as it is.
    """
    if array_api_compat.is_torch_array(x):
        xp: Any = namespace(x)
        if wider := _WIDER.get(str(x.dtype)):
            return xp.astype(x, getattr(xp, wider))
        if str(x.dtype) == "torch.uint64":
            return x.view(xp.int64) ^ _SIGN
    return x


def order_shift(x: Array) -> int:
    """Return how much lower the numbers of ``orderable(x)`` are than those of `x`."""
    return -_SIGN if array_api_compat.is_torch_array(x) and str(x.dtype) == "torch.uint64" else 0


def in_dtype_of(values: Array, x: Array) -> Array:
    """Return values of ``orderable(x)`` in the dtype of `x`."""
    xp: Any = namespace(values)
    if order_shift(x) and values.dtype == xp.int64:
        return (values ^ _SIGN).view(xp.uint64)
    return xp.astype(values, x.dtype, copy=False)


def wrapping(x: Array) -> Array:
    """Return integers in a signed dtype of the same size where the library adds none of their own;
    sums wrap alike.
    """
    if array_api_compat.is_torch_array(x) and str(x.dtype) in (*_WIDER, "torch.uint64"):
        xp: Any = namespace(x)
        return x.view(getattr(xp, str(x.dtype).removeprefix("torch.u")))
    return x


@contextlib.contextmanager
def gaps_named(name: str, *arrays: Any) -> Iterator[None]:
    """Let an error say which operation a library lacks for a dtype, and what works instead.

    Parameters
    ----------
    name
        What was asked for.
    arrays
        What it was asked of.
    """
    try:
        yield
    except (NotImplementedError, RuntimeError, TypeError) as error:
        torch = [x for x in arrays if array_api_compat.is_torch_array(x)]
        missing = isinstance(error, NotImplementedError) or "not implemented for" in str(error)
        if not torch or not missing:
            raise
        kinds = ", ".join(sorted({str(x.dtype).removeprefix("torch.") for x in torch}))
        raise TypeError(
            f"{name}: PyTorch has no such operation for {kinds} ({str(error).splitlines()[0]}); it works with bool, uint8, int8 to "
            "int64, float32 and float64, to which the array can be converted, and with NumPy and JAX arrays of any dtype."
        ) from error

"""Which types a raw file may hold, under which names."""

import re
from typing import Any, Literal

import numpy as np

_BYTE_ORDERS: dict[str, Literal["=", "<", ">"]] = {
    "=": "=",
    "<": "<",
    ">": ">",
    "little": "<",
    "big": ">",
    "native": "=",
}


def raw_dtype(dtype: Any, name: str = "dtype") -> np.dtype:
    """Return the type of the voxels of a raw file, with its byte order.

    Raises
    ------
    TypeError
        If it is not a boolean, or an integer, float or complex number of a size that Zarr stores.
    """
    if isinstance(dtype, str) and re.fullmatch(r"[<>=|]?[iu]16|u?int128", dtype):
        raise TypeError(
            f"{name}={dtype!r} is a 128-bit integer, which neither NumPy nor Zarr has; "
            "convert the file to integers of at most 64 bits first."
        )
    try:
        result = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"{name}={dtype!r} is not a NumPy data type; use for example 'u1', '<u2' or '>f4'.") from error
    if result.kind not in "biufc" or result.hasobject:
        raise TypeError(f"{name}={dtype!r} must be a boolean, integer, float or complex type, such as '<u2'.")
    if result.itemsize > (16 if result.kind == "c" else 8):
        plain = "c16" if result.kind == "c" else "f8"
        raise TypeError(
            f"{name}={dtype!r} is extended precision, which differs between machines and which Zarr does not store; "
            f"convert the file first: numpy.fromfile(file, {str(dtype)!r}).astype({plain!r}).tofile(...)."
        )
    return result


def with_byteorder(dtype: np.dtype, byteorder: str) -> np.dtype:
    """Return a type in a byte order: "=" or "native", "<" or "little", ">" or "big"."""
    if byteorder not in _BYTE_ORDERS:
        raise ValueError(f"byteorder={byteorder!r} must be '=', '<' or '>' (native, little, big).")
    return dtype.newbyteorder(_BYTE_ORDERS[byteorder])


def raw_order(order: Any) -> str:
    """Return "F" or "C", in capitals."""
    text = order.upper() if isinstance(order, str) else order
    if text not in ("F", "C"):
        raise ValueError(f"order={order!r} must be 'F' (x runs fastest in the file) or 'C' (z runs fastest).")
    return text

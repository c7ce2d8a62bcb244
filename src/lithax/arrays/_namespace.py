"""Which array library is at hand, and the few questions whose answer depends on it."""

import sys
from typing import Any

import array_api_compat
import numpy as np

from lithax.typing import Array


def namespace(*values: Any) -> Any:
    """Return the array-API namespace of the arrays among `values` (NumPy if there is none).

    Python numbers, booleans and None may stand among them. Two libraries at once are a TypeError,
    except that NumPy arrays and scalars mix with JAX.
    """
    arrays = [v for v in values if is_array(v)]
    if not arrays:
        return array_api_compat.array_namespace(np.empty(0))
    if len(arrays) > 1 and any(array_api_compat.is_jax_array(v) for v in arrays):
        arrays = [v for v in arrays if not isinstance(v, np.ndarray | np.generic)]
    return array_api_compat.array_namespace(*arrays)


def is_array(value: Any) -> bool:
    """Whether `value` is an array of a library that the array-API standard describes."""
    return array_api_compat.is_array_api_obj(value)


def is_jax(*values: Any) -> bool:
    """Whether any of the values is a JAX array (or the JAX namespace itself); never imports JAX."""
    jax = sys.modules.get("jax")
    return jax is not None and any(v is jax.numpy or isinstance(v, jax.Array) for v in values)


def is_traced(value: Any) -> bool:
    """Whether `value` is an abstract JAX value, known only when the compiled function runs."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.core.Tracer)


def to_numpy(value: Array) -> np.ndarray:
    """Return the array in host memory (a view where the library allows one)."""
    if isinstance(value, np.ndarray):
        return value
    if array_api_compat.is_torch_array(value):
        # Lazily conjugated and negated tensors are worked out; NumPy has no bfloat16, and float32
        # holds all of them.
        value = value.detach().resolve_conj().resolve_neg().cpu()
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if array_api_compat.is_cupy_array(value):
        return value.get()
    if hasattr(value, "__array_namespace__") and not is_jax(value) and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value)


def real_dtype(xp: Any, dtype: Any) -> Any:
    """Return the floating type in which a real-valued filter of `dtype` works.

    Booleans, 8- and 16-bit integers, and floats up to 32 bits give float32; 32- and 64-bit integers
    and float64 give float64; complex types stay as they are.
    """
    if xp.isdtype(dtype, "complex floating"):
        return dtype
    if xp.isdtype(dtype, "real floating"):
        return xp.float64 if dtype == xp.float64 else xp.float32
    if xp.isdtype(dtype, "bool"):
        return xp.float32
    return xp.float64 if xp.iinfo(dtype).bits >= 32 else xp.float32


def as_real(x: Any) -> Any:
    """Return an array in the type in which a real-valued filter of it works; see `real_dtype`."""
    xp = namespace(x)
    return xp.astype(x, real_dtype(xp, x.dtype), copy=False)

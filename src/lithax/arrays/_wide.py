"""The widest numbers that are at hand: JAX has 64 bits only inside a scope that asks for them."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import array_api_compat

from lithax.arrays._namespace import is_jax, is_traced, namespace
from lithax.typing import Array


def widest_float(xp: Any) -> Any:
    """Return float64, or float32 on JAX outside an x64 scope: the dtype in which sums are kept."""
    return xp.float64 if not is_jax(xp) or _is_wide() else xp.float32


def widest_integer(xp: Any) -> Any:
    """Return int64, or int32 on JAX outside an x64 scope."""
    return xp.int64 if not is_jax(xp) or _is_wide() else xp.int32


def wide_scope(*values: Any) -> AbstractContextManager:
    """Return a context in which 64-bit numbers stay 64-bit, for eager work on JAX arrays.

    It holds for the calling thread only and leaves the global setting alone. Values that are being
    traced belong to a function whose caller has decided already: nothing is changed for them, nor
    for other libraries.
    """
    if is_jax(*values) and not any(is_traced(v) for v in values):
        import jax

        return jax.enable_x64(True)
    return nullcontext()


def is_kept(x: Array) -> bool:
    """Whether a function that JAX compiles now keeps the type of an array of it: not where its 64
    bits are off.
    """
    import jax

    return jax.dtypes.canonicalize_dtype(x.dtype) == x.dtype


def _is_wide() -> bool:
    import jax

    return jax.dtypes.canonicalize_dtype("int64") == "int64"


def split_integers(x: Array, bits: int) -> tuple[Array, Array]:
    """Return the low bits, not negative, and the rest of 64-bit integers, as int64: ``x == low +
    (high << bits)``.
    """
    xp: Any = namespace(x)
    unsigned = str(x.dtype).endswith("uint64")
    if array_api_compat.is_torch_array(x):
        x = x.view(xp.int64)  # PyTorch stores uint64 but does not shift it
    low, high = x & ((1 << bits) - 1), x >> bits
    if unsigned:
        high = high & ((1 << (64 - bits)) - 1)
    return xp.astype(low, xp.int64), xp.astype(high, xp.int64)

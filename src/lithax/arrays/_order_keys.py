"""Whole numbers in the order of the values they stand for, for a search bit by bit."""

from typing import Any

from lithax.typing import Array


def order_keys(x: Array) -> tuple[Array, int]:
    """Return unsigned integers in the order of a JAX array's values, and how many of their bits are
    in use.

    NaN becomes the largest key, and -0.0 the same key as 0.0.
    """
    import jax
    from jax import numpy as jnp

    dtype = jnp.dtype(x.dtype)
    if dtype == jnp.bool_:
        return x.astype(jnp.uint8), 1
    bits = 8 * dtype.itemsize
    unsigned = jnp.dtype(f"uint{bits}")
    if jnp.issubdtype(dtype, jnp.unsignedinteger):
        return x, bits
    top = jnp.asarray(1 << (bits - 1), unsigned)
    if jnp.issubdtype(dtype, jnp.signedinteger):
        return jax.lax.bitcast_convert_type(x, unsigned) ^ top, bits
    raw = jax.lax.bitcast_convert_type(x + jnp.zeros((), dtype), unsigned)  # -0.0 + 0.0 is 0.0
    keys = jnp.where(raw >= top, ~raw, raw | top)
    return jnp.where(jnp.isnan(x), jnp.asarray((1 << bits) - 1, unsigned), keys), bits


def from_order_keys(keys: Array, dtype: Any) -> Array:
    """Return the values of `dtype` that keys of `order_keys` stand for."""
    import jax
    from jax import numpy as jnp

    dtype = jnp.dtype(dtype)
    if dtype == jnp.bool_:
        return keys != 0
    bits = 8 * dtype.itemsize
    if jnp.issubdtype(dtype, jnp.unsignedinteger):
        return keys
    top = jnp.asarray(1 << (bits - 1), keys.dtype)
    if jnp.issubdtype(dtype, jnp.signedinteger):
        return jax.lax.bitcast_convert_type(keys ^ top, dtype)
    return jax.lax.bitcast_convert_type(jnp.where(keys >= top, keys ^ top, ~keys), dtype)

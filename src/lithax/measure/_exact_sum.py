"""Sums that leave no accumulator: integers in limbs of 32 bits with carry, floats beside a scaled
sum.
"""

from typing import Any

import numpy as np

from lithax.arrays import namespace, split_integers, widest_integer
from lithax.measure._measurement import State
from lithax.measure._numbers import as_sum, constant, dtype_name, is_float, plain, total
from lithax.measure._state import widened
from lithax.typing import Array

BITS = 32
"""Bits of a limb: 2³¹ of them fit into a 64-bit integer before the carry, and no block is as long.
"""

SCALE = 64
"""float64 sums are kept once more in units of 2⁶⁴, where 2⁶⁴ voxels of any size cannot overflow."""


def sum_state(x: Array, valid: Array | None) -> State:
    """Return the sum of the voxels as a state of `join_sums`."""
    if is_float(x):
        return float_sums(as_sum(x) if valid is None else kept_or_zero(as_sum(x), valid), dtype_name(x))
    xp = namespace(x)
    if widest_integer(xp) != xp.int64:  # JAX outside an x64 scope: there are no wider integers to carry into
        return {"limbs": xp.reshape(total(kept_or_zero(xp.astype(plain(x), xp.int32), valid)), (1,))}
    if dtype_name(x) in ("int64", "uint64"):
        low, high = (total(kept_or_zero(part, valid)) for part in split_integers(x, BITS))
    else:
        low = total(kept_or_zero(xp.astype(plain(x), xp.int64), valid))
        high = constant(0, xp.int64, like=x)
    return {"limbs": _carried(xp.stack([low, high, constant(0, xp.int64, like=x)]))}


def float_sums(x: Array, dtype: str = "float64", axis: Any = None) -> State:
    """Return float sums along `axis`, once more in units of 2⁶⁴ where values of `dtype` could
    overflow.
    """
    xp = namespace(x)
    with np.errstate(over="ignore", invalid="ignore"):  # the sum itself, where the scaled one is wanted
        state = {"sum": xp.sum(x, axis=axis, dtype=x.dtype)}
    if dtype == "float64" and x.dtype == xp.float64:
        state["scaled"] = xp.sum(x * constant(2.0**-SCALE, x.dtype, like=x), axis=axis, dtype=x.dtype)
    return state


def join_sums(a: State, b: State) -> State:
    """Join two states of sums, of any library; zeros are the neutral element."""
    joined = {name: a[name] + b[name] for name in a}
    if "limbs" in joined and joined["limbs"].shape[0] > 1:
        joined["limbs"] = _carried(joined["limbs"])
    return joined


def combine_sums(a: State, b: State) -> State:
    """Join two states of sums in host memory."""
    with np.errstate(over="ignore", invalid="ignore"):
        return join_sums(widened(a), widened(b))


def finished_sum(state: State) -> int | float:
    """Return the sum: an integer of any size, or a float, infinite only if the sum itself is."""
    if "limbs" in state:
        return sum(int(limb) << (BITS * place) for place, limb in enumerate(state["limbs"]))
    return finished_floats(state).item()


def finished_mean(state: State, count: int) -> float:
    """Return the sum over the count, NaN for none; the mean of finite numbers is finite."""
    if not count:
        return float("nan")
    return finished_sum(state) / count if "limbs" in state else finished_floats(state, count).item()


def finished_floats(state: State, count: Any = 1) -> np.ndarray:
    """Return float sums divided by a count; where only the sum has overflowed, from the scaled
    one.
    """
    value = np.asarray(state["sum"], np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = value / count
        if "scaled" in state:
            mean = np.where(np.isfinite(value), mean, np.asarray(state["scaled"]) / count * 2.0**SCALE)
    return np.asarray(mean)


def kept_or_zero(x: Array, valid: Array | None) -> Array:
    """Return the voxels taken in, zero in place of the others."""
    return x if valid is None else namespace(x).where(valid, x, constant(0, x.dtype, like=x))


def _carried(limbs: Array) -> Array:
    # Limbs but the last become 0 ... 2**BITS - 1: a sum has one form, however its parts were
    # grouped.
    xp = namespace(limbs)
    low, middle, high = (limbs[i] for i in range(3))
    bits, mask = (constant(n, limbs.dtype, like=limbs) for n in (BITS, (1 << BITS) - 1))
    middle = middle + xp.bitwise_right_shift(low, bits)
    high = high + xp.bitwise_right_shift(middle, bits)
    return xp.stack([xp.bitwise_and(low, mask), xp.bitwise_and(middle, mask), high])

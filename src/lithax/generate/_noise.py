"""Noise that is a function of the voxel: a counter-based generator, whose counter is the global
index.

The value at voxel (i, j, k) is a hash of (seed, i, j, k), by the cipher Threefry 2x32 with 13
rounds, the fewest that pass every test of BigCrush. It needs only additions, rotations and
exclusive-ors of 32-bit words, so that every array library gives the same bits, in any block, on any
device. Each index is used as such, not as part of a linear one, which would overflow 32 bits at
1291 voxels along each axis.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2, 3,
SC'11 (2011), section 4.2 and table 2. doi:10.1145/2063384.2063405 G. E. P. Box, M. E. Muller, A
note on the generation of random normal deviates, Annals of Mathematical Statistics 29 (1958)
610-611. doi:10.1214/aoms/1177706645
"""

import math
import operator
from typing import Any

import array_api_compat
import numpy as np

from lithax.arrays import is_array, namespace
from lithax.typing import Array

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF
_INDEX_BITS = 21


def hash_noise(seed: Any, i: Array, j: Array, k: Array, *, distribution: str = "normal", dtype: Any = None) -> Array:
    """Return noise that is a function of the seed and of the voxel, of independent values.

    Parameters
    ----------
    seed
        Integer; only its lowest 64 bits count. It may be an integer array without dimensions.
    i, j, k
        Global indices of the voxels, integer arrays that broadcast together, such as shapes (nx, 1,
        1), (1, ny, 1) and (1, 1, nz). Indices that differ by a multiple of 2**21 = 2 097 152 have
        the same noise.
    distribution
        "normal": mean 0, standard deviation 1, by Box and Muller; at most 5.8 in magnitude in
        float32 and 6.8 in float64. "uniform": between 0 and 1, both excluded.
    dtype
        float32, the default, or float64 of the arrays' library.

    Returns
    -------
        The noise [-], in the shape that the indices broadcast to. The hash has the same bits
        everywhere; the logarithm and the cosine of "normal" may differ between libraries by
        rounding.

    Raises
    ------
    TypeError
        If an index is not an integer.
    ValueError
        If `distribution` or `dtype` is none of those named.
    """
    xp = namespace(i, j, k)
    dtype = xp.float32 if dtype is None else dtype
    if dtype not in (xp.float32, xp.float64):
        raise ValueError(f"dtype={dtype!r} must be float32 or float64 of the library of the indices.")
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution={distribution!r} must be 'normal' or 'uniform'.")
    first, second = hash_words(seed, i, j, k)
    if distribution == "uniform":
        return _unit_interval(xp, first, dtype)
    radius = xp.sqrt(-2.0 * xp.log(_unit_interval(xp, first, dtype)))
    return radius * xp.cos((2.0 * math.pi) * _unit_interval(xp, second, dtype))


def hash_words(seed: Any, i: Array, j: Array, k: Array) -> tuple[Array, Array]:
    """Return two independent 32-bit words that are a function of the seed and of the voxel.

    The parameters are those of `hash_noise`. The words are uint32, but int64 in libraries without
    arithmetic of uint32, such as PyTorch.
    """
    xp = namespace(i, j, k)
    for name, index in zip("ijk", (i, j, k), strict=True):
        if not is_array(index) or not xp.isdtype(index.dtype, "integral"):
            raise TypeError(f"{name} must be an array of integers, the indices of voxels along its axis.")
    i, j, k = (_words(xp, index) for index in (i, j, k))
    low = (1 << _INDEX_BITS) - 1
    rest = 32 - _INDEX_BITS
    # 21 bits of each index in 64 bits: k is shared out between the two words.
    word_0 = (i & low) | ((k & ((1 << rest) - 1)) << _INDEX_BITS)
    word_1 = (j & low) | (((k >> rest) & ((1 << (_INDEX_BITS - rest)) - 1)) << _INDEX_BITS)
    with np.errstate(over="ignore"):  # NumPy warns when scalars wrap round
        return threefry(_key(xp, seed, word_0.dtype), (word_0, word_1))


def threefry(key: tuple[Any, Any], counter: tuple[Array, Array], rounds: int = 13) -> tuple[Array, Array]:
    """Encrypt a counter of two 32-bit words by a key of two (Threefry 2x32)."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    a = _wrap(counter[0] + keys[0])
    b = _wrap(counter[1] + keys[1])
    for number in range(rounds):
        rotation = _ROTATIONS[number % 8]
        a = _wrap(a + b)
        b = (_wrap(b << rotation) | (b >> (32 - rotation))) ^ a
        if number % 4 == 3:
            injection = number // 4 + 1
            a = _wrap(a + keys[injection % 3])
            b = _wrap(b + _wrap(keys[(injection + 1) % 3] + injection))
    return a, b


def _words(xp: Any, index: Array) -> Array:
    """Return integers modulo 2**32, in a type whose arithmetic the library has."""
    if array_api_compat.is_torch_array(index):
        return xp.astype(index, xp.int64) & _WORD
    return xp.astype(index, xp.uint32)


def _wrap(word: Any) -> Any:
    # uint32 wraps by itself.
    return word & _WORD if array_api_compat.is_torch_array(word) or isinstance(word, int) else word


def _key(xp: Any, seed: Any, dtype: Any) -> tuple[Any, Any]:
    """Return the lower and the upper 32 bits of a seed, the same whether its value is known now or
    only later.
    """
    try:
        number = operator.index(seed)
    except TypeError as error:
        if not (is_array(seed) and seed.ndim == 0 and xp.isdtype(seed.dtype, "integral")):
            raise TypeError(f"seed={seed!r} must be an integer.") from error
        info = xp.iinfo(seed.dtype)
        sign = seed >> (info.bits - 1) if info.min < 0 else seed * 0
        return _words(xp, seed), _words(xp, seed >> 32 if info.bits == 64 else sign)
    return xp.asarray(number & _WORD, dtype=dtype), xp.asarray((number >> 32) & _WORD, dtype=dtype)


def _unit_interval(xp: Any, word: Array, dtype: Any) -> Array:
    """Map words to the middles of equal parts of the unit interval, as many as the type can tell
    apart.
    """
    bits = 23 if dtype == xp.float32 else 32
    # Through int32 where it holds them: conversion from unsigned words is slow on many processors.
    number = xp.astype(word >> (32 - bits), xp.int32 if bits < 32 else dtype)
    return (xp.astype(number, dtype) + 0.5) * 2.0**-bits

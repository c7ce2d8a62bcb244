"""Noise of the voxels, another value for every draw: a hash of (seed, draw, i, j, k), whatever the
chunks and processes.
"""

import math
from typing import Any

from lithax.arrays import namespace
from lithax.generate import hash_words, threefry
from lithax.typing import Array

_DRAWS = 2**21 - 1
"""Marks the keys of the draws among the words of the seed: no image is as long as that."""


def draw_noise(seed: int, draws: int, i: Array, j: Array, k: Array, *, dtype: Any) -> tuple[Array, Array]:
    """Return two independent normal numbers of mean 0 and standard deviation 1 per voxel and draw.

    Parameters
    ----------
    seed
        Integer.
    draws
        How many draws.
    i, j, k
        Indices of the voxels in the image, integer arrays of shape (voxels,).
    dtype
        float32 or float64 of the arrays' library.

    Returns
    -------
        Two arrays of shape (voxels, draws).

    References
    ----------
    G. E. P. Box, M. E. Muller, Annals of Mathematical Statistics 29 (1958) 610-611.
    doi:10.1214/aoms/1177706645
    """
    xp = namespace(i, j, k)
    number = xp.arange(draws, dtype=i.dtype)
    mark = xp.zeros_like(number) + _DRAWS
    keys = hash_words(seed, number, mark, mark)
    words = hash_words(seed, i, j, k)
    first, second = threefry((keys[0][None, :], keys[1][None, :]), (words[0][:, None], words[1][:, None]))
    radius = xp.sqrt(-2.0 * xp.log(_unit_interval(xp, first, dtype)))
    angle = (2.0 * math.pi) * _unit_interval(xp, second, dtype)
    return radius * xp.cos(angle), radius * xp.sin(angle)


def _unit_interval(xp: Any, word: Array, dtype: Any) -> Array:
    """Map words to the middles of equal parts of the unit interval, as many as the type can tell
    apart.
    """
    bits = 23 if dtype == xp.float32 else 31
    number = xp.astype(xp.astype(word >> (32 - bits), xp.int32), dtype)
    return (number + 0.5) * 2.0**-bits

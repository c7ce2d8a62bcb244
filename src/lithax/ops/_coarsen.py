"""Several voxels become one: the step from a level of a pyramid to the next coarser one."""

import functools
import itertools
import math
from typing import Any

from jaxtyping import Shaped

from lithax.arrays import in_dtype_of, namespace, order_shift, orderable, real_dtype, split_integers, wrapping
from lithax.ops._op_maker import op_maker
from lithax.ops._voxel_op import VoxelOp, voxel_op
from lithax.typing import Array

METHODS = ("mean", "mode", "first")


@op_maker
def coarsen(method: str = "mean", scale: Any = 2) -> VoxelOp:
    """Return the operation that makes one voxel of each box of `scale` voxels, and keeps the dtype.

    Parameters
    ----------
    method
        "mean": for grey values. Integers are rounded, halves upwards; voxels that are NaN are left
        out of the mean, and the mean of nothing is NaN. "mode": the most frequent value, the
        smallest of several; for segmentations and booleans. "first": the voxel with the lowest
        indices, half a voxel away from the middle of the box for a scale of two; the cheapest.
    scale
        Voxels per box [voxel]: one number, or one per axis; a box that reaches beyond the image is
        filled up by the boundary rule. For "mean" of integers the box must hold a power of two.

    Returns
    -------
        A voxel operation of one array, on a coarser grid (`voxel_op` with ``scale``).

    Raises
    ------
    ValueError
        If `method` is none of these, or a scale is not a positive whole number.

    Examples
    --------
    >>> import numpy as np
    >>> coarsen("mean", (2, 1, 1))(np.asarray([1, 2, 5, 5], "u1").reshape(4, 1, 1)).ravel()
    array([2, 5], dtype=uint8)
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} must be one of {', '.join(map(repr, METHODS))}.")
    edges = (scale,) * 3 if isinstance(scale, int) else tuple(scale)
    if len(edges) != 3 or any(not isinstance(edge, int) or edge < 1 for edge in edges):
        raise ValueError(f"scale={scale!r} must be a positive whole number of voxels, or three of them.")
    return _coarsening(method, edges)


@functools.cache  # one operation for equal arguments is one compilation
def _coarsening(method: str, edges: tuple[int, int, int]) -> VoxelOp:
    reduce = {"mean": _mean, "mode": _mode, "first": lambda parts: parts[0]}[method]

    def body(block: Shaped[Any, "x y z"]) -> Shaped[Any, "_ _ _"]:
        starts = itertools.product(*(range(edge) for edge in edges))
        # Strided slices: fourteen times as fast as a reshape and a sum along axes.
        return reduce([block[i :: edges[0], j :: edges[1], k :: edges[2]] for i, j, k in starts])

    body.__name__ = f"coarsen_{method}"
    body.__qualname__ = body.__name__
    body.__doc__ = f"The {method} of each box of {edges} voxels."
    return voxel_op(body, scale=edges)


def _mean(parts: list[Array]) -> Array:
    xp, dtype, count = namespace(parts[0]), parts[0].dtype, len(parts)
    if xp.isdtype(dtype, "bool"):
        raise TypeError("booleans have no mean that is a boolean; use method='mode', or convert the image to numbers.")
    if xp.isdtype(dtype, "integral") and wrapping(parts[0]) is not parts[0]:
        return _mean_of_unsigned(parts)
    if xp.isdtype(dtype, "integral"):
        bits = count.bit_length() - 1
        if 1 << bits != count:
            raise ValueError(
                f"a box of {count} voxels: the mean of integers is made for powers of two; use floats, or another scale."
            )
        # Quotients and remainders are summed apart, so that no sum leaves the range of the dtype
        # (and -1 >> n is -1).
        whole, rest = _sum([p >> bits for p in parts]), [p & (count - 1) for p in parts]
        rest = _sum([xp.astype(r, xp.int32) for r in rest] if count > 8 else rest)
        return whole + xp.astype((rest + count // 2) >> bits, dtype, copy=False)
    if xp.isdtype(dtype, "complex floating"):
        return _sum(parts) / count
    real = real_dtype(xp, dtype)
    # In units, a power of two, in which the sum of a box is no larger than its voxels: it cannot
    # overflow.
    unit = 2.0 ** -math.ceil(math.log2(count))
    values = [xp.astype(p, real, copy=False) * unit for p in parts]
    missing = [xp.isnan(v) for v in values]
    total = _sum([xp.where(m, xp.zeros_like(v), v) for m, v in zip(missing, values, strict=True)])
    present = _sum([xp.astype(~m, real) for m in missing])
    mean = total / xp.where(present > 0, present, xp.ones_like(present)) / unit
    return xp.astype(xp.where(present > 0, mean, xp.full_like(mean, math.nan)), dtype, copy=False)


def _mean_of_unsigned(parts: list[Array]) -> Array:
    # PyTorch shifts and adds no unsigned integers: quotients and remainders of 64 bits, split where
    # they are signed.
    xp, like, bits = namespace(parts[0]), parts[0], len(parts).bit_length() - 1
    if len(parts) == 1:
        return like
    if 1 << bits != len(parts):
        return in_dtype_of(_mean([xp.astype(p, xp.int64) for p in parts]), like)  # which refuses it
    if order_shift(like):
        low, high = zip(*(split_integers(p, bits) for p in parts), strict=True)
        whole = _sum(list(high)) + ((_sum(list(low)) + len(parts) // 2) >> bits)
        return whole.view(xp.uint64)
    return in_dtype_of(_mean([orderable(p) for p in parts]), like)


def _sum(parts: list[Array]) -> Array:
    # Pairwise: the same few roundings whatever the order of the boxes.
    while len(parts) > 1:
        parts = [a + b for a, b in itertools.zip_longest(parts[::2], parts[1::2]) if b is not None] + (
            [parts[-1]] if len(parts) % 2 else []
        )
    return parts[0]


def _mode(parts: list[Array]) -> Array:
    xp = namespace(parts[0])
    if xp.isdtype(parts[0].dtype, "bool"):
        votes = _sum([xp.astype(p, xp.int32) for p in parts])
        return 2 * votes > len(parts)
    if not xp.isdtype(parts[0].dtype, "integral"):
        raise TypeError(f"values of {parts[0].dtype} have no mode; use method='mean' or 'first'.")
    like, parts = parts[0], [orderable(p) for p in parts]
    best, most = parts[0], _votes(parts[0], parts)
    for value in parts[1:]:
        votes = _votes(value, parts)
        better = (votes > most) | ((votes == most) & (value < best))
        best, most = xp.where(better, value, best), xp.where(better, votes, most)
    return in_dtype_of(best, like)


def _votes(value: Array, parts: list[Array]) -> Array:
    xp = namespace(value)
    return _sum([xp.astype(value == p, xp.int32) for p in parts])

"""Means, variances and covariances over boxes, merged axis by axis, without the cancellation of
<x y> - <x><y>.
"""

import operator
from typing import Any

from lithax.arrays import fence, namespace
from lithax.grid import Halo
from lithax.ops._separable import AXES, CHEAP, shifted, windows
from lithax.typing import Array


def box_moments(a: Array, b: Array, count: Any, sizes: Halo) -> tuple[Array, Array, Array, Any]:
    """Return the mean of `a` and of `b` over boxes, their covariance, and the number of voxels.

    `count` is 1 for voxels taken in and 0 for others, or just 1.0. With ``b is a`` the covariance
    is the variance. Where a box holds no voxel all are 0.

    References
    ----------
    Chan, Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician
    37 (1983), eq. 1.5. doi:10.1080/00031305.1983.10483115
    """
    xp = namespace(a)
    uniform = isinstance(count, float)
    same = b is a
    squares = None
    for axis, size in ((axis, sizes[axis]) for axis in AXES if sizes[axis] > 1):
        if squares is not None and size > CHEAP:
            a, squares = fence(a), fence(squares)
            b = a if same else fence(b)
            count = count if uniform else fence(count)
        length = a.shape[axis] - size + 1
        total = count * size if uniform else windows(count, size, axis, operator.add)

        def merge(x: Any, axis: int = axis, size: int = size, count: Any = count, total: Any = total) -> Any:
            if uniform:
                merged = windows(x, size, axis, operator.add) / float(size)
            else:
                merged = windows(x * count, size, axis, operator.add) / xp.where(total > 0, total, xp.ones_like(total))
            return fence(merged) if size > CHEAP else merged

        first: Array = merge(a)
        second = first if same else merge(b)
        summed = None if squares is None else windows(squares, size, axis, operator.add)
        for k in range(size):
            part = shifted(a, axis, k, length) - first
            part = part**2 if same else part * (shifted(b, axis, k, length) - second)
            part = part * (count if uniform else shifted(count, axis, k, length))
            summed = part if summed is None else summed + part
        a, b, squares, count = first, second, summed, total
    if squares is None:
        return a, b, xp.zeros_like(a), count
    return a, b, squares / (count if uniform else xp.where(count > 0, count, xp.ones_like(count))), count

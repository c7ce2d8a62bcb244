"""Eigenvalues of a symmetric matrix of three by three at every voxel, in closed form."""

import math
from itertools import combinations
from typing import Any

from lithax.arrays import namespace
from lithax.ops._smooth_root import smooth_root
from lithax.typing import Array

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The order of the six entries: xx, xy, xz, yy, yz, zz."""


def symmetric_eigenvalues(entries: list[Array]) -> tuple[Array, Array, Array]:
    """Return the eigenvalues, the largest first, of matrices given by `PAIRS` of entries.

    The cosine formula of Smith, with the sine of its angle from the discriminant as a sum of
    squares (the Gram determinant of 1, A and A², by Cauchy and Binet): without it, two eigenvalues
    nearly equal would be told apart to the square root of the rounding error only. Errors are a few
    units of rounding of the largest eigenvalue. NaN in an entry makes all three NaN.

    References
    ----------
    Smith, Eigenvalues of a symmetric 3 × 3 matrix, Communications of the ACM 4 (1961) 168.
    doi:10.1145/355578.366316. Parlett, The (matrix) discriminant as a determinant, Linear Algebra
    and its Applications 355 (2002) 85-101. doi:10.1016/S0024-3795(02)00335-X
    """
    xp = namespace(*entries)
    mean = (entries[0] + entries[3] + entries[5]) / 3.0
    # Scaled to entries of order one, or sixth powers would leave the range of float32.
    largest = xp.abs(entries[0] - mean)
    for entry in (entries[3] - mean, entries[5] - mean, *(entries[k] for k in (1, 2, 4))):
        size = xp.abs(entry)
        largest = xp.where(size > largest, size, largest)
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    a = {pair: (e - mean if pair[0] == pair[1] else e) / scale for pair, e in zip(PAIRS, entries, strict=True)}
    a |= {(q, p): v for (p, q), v in a.items()}
    square = {(p, q): a[p, 0] * a[0, q] + a[p, 1] * a[1, q] + a[p, 2] * a[2, q] for p, q in PAIRS}
    second = 0.5 * (square[0, 0] + square[1, 1] + square[2, 2])
    third = (
        a[0, 0] * (a[1, 1] * a[2, 2] - a[1, 2] * a[1, 2])
        - a[0, 1] * (a[0, 1] * a[2, 2] - a[1, 2] * a[0, 2])
        + a[0, 2] * (a[0, 1] * a[1, 2] - a[1, 1] * a[0, 2])
    )
    discriminant: Any = 0.0
    for rows in combinations(PAIRS, 3):
        diagonal = [row for row in rows if row[0] == row[1]]
        if diagonal:
            minor = _minor(rows, a, square)
            discriminant = discriminant + float(2 ** (3 - len(diagonal))) * minor * minor
    across, along = smooth_root(discriminant), math.sqrt(27.0) * third
    # Three equal eigenvalues have no angle: one is put there, so that the derivative stays finite.
    none = (across == 0) & (along == 0)
    angle = xp.atan2(across, xp.where(none, xp.ones_like(along), along)) / 3.0
    radius = 2.0 * smooth_root(second / 3.0)
    values = [mean + scale * radius * xp.cos(angle + 2.0 * math.pi * turn / 3.0) for turn in (0, 2, 1)]
    return values[0], values[1], values[2]


def _minor(rows: Any, a: Any, square: Any) -> Any:
    # The determinant of the rows (1 or 0, A, A²), along its first column.
    total: Any = 0.0
    for k, sign in ((0, 1.0), (1, -1.0), (2, 1.0)):
        if rows[k][0] == rows[k][1]:
            p, q = (row for n, row in enumerate(rows) if n != k)
            total = total + sign * (a[p] * square[q] - a[q] * square[p])
    return total

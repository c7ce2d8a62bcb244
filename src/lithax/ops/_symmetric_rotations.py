"""Eigenvalues and eigenvectors of a symmetric matrix of three by three at every voxel, by
rotations.
"""

from typing import Any

from lithax.arrays import namespace, repeat_times
from lithax.ops._smooth_root import smooth_root
from lithax.ops._symmetric_eigenvalues import PAIRS
from lithax.typing import Array

SWEEPS = 4
"""Each squares what is left off the diagonal: after four nothing is, in float64."""


def eigen_decomposition(entries: list[Array]) -> tuple[list[Array], list[list[Array]]]:
    """Return the eigenvalues, in no order, and for each its eigenvector of length 1, of matrices
    given by `PAIRS` of entries.

    Jacobi's rotations, cyclically: nothing depends on how far the eigenvalues lie apart, and of
    equal ones the vectors are perpendicular, too.

    References
    ----------
    Golub and Van Loan, Matrix Computations, 4th edition (2013), section 8.5.
    """
    xp = namespace(*entries)
    one, zero = xp.ones_like(entries[0]), xp.zeros_like(entries[0])
    vectors = [one if row == column else zero for column in range(3) for row in range(3)]
    found = repeat_times(SWEEPS, _sweep, (*entries, *vectors))
    return [found[PAIRS.index((k, k))] for k in range(3)], [list(found[6 + 3 * k : 9 + 3 * k]) for k in range(3)]


def _sweep(state: tuple[Array, ...]) -> tuple[Array, ...]:
    a = dict(zip(PAIRS, state, strict=False))
    vectors = [state[6 + 3 * k : 9 + 3 * k] for k in range(3)]
    for p, q in ((0, 1), (0, 2), (1, 2)):
        c, s = _rotation(a[p, p], a[q, q], a[p, q])
        r = 3 - p - q
        at_p, at_q = (min(p, r), max(p, r)), (min(q, r), max(q, r))
        cross = 2.0 * c * s * a[p, q]
        a[p, p], a[q, q] = c * c * a[p, p] - cross + s * s * a[q, q], s * s * a[p, p] + cross + c * c * a[q, q]
        a[at_p], a[at_q] = c * a[at_p] - s * a[at_q], s * a[at_p] + c * a[at_q]
        a[p, q] = 0.0 * a[p, q]
        pairs = list(zip(vectors[p], vectors[q], strict=True))
        vectors[p], vectors[q] = tuple(c * x - s * y for x, y in pairs), tuple(s * x + c * y for x, y in pairs)
    return (*a.values(), *vectors[0], *vectors[1], *vectors[2])


def _rotation(first: Array, second: Array, between: Array) -> tuple[Any, Any]:
    # Cosine and sine of the smaller of the two angles that make the entry between them zero.
    xp = namespace(first)
    difference = second - first
    size = abs(difference) + smooth_root(difference * difference + 4.0 * between * between)
    none = size == 0
    tangent = xp.where(difference < 0, -2.0 * between, 2.0 * between) / xp.where(none, xp.ones_like(size), size)
    cosine = 1.0 / smooth_root(1.0 + tangent * tangent)
    return cosine, tangent * cosine

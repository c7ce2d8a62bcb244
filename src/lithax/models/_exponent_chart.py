"""Three standards: the exponent n as a tabulated function of one number, polished by one step of
Newton's method.

The equation of a calibration, (y_2 - y_1)(g_3 - g_1) = (y_3 - y_1)(g_2 - g_1), says that two
vectors of the plane are parallel: the differences of the data, and those of ⟨Zⁿ⟩, which depend on n
and on the compositions alone. The root is thus a function of the slope of the data, whatever the
draw. It is tabulated once with its derivative, in a chart whose pole lies where no n leads; cubic
interpolation then starts so near the root that one step of Newton's method ends at rounding. Where
that step is not small, the table jumps from one root to another or there is no root, and the draw
is left to `solve_calibration`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from lithax.models._calibration_equations import line_through_three
from lithax.typing import Array

NODES = 8192
CLOSE = 1e-8
"""Largest step, relative to n, that is the last: what is left is of the order of its square."""


def exponent_chart(
    logarithms: np.ndarray, fractions: np.ndarray, bounds: tuple[float, float], solve: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate n.

    Parameters
    ----------
    logarithms, fractions
        Of `Powers` of three materials, of shape (3, elements).
    bounds
        Smallest and largest n [-].
    solve
        `solve_calibration`, or its compiled form.

    Returns
    -------
        The chart: cosine and sine of its turn, its start, nodes per unit and the bounds of n, of
        shape (6,); and for each interval n and its derivative per interval at both ends, of shape
        (NODES - 1, 4).
    """

    def sides(n: np.ndarray, order: int) -> np.ndarray:
        """Return the differences of ⟨(Z/Z_max)ⁿ⟩, or their derivatives, of shape (2, n)."""
        terms = fractions * logarithms**order * np.exp(np.asarray(n)[:, None, None] * logarithms)
        g = terms.sum(axis=2)
        return np.stack([g[:, 1] - g[:, 0], g[:, 2] - g[:, 0]])

    curve = sides(np.geomspace(*bounds, 1000), 0)
    angles = np.sort(np.mod(np.arctan2(curve[0], curve[1]), np.pi))
    gaps = np.diff(np.append(angles, angles[0] + np.pi))
    widest = int(np.argmax(gaps))
    # The middle of the widest gap becomes the pole, where the slope is infinite.
    turn = angles[widest] + 0.5 * gaps[widest] - 0.5 * np.pi
    cosine, sine = np.cos(turn), np.sin(turn)

    def slopes(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cosine * side[0] - sine * side[1], sine * side[0] + cosine * side[1]

    above, below = slopes(curve)
    first, last = float(np.min(above / below)), float(np.max(above / below))
    u = np.linspace(first, last, NODES)
    rises = np.stack([np.zeros(NODES), cosine * u + sine, cosine - sine * u], axis=1)
    n = np.asarray(solve(rises, logarithms, fractions, np.zeros((3, 3)), None, np.asarray(bounds))[2])
    (p, q), (dp, dq) = slopes(sides(n, 0)), slopes(sides(n, 1))
    step = (last - first) / (NODES - 1)
    with np.errstate(all="ignore"):  # at a turning point of the slope; no step is small there
        rate = step * q * q / (dp * q - p * dq)
    table = np.stack([n[:-1], n[1:], rate[:-1], rate[1:]], axis=1)
    return np.asarray([cosine, sine, first, 1.0 / step, *bounds]), table


def solve_by_chart(
    values: Array, logarithms: Array, fractions: Array, chart: Array, table: Array
) -> tuple[Array, Array, Array, Array]:
    """Solve y_i = A + C ⟨(Z/Z_max)ⁿ⟩_i for every draw by the table of `exponent_chart`.

    Parameters
    ----------
    values
        y, the standards first, of shape (3, ...).
    logarithms, fractions
        Of `Powers`, of shape (3, elements).
    chart, table
        Of `exponent_chart`.

    Returns
    -------
        A, C, n, and whether n is a root for certain, each of shape (...).
    """
    cosine, sine, first, per_unit, smallest, largest = chart
    rise_2, rise_3 = values[1] - values[0], values[2] - values[0]
    place = ((cosine * rise_2 - sine * rise_3) / (sine * rise_2 + cosine * rise_3) - first) * per_unit
    index = jnp.clip(place, 0.0, NODES - 2.0).astype(jnp.int32)
    t = place - index
    left, right, rate_left, rate_right = (jnp.take(table[:, k], index, mode="clip") for k in range(4))
    rise = right - left
    n = left + t * (rate_left + t * (3 * rise - 2 * rate_left - rate_right + t * (rate_left + rate_right - 2 * rise)))
    g, slopes = [], []
    for shares, logs in zip(fractions, logarithms, strict=True):
        terms = [share * jnp.exp(n * log) for share, log in zip(shares, logs, strict=True)]
        g.append(sum(terms[1:], terms[0]))
        slopes.append(sum((term * log for term, log in zip(terms, logs, strict=True)), 0.0))
    value = rise_2 * (g[2] - g[0]) - rise_3 * (g[1] - g[0])
    slope = rise_2 * (slopes[2] - slopes[0]) - rise_3 * (slopes[1] - slopes[0])
    change = value / slope
    sure = (jnp.abs(change) < CLOSE * n) & (place >= 0.0) & (place <= NODES - 1.0)
    n = n - change
    sure = sure & (n >= smallest) & (n <= largest)
    a, c = line_through_three(values, jnp.stack([one - change * rate for one, rate in zip(g, slopes, strict=True)]))
    return a, c, n, sure & jnp.isfinite(a) & jnp.isfinite(c)

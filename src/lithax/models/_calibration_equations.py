"""From the attenuation of standards to (A, B, n): the equations of a calibration, solved for many
draws at once.

Per energy and draw, y_i = (CT_i - CT0)/ρ_i = A + B g_i(n) with g_i(n) = ⟨Zⁿ⟩_i. A and B enter
linearly and are eliminated; what is left is one equation in n. For three standards that is

    (y_2 - y_1) (g_3 - g_1) - (y_3 - y_1) (g_2 - g_1) = 0,

where n = 0 is always a root and means nothing (every g is 1). For more standards, or with a prior
on n, it is the derivative of the weighted sum of squares, A and B at their best for every n
(variable projection). The unknown is bracketed on a grid, where only intervals with a change of
sign count, and refined by Newton's method inside its bracket.

References
----------
P. A. Victor, M. Prodanović, C. Torres-Verdín, Monte Carlo approach for estimating density and
atomic number from dual-energy computed tomography images of carbonate rocks, Journal of Geophysical
Research: Solid Earth 122 (2017) 9804-9824, eqs. 1-4. doi:10.1002/2017JB014408 G. H. Golub, V.
Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate, SIAM Journal on Numerical Analysis 10 (1973) 413-432. doi:10.1137/0710036
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lithax.models._composition import Composition
from lithax.typing import Array

GRID = 64
"""Points of the grid in n; between neighbours n grows by 5 %."""
NEWTON_STEPS = 7
"""Each doubles the digits; the bracket gives two."""
USUAL = 3.2
"""Where several n fit, which compounds with hydrogen make possible, the nearest to this one is
taken.
"""


class Powers:
    """⟨(Z/Z_max)ⁿ⟩ of several materials as arrays, so that the compiled functions serve every
    material.
    """

    def __init__(self, compositions: Sequence[Composition]):
        longest = max(len(made.symbols) for made in compositions)
        self.largest = max(max(made.atomic_numbers) for made in compositions)
        self.logarithms = np.zeros((len(compositions), longest))
        self.fractions = np.zeros((len(compositions), longest))
        for row, made in enumerate(compositions):
            size = len(made.symbols)
            self.logarithms[row, :size] = np.log(np.asarray(made.atomic_numbers) / self.largest)
            self.fractions[row, :size] = list(made.electron_fractions.values())


def solve_calibration(
    values: Array,
    logarithms: Array,
    fractions: Array,
    weights: Array,
    prior: Array | None,
    bounds: Array,
) -> tuple[Array, Array, Array, Array]:
    """Solve y_i = A + C ⟨(Z/Z_max)ⁿ⟩_i for every draw, where C = B Z_maxⁿ.

    Parameters
    ----------
    values
        y, of shape (draws, standards).
    logarithms, fractions
        Of `Powers`, of shape (standards, elements).
    weights
        Lower triangle W of shape (standards, standards): W y has equal, independent errors. Counts
        only where there are more than three standards, or a prior.
    prior
        Mean of n per draw, and its standard deviation as the last: shape (draws + 1,). None: no
        prior.
    bounds
        Smallest and largest n, shape (2,).

    Returns
    -------
        A, C, n and whether there is a solution within the bounds with A and C positive, each of
        shape (draws,). Differentiable in `values` and `weights`, by the implicit function theorem.
    """

    def powers(n: Array) -> Array:
        """⟨(Z/Z_max)ⁿ⟩ with the materials as a new first axis; sums written out, as reductions of
        few numbers are slow.
        """
        rows = []
        for weights_of, logs_of in zip(fractions, logarithms, strict=True):
            terms = [weight * jnp.exp(n * log) for weight, log in zip(weights_of, logs_of, strict=True)]
            rows.append(functools.reduce(operator.add, terms))
        return jnp.stack(rows)

    values = values.T
    grid = bounds[0] * (bounds[1] / bounds[0]) ** jnp.linspace(0.0, 1.0, GRID)
    if len(values) == 3 and prior is None:
        residual, arguments, low, high, found = _three_standards(values, powers, grid)
        n = _newton(residual, arguments, low, high)
        linear = line_through_three
    else:
        n, found = _least_squares(values, powers, grid, weights, prior)

        def linear(values: Array, g: Array) -> tuple[Array, Array]:
            return _weighted_line(values, g, weights)

    a, c = linear(values, powers(n))
    valid = found & (a > 0) & (c > 0) & jnp.isfinite(a) & jnp.isfinite(c)
    return a, c, n, valid


def _three_standards(values: Array, powers: Any, grid: Array) -> tuple[Any, tuple[Array, ...], Array, Array, Array]:
    # Relative to the largest difference, so that nothing depends on the unit of the scan.
    rise_2, rise_3 = values[1] - values[0], values[2] - values[0]
    size = jax.lax.stop_gradient(jnp.maximum(jnp.abs(rise_2), jnp.abs(rise_3)))
    rise_2, rise_3 = (rise / jnp.where(size > 0, size, 1.0) for rise in (rise_2, rise_3))

    def residual(n: Array, rise_2: Array, rise_3: Array) -> Array:
        g = powers(n)
        return rise_2 * (g[2] - g[0]) - rise_3 * (g[1] - g[0])

    table = powers(grid)
    slope_2, slope_3 = table[1] - table[0], table[2] - table[0]
    distance = jnp.abs(jnp.log(jnp.sqrt(grid[1:] * grid[:-1]) / USUAL))
    known_2, known_3 = jax.lax.stop_gradient((rise_2, rise_3))

    def positive(index: Any) -> Array:
        return known_2 * slope_3[index] > known_3 * slope_2[index]

    def look(index: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        nearest, best, before = state
        now = positive(index + 1)
        better = (now != before) & (distance[index] < nearest)
        return jnp.where(better, distance[index], nearest), jnp.where(better, index, best), now

    start = (jnp.full(size.shape, jnp.inf), jnp.zeros(size.shape, jnp.int32), positive(0))
    nearest, best, _ = jax.lax.fori_loop(0, GRID - 1, lambda i, s: look(i.astype(jnp.int32), s), start)
    return residual, (rise_2, rise_3), grid[best], grid[best + 1], jnp.isfinite(nearest) & (size > 0)


def line_through_three(values: Array, g: Array) -> tuple[Array, Array]:
    # Through the two standards that lie farthest apart.
    (y_0, y_1, y_2), (g_0, g_1, g_2) = values, g
    a, b, c = jnp.abs(g_0 - g_1), jnp.abs(g_0 - g_2), jnp.abs(g_1 - g_2)
    from_second = (c > a) & (c > b)
    to_second = (a >= b) & ~from_second
    y_from, g_from = jnp.where(from_second, y_1, y_0), jnp.where(from_second, g_1, g_0)
    y_to, g_to = jnp.where(to_second, y_1, y_2), jnp.where(to_second, g_1, g_2)
    slope = (y_to - y_from) / (g_to - g_from)
    return y_from - slope * g_from, slope


def _least_squares(values: Array, powers: Any, grid: Array, weights: Array, prior: Array | None) -> tuple[Array, Array]:
    one = jnp.sum(weights, axis=1)
    unit = one / jnp.linalg.norm(one)

    def without_constant(table: Array) -> Array:
        """Whiten, and take out what A explains."""
        whitened = jnp.tensordot(weights, table, axes=1)
        return whitened - unit.reshape(-1, *(1,) * (table.ndim - 1)) * jnp.tensordot(unit, whitened, axes=1)

    y = without_constant(values)
    center = jnp.zeros_like(values[0]) if prior is None else prior[:-1]
    precision = 0.0 if prior is None else prior[-1] ** -2

    def residual(n: Array, y: Array, center: Array) -> Array:
        """Half the derivative of the sum of squares."""
        g, slope = jax.jvp(lambda n: without_constant(powers(n)), (n,), (jnp.ones_like(n),))
        c = jnp.sum(y * g, axis=0) / jnp.sum(g * g, axis=0)
        return (n - center) * precision - jnp.sum((y - c * g) * c * slope, axis=0)

    table = without_constant(powers(grid))
    explained = jnp.maximum((table / jnp.linalg.norm(table, axis=0)).T @ y, 0.0) ** 2
    squares = jnp.sum(y * y, axis=0) - explained + (grid[:, None] - center) ** 2 * precision
    middle = squares[1:-1]
    least = (middle <= squares[:-2]) & (middle <= squares[2:])

    def refined(score: Array) -> tuple[Array, Array]:
        """Return the minimum of the interval with the best score, and its sum of squares."""
        index = jnp.argmin(jnp.where(least, score, jnp.inf), axis=0)
        n = _newton(residual, (y, center), grid[index], grid[index + 2])
        g = without_constant(powers(n))
        c = jnp.sum(y * g, axis=0) / jnp.sum(g * g, axis=0)
        return n, jnp.sum((y - c * g) ** 2, axis=0) + (n - center) ** 2 * precision

    usual, usual_sum = refined(jnp.abs(jnp.log(grid[1:-1] / USUAL))[:, None])
    best, best_sum = refined(middle)
    # The whitened sum of squares has errors of size 1: a smaller difference is no reason to leave
    # the usual exponent.
    return jnp.where(best_sum < usual_sum - 1.0, best, usual), jnp.any(least, axis=0)


def _weighted_line(values: Array, g: Array, weights: Array) -> tuple[Array, Array]:
    one = jnp.sum(weights, axis=1)
    y, g = weights @ values, weights @ g
    one_one = one @ one
    center_y, center_g = (one @ y) / one_one, (one @ g) / one_one
    g = g - center_g * one[:, None]
    c = jnp.sum(g * y, axis=0) / jnp.sum(g * g, axis=0)
    return center_y - c * center_g, c


def _newton(residual: Any, arguments: tuple[Array, ...], low: Array, high: Array) -> Array:
    """Find the root in its bracket; the last step carries the derivative of the implicit
    function.
    """
    known = jax.lax.stop_gradient(arguments)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        n, low, high = state
        value, slope = jax.jvp(lambda n: residual(n, *known), (n,), (jnp.ones_like(n),))
        below = (value > 0) == low_is_positive
        low, high = jnp.where(below, n, low), jnp.where(below, high, n)
        change = value / jnp.where(slope != 0, slope, 1.0)
        better = n - change
        # At the root rounding decides the sign, and one end of the bracket is n itself: a small
        # step is always right.
        inside = ((better >= low) & (better <= high) | (jnp.abs(change) < 1e-6 * n)) & (slope != 0)
        return jnp.where(inside, better, 0.5 * (low + high)), low, high

    value_low, value_high = residual(low, *known), residual(high, *known)
    low_is_positive = value_low > 0
    secant = low - value_low * (high - low) / jnp.where(value_high != value_low, value_high - value_low, 1.0)
    start = jnp.where((secant > low) & (secant < high), secant, 0.5 * (low + high))
    n, _, _ = jax.lax.fori_loop(0, NEWTON_STEPS, step, (start, low, high))
    n = jax.lax.stop_gradient(n)
    _, slope = jax.jvp(lambda n: residual(n, *known), (n,), (jnp.ones_like(n),))
    slope = jax.lax.stop_gradient(slope)
    correction = residual(n, *arguments) / jnp.where(slope != 0, slope, 1.0)
    return n - (correction - jax.lax.stop_gradient(correction))

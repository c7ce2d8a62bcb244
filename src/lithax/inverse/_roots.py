"""Find the root on a monotone piece, for many values and many pieces at once. Plain array API: one
body for every library.
"""

from typing import Any

from lithax.arrays import is_array, namespace
from lithax.inverse._pieces import Pieces
from lithax.typing import Array


def guess(pieces: Pieces, ratio: Array) -> Array:
    """Return ln Z as the fitted guess has it; the shapes are (..., pieces)."""
    xp = namespace(ratio)
    r = xp.where(pieces.folded, xp.sqrt(xp.abs(pieces.stationary - ratio)), ratio)
    s = xp.log(xp.abs((pieces.a + pieces.b * r) / (pieces.c + pieces.d * r))) * pieces.slope + pieces.middle
    s = _between(xp, -1.0, s, 1.0)
    u = pieces.polynomial[0, :] * s
    for k in range(1, pieces.polynomial.shape[0] - 1):
        u = (u + pieces.polynomial[k, :]) * s
    return u + pieces.polynomial[-1, :]


def step(pieces: Pieces, ratio: Array, u: Array) -> Array:
    """Return a better ln Z.

    F(u) = (1 + x_l) - q (1 + x_h) is a + b exp(ν u) where the exponents are equal. Fitting that
    form to F, F' and F'' gives the step -ln(1 - L) F'/F'' with L = F F''/F'², third order
    everywhere and exact for equal exponents. The logarithm is replaced by its Padé approximant,
    which keeps the order.
    """
    xp = namespace(ratio)
    low = xp.exp(pieces.exponent_low * u + pieces.shift_low)
    high = xp.exp(pieces.exponent_high * u + pieces.shift_high) * ratio
    value = (1.0 - ratio) + (low - high)
    low, high = low * pieces.exponent_low, high * pieces.exponent_high
    first = low - high
    curved = (low * pieces.exponent_low - high * pieces.exponent_high) * value
    square = first * first
    return u - value * (square - curved * (1.0 / 6.0)) / (first * (square - curved * (2.0 / 3.0)))


def bisect(pieces: Pieces, ratio: Array) -> Array:
    """Return ln Z to the last bits, whatever the shape of the piece."""
    xp = namespace(ratio)
    falls = _above(pieces, pieces.bottom, 0.5 * (pieces.ratio_low + pieces.ratio_high))
    low, high = ratio * 0.0 + pieces.bottom, ratio * 0.0 + pieces.top
    for _ in range(30 if ratio.dtype == xp.float32 else 58):
        middle = 0.5 * (low + high)
        beyond = _above(pieces, middle, ratio) ^ falls
        low, high = xp.where(beyond, low, middle), xp.where(beyond, middle, high)
    return 0.5 * (low + high)


def _above(pieces: Pieces, u: Array, ratio: Any) -> Array:
    xp = namespace(u)
    low = xp.exp(pieces.exponent_low * u + pieces.shift_low)
    high = xp.exp(pieces.exponent_high * u + pieces.shift_high)
    return (1.0 + low) > ratio * (1.0 + high)


def roots(pieces: Pieces, ratio: Array) -> tuple[Array, Array]:
    """Return ln Z and 1/(1 + x_h) where the pieces have the value `ratio`; without meaning where
    they do not have it.
    """
    xp = namespace(ratio)
    if pieces.steps is None:
        u = bisect(pieces, ratio)
    else:
        first = u = guess(pieces, ratio)
        for _ in range(pieces.steps):
            u = step(pieces, ratio, u)
        # At a stationary point, where the guess is exact, a step divides by zero.
        u = _between(xp, pieces.bottom, xp.where(u == u, u, first), pieces.top)
    return u, 1.0 / (1.0 + xp.exp(pieces.exponent_high * u + pieces.shift_high))


def _between(xp: Any, low: Any, x: Array, high: Any) -> Array:
    # `clip` of the compatibility layers costs more than all the arithmetic around it.
    if not is_array(low):
        low, high = xp.asarray(low, dtype=x.dtype), xp.asarray(high, dtype=x.dtype)
    return xp.minimum(xp.maximum(x, low), high)

"""The curve of one draw, cut into monotone pieces, with what is needed to find a root on each in a
few operations.

With x_l = (B_l/A_l) Z^n_l, x_h likewise, and q = (μ_l/A_l)/(μ_h/A_h), where μ is attenuation above
air, the electron density drops out of the two equations of the model, and

    R(u) = (1 + x_l)/(1 + x_h) = q,    x_l = exp(n_l u + β_l),  x_h = exp(n_h u + β_h),  u = ln Z,

is left. R belongs to the draw alone. Its derivative has the sign of n_l x_l (1 + x_h) - n_h x_h (1
+ x_l); divided by x_h that is n_l e^(β_l - β_h) e^((n_l - n_h) u) + (n_l - n_h) x_l - n_h, which
rises or falls all along. So R has at most one stationary point, and a draw at most two pieces: with
n_l < n_h typically one that rises up to Z of some tens, and one that falls beyond.

A first guess comes from what R would be with equal exponents: a Möbius function of Z^n, whose
inverse is known. It is made exact at both ends of the piece and in its middle, and corrected by a
polynomial fitted to the piece. Next to a stationary point the inverse is a square root, so there
sqrt|q* - q| stands in for q, where q* is the stationary value. How many steps the guess then needs
is measured for every piece; one that would need many is bisected instead, which cannot fail.
"""

from dataclasses import fields
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import to_numpy
from lithax.inverse._pieces import Pieces
from lithax.inverse._roots import guess, step
from lithax.models import Coefficients

LOWEST, HIGHEST = 1.0, 118.0
"""Atomic numbers between which roots are looked for."""
DEGREE = 13
"""Of the correcting polynomial. It leaves about 0.01 in ln Z, from where one step (float32) or two
reach round-off.
"""
STEPS = (1, 2, 4)
"""Numbers of steps after the guess that are tried before bisection (None)."""

_TOP = float(np.log(HIGHEST))
_BEYOND = 8.0
"""How far above the range a stationary point is still felt, in ln Z."""
_FITTED, _CHECKED = 48, 129
"""Points per piece to which the polynomial is fitted, and at which it is tried."""
_CLOSE = {"float32": (1e-7, 1e-6), "float64": (1e-14, 1e-11)}
"""Residual, in units of its largest term, and error of ln Z, of which one must be reached for a
root to count as found.
"""
_LINE_NUMBER = 10.0
"""Atomic number of the default density line: between water and quartz."""


class Group(eqx.Module):
    """Draws that need equal effort; those with two pieces come first."""

    pieces: Pieces
    """The piece from Z = 1 upwards of every draw."""
    rival_low: Any
    """Draws with two pieces have two roots for q from here"""
    rival_high: Any
    """to here."""


class Beyond(eqx.Module):
    """Pieces above a stationary point."""

    pieces: Pieces
    position: Any
    """Where their draws stand among the columns of all groups."""
    source: Any
    """Where every column comes from once theirs are appended: from itself, or from there."""
    line_slope: Any
    """The density line: ρ_e = slope μ_h/A_h + constant."""
    line_constant: Any


class Curves(eqx.Module):
    """The curves of all draws with a calibration, ready for the root finder."""

    groups: tuple[Group, ...]
    beyond: tuple[Beyond, ...]
    """Pieces that can win: where they hold the only root, or may be the nearer to the density line.
    """
    reference_low: Any
    """Attenuation close to air, taken off first: what is left of two large numbers is exact then.
    """
    reference_high: Any
    draws: int = eqx.field(static=True)
    """All draws, those without a calibration included."""
    usable: int = eqx.field(static=True)
    """Draws with a calibration."""

    def __repr__(self) -> str:
        return f"Curves({self.usable} of {self.draws} draws)"


def curves(coefficients: Coefficients, density_line: tuple[Any, Any] | None = None, dtype: Any = np.float64) -> Curves:
    """Cut the curves of all draws into pieces.

    Parameters
    ----------
    coefficients
        Of two energies.
    density_line
        Slope and intercept [g/cm³ per unit of the scan; g/cm³] of electron density against
        attenuation at the high energy, one number or one per draw, for draws with two roots. None:
        the line through air and Z = 10.
    dtype
        Type in which the roots will be sought.
    """
    host = {name: to_numpy(getattr(coefficients, name)) for name in ("air", "A", "B", "n", "valid")}
    air, a, b, n = (host[name].astype(np.float64) for name in ("air", "A", "B", "n"))
    positive = (a > 0) & (b > 0) & (n > 0)
    finite = np.isfinite(air) & np.isfinite(a) & np.isfinite(b) & np.isfinite(n)
    usable = host["valid"].astype(bool) & (positive & finite).all(axis=1)
    draw = np.flatnonzero(usable)
    # A common reference, a float32 number, so that taking it off a float32 scan is exact.
    reference = np.median(air[draw], axis=0).astype(np.float32).astype(np.float64) if draw.size else np.zeros(2)
    air, a, b, n = (v[draw] for v in (air - reference, a, b, n))
    curve = _Curve(air, a, n, np.log(b / a) if draw.size else a)

    two, at, stationary = curve.stationary_point()
    foldable = np.isfinite(stationary)
    zero, top = np.zeros(draw.size), np.full(draw.size, _TOP)
    first = _make(curve, draw, zero, np.where(two, at, top), stationary, foldable, np.where(two, 1, 0), dtype)
    start, end = curve.ratio(zero), curve.ratio(top)
    # Both pieces hold q between q* and whichever of the two ends is nearer to it.
    nearer = np.where(np.abs(stationary - start) < np.abs(stationary - end), start, end)
    rival_low, rival_high = np.minimum(nearer, stationary), np.maximum(nearer, stationary)

    chosen = np.flatnonzero(two)
    second = _make(
        curve.take(chosen), draw[chosen], at[chosen], top[chosen], stationary[chosen], foldable[chosen], -1, dtype
    )
    slope, constant = _line(curve, draw, density_line, usable.size, reference[1])
    slope, constant = slope[chosen], constant[chosen]
    second, needed = _never_needed_left_out(
        curve.take(chosen), second, start[chosen], end[chosen], stationary[chosen], at[chosen], slope, constant
    )

    # Draws of equal effort run together: a loop of a fixed number of steps over whole arrays. Those
    # with two pieces come first, so that their rivals are a slice and not a gather.
    groups, order = [], np.zeros(draw.size, np.int64)
    begin = 0
    for steps in (*STEPS, None):
        members = np.flatnonzero(first["steps"] == (steps or 0))
        if members.size:
            members = members[np.argsort(~two[members], kind="stable")]
            order[members] = begin + np.arange(members.size)
            begin += members.size
            doubled = members[: two[members].sum()]
            groups.append(
                Group(_pieces(first, members, steps, dtype), rival_low[doubled].astype(dtype), rival_high[doubled].astype(dtype))
            )  # fmt: skip
    beyond = []
    for steps in (*STEPS, None):
        members = np.flatnonzero(needed & (second["steps"] == (steps or 0)))
        if members.size:
            # `position` is the place of these draws among the first pieces' results. `source` takes
            # every draw's result from there, but for these, whose come behind.
            position, source = order[chosen[members]], np.arange(draw.size)
            source[position] = draw.size + np.arange(members.size)
            beyond.append(
                Beyond(
                    _pieces(second, members, steps, dtype),
                    position,
                    source,
                    slope[members].astype(dtype),
                    constant[members].astype(dtype),
                )
            )
    low, high = (np.asarray(r, dtype) for r in reference)
    return Curves(tuple(groups), tuple(beyond), low, high, draws=usable.size, usable=draw.size)


class _Curve:
    """R of many draws at once, in float64."""

    def __init__(self, air: np.ndarray, a: np.ndarray, n: np.ndarray, shift: np.ndarray):
        self.air, self.a, self.n, self.shift = air, a, n, shift

    def take(self, chosen: np.ndarray) -> "_Curve":
        return _Curve(self.air[chosen], self.a[chosen], self.n[chosen], self.shift[chosen])

    def terms(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x_l and x_h."""
        return np.exp(self.n[:, 0] * u + self.shift[:, 0]), np.exp(self.n[:, 1] * u + self.shift[:, 1])

    def ratio(self, u: np.ndarray) -> np.ndarray:
        low, high = self.terms(u)
        return (1 + low) / (1 + high)

    def rise(self, u: np.ndarray) -> np.ndarray:
        """Return d ln R/du."""
        low, high = self.terms(u)
        return self.n[:, 0] * low / (1 + low) - self.n[:, 1] * high / (1 + high)

    def stationary_point(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which draws have one within the range, where it is, and R there; NaN where there
        is none nearby either.
        """
        count = len(self.a)
        # The logarithm of R has at most one stationary point, so a change of sign tells it. One
        # just above the range is felt as a square root, too: the guess may fold there.
        first = self.rise(np.zeros(count))
        two = first * self.rise(np.full(count, _TOP)) < 0
        near = first * self.rise(np.full(count, _TOP + _BEYOND)) < 0
        low, high = np.zeros(count), np.full(count, _TOP + _BEYOND)
        for _ in range(60):
            middle = 0.5 * (low + high)
            before = self.rise(middle) * first > 0
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        at = np.where(near | two, 0.5 * (low + high), np.nan)
        return two, at, self.ratio(at)


def _make(
    curve: _Curve,
    draw: np.ndarray,
    bottom: np.ndarray,
    top: np.ndarray,
    stationary: np.ndarray,
    foldable: np.ndarray,
    ends_at: Any,
    dtype: Any,
) -> dict[str, np.ndarray]:
    """Fit the guess of one piece per draw, and count the steps that it needs.

    `ends_at` says which end is the stationary point: 1 the top, -1 the bottom, 0 none.
    """
    ends_at = np.broadcast_to(ends_at, bottom.shape)
    plain = _guess(curve, bottom, top, stationary, False, ends_at)
    bent = _guess(curve, bottom, top, stationary, True, ends_at)
    fold = foldable & (bent["error"] < plain["error"])
    parts = {name: np.where(fold, bent[name], plain[name]) for name in plain}
    q_bottom, q_top = curve.ratio(bottom), curve.ratio(top)
    parts |= {
        "draw": draw,
        "folded": fold,
        "stationary": np.where(fold, stationary, 0.0),
        "bottom": bottom,
        "top": top,
        "ratio_low": np.minimum(q_bottom, q_top),
        "ratio_high": np.maximum(q_bottom, q_top),
        "air_low": curve.air[:, 0],
        "air_high": curve.air[:, 1],
        "scale_low": 1 / curve.a[:, 0],
        "scale_high": 1 / curve.a[:, 1],
        "exponent_low": curve.n[:, 0],
        "exponent_high": curve.n[:, 1],
        "shift_low": curve.shift[:, 0],
        "shift_high": curve.shift[:, 1],
    }
    parts["steps"] = _steps_needed(curve, parts, _CLOSE[np.dtype(dtype).name])
    return parts


def _guess(
    curve: _Curve, bottom: np.ndarray, top: np.ndarray, stationary: np.ndarray, fold: bool, ends_at: np.ndarray
) -> dict[str, np.ndarray]:
    def stand_in(u: np.ndarray) -> np.ndarray:
        q = curve.ratio(u)
        return np.sqrt(np.abs(stationary - q)) if fold else q

    with np.errstate(all="ignore"):
        r_bottom, r_top = stand_in(bottom), stand_in(top)
        if fold:  # round-off would leave the root of a round-off
            r_bottom, r_top = np.where(ends_at < 0, 0.0, r_bottom), np.where(ends_at > 0, 0.0, r_top)
        # If both exponents were this one, the inverse would be the Möbius function of r exactly.
        exponent = curve.n.mean(axis=1)
        half = 0.5 * (bottom + top)
        r_half = stand_in(half)
        # x = Zⁿ relative to the bottom; K makes the Möbius function exact in the middle.
        x_top, x_half = np.exp(exponent * (top - bottom)), np.exp(exponent * (half - bottom))
        k = (x_half - 1) * (r_top - r_half) / ((x_top - x_half) * (r_half - r_bottom))
        slope = 2 / (exponent * (top - bottom))
        parts = {
            "a": r_top - k * x_top * r_bottom,
            "b": k * x_top - 1,
            "c": r_top - k * r_bottom,
            "d": k - 1,
            "middle": np.full(bottom.shape, -1.0),
            "slope": slope,
        }

        def place(u: np.ndarray) -> np.ndarray:
            r = stand_in(u)
            s = slope * np.log((parts["a"] + parts["b"] * r) / (parts["c"] + parts["d"] * r)) - 1
            return np.clip(np.where(np.isfinite(s), s, 0.0), -1, 1)

        nodes = np.cos(np.pi * (np.arange(_FITTED) + 0.5) / _FITTED)
        u = half[:, None] + 0.5 * (top - bottom)[:, None] * nodes
        s = np.stack([place(column) for column in u.T], axis=1)
        # Exact at both ends: next to a stationary point the distance from it must be right in
        # relative terms.
        straight = 0.5 * (top + bottom)[:, None] + 0.5 * (top - bottom)[:, None] * s
        basis = (1 - s * s)[..., None] * np.polynomial.chebyshev.chebvander(s, DEGREE - 2)
        # (1 - s²) vanishes at both ends; the small diagonal keeps degenerate pieces solvable.
        normal = np.einsum("dnp,dnq->dpq", basis, basis) + 1e-12 * np.eye(DEGREE - 1)
        fitted = np.linalg.solve(normal, np.einsum("dnp,dn->dp", basis, u - straight)[..., None])[..., 0]
        error = np.abs(np.einsum("dnp,dp->dn", basis, fitted) + straight - u).max(axis=1, initial=0)
    powers = fitted @ _POWERS
    powers[:, 0] += 0.5 * (top + bottom)
    powers[:, 1] += 0.5 * (top - bottom)
    parts["polynomial"] = powers.T[::-1]
    parts["error"] = np.where(np.isfinite(error) & np.isfinite(k), error, np.inf)
    return {name: np.where(np.isfinite(parts["error"]), part, 0.0) if name != "error" else part for name, part in parts.items()}  # fmt: skip


def _bent_powers(k: int) -> np.ndarray:
    """Return the coefficients of (1 - s²) T_k(s), lowest power first."""
    powers = np.zeros(DEGREE + 1)
    chebyshev = np.polynomial.chebyshev.cheb2poly(np.eye(k + 1)[k])
    powers[: k + 3] = np.polynomial.polynomial.polymul([1.0, 0.0, -1.0], chebyshev)
    return powers


_POWERS = np.stack([_bent_powers(k) for k in range(DEGREE - 1)])


def _steps_needed(curve: _Curve, parts: dict[str, np.ndarray], close: tuple[float, float]) -> np.ndarray:
    """Return for every piece how many steps bring the guess to the root all along the piece; 0:
    bisection is needed.
    """
    needed = np.zeros(curve.a.shape[0], np.int64)
    usable = np.isfinite(parts["error"])
    # Denser towards both ends, where the guess is at its worst.
    places = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_CHECKED) + 0.5) / _CHECKED)
    bottom, top = parts["bottom"], parts["top"]
    pieces = _pieces(parts, slice(None), None, np.float64)
    with np.errstate(all="ignore"):
        true = bottom + (top - bottom) * places[:, None]
        low, high = curve.terms(true)
        q = (1 + low) / (1 + high)
        u = guess(pieces, q)
        done = 0
        for steps in STEPS:
            for _ in range(steps - done):
                u = step(pieces, q, u)
            done = steps
            low, high = curve.terms(u)
            # Next to a stationary point ln Z is known to the square root of round-off only, so
            # there the residual decides.
            residual = np.abs((1 + low) - q * (1 + high)) / (1 + low + q * (1 + high))
            near = (np.abs(u - true) < close[1]) | ((residual < close[0]) & (np.abs(u - true) < 1e-3))
            found = usable & near.all(axis=0) & (needed == 0)
            needed[found] = steps
    return needed


def _line(
    curve: _Curve, draw: np.ndarray, given: tuple[Any, Any] | None, draws: int, reference: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the density line as slope and constant of ρ against μ_h/A_h."""
    if given is None:
        _, high = curve.terms(np.full(draw.size, np.log(_LINE_NUMBER)))
        return 1 / (1 + high), np.zeros(draw.size)
    slope, intercept = (np.broadcast_to(np.asarray(to_numpy(np.asarray(g)), np.float64), (draws,))[draw] for g in given)
    return slope * curve.a[:, 1], intercept + slope * (curve.air[:, 1] + reference)


def _never_needed_left_out(
    curve: _Curve,
    second: dict[str, np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    stationary: np.ndarray,
    at: np.ndarray,
    slope: np.ndarray,
    constant: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Where the lower root is always the nearer to the density line, keep only q for which it does
    not exist.

    The roots give ρ = μ_h/A_h/(1 + x_h), the lower one the larger ρ. It is the nearer one if the
    line lies above the mean of both, and that mean is at most the mean of 1/(1 + x_h) at Z = 1 and
    at the stationary point.
    """
    _, lowest = curve.terms(np.zeros(at.shape))
    _, highest = curve.terms(at)
    wins = (slope >= 0.5 / (1 + lowest) + 0.5 / (1 + highest)) & (constant >= 0)
    alone = np.abs(stationary - start) < np.abs(stationary - end)  # the second piece goes on where the first has ended
    rising = end > stationary
    low = np.where(wins & alone & rising, start, second["ratio_low"])
    high = np.where(wins & alone & ~rising, start, second["ratio_high"])
    return second | {"ratio_low": low, "ratio_high": high}, ~wins | alone


def _pieces(parts: dict[str, np.ndarray], members: Any, steps: int | None, dtype: Any) -> Pieces:
    arrays = {}
    for field in fields(Pieces):
        if field.name != "steps":
            values = np.ascontiguousarray(parts[field.name][..., members])
            arrays[field.name] = values.astype(dtype) if values.dtype.kind == "f" else values
    return Pieces(**arrays, steps=steps)

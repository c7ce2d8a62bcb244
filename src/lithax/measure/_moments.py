"""Mean, variance, skewness and kurtosis in one pass, stable for any number of voxels."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import namespace
from lithax.measure._exact_sum import SCALE, kept_or_zero
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._minimum_maximum import kept
from lithax.measure._numbers import as_sum, constant, dtype_name, plain, total, voxels
from lithax.measure._result import Result
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, widened
from lithax.typing import Array

SHRUNK = 2.0**-8
"""Also small enough for the reciprocal of a difference to be a normal number: compilers divide by
multiplying.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class MomentsResult(Result):
    """Moments of the voxels taken in; NaN where they are undefined."""

    count: int
    """Voxels that entered the moments."""
    mean: float
    """In the unit of the image."""
    variance: float
    """Population variance, ``numpy.var(x)`` [unit²]."""
    skewness: float
    """Third standardised moment, ``scipy.stats.skew(x)`` [-]; NaN for a constant image."""
    kurtosis: float
    """Excess kurtosis, 0 for a normal distribution, ``scipy.stats.kurtosis(x)`` [-]; NaN for a
    constant image.
    """

    @property
    def standard_deviation(self) -> float:
        """Square root of the variance, in the unit of the image."""
        return math.sqrt(self.variance)


class Moments(AbstractMeasurement):
    """Count, mean, variance, skewness and kurtosis.

    Within a block the moments are taken about the block's own mean, in float64; states are joined
    by the update formulas for central moments, which do not cancel.

    Parameters
    ----------
    skip_nan
        Whether NaN voxels are left out. By default NaN propagates, as in NumPy.

    References
    ----------
    Pébay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments, Sandia report SAND2008-6212 (2008), eqs. 1.5, 1.6, 2.1 and 2.2.
    doi:10.2172/1028931
    """

    skip_nan: bool = eqx.field(static=True, default=False)

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return by_pieces(self._of_piece, image, valid, join=_join)

    def _of_piece(self, image: Array, valid: Array | None) -> State:
        xp = namespace(image)
        x = plain(image)
        if self.skip_nan:
            valid, _ = kept(x, valid)
        x = as_sum(x)
        zero = constant(0, x.dtype, like=x)
        count = voxels(x, valid)
        number = xp.maximum(xp.astype(count, x.dtype), zero + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = total(kept_or_zero(x, valid)) / number
        state = {}
        if dtype_name(image) == "float64":
            # The only type whose sum may overflow where the mean does not, and its fourth powers
            # long before. Shrunk values cannot overflow as they are subtracted, and their powers
            # are taken in units of the largest.
            unit = constant(2.0**-SCALE, x.dtype, like=x)
            mean = xp.where(xp.isfinite(mean), mean, total(kept_or_zero(x * unit, valid)) / number / unit)
            d = kept_or_zero(SHRUNK * x - SHRUNK * mean, valid)
            state["scale"] = xp.max(xp.abs(d))
            d = d / _positive(state["scale"])
        else:
            d = kept_or_zero(x - mean, valid)
        d2 = d * d
        return state | {"count": count, "mean": mean, "m2": total(d2), "m3": total(d2 * d), "m4": total(d2 * d2)}

    def combine(self, a: State, b: State) -> State:
        with np.errstate(over="ignore", invalid="ignore"):
            return _join(widened(a), widened(b))

    def finish(self, state: State) -> MomentsResult:
        count = int(state["count"])
        if count == 0:
            return MomentsResult(0, math.nan, math.nan, math.nan, math.nan)
        mean, m2, m3, m4 = (float(state[name]) for name in ("mean", "m2", "m3", "m4"))
        unit = float(state["scale"]) / SHRUNK if "scale" in state else 1.0
        variance = m2 / count
        # A smaller spread is rounding of the mean, and its shape means nothing (the rule of
        # scipy.stats).
        if not math.sqrt(variance) * unit > np.finfo(np.float64).resolution * abs(mean):
            shape = (math.nan, math.nan)
        else:
            shape = (m3 / count / variance / math.sqrt(variance), m4 / count / variance / variance - 3.0)
        return MomentsResult(count, mean, variance * unit * unit, *shape)


def _join(a: State, b: State) -> State:
    xp = namespace(a["mean"])
    count = a["count"] + b["count"]
    na, nb = (xp.astype(state["count"], a["mean"].dtype) for state in (a, b))
    n = xp.maximum(na + nb, xp.ones_like(na))
    wa, wb = na / n, nb / n
    shrunk = SHRUNK if "scale" in a else 1.0
    d = shrunk * b["mean"] - shrunk * a["mean"]
    d = xp.where((na > 0) & (nb > 0), d, xp.zeros_like(d))  # the mean of no voxel has no distance
    step = d * wb / shrunk
    mean = xp.where(xp.isfinite(step), a["mean"] + step, wa * a["mean"] + wb * b["mean"])
    joined = {"count": count, "mean": xp.where(na > 0, mean, b["mean"])}
    if "scale" in a:
        joined["scale"] = xp.maximum(xp.maximum(a["scale"], b["scale"]), xp.abs(d))
        unit = _positive(joined["scale"])
        d = d / unit
        a, b = (_rescaled(state, state["scale"] / unit) for state in (a, b))
    step = d * wb
    return joined | {
        "m2": a["m2"] + b["m2"] + d * step * na,
        "m3": a["m3"] + b["m3"] + d * d * step * na * (wa - wb) + 3 * d * (wa * b["m2"] - wb * a["m2"]),
        "m4": a["m4"]
        + b["m4"]
        + d * d * d * step * na * (wa * wa - wa * wb + wb * wb)
        + 6 * d * d * (wa * wa * b["m2"] + wb * wb * a["m2"])
        + 4 * d * (wa * b["m3"] - wb * a["m3"]),
    }


def _rescaled(state: State, ratio: Array) -> State:
    square = ratio * ratio
    return {"m2": square * state["m2"], "m3": square * ratio * state["m3"], "m4": square * square * state["m4"]}


def _positive(scale: Array) -> Array:
    # NaN stays; the spread of equal voxels is 0 in any unit.
    xp = namespace(scale)
    return xp.where(scale == 0, xp.ones_like(scale), scale)


@measures_images
def moments(image: Any, where: Any = None, *, skip_nan: bool = False) -> MomentsResult:
    """Return count, mean, variance, skewness and kurtosis of an image or array over the voxels that
    `where` takes in.

    `where` is a boolean array for an array; for an image also a region, an image or a `domain`, as
    for `chunk_reduce`. NaN propagates, unless `skip_nan` leaves it out.
    """
    return Source(image, where).reduce(Moments(skip_nan))

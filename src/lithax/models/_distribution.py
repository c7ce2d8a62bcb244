"""How the attenuation of a material scatters in a scan: distributions to draw from without bias."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import is_array, is_traced, namespace
from lithax.typing import Array


class AbstractDistribution(eqx.Module):
    """A distribution of attenuation values, in the unit of the scan."""

    kind: ClassVar[str]

    mean: eqx.AbstractVar[Any]
    """In the unit of the scan."""
    standard_deviation: eqx.AbstractVar[Any]
    """In the unit of the scan."""

    @abc.abstractmethod
    def quantile(self, probability: Array) -> Array:
        """Return the value below which a share of the distribution lies: the inverse of the
        cumulative distribution.

        Parameters
        ----------
        probability
            Between 0 and 1, both excluded [-]; an array of any library.
        """

    @abc.abstractmethod
    def density(self, value: Array) -> Array:
        """Return the probability density at values [1/unit of the scan]."""

    @abc.abstractmethod
    def rescaled(self, factor: float, shift: float) -> "AbstractDistribution":
        """Return the distribution of ``factor * value + shift``; the factor is positive."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, which `distribution_from_dict` takes."""


class Gaussian(AbstractDistribution):
    """A normal distribution; differentiable in its mean and standard deviation."""

    kind: ClassVar[str] = "gaussian"

    mean: Any
    standard_deviation: Any

    def __init__(self, mean: Any, standard_deviation: Any):
        """Make a normal distribution.

        Parameters
        ----------
        mean, standard_deviation
            In the unit of the scan; the standard deviation is not negative. 0 is a value that is
            known.

        Raises
        ------
        ValueError
            If a number is not finite, or the standard deviation is negative.
        """
        if not is_traced(mean) and not math.isfinite(mean):
            raise ValueError(f"mean={mean!r} must be finite.")
        if not is_traced(standard_deviation) and not 0 <= standard_deviation < math.inf:
            raise ValueError(f"standard_deviation={standard_deviation!r} must be a number, not negative.")
        self.mean = mean
        self.standard_deviation = standard_deviation

    def quantile(self, probability: Array) -> Array:
        """Return mean + standard deviation · Φ⁻¹(probability)."""
        return self.mean + self.standard_deviation * normal_quantile(probability)

    def density(self, value: Array) -> Array:
        """Return the bell curve [1/unit of the scan]."""
        xp = namespace(value)
        score = (value - self.mean) / self.standard_deviation
        return xp.exp(-0.5 * score * score) / (self.standard_deviation * math.sqrt(2 * math.pi))

    def rescaled(self, factor: float, shift: float) -> "Gaussian":
        """Return the distribution of ``factor * value + shift``."""
        return Gaussian(factor * self.mean + shift, factor * self.standard_deviation)

    def to_dict(self) -> dict[str, Any]:
        """Return kind, mean and standard deviation."""
        return {
            "kind": self.kind,
            "mean": float(self.mean),
            "standard_deviation": float(self.standard_deviation),
        }


class Histogram(AbstractDistribution):
    """Bins with counts: within a bin every value is as likely."""

    kind: ClassVar[str] = "histogram"

    edges: np.ndarray
    counts: np.ndarray

    def __init__(self, edges: Any, counts: Any):
        """Make a distribution from a histogram.

        Parameters
        ----------
        edges
            Of the bins, one more than counts, all ascending or all descending [unit of the scan].
        counts
            How many values fell into each bin, or their share; not negative, with a positive sum.

        Raises
        ------
        ValueError
            If lengths do not fit, edges are not in order, a count is negative, or all are 0.
        """
        edges, counts = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
        if edges.ndim != 1 or counts.shape != (edges.size - 1,) or edges.size < 2:
            raise ValueError(f"{edges.size} edges and {counts.size} counts: n bins have n + 1 edges and n counts.")
        if edges[0] > edges[-1]:
            edges, counts = edges[::-1], counts[::-1]
        if not (np.isfinite(edges).all() and np.all(np.diff(edges) > 0)):
            raise ValueError("Edges must be finite, and ascending or descending without repetition.")
        _check_weights(counts, "counts")
        used = np.flatnonzero(counts)
        self.edges = edges[used[0] : used[-1] + 2].copy()
        self.counts = counts[used[0] : used[-1] + 1].copy()

    @property
    def _shares(self) -> np.ndarray:
        return self.counts / self.counts.sum()

    @property
    def mean(self) -> float:
        """In the unit of the scan."""
        return float(self._shares @ (0.5 * (self.edges[1:] + self.edges[:-1])))

    @property
    def standard_deviation(self) -> float:
        """Of values spread over the bins, in the unit of the scan."""
        middle, width = 0.5 * (self.edges[1:] + self.edges[:-1]), np.diff(self.edges)
        return math.sqrt(float(self._shares @ ((middle - self.mean) ** 2 + width**2 / 12)))

    def quantile(self, probability: Array) -> Array:
        """Return the value at a share of the counts, linear within a bin."""
        xp = namespace(probability)
        cumulative = np.concatenate([[0.0], np.cumsum(self._shares)])
        edges, steps = self.edges, np.diff(cumulative)
        index = _interval(xp, cumulative, probability)
        start, step = _at(xp, cumulative[:-1], index, probability), _at(xp, steps, index, probability)
        left = _at(xp, edges[:-1], index, probability)
        width = _at(xp, np.diff(edges), index, probability)
        share = (probability - start) / xp.where(step > 0, step, xp.ones_like(step))
        return left + width * xp.clip(share, 0.0, 1.0)

    def density(self, value: Array) -> Array:
        """Return share over width of the bin, 0 outside [1/unit of the scan]."""
        xp = namespace(value)
        index = _interval(xp, self.edges, value)
        inside = (value >= float(self.edges[0])) & (value <= float(self.edges[-1]))
        height = _at(xp, self._shares / np.diff(self.edges), index, value)
        return xp.where(inside, height, xp.zeros_like(height))

    def rescaled(self, factor: float, shift: float) -> "Histogram":
        """Return the distribution of ``factor * value + shift``."""
        return Histogram(factor * self.edges + shift, self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return kind, edges and counts."""
        return {"kind": self.kind, "edges": self.edges.tolist(), "counts": self.counts.tolist()}


class Tabulated(AbstractDistribution):
    """A probability density at points, straight lines between them."""

    kind: ClassVar[str] = "tabulated"

    x: np.ndarray
    y: np.ndarray

    def __init__(self, x: Any, y: Any):
        """Make a distribution from a curve.

        Parameters
        ----------
        x
            Attenuation values in any order, no two alike [unit of the scan].
        y
            Density at them, of any scale; not negative. The density is 0 outside of the points.

        Raises
        ------
        ValueError
            If lengths differ, points repeat, or the area under the curve is not positive.
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if x.ndim != 1 or x.shape != y.shape or x.size < 2:
            raise ValueError(f"x has shape {x.shape} and y {y.shape}: give two sequences of one length, at least 2.")
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        if not (np.isfinite(x).all() and np.all(np.diff(x) > 0)):
            raise ValueError("x must be finite, and no value may stand in it twice.")
        _check_weights(y, "y")
        self.x, self.y = x, y / float(np.sum(0.5 * (y[1:] + y[:-1]) * np.diff(x)))

    @property
    def mean(self) -> float:
        """In the unit of the scan."""
        return self._moment(self.x)

    @property
    def standard_deviation(self) -> float:
        """In the unit of the scan."""
        centred = self.x - self.mean
        a, b, f, g, h = centred[:-1], centred[1:], self.y[:-1], self.y[1:], np.diff(self.x)
        # The integral of x² (f + (g - f) t) over a line, exact.
        second = h * (f * (3 * a**2 + 2 * a * b + b**2) + g * (a**2 + 2 * a * b + 3 * b**2)) / 12
        return math.sqrt(float(second.sum()))

    def _moment(self, x: np.ndarray) -> float:
        a, b, f, g = x[:-1], x[1:], self.y[:-1], self.y[1:]
        return float(np.sum(np.diff(self.x) * (f * (2 * a + b) + g * (a + 2 * b)) / 6))

    def quantile(self, probability: Array) -> Array:
        """Return the value at a share of the area: the root of a parabola within each line."""
        xp = namespace(probability)
        x, f, g, h = self.x[:-1], self.y[:-1], self.y[1:], np.diff(self.x)
        cumulative = np.concatenate([[0.0], np.cumsum(0.5 * h * (f + g))])
        cumulative /= cumulative[-1]
        index = _interval(xp, cumulative, probability)
        left, start, end, width, before = (_at(xp, part, index, probability) for part in (x, f, g, h, cumulative[:-1]))
        area = xp.clip(probability - before, 0.0, None)
        # The root of f t + (g - f) t²/2 = area/h in the form that does not cancel.
        target = area / width
        root = xp.sqrt(xp.clip(start * start + 2.0 * (end - start) * target, 0.0, None))
        below = start + root
        t = 2.0 * target / xp.where(below > 0, below, xp.ones_like(below))
        return left + width * xp.clip(t, 0.0, 1.0)

    def density(self, value: Array) -> Array:
        """Return the height of the curve, 0 outside [1/unit of the scan]."""
        xp = namespace(value)
        index = _interval(xp, self.x, value)
        left, start, slope = (
            _at(xp, part, index, value) for part in (self.x[:-1], self.y[:-1], np.diff(self.y) / np.diff(self.x))
        )
        inside = (value >= float(self.x[0])) & (value <= float(self.x[-1]))
        return xp.where(inside, start + slope * (value - left), xp.zeros_like(left))

    def rescaled(self, factor: float, shift: float) -> "Tabulated":
        """Return the distribution of ``factor * value + shift``."""
        return Tabulated(factor * self.x + shift, self.y / factor)

    def to_dict(self) -> dict[str, Any]:
        """Return kind, x and y."""
        return {"kind": self.kind, "x": self.x.tolist(), "y": self.y.tolist()}


def distribution_from_dict(values: dict[str, Any]) -> AbstractDistribution:
    """Return the distribution that `to_dict` described."""
    kinds = {kind.kind: kind for kind in (Gaussian, Histogram, Tabulated)}
    keywords = {name: value for name, value in values.items() if name != "kind"}
    if values.get("kind") not in kinds:
        raise ValueError(f"kind={values.get('kind')!r} must be one of {', '.join(kinds)}.")
    return kinds[values["kind"]](**keywords)


def normal_quantile(probability: Array) -> Array:
    """Return Φ⁻¹, the inverse of the cumulative normal distribution, to about 16 digits in float64.

    Rational approximations in three ranges, in the arithmetic of the array's own library, so that a
    draw has nearly the same bits wherever it is made.

    References
    ----------
    M. J. Wichura, Algorithm AS 241: the percentage points of the normal distribution, Applied
    Statistics 37 (1988) 477-484, PPND16. doi:10.2307/2347330
    """
    xp = namespace(probability)
    q = probability - 0.5
    central = q * _ratio(0.180625 - q * q, _CENTRAL)
    if isinstance(probability, np.ndarray) and probability.ndim:  # the tails only where they are wanted
        outside = np.abs(q) > 0.425
        central[outside] = _tail(np, probability[outside])
        return central
    return xp.where(xp.abs(q) <= 0.425, central, _tail(xp, probability))


def _tail(xp: Any, probability: Array) -> Array:
    upper = probability > 0.5
    r = xp.sqrt(-xp.log(xp.where(upper, 1.0 - probability, probability)))
    outer = xp.where(r <= 5.0, _ratio(r - 1.6, _MIDDLE), _ratio(r - 5.0, _FAR))
    return xp.where(upper, outer, -outer)


_CENTRAL = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_MIDDLE = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def _ratio(x: Array, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    above, below = (_polynomial(x, part) for part in coefficients)
    return above / below


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    result = x * 0.0 + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def _check_weights(weights: np.ndarray, name: str) -> None:
    if not np.isfinite(weights).all() or np.any(weights < 0):
        raise ValueError(f"{name} must be finite and not negative.")
    if not weights.sum() > 0:
        raise ValueError(f"{name} does not integrate to a distribution: all of it is 0.")


def _interval(xp: Any, points: np.ndarray, value: Array) -> Array:
    """Return in which interval of ascending points a value lies; the outer ones reach on."""
    inner = points[1:-1]
    if inner.size == 0:
        return xp.astype(value * 0, xp.int32)
    return xp.searchsorted(_asarray(xp, inner, value), value, side="right")


def _at(xp: Any, table: np.ndarray, index: Array, like: Array) -> Array:
    values = _asarray(xp, table, like)
    return xp.reshape(xp.take(values, xp.reshape(index, (-1,)), axis=0), index.shape)


def _asarray(xp: Any, values: np.ndarray, like: Array) -> Array:
    if not is_array(like) or isinstance(like, np.ndarray | np.generic):
        return values
    return xp.asarray(values, dtype=like.dtype)

"""Bell curves fitted to a curve or a histogram: one or several, by least squares or least absolute
deviations.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lithax.models import Gaussian
from lithax.typing import Array

_SMOOTHING = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)
"""Below which deviations, relative to the highest value, the absolute value is rounded off; stage
after stage.
"""


class GaussianFit(eqx.Module):
    """A sum of bell curves a exp(-(x - μ)²/(2σ²)), in ascending order of μ."""

    amplitude: np.ndarray
    """a, of shape (components,) [unit of y]."""
    mean: np.ndarray
    """μ [unit of x]."""
    standard_deviation: np.ndarray
    """σ, positive [unit of x]."""
    error: float
    """The norm of the deviations that was made small [unit of y]."""

    def __call__(self, x: Any) -> np.ndarray:
        """Return the sum at x."""
        return self.components(x).sum(axis=0)

    def components(self, x: Any) -> np.ndarray:
        """Return every bell curve at x, of shape ``(components, *x.shape)``."""
        x = np.asarray(x, np.float64)
        shape = (-1, *(1,) * x.ndim)
        a, m, s = (np.reshape(part, shape) for part in (self.amplitude, self.mean, self.standard_deviation))
        return a * np.exp(-0.5 * ((x - m) / s) ** 2)

    @property
    def weight(self) -> np.ndarray:
        """Share of every component in the area [-]."""
        area = self.amplitude * self.standard_deviation
        return area / area.sum()

    def distributions(self) -> tuple[Gaussian, ...]:
        """Return every component as a distribution to draw from."""
        return tuple(Gaussian(float(m), float(s)) for m, s in zip(self.mean, self.standard_deviation, strict=True))


def fit_gaussians(
    x: Any, y: Any, components: int = 1, *, norm: int = 2, initial: Any = None, steps: int = 500
) -> GaussianFit:
    """Fit a sum of bell curves.

    By Levenberg and Marquardt's method. For least absolute deviations (`norm` = 1), which stray
    values disturb less, the absolute value is rounded off near 0, less in each of five stages.

    Parameters
    ----------
    x, y
        A curve: sequences of one length, x in any order; for a histogram its bin centres and
        counts.
    components
        How many bell curves.
    norm
        2: least squares. 1: least absolute deviations.
    initial
        (amplitude, mean, standard deviation) for every component, to start from; None: the highest
        peak, then the highest of what is left, and so on.
    steps
        Most steps of every stage.

    Returns
    -------
        The fit; amplitudes are positive or 0, components in ascending order of their means.

    Raises
    ------
    ValueError
        If there are fewer points than parameters, values are not finite, y is nowhere positive, or
        `norm` is neither.

    References
    ----------
    J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in
    Mathematics 630 (1978) 105-116. doi:10.1007/BFb0067700
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if norm not in (1, 2):
        raise ValueError(f"norm={norm!r} must be 2 (least squares) or 1 (least absolute deviations).")
    if isinstance(components, bool) or not isinstance(components, int | np.integer) or components < 1:
        raise ValueError(f"components={components!r} must be an integer, at least 1.")
    if x.ndim != 1 or x.shape != y.shape or x.size < 3 * components:
        raise ValueError(
            f"x has shape {x.shape} and y {y.shape}; {components} bell curves have {3 * components} parameters and need at "
            "least as many points."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and y.max() > 0 and np.ptp(x) > 0):
        raise ValueError("x and y must be finite, x not all the same, and y positive somewhere.")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    # Solved for x from 0 to 1 and y up to 1, so that no unit matters.
    origin, span, height = x[0], x[-1] - x[0], y.max()
    u, v = (x - origin) / span, y / height
    if initial is None:
        start = _peaks(u, v, components)
    else:
        start = np.asarray(initial, np.float64).reshape(components, 3)
        start = np.column_stack([start[:, 0] / height, (start[:, 1] - origin) / span, start[:, 2] / span])
    unknown = np.column_stack([start[:, 0], start[:, 1], np.log(start[:, 2])])
    smoothing = (0.0,) if norm == 2 else _SMOOTHING
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        u, v, used = (_filled(part) for part in (u, v, np.ones_like(u)))
        for epsilon in smoothing:
            unknown = np.asarray(_solver(steps, norm)(unknown, u, v, used, epsilon))
    amplitude, mean = height * unknown[:, 0], origin + span * unknown[:, 1]
    deviation = span * np.exp(unknown[:, 2])
    ascending = np.argsort(mean)
    fit = GaussianFit(amplitude[ascending], mean[ascending], deviation[ascending], 0.0)
    error = float(np.linalg.norm(y - fit(x), ord=norm))
    return GaussianFit(fit.amplitude, fit.mean, fit.standard_deviation, error)


def _curve(unknown: Array, x: Array) -> Array:
    score = (x[None, :] - unknown[:, 1:2]) * jnp.exp(-unknown[:, 2:3])
    return jnp.sum(unknown[:, 0:1] * jnp.exp(-0.5 * score * score), axis=0)


@functools.cache
def _solver(steps: int, norm: int) -> Any:
    import optimistix as optx

    def deviations(unknown: Array, data: tuple[Array, ...]) -> Array:
        x, y, used, epsilon = data
        # Positive amplitudes: the square of a root, the same curve.
        amplitude = jnp.concatenate([unknown[:, :1] ** 2, unknown[:, 1:]], axis=1)
        difference = used * (y - _curve(amplitude, x))
        if norm == 2:
            return difference
        # Its square is |d| but for d of the size of epsilon.
        return difference / (difference * difference + epsilon * epsilon) ** 0.25

    solver = optx.LevenbergMarquardt(rtol=1e-12, atol=1e-12)

    def solve(unknown: Array, x: Array, y: Array, used: Array, epsilon: Array) -> Array:
        root = jnp.concatenate([jnp.sqrt(jnp.maximum(unknown[:, :1], 1e-12)), unknown[:, 1:]], axis=1)
        data = (x, y, used, jnp.asarray(epsilon, dtype=jnp.float64))
        found = optx.least_squares(deviations, solver, root, data, max_steps=steps, throw=False).value
        return jnp.concatenate([found[:, :1] ** 2, found[:, 1:]], axis=1)

    return jax.jit(solve)


def _filled(values: np.ndarray) -> np.ndarray:
    """Fill up with zeros to a power of two: few lengths, few compiled programs."""
    size = max(64, 1 << (values.size - 1).bit_length())
    return np.concatenate([values, np.zeros(size - values.size)])


def _peaks(x: np.ndarray, y: np.ndarray, components: int) -> np.ndarray:
    """Guess (amplitude, mean, standard deviation) of one peak after the other, each taken away
    before the next.
    """
    found = []
    left = y.copy()
    if y.size >= 10 * components:  # a running median, so that no stray value is a peak
        left = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(y, 2, mode="edge"), 5), axis=1)
    for _ in range(components):
        top = int(np.argmax(left))
        height = max(left[top], 1e-6)
        below = left < 0.5 * height
        before, after = np.flatnonzero(below[:top]), np.flatnonzero(below[top:])
        lower = x[before[-1]] if before.size else None
        upper = x[top + after[0]] if after.size else None
        # The nearer flank belongs to this peak alone, as far as any does.
        flanks = [abs(x[top] - side) for side in (lower, upper) if side is not None]
        width = max(min(flanks, default=0.25), 1e-6) / 1.1774  # half width at half height is sqrt(2 ln 2) σ
        found.append((height, x[top], width))
        left = left - height * np.exp(-0.5 * ((x - x[top]) / width) ** 2)
    return np.asarray(found)

"""The best coefficients of a calibration, and how well they are known: optimisation instead of
draws.
"""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lithax.arrays import is_traced
from lithax.inverse._draw_coefficients import (
    checked_calibration,
    made_of,
    reduced_attenuation,
    solve_values,
    whitening,
)
from lithax.models import AbstractDistribution, Calibration, Coefficients, Gaussian, Powers, Standard
from lithax.typing import Array


class CalibrationFit(eqx.Module):
    """Coefficients with the covariance of their errors."""

    coefficients: Coefficients
    """One row: the maximum of the posterior density."""
    covariance: Any
    """Of (CT0, A, B, n) at every energy, by Laplace's approximation: shape (energies, 4, 4).
    Energies are independent.
    """
    residuals: Any
    """What the fit leaves of empty space and of every standard, in units of their errors: shape
    (energies, 1 + standards).
    """

    @property
    def standard_deviations(self) -> Any:
        """Of (CT0, A, B, n) at every energy: shape (energies, 4)."""
        xp = jnp if is_traced(self.covariance) else np
        return xp.sqrt(xp.diagonal(self.covariance, axis1=1, axis2=2))

    def draw(self, draws: int, seed: int = 0) -> Coefficients:
        """Return rows drawn from the normal distribution with this mean and covariance.

        Close to `draw_coefficients` where the errors are small, and always solvable; the same rows
        for the same seed.
        """
        from lithax.generate import hash_noise

        number = np.arange(draws)[:, None, None]
        kind = np.arange(4)[None, :, None] + (1 << 20)
        energy = np.arange(self.coefficients.energies)[None, None, :]
        normal = hash_noise(seed, number, kind, energy, dtype=np.float64)
        parts = np.stack(
            [np.asarray(part)[0] for part in (self.coefficients.air, self.coefficients.A, self.coefficients.B)]
            + [np.asarray(self.coefficients.n)[0]]
        )
        scale = np.sqrt(np.diagonal(np.asarray(self.covariance), axis1=1, axis2=2))
        rows = np.empty((draws, 4, parts.shape[1]))
        for e, deviation in enumerate(scale):
            correlation = np.asarray(self.covariance)[e] / np.outer(deviation, deviation)
            values, vectors = np.linalg.eigh(correlation)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            rows[:, :, e] = parts[:, e] + (normal[:, :, e] @ root.T) * deviation
        air, a, b, n = (rows[:, k, :] for k in range(4))
        valid = np.all((a > 0) & (b > 0) & (n > 0), axis=1)
        return Coefficients(air, a, b, n, valid, energy_names=self.coefficients.energy_names)


def calibrate(
    standards: Sequence[Standard] | Calibration,
    air: Standard | Sequence[AbstractDistribution] | None = None,
    *,
    calibration: str = "mean",
    prior: Gaussian | tuple[float, float] | None = None,
    bounds: tuple[float, float] = (0.5, 10.0),
    energy_names: Sequence[str] | None = None,
) -> CalibrationFit:
    """Fit CT0, A, B and n of every energy to the means of empty space and the standards.

    Weighted least squares by Levenberg and Marquardt's method, and the posterior covariance by
    Laplace's approximation, the inverse of JᵀJ with J the Jacobian of the residuals in units of
    their errors. Differentiable in the means and standard deviations of `Gaussian` distributions
    and in the densities, by the implicit function theorem, in an x64 scope.

    Parameters
    ----------
    standards, air
        As for `draw_coefficients`.
    calibration
        What the errors are. "mean": standard deviation / sqrt(effective count) of each. "voxel":
        the standard deviation itself.
    prior
        What is known of n beforehand: a `Gaussian` or (mean, standard deviation). With it two
        standards are enough.
    bounds
        Smallest and largest n of the start [-].
    energy_names
        From low to high; ("low", "high") for two energies.

    Returns
    -------
        Coefficients (one row), covariance and residuals.

    Raises
    ------
    ValueError
        As `draw_coefficients`; and if no n within the bounds fits the means.

    References
    ----------
    D. J. C. MacKay, Information theory, inference, and learning algorithms, Cambridge University
    Press (2003), chapter 27.
    """
    air, standards, names, prior = checked_calibration(standards, air, energy_names, bounds, prior)
    every = (air, *standards)
    distributions = [standard.distributions(calibration) for standard in every]
    means = [[d.mean for d in row] for row in distributions]
    errors = [[d.standard_deviation for d in row] for row in distributions]
    densities = [made_of(standard).electron_density for standard in standards]
    traced = any(is_traced(value) for row in (*means, *errors, densities) for value in row)

    # The start, and the scales of the unknowns, from the closed form.
    known_air, known_standards = jax.tree_util.tree_map(_primal, (air, standards), is_leaf=is_traced)
    start = _start(known_air, known_standards, calibration, prior, bounds)
    powers = Powers([made_of(standard).composition for standard in standards])
    hint = None if prior is None else np.asarray([float(prior.mean), float(prior.standard_deviation)])
    scope = contextlib.nullcontext() if traced else jax.enable_x64(True)
    with scope, jax.default_device(jax.local_devices(backend="cpu")[0]):
        fits = []
        for e in range(len(names)):
            data = [jnp.stack([jnp.asarray(row[e], float) for row in rows]) for rows in (means, errors)]
            data.append(jnp.stack([jnp.asarray(value, float) for value in densities]))
            first = np.asarray([part[0, e] for part in start])
            fits.append(_compiled()(first, tuple(data), (powers.logarithms, powers.fractions, powers.largest), hint))
        parameters, covariance, residuals = (jnp.stack(part) for part in zip(*fits, strict=True))
    if not traced:
        parameters, covariance, residuals = (np.asarray(part) for part in (parameters, covariance, residuals))
    air_level, a, b, n = (parameters[None, :, k] for k in range(4))
    best = Coefficients(air_level, a, b, n, np.ones(1, bool), energy_names=names)
    return CalibrationFit(best, covariance, residuals)


def _start(
    air: Standard, standards: Sequence[Standard], calibration: str, prior: Gaussian | None, bounds: tuple[float, float]
) -> tuple[np.ndarray, ...]:
    """Return CT0, A, B and n of the means, each of shape (1, energies)."""
    means = np.asarray([[float(m) for m in standard.means] for standard in (air, *standards)])[None]
    hint = None if prior is None else np.asarray([float(prior.mean), float(prior.standard_deviation)])
    values = reduced_attenuation(means, standards)
    a, b, n, valid = solve_values(values, whitening(air, standards, calibration), hint, bounds, standards)
    if not valid.all():
        raise ValueError(
            f"No n within bounds={bounds!r} with positive A and B fits the means {means[0].tolist()} of empty space and "
            f"{', '.join(standard.name for standard in standards)}; check densities, compositions and regions."
        )
    return means[:, 0, :], a, b, n


class _Problem(eqx.Module):
    """The residuals of one energy, of unknowns of size 1; B goes with n, so that its unknown is B
    Z_maxⁿ.
    """

    start: Array
    contrast: Array
    logarithms: Array
    fractions: Array
    largest: Array
    prior: Array | None

    def parameters(self, unknown: Array) -> Array:
        """Return (CT0, A, B, n)."""
        n = self.start[3] + unknown[3]
        size = self.contrast
        empty, a, c = self.start[0] + size * unknown[0], size * unknown[1], size * unknown[2]
        return jnp.stack([empty, a, c * self.largest**-n, n])

    def residuals(self, unknown: Array, data: tuple[Array, Array, Array]) -> Array:
        means, errors, densities = data
        empty, a, _, n = self.parameters(unknown)
        powers = jnp.sum(self.fractions * jnp.exp(n * self.logarithms), axis=1)
        levels = jnp.concatenate([empty[None], empty + densities * (a + self.contrast * unknown[2] * powers)])
        # A value that is known exactly is one known to a hundred-millionth of the contrast.
        scaled = (levels - means) / jnp.sqrt(errors**2 + (1e-8 * self.contrast) ** 2)
        return scaled if self.prior is None else jnp.append(scaled, (n - self.prior[0]) / self.prior[1])


@functools.cache
def _compiled() -> Any:
    import optimistix as optx

    solver = optx.LevenbergMarquardt(rtol=1e-13, atol=1e-13)

    def residuals(unknown: Array, arguments: tuple[_Problem, tuple[Array, Array, Array]]) -> Array:
        problem, data = arguments
        return problem.residuals(unknown, data)

    def fit(start: Array, data: tuple[Array, Array, Array], powers: Any, prior: Array | None) -> tuple[Array, ...]:
        logarithms, fractions, largest = powers
        c = start[2] * largest ** start[3]
        contrast = start[1] + c
        problem = _Problem(start, contrast, logarithms, fractions, largest, prior)
        first = jnp.stack([jnp.zeros_like(c), start[1] / contrast, c / contrast, jnp.zeros_like(c)])
        arguments = (problem, data)
        best = optx.least_squares(residuals, solver, first, arguments, max_steps=1000, throw=False).value
        jacobian = jax.jacfwd(residuals)(best, arguments)
        # The inverse of JᵀJ by singular values, which does not square their range.
        _, size, right = jnp.linalg.svd(jacobian, full_matrices=False)
        root = jax.jacfwd(problem.parameters)(best) @ (right.T / size)
        return problem.parameters(best), root @ root.T, residuals(best, arguments)[: data[0].size]

    return jax.jit(fit)


def _primal(value: Any) -> Any:
    while is_traced(value):
        if not hasattr(value, "primal"):
            raise TypeError(
                "calibrate looks for its start in numbers: call it under jax.grad or jax.jacfwd, not under jax.jit."
            )
        value = value.primal
    return value

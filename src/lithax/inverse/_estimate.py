"""One electron density and one atomic number per voxel, from two energies or more, with gradients.

The unknowns are those that fit the attenuations best; two energies are met exactly. How they change
with the attenuations and with the coefficients follows from the condition that they fit best
(implicit differentiation), not from the steps of the search.
"""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.inverse._monotone_pieces import HIGHEST
from lithax.models import Coefficients
from lithax.typing import Array

_GRID = 96
_STEPS = 40


def estimate(
    attenuations: tuple[Any, ...], coefficients: Coefficients, *, noise: tuple[float, ...] | None = None
) -> tuple[Array, Array]:
    """Return electron density and effective atomic number of every voxel for every draw, as a
    differentiable JAX function.

    Minimises Σ_e ((CT_e - CT0_e - ρ_e (A_e + B_e Zⁿ))/noise_e)² over ρ_e > 0 and Z in [1, 118].
    With two energies the sum is 0 at the root that `solve` finds too; of two roots this is the
    lower Z, whatever the density line.

    Parameters
    ----------
    attenuations
        One JAX or NumPy array per energy, of one shape, from low to high energy [unit of the scan].
    coefficients
        Rows of (CT0, A, B, n) of as many energies; may be traced and differentiated.
    noise
        Standard deviation of each energy [unit of the scan]: its weight, where there are more than
        two energies; equal by default.

    Returns
    -------
        ρ_e [g/cm³, electron-equivalent] and Z [-], of shape ``(*shape, draws)``; NaN where nothing
        in the range fits: with two energies no root, with more a minimum at an end of the range.

    Raises
    ------
    ValueError
        If there are fewer than two energies, or another number than that of the coefficients.
    """
    energies = coefficients.energies
    if len(attenuations) != energies or energies < 2:
        raise ValueError(
            f"{len(attenuations)} attenuations are given for coefficients of {energies} energies; give one array per energy, at least two."
        )
    if noise is not None and (len(noise) != energies or min(noise) <= 0):
        raise ValueError(f"noise={noise!r}: give one positive standard deviation per energy.")
    weights = jnp.asarray([1.0] * energies if noise is None else [1.0 / s for s in noise])
    scans = jnp.stack([jnp.asarray(a) for a in attenuations], axis=-1)
    shape = scans.shape[:-1]
    parts = jnp.stack([jnp.asarray(getattr(coefficients, k)) for k in ("air", "A", "B", "n")], axis=-1)
    parts = parts.astype(jnp.result_type(parts, scans)).astype(jnp.result_type(float))
    scans = scans.reshape(-1, energies).astype(parts.dtype)
    found = _best_of_all(scans, parts, weights.astype(parts.dtype))
    valid = jnp.asarray(coefficients.valid)
    density, number = (jnp.where(valid, v, jnp.nan) for v in (found[..., 0], jnp.exp(found[..., 1])))
    return density.reshape(*shape, -1), number.reshape(*shape, -1)


def _shares(parts: Array, log: Array) -> Array:
    """Return A + B Zⁿ per energy."""
    return parts[:, 1] + parts[:, 2] * jnp.exp(parts[:, 3] * log)


def _misfit(unknowns: Array, scan: Array, parts: Array, weights: Array) -> Array:
    """Return half the sum of squares of ρ_e and ln Z."""
    rest = (scan - parts[:, 0] - unknowns[0] * _shares(parts, unknowns[1])) * weights
    return 0.5 * jnp.sum(rest * rest)


@jax.custom_jvp
def _best(scan: Array, parts: Array, weights: Array) -> Array:
    """Return the best ρ_e and ln Z of one voxel and one draw; NaN where there is none in the
    range.
    """
    above = (scan - parts[:, 0]) * weights
    top = jnp.log(jnp.asarray(HIGHEST, above.dtype))

    def density(log: Array) -> Array:
        share = _shares(parts, log) * weights
        return jnp.sum(share * above) / jnp.sum(share * share)

    def slope(log: Array) -> Array:
        """Half the derivative of the smallest misfit at this Z, of which the density is
        eliminated.
        """
        rho = density(log)
        rate = parts[:, 2] * parts[:, 3] * jnp.exp(parts[:, 3] * log) * weights
        share = _shares(parts, log) * weights
        if scan.shape[0] == 2:  # exact roots: the cross product changes sign, the slope may do so elsewhere, too
            return share[0] * above[1] - share[1] * above[0]
        return -jnp.sum((above - rho * share) * rho * rate)

    places = jnp.linspace(0.0, top, _GRID)
    slopes = jax.vmap(slope)(places)
    if scan.shape[0] == 2:
        changes = slopes[1:] * slopes[:-1] <= 0
        first = jnp.argmax(changes)
    else:
        changes = (slopes[:-1] <= 0) & (slopes[1:] > 0)
        misfits = jax.vmap(lambda u: _misfit(jnp.stack([density(u), u]), scan, parts, weights))(places[:-1])
        first = jnp.argmin(jnp.where(changes, misfits, jnp.inf))
    found = jnp.any(changes) & jnp.all(above > 0)
    low, high = places[first], places[first + 1]
    sign = jnp.where(slopes[first] > slopes[first + 1], -1.0, 1.0)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        beyond = slope(middle) * sign > 0
        return jnp.where(beyond, ends[0], middle), jnp.where(beyond, middle, ends[1])

    low, high = jax.lax.fori_loop(0, _STEPS + 15, halve, (low, high))
    log = 0.5 * (low + high)
    return jnp.where(found, jnp.stack([density(log), log]), jnp.nan)


@_best.defjvp
def _best_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """At the best fit the gradient of the misfit vanishes: H d(unknowns) = -d(gradient)."""
    found = _best(*primals)
    gradient = jax.grad(_misfit)
    _, moved = jax.jvp(lambda *p: gradient(found, *p), primals, tangents)
    curvature = jax.hessian(_misfit)(found, *primals)
    determinant = curvature[0, 0] * curvature[1, 1] - curvature[0, 1] * curvature[1, 0]
    first = (curvature[1, 1] * moved[0] - curvature[0, 1] * moved[1]) / determinant
    second = (curvature[0, 0] * moved[1] - curvature[1, 0] * moved[0]) / determinant
    return found, -jnp.stack([first, second])


_best_of_all = jax.jit(jax.vmap(jax.vmap(_best, (None, 0, None)), (0, None, None)))


def propagate(
    low: Array,
    high: Array,
    coefficients: Coefficients,
    covariance: Array,
    *,
    voxel_noise: tuple[float, float] | None = None,
    density_line: Any = None,
) -> tuple[Array, Array, Array, Array]:
    """Return electron density, atomic number and their standard deviations, to first order in the
    errors of the calibration.

    Where the errors are small enough for the model to be straight across them, this is what a Monte
    Carlo inversion finds with any number of draws, at the price of one.

    Parameters
    ----------
    low, high
        NumPy arrays of one shape [unit of the scan].
    coefficients
        One draw: the best estimate.
    covariance
        Of (CT0, A, B, n) of the low energy, then those of the high energy; shape (8, 8).
    voxel_noise
        Standard deviation of the noise of a voxel at the two energies [unit of the scan]; none by
        default.
    density_line
        As for `invert`.

    Returns
    -------
        ρ_e [g/cm³, electron-equivalent], Z [-] and the standard deviation of each, arrays of the
        shape of `low`.

    Raises
    ------
    ValueError
        If there is more than one draw, or the covariance is not 8 by 8, symmetric, without negative
        variances.
    """
    from lithax.inverse._invert import solve

    if coefficients.draws != 1:
        raise ValueError(f"coefficients hold {coefficients.draws} draws; give the best estimate, one row.")
    covariance = np.asarray(covariance, np.float64)
    if covariance.shape != (8, 8) or not np.allclose(covariance, covariance.T) or (np.diag(covariance) < 0).any():
        raise ValueError(
            f"covariance has shape {covariance.shape}; give a symmetric 8 x 8 matrix for (CT0, A, B, n) of the low, then of the high energy."
        )
    density, number, _ = (
        v[..., 0] for v in solve(np.asarray(low, float), np.asarray(high, float), coefficients, density_line=density_line)
    )  # fmt: skip
    a, b, n = (np.asarray(getattr(coefficients, k), np.float64)[0] for k in ("A", "B", "n"))
    power = [number ** n[e] for e in (0, 1)]
    # 0 = d CT_e - d CT0_e - ρ (dA_e + Zⁿ dB_e + B_e Zⁿ ln Z dn_e) - (A_e + B_e Zⁿ) dρ - ρ B_e n_e
    # Zⁿ⁻¹ dZ
    to_density = [a[e] + b[e] * power[e] for e in (0, 1)]
    to_number = [density * b[e] * n[e] * power[e] / number for e in (0, 1)]
    determinant = to_density[0] * to_number[1] - to_density[1] * to_number[0]
    by_scan = np.stack(
        [np.stack([to_number[1], -to_number[0]], -1), np.stack([-to_density[1], to_density[0]], -1)], -2
    ) / determinant[..., None, None]  # fmt: skip
    by_parts = []
    for e in (0, 1):
        parts = (np.ones_like(density), density, density * power[e], density * b[e] * power[e] * np.log(number))
        by_parts += [-by_scan[..., e] * p[..., None] for p in parts]
    jacobian = np.stack(by_parts, axis=-1)
    variance = np.einsum("...ui,ij,...uj->...u", jacobian, covariance, jacobian)
    if voxel_noise is not None:
        variance = variance + np.sum((by_scan * np.asarray(voxel_noise, float)) ** 2, axis=-1)
    deviation = np.sqrt(variance)
    return density, number, deviation[..., 0], deviation[..., 1]

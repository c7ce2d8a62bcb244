"""Coefficients like those of a medical scanner, attenuations made with them, and a slow root finder to compare with."""

import numpy as np
from scipy.optimize import brentq

from lithax.dect import Coefficients

# (CT0, A, B, n) at about 50 and 80 keV, in 1/cm per g/cm³: B so that photoelectric absorption of water is 16 and 5 %.
LOW = (0.0, 0.19, 0.19 * 0.16 / 7.5**3.2, 3.2)
HIGH = (0.0, 0.165, 0.165 * 0.05 / 7.5**3.1, 3.1)


def scattered(rng, draws, spread):
    """Return draws around LOW and HIGH; with a spread of some percent many of their curves are not monotone."""
    columns = []
    for air, a, b, n in (LOW, HIGH):
        scale = 1 + spread * rng.standard_normal((3, draws))
        columns.append(
            (air + 0.02 * spread * rng.standard_normal(draws), a * scale[0], b * scale[1] ** 2, n * scale[2])
        )
    air, a, b, n = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    return Coefficients(air, a, b, n)


def one_draw():
    """Return the single draw of LOW and HIGH."""
    return Coefficients(*([[low, high]] for low, high in zip(LOW, HIGH, strict=True)))


def attenuations(density, number):
    """Return the attenuations of LOW and HIGH."""
    return tuple(air + density * (a + b * number**n) for air, a, b, n in (LOW, HIGH))


def all_roots(low, high, row):
    """Return all (ρ_e, Z) of one voxel and one draw, by bracketing every change of sign on a fine grid."""
    (air_l, a_l, b_l, n_l), (air_h, a_h, b_h, n_h) = row
    mu_l, mu_h = low - air_l, high - air_h
    if not (mu_l > 0 and mu_h > 0):
        return []

    def f(u):
        z = np.exp(u)
        return (a_l + b_l * z**n_l) * mu_h - (a_h + b_h * z**n_h) * mu_l

    grid = np.linspace(0, np.log(118), 4001)
    values = f(grid)
    found = []
    for k in np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0):
        z = np.exp(brentq(f, grid[k], grid[k + 1], xtol=1e-15, rtol=1e-15))
        found.append((mu_h / (a_h + b_h * z**n_h), z))
    return found


def row(coefficients, draw):
    """Return one draw as all_roots wants it."""
    parts = (coefficients.air, coefficients.A, coefficients.B, coefficients.n)
    return tuple(tuple(float(part[draw, e]) for part in parts) for e in (0, 1))

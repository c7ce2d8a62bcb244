"""Bounds on an effective conductivity from the volume fractions alone."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp


class Bounds(eqx.Module):
    """What no arrangement of the same voxels goes beyond; in the unit of the conductivity.

    Wiener's hold along every axis of every image. Those of Hashin and Shtrikman hold for isotropic
    rock: a finite piece may leave them along one axis. Maxwell's formula is the upper one where the
    most conducting phase surrounds the others. Where the conductivity of a voxel depends on the
    direction, the lower ones are those of its least, the upper ones those of its largest.
    """

    wiener: tuple[Any, Any]
    """Layers in series, layers in parallel: harmonic and arithmetic mean (Wiener, 1912)."""
    hashin_shtrikman: tuple[Any, Any]
    """Hashin & Shtrikman, J. Appl. Phys. 33 (1962), 3125, eqs. 3.21 and 3.23; for many values
    Milton, The Theory of Composites (2002), eq. 23.15."""

    @property
    def maxwell(self) -> Any:
        """Maxwell's formula (Treatise on Electricity and Magnetism (1873), art. 314): F = (3 − φ) /
        (2 φ) for insulating grains far apart."""
        return self.hashin_shtrikman[1]


def bounds(values: Any, fractions: Any) -> Bounds:
    """Return the bounds for conductivities and their volume fractions, which add up to one."""
    known = isinstance(values, np.ndarray) and isinstance(fractions, np.ndarray)
    return jax.tree.map(jnp.asarray, _bounds(np, values, fractions)) if known else _compiled(values, fractions)


@jax.jit
def _compiled(values: jax.Array, fractions: jax.Array) -> Bounds:
    return _bounds(jnp, values, fractions)


def _bounds(xp: Any, s: Any, f: Any) -> Bounds:

    def resistance(shift: Any) -> Any:
        moved = s + shift
        # Where a fraction of the volume insulates and nothing is added, the mean of the resistances
        # is infinite.
        safe = xp.where(moved > 0, moved, 1)
        insulated = xp.sum(xp.where(moved > 0, 0, f)) > 0
        return xp.where(insulated, xp.inf, xp.sum(f / safe))

    low, high = xp.min(xp.where(f > 0, s, xp.inf)), xp.max(xp.where(f > 0, s, -xp.inf))
    return bounds_of_means(xp.sum(f * s), low, high, *(resistance(shift) for shift in (0.0, 2 * low, 2 * high)))


def bounds_of_means(mean: Any, low: Any, high: Any, plain: Any, by_low: Any, by_high: Any) -> Bounds:
    """Return the bounds for the mean, least and largest conductivity and the means of 1/s,
    1/(s + 2 low) and 1/(s + 2 high).
    """
    return Bounds((1 / plain, mean), (1 / by_low - 2 * low, 1 / by_high - 2 * high))


def sums_over(voxels: np.ndarray, mask: np.ndarray | None, low: Any, high: Any) -> np.ndarray:
    """Return the sums of s, 1/s, 1/(s + 2 low) and 1/(s + 2 high) over a piece of a field, in
    float64 plane by plane; `mask` is True in the sample, or None.
    """
    sums = np.zeros(4)
    for k, plane in enumerate(voxels):
        s = (plane if mask is None else plane[mask[k]]).astype(np.float64)
        sums[0] += s.sum()
        with np.errstate(divide="ignore"):  # where nothing conducts
            sums[1:] += [np.sum(1 / (s + shift)) for shift in (0.0, 2 * float(low), 2 * float(high))]
    return sums


def bounds_of_field(means: np.ndarray, low: Any, high: Any, dtype: Any) -> Bounds:
    """Return the bounds for a field from its extremes and the means of what `sums_over` sums."""
    mean, *others = (dtype.type(v) for v in means)
    return bounds_of_means(mean, dtype.type(low), dtype.type(high), *others)

"""Bounds on an effective conductivity from the volume fractions alone."""

from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp


class Bounds(eqx.Module):
    """What no arrangement of the same voxels goes beyond; in the unit of the conductivity.

    Wiener's hold along every axis of every image. Those of Hashin and Shtrikman hold for isotropic
    rock: a finite piece may leave them along one axis. Maxwell's formula is the upper one where the
    most conducting phase surrounds the others.
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


@jax.jit
def bounds(values: Any, fractions: Any) -> Bounds:
    """Return the bounds for conductivities and their volume fractions, which add up to one."""
    s, f = jnp.asarray(values), jnp.asarray(fractions)

    def harmonic(shift: Any) -> Any:
        moved = s + shift
        # Where a fraction of the volume insulates and nothing is added, the mean of the resistances
        # is infinite.
        safe = jnp.where(moved > 0, moved, 1)
        insulated = jnp.sum(jnp.where(moved > 0, 0, f)) > 0
        return jnp.where(insulated, 0.0, 1 / jnp.sum(f / safe)) - shift

    low, high = jnp.min(jnp.where(f > 0, s, jnp.inf)), jnp.max(jnp.where(f > 0, s, -jnp.inf))
    return Bounds((harmonic(0.0), jnp.sum(f * s)), (harmonic(2 * low), harmonic(2 * high)))

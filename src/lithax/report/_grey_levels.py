"""The grey levels of pore and grain, how sharp the edges between them are, and what follows without a threshold.

Near a surface the scanner mixes the two materials, so grey levels are taken from deep inside each phase. How deep is
enough is seen from the levels themselves: as the depth grows they settle, until so few voxels are left that noise moves
them again. The depth with the smallest sum of the two errors is taken.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.report._depth import DepthProfile, Shell, shells

REACH = 12
"""Up to where the depth of voxels is told apart [voxel]: six standard deviations of a blur of two voxels."""

FEWEST = 100
"""Voxels that a grey level is taken from, at least."""


@dataclass(frozen=True)
class Interior:
    """The grey level of a phase away from its surface."""

    level: float
    """Mean grey level of the voxels deep inside."""
    noise: float
    """Standard deviation of their grey levels."""
    depth: int
    """They lie at least this far from the other phase [voxel]."""
    voxels: int
    standard_error: float
    """Of the mean, for noise that is independent from voxel to voxel."""
    drift: float
    """How much the mean changed with the last voxel of depth: a bound on what is left of the other phase."""

    @property
    def uncertainty(self) -> float:
        """Both errors together, in grey levels."""
        return math.hypot(self.standard_error, self.drift)


def interior(profile: DepthProfile, sign: int, reach: int = REACH) -> Interior | None:
    """Return the grey level of the pores (-1) or grains (+1); None if too few voxels lie away from the surface."""
    part = profile.phase(sign)
    best: Interior | None = None
    before = math.nan
    for depth in range(1, reach + 2):
        own = part.square >= depth * depth
        count = int(part.count[own].sum())
        if count < FEWEST:
            break
        weight = part.count[own] / count
        mean = float(weight @ part.mean[own])
        variance = max(float(weight @ (part.variance[own] + (part.mean[own] - mean) ** 2)), 0.0)
        found = Interior(mean, math.sqrt(variance), depth, count, math.sqrt(variance / count), abs(mean - before))
        before = mean
        # At depth 1 lie the voxels that touch the surface, and there is no smaller depth to compare with.
        if depth > 1 and (best is None or found.standard_error + found.drift < best.standard_error + best.drift):
            best = found
    return best


@dataclass(frozen=True)
class Balance:
    """Porosity from a balance of grey levels: no voxel is assigned to a phase."""

    porosity: float
    uncertainty: float
    """From those of the two grey levels."""


def balance(mean: float, pore: Interior, grain: Interior) -> Balance:
    """Return ``(g_grain - <g>) / (g_grain - g_pore)`` with its uncertainty [-].

    Blur moves grey levels about and keeps their mean, so the balance holds where a threshold fails; it holds for two
    materials, each of one grey level, and grey levels that are linear in the share of the two.
    """
    contrast = grain.level - pore.level
    porosity = (grain.level - mean) / contrast
    error = math.hypot((1 - porosity) * grain.uncertainty, porosity * pore.uncertainty) / abs(contrast)
    return Balance(porosity, error)


@dataclass(frozen=True)
class Edge:
    """The mean transition from pore to grain: an error function."""

    width: float
    """Standard deviation of the Gaussian whose integral it is [voxel]."""
    offset: float
    """Where it crosses the middle between the grey levels, seen from the segmented surface, positive into the grains [voxel]."""
    shells: tuple[Shell, ...]
    """The mean grey levels it was fitted to."""

    @property
    def rise(self) -> float:
        """Distance from 10 % to 90 % of the contrast [voxel]."""
        return 2 * 1.2815515655446004 * self.width


def edge(profile: DepthProfile, pore: Interior, grain: Interior, reach: int = REACH) -> Edge | None:
    """Fit an error function to the mean grey level against the distance from the segmented surface.

    Only shells of `FEWEST` voxels count; None if there are fewer than three.
    """
    found = tuple(shell for shell in shells(profile, reach) if shell.count >= FEWEST)
    if len(found) < 3:
        return None
    position = np.array([shell.position for shell in found])
    share = np.array([(shell.mean - pore.level) / (grain.level - pore.level) for shell in found])
    fitted = _fit_error_function(position, share)
    return None if fitted is None else Edge(fitted[1], fitted[0], found)


def transition(position: Any, offset: float, width: float) -> np.ndarray:
    """Return the integral of a Gaussian, from 0 to 1."""
    argument = (np.asarray(position, np.float64) - offset) / (width * math.sqrt(2.0))
    return 0.5 * (1.0 + np.vectorize(math.erf, otypes=[np.float64])(argument))


def _fit_error_function(position: np.ndarray, share: np.ndarray) -> tuple[float, float] | None:
    # Levenberg and Marquardt in (offset, log width): the width stays positive.
    offset, log_width, damping = 0.0, 0.0, 1e-3
    residual = transition(position, offset, math.exp(log_width)) - share
    for _ in range(100):
        z = (position - offset) / math.exp(log_width)
        density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        slope = np.stack([-density / math.exp(log_width), -density * z], axis=1)
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -slope.T @ residual)
        step = np.clip(step, -2.0, 2.0)
        tried = transition(position, offset + step[0], math.exp(log_width + step[1])) - share
        if tried @ tried < residual @ residual:
            offset, log_width, residual, damping = offset + step[0], log_width + step[1], tried, damping / 3
            if np.abs(step).max() < 1e-10:
                break
        else:
            damping *= 4
            if damping > 1e12:
                break
    width = math.exp(log_width)
    # A step between two voxels has no width that could be told, and a width beyond what was looked at means nothing.
    return (float(offset), width) if 0.02 < width < np.ptp(position) and abs(offset) < np.ptp(position) / 2 else None

"""The grey levels of pore and grain, how sharp the edges between them are, and what follows without
a threshold.

Near a surface the scanner mixes the two materials, so grey levels are taken from deep inside each
phase. How deep is enough is seen from the levels themselves: as the depth grows they settle, until
so few voxels are left that noise moves them again. The depth with the smallest sum of the two
errors is taken.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.report._depth import DepthProfile, Shell, shells

REACH = 12
"""Up to where the depth of voxels is told apart [voxel]: six standard deviations of a blur of two
voxels.
"""

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
    """How much the mean changes with a voxel of depth more or less: a bound on what is left of the
    other phase.
    """

    @property
    def uncertainty(self) -> float:
        """Both errors together, in grey levels."""
        return math.hypot(self.standard_error, self.drift)


def interior(profile: DepthProfile, sign: int, reach: int = REACH) -> Interior | None:
    """Return the grey level of the pores (-1) or grains (+1); None if too few voxels lie away from
    the surface.
    """
    part = profile.phase(sign)
    found: list[Interior] = []
    for depth in range(1, reach + 2):
        own = part.square >= depth * depth
        count = int(part.count[own].sum())
        if count < FEWEST:
            break
        weight = part.count[own] / count
        mean = float(weight @ part.mean[own])
        variance = max(float(weight @ (part.variance[own] + (part.mean[own] - mean) ** 2)), 0.0)
        found.append(Interior(mean, math.sqrt(variance), depth, count, math.sqrt(variance / count), math.nan))
    settled = []
    # At depth 1 lie the voxels that touch the surface, and there is no smaller depth to compare
    # with.
    for before, here, after in zip(found, found[1:], [*found[2:], None], strict=False):
        drift = abs(here.level - before.level)
        if after is not None:
            drift = max(drift, abs(after.level - here.level))
        settled.append(replace(here, drift=drift))
    return min(settled, key=lambda one: one.standard_error + one.drift, default=None)


@dataclass(frozen=True)
class Balance:
    """Porosity from a balance of grey levels: no voxel is assigned to a phase."""

    porosity: float
    uncertainty: float
    """From those of the two grey levels."""


def balance(mean: float, pore: Interior, grain: Interior) -> Balance:
    """Return ``(g_grain - <g>) / (g_grain - g_pore)`` with its uncertainty [-].

    Blur moves grey levels about and keeps their mean, so the balance holds where a threshold fails;
    it holds for two materials, each of one grey level, and grey levels that are linear in the share
    of the two.
    """
    contrast = grain.level - pore.level
    porosity = (grain.level - mean) / contrast
    error = math.hypot((1 - porosity) * grain.uncertainty, porosity * pore.uncertainty) / abs(contrast)
    return Balance(porosity, error)


OVERSHOOT = 0.1
"""Share of the contrast by which grey levels near edges may lie beyond those deep inside, before it
is called overshoot.
"""

MISFIT = 0.1
"""Root mean square deviation from an error function, as a share of the step, above which a
transition is none.
"""


@dataclass(frozen=True)
class Edge:
    """The mean transition from pore to grain: an error function between two grey levels."""

    width: float
    """Standard deviation of the Gaussian whose integral it is [voxel]."""
    offset: float
    """Where it crosses the middle between its levels, seen from the segmented surface, positive
    into the grains [voxel].
    """
    low: float
    """Grey level that it starts from."""
    high: float
    """Grey level that it ends at."""
    overshoot: float
    """How far the two lie beyond the levels deep inside, as a share of the contrast: phase contrast
    or sharpening; 0 if it is not seen.
    """
    span: tuple[float, float]
    """First and last distance that it was fitted to [voxel]."""
    misfit: float
    """Root mean square deviation of the shells from it, as a share of its step."""
    shells: tuple[Shell, ...]
    """The mean grey levels of voxels by their distance from the surface, all that were looked at.
    """

    @property
    def rise(self) -> float:
        """Distance from 10 % to 90 % of the step [voxel]."""
        return 2 * 1.2815515655446004 * self.width


def edge(profile: DepthProfile, pore: Interior, grain: Interior, reach: int = REACH) -> Edge | None:
    """Fit an error function to the mean grey level against the distance from the segmented surface.

    It runs between the grey levels deep inside. Where grey levels near the edge lie beyond these,
    as phase contrast and sharpening make them, it runs between the extremes on both sides of the
    edge instead, and only there. Only shells of `FEWEST` voxels count. None if there are fewer than
    three, or the transition is no error function.
    """
    every = tuple(shell for shell in shells(profile, reach) if shell.count >= FEWEST)
    below, above = (tuple(s for s in every if s.position * sign > 0) for sign in (-1, 1))
    if not below or not above or len(every) < 3:
        return None
    darkest, brightest = min(below, key=lambda s: s.mean), max(above, key=lambda s: s.mean)
    contrast = grain.level - pore.level
    overshoot = max(pore.level - darkest.mean, brightest.mean - grain.level) / contrast
    low, high, fitted = pore.level, grain.level, every
    if overshoot > OVERSHOOT:
        low, high = min(low, darkest.mean), max(high, brightest.mean)
        fitted = tuple(s for s in every if darkest.position <= s.position <= brightest.position)
    else:
        overshoot = 0.0
    position = np.array([shell.position for shell in fitted])
    share = np.array([(shell.mean - low) / (high - low) for shell in fitted])
    offset, width = _fit_error_function(position, share)
    misfit = float(np.sqrt(np.mean((transition(position, offset, width) - share) ** 2)))
    span = float(np.ptp(position))
    # A step between two voxels has no width that could be told, and one beyond what was looked at
    # means nothing.
    if misfit > MISFIT or not 0.05 < width < span or abs(offset) > span / 2:
        return None
    return Edge(width, offset, low, high, overshoot, (fitted[0].position, fitted[-1].position), misfit, every)


def transition(position: Any, offset: float, width: float) -> np.ndarray:
    """Return the integral of a Gaussian, from 0 to 1."""
    argument = (np.asarray(position, np.float64) - offset) / (width * math.sqrt(2.0))
    return 0.5 * (1.0 + np.vectorize(math.erf, otypes=[np.float64])(argument))


def _fit_error_function(position: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Return offset and width of the error function nearest to the shares."""
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
    return float(offset), math.exp(log_width)

"""Electron density and atomic number for every voxel and every draw."""

from typing import Any, NamedTuple

import numpy as np

from lithax.arrays import cond, namespace
from lithax.inverse._monotone_pieces import Curves, Group
from lithax.inverse._pieces import Pieces
from lithax.inverse._roots import roots
from lithax.typing import Array

TILE = 2**16
"""Values that NumPy works on at a time: few enough to stay in the cache from one operation to the
next.
"""


class Solved(NamedTuple):
    """What the draws say of some voxels; draws without a calibration are left out, the others stand
    in the order of the groups.
    """

    log_number: Array
    """ln Z, of shape (voxels, draws); NaN where there is no result."""
    density: Array
    """ρ_e [g/cm³, electron-equivalent], likewise."""
    below_air: Array
    """Draws, per voxel, whose air is not darker than the voxel at both energies."""
    ambiguous: Array
    """Draws, per voxel, with two roots."""


def solve_draws(curves: Curves, low: Array, high: Array, below_air: str = "drop") -> Solved:
    """Find ln Z and electron density for every voxel and every draw that has a calibration.

    Parameters
    ----------
    curves
        With arrays of the library and type of `low`.
    low, high
        Attenuations above the reference of the curves, of shape (voxels, 1), or (voxels, draws)
        where every draw sees another one.
    below_air
        "drop": voxels darker than air have no result; "zero": their density and their atomic number
        are 0.
    """
    xp = namespace(low, high)
    voxels = low.shape[0]
    if isinstance(low, np.ndarray):
        log, density = np.empty((voxels, curves.usable), low.dtype), np.empty((voxels, curves.usable), low.dtype)
        below, ambiguous = np.zeros(voxels, np.int32), np.zeros(voxels, np.int32)
        begin = 0
        for group in curves.groups:
            columns = slice(begin, begin := begin + group.pieces.count)
            for rows in _tiles(voxels, group.pieces.count):
                part = _solve_group(group, low[rows], high[rows], below_air)
                log[rows, columns], density[rows, columns] = part.log_number, part.density
                below[rows] += part.below_air
                ambiguous[rows] += part.ambiguous
    else:
        parts = [_solve_group(group, low, high, below_air) for group in curves.groups]
        log, density = (xp.concat([p[k] for p in parts], axis=1) for k in (0, 1))
        below, ambiguous = sum(p.below_air for p in parts), sum(p.ambiguous for p in parts)
    log, density = _with_beyond(curves, low, high, log, density)
    return Solved(log, density, below, ambiguous)


def _tiles(voxels: int, draws: int) -> list[slice]:
    size = max(1, TILE // draws)
    return [slice(k, k + size) for k in range(0, voxels, size)]


def _solve_group(group: Group, low: Array, high: Array, below_air: str) -> Solved:
    xp = namespace(low)
    pieces = group.pieces
    mu_low, mu_high = _above_air(pieces, low, high)
    bright = (mu_low > 0.0) & (mu_high > 0.0)
    ratio = mu_low / mu_high
    u, share = roots(pieces, ratio)
    found = (ratio >= pieces.ratio_low) & (ratio <= pieces.ratio_high) & bright
    log, density = xp.where(found, u, xp.nan), xp.where(found, share * mu_high, xp.nan)
    if below_air == "zero":
        log, density = xp.where(bright, log, -xp.inf), xp.where(bright, density, 0.0)
    below = pieces.count - xp.count_nonzero(bright, axis=1)
    two = group.rival_low.shape[0]
    if not two:
        return Solved(log, density, below, below * 0)
    q = ratio[:, :two]
    both = (q >= group.rival_low) & (q <= group.rival_high) & bright[:, :two]
    return Solved(log, density, below, xp.count_nonzero(both, axis=1))


def _above_air(pieces: Pieces, low: Array, high: Array) -> tuple[Array, Array]:
    """Return μ_l/A_l and μ_h/A_h."""
    if low.shape[1] != 1:
        xp = namespace(low)
        low, high = xp.take(low, pieces.draw, axis=1), xp.take(high, pieces.draw, axis=1)
    return (low - pieces.air_low) * pieces.scale_low, (high - pieces.air_high) * pieces.scale_high


def _with_beyond(curves: Curves, low: Array, high: Array, log: Array, density: Array) -> tuple[Array, Array]:
    """Take the roots above a stationary point where they are the only ones, or the nearer to the
    density line.
    """
    xp = namespace(low)
    for beyond in curves.beyond:
        pieces = beyond.pieces
        mu_low, mu_high = _above_air(pieces, low, high)
        ratio = mu_low / mu_high
        found = (ratio >= pieces.ratio_low) & (ratio <= pieces.ratio_high) & (mu_low > 0.0) & (mu_high > 0.0)

        def replaced(log: Array, density: Array, beyond=beyond, mu=mu_high, ratio=ratio, found=found) -> Any:
            u, share = roots(beyond.pieces, ratio)
            other = share * mu
            first_log, first = xp.take(log, beyond.position, axis=1), xp.take(density, beyond.position, axis=1)
            line = beyond.line_slope * mu + beyond.line_constant
            wins = found & ~(xp.abs(first - line) <= xp.abs(other - line))  # also where there is no first
            # Every column comes from what was there, or from what is appended to it.
            log = xp.concat([log, xp.where(wins, u, first_log)], axis=1)
            density = xp.concat([density, xp.where(wins, other, first)], axis=1)
            return xp.take(log, beyond.source, axis=1), xp.take(density, beyond.source, axis=1)

        log, density = cond(xp.any(found), replaced, lambda log, density: (log, density), log, density)
    return log, density


def order_of(curves: Curves) -> np.ndarray:
    """Return where every draw stands among the columns of `Solved`; behind the last one where it
    has no calibration.
    """
    order = [np.asarray(group.pieces.draw) for group in curves.groups]
    back = np.full(curves.draws, curves.usable, np.int64)
    back[np.concatenate([*order, np.empty(0, np.int64)])] = np.arange(curves.usable)
    return back

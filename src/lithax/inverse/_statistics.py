"""From attenuations to the spread of electron density and atomic number over the draws, a bounded
piece at a time.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import is_jax, namespace
from lithax.inverse._draws import Solved, solve_draws
from lithax.inverse._monotone_pieces import Curves
from lithax.inverse._order_statistics import SortedRows, sort_rows, spread
from lithax.inverse._voxel_noise import draw_noise
from lithax.typing import Array

PIECE = 2**20
"""Values of one quantity, voxels times draws, that are held at a time on a processor."""
ACCELERATOR_PIECE = 2**26
"""The same on an accelerator, which needs more to be busy."""
SPREAD = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")
OK, BELOW_AIR, NO_ROOT, BAD_CALIBRATION, NOT_FINITE = range(5)
"""What became of a draw; and, for a voxel without any result, of most of its draws, or of the voxel
itself.
"""


@dataclass(frozen=True)
class StatisticsRequest:
    """What is asked of the draws."""

    below_air: str = "drop"
    whis: float = 1.5
    quantiles: tuple[float, ...] = ()
    moments: bool = False
    noise: tuple[float, float] | None = None
    seed: int = 0

    @property
    def of_each(self) -> tuple[str, ...]:
        """Names of the statistics of each of the two quantities."""
        moments = ("mean", "standard_deviation") if self.moments else ()
        return (*SPREAD, *(f"quantile_{q:g}" for q in self.quantiles), *moments)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all results, in order."""
        both = [f"{quantity}_{name}" for quantity in ("electron_density", "atomic_number") for name in self.of_each]
        return (*both, "valid", "below_air", "no_root", "ambiguous", "status")


def statistics(
    curves: Curves, low: Array, high: Array, wanted: StatisticsRequest, places: tuple[Array, Array, Array] | None = None, workers: int = 1
) -> tuple[Array, ...]:  # fmt: skip
    """Return the statistics named by `wanted.names`, one value per voxel.

    Parameters
    ----------
    curves
        With arrays of the library of `low`.
    low, high
        Attenuations of shape (voxels,), of the type of the curves.
    places
        Indices i, j, k of the voxels in the image, for noise.
    workers
        Threads, for arrays in host memory.
    """
    low, high = low - curves.reference_low, high - curves.reference_high
    columns = (low, high, *(places if wanted.noise is not None and places is not None else ()))

    def piece(columns: tuple[Array, ...]) -> tuple[Array, ...]:
        return _piece(curves, columns, wanted)

    voxels, draws = low.shape[0], max(curves.usable, 1)
    if isinstance(low, np.ndarray):
        return _on_host(piece, columns, voxels, max(1, PIECE // draws), workers)
    size = max(1, ACCELERATOR_PIECE // draws)
    if is_jax(low):
        from jax import lax

        size = min(size, max(voxels, 1))
        fill = -voxels % size
        xp = namespace(low)
        stacked = tuple(xp.reshape(xp.pad(c, (0, fill), mode="edge"), (-1, size)) for c in columns)
        return tuple(xp.reshape(r, (-1,))[:voxels] for r in lax.map(piece, stacked))
    xp = namespace(low)
    parts = [piece(tuple(c[k : min(k + size, voxels)] for c in columns)) for k in range(0, voxels, size)]
    return tuple(xp.concat(values) for values in zip(*parts, strict=True))


def _on_host(
    piece: Callable, columns: tuple[np.ndarray, ...], voxels: int, size: int, workers: int
) -> tuple[np.ndarray, ...]:
    def work(k: int) -> tuple[np.ndarray, ...]:
        with np.errstate(all="ignore"):
            return piece(tuple(c[k : k + size] for c in columns))

    starts = range(0, voxels, size)
    if workers > 1 and len(starts) > 1:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(work, starts))
    else:
        parts = [work(k) for k in starts] or [work(0)]
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def _piece(curves: Curves, columns: tuple[Array, ...], wanted: StatisticsRequest) -> tuple[Array, ...]:
    low, high, *places = columns
    xp = namespace(low)
    finite = xp.isfinite(low) & xp.isfinite(high)
    low, high = low[:, None], high[:, None]
    if wanted.noise is not None:
        first, second = draw_noise(wanted.seed, curves.draws, *places, dtype=low.dtype)
        low, high = low + wanted.noise[0] * first, high + wanted.noise[1] * second
    solved = solve_draws(curves, low, high, wanted.below_air)
    if curves.usable == 0:
        return _nothing(curves, low[:, 0], finite, wanted)
    valid = xp.count_nonzero(solved.density == solved.density, axis=1)
    below = xp.where(finite, solved.below_air, 0)
    no_root = xp.where(finite, curves.usable - valid, 0) - below
    if wanted.below_air == "zero":
        no_root = no_root + below
    moments = _moments(solved, valid) if wanted.moments else ((), ())
    results: list[Array] = []
    of_density = SortedRows(sort_rows(solved.density), valid)
    of_number = SortedRows(sort_rows(solved.log_number), valid, xp.exp)
    for rows, further in ((of_density, moments[0]), (of_number, moments[1])):
        results += [*spread(rows, wanted.quantiles, wanted.whis), *further]
    counts = (valid, below, no_root, xp.where(finite, solved.ambiguous, 0))
    return (*results, *(xp.astype(c, xp.uint32) for c in counts), _status(xp, valid, below, no_root, finite, curves))


def _moments(solved: Solved, valid: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    xp = namespace(solved.density)

    def of(values: Array) -> tuple[Array, Array]:
        there = values == values
        number = xp.astype(valid, values.dtype)
        mean = xp.sum(xp.where(there, values, 0.0), axis=1) / number
        away = xp.where(there, values - mean[:, None], 0.0)
        # One voxel value is known from one draw only if the draws agree: n, not n - 1, as for a
        # distribution that is given.
        return mean, xp.sqrt(xp.sum(away * away, axis=1) / number)

    return of(solved.density), of(xp.exp(solved.log_number))


def _status(xp: Any, valid: Array, below: Array, no_root: Array, finite: Array, curves: Curves) -> Array:
    bad = curves.draws - curves.usable
    failed = xp.where(below >= no_root, below * 0 + BELOW_AIR, NO_ROOT)
    most = xp.maximum(below, no_root)
    status = xp.where(valid > 0, OK, xp.where(most >= bad, failed, BAD_CALIBRATION))
    return xp.astype(xp.where(finite, status, NOT_FINITE), xp.uint8)


def _nothing(curves: Curves, low: Array, finite: Array, wanted: StatisticsRequest) -> tuple[Array, ...]:
    xp = namespace(low)
    missing = low * xp.nan
    none = xp.astype(low * 0 != low * 0, xp.uint32) * 0
    status = xp.where(finite, xp.zeros_like(none) + BAD_CALIBRATION, NOT_FINITE)
    status = xp.astype(status, xp.uint8)
    return (*(missing,) * (2 * len(wanted.of_each)), none, none, none, none, status)

"""What the voxels do to a conductivity: the same shapes on split voxels, and the image on coarser
ones.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from lithax.measure import RepresentativeVolume
from lithax.solve._medium import Medium

ESTIMATES = ("grid", "resolution", "sample_size")


def check_budget(budget: Any) -> tuple[str, ...]:
    """Return which lines of the error budget are wanted that take further solves.

    Raises
    ------
    ValueError
        If one is unknown.
    """
    if isinstance(budget, str) or not isinstance(budget, Collection) or not set(budget) <= set(ESTIMATES):
        raise ValueError(f"budget={budget!r} must name some of {ESTIMATES}, such as budget=('grid',).")
    return tuple(budget)


Solve = Callable[[Any, Any, Any, float], Any]
"""Takes voxels, the conductivity of each of their values (or None), the sample (or None) and by
what the voxel length is multiplied; returns the value."""


def grid_change(medium: Medium, mask: np.ndarray | None, value: Any, solve: Solve) -> Any:
    """Return the value on voxels split in two along every axis, over the value, minus one.

    Splitting converges to the conductivity of the staircase of voxels, not to that of the rock.
    """
    data = np.asarray(medium.data)
    split = np.stack([_split(part) for part in data]) if medium.directed else _split(data)
    finer = solve(split, medium.table, None if mask is None else _split(mask), 0.5)
    return relative(finer, value)


def resolution_trend(medium: Medium, mask: np.ndarray | None, value: Any, solve: Solve) -> dict[int, Any]:
    """Return the change of the value on the image coarsened two- and three-fold, by the factor.

    A coarse voxel is of the phase that most of its voxels have (the pore in a tie), or has their
    mean conductivity. Voxels beyond the last whole one are left out. A trend, not extrapolated.
    """
    found = {}
    data = np.asarray(medium.data)
    for factor, factors in coarsenings(medium.shape).items():
        if medium.directed:
            coarse = np.stack([mean_of_blocks(part, factors) for part in data])
        else:
            coarse = coarser(data, None if medium.table is None else len(np.asarray(medium.table)), factors)
        inside = None if mask is None else coarser(mask, None, factors)
        found[factor] = relative(solve(coarse, medium.table, inside, float(factor)), value)
    return found


def coarsenings(shape: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    """Return the factors along x, y and z by which an image of a shape is coarsened for the trend,
    by the factor that is quoted: those that leave two voxels.
    """
    shortest = min(n for n in shape if n > 1)
    return {factor: tuple(factor if n > 1 else 1 for n in shape) for factor in (2, 3) if shortest >= 2 * factor}


def coarser(data: np.ndarray, phases: int | None, factors: tuple[int, ...]) -> np.ndarray:
    """Return booleans, phases by their numbers (so many of them), or a field on coarser voxels."""
    if data.dtype == bool:
        return 2 * mean_of_blocks(data, factors) >= 1
    if phases is None:
        return mean_of_blocks(data, factors)
    shares = np.stack([mean_of_blocks(data == phase, factors) for phase in range(phases)])
    return np.argmax(shares, 0).astype(np.uint8 if phases < 256 else np.int32)


def sample_size(found: RepresentativeVolume, volume: int, exponent: Any) -> Any:
    """Return the relative standard deviation of the value between samples of a volume [voxel], or
    None where the image is too small to say.

    That of the porosity, σ_φ/φ, by the line that `measure.representative_volume` puts through its
    sub-cubes, at the sample's own volume; times m, as Archie's law has it: F = φ^(−m).
    """
    spread = found.amplitude * volume**-0.5  # amplitude × edge^(-3/2)
    exponent = np.abs(np.asarray(exponent, float))
    return np.where(np.isfinite(exponent), exponent, np.nan) * spread if np.isfinite(spread) else None


def relative(other: Any, value: Any) -> Any:
    """Return how much another value lies above one, relative to it; NaN where that is zero."""
    value = np.asarray(value, float)
    return np.asarray(other, float) / np.where(value == 0, np.nan, value) - 1


def _split(values: np.ndarray) -> np.ndarray:
    for axis in range(3):
        if values.shape[axis] > 1:
            values = np.repeat(values, 2, axis)
    return values


def mean_of_blocks(values: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Return means over blocks of voxels; those beyond the last whole block are left out."""
    counts = [n // f for n, f in zip(values.shape, factors, strict=True)]
    cut = values[tuple(slice(0, n * f) for n, f in zip(counts, factors, strict=True))]
    pairs = [k for n, f in zip(counts, factors, strict=True) for k in (n, f)]
    return cut.reshape(pairs).mean((1, 3, 5), dtype=np.float64 if values.dtype == np.float64 else np.float32)

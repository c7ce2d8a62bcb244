"""What grey level voxels have at each depth in their phase."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._measurement import AbstractMeasurement
from lithax.typing import Array


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """Grey levels by depth, one entry for each squared depth that occurs. Positive depths lie in
    the grains.
    """

    square: np.ndarray
    """Signed squared depth [voxel²]."""
    count: np.ndarray
    """Voxels."""
    mean: np.ndarray
    """Mean grey level."""
    variance: np.ndarray
    """Variance of the grey levels."""

    def phase(self, sign: int) -> "DepthProfile":
        """Return the part in the pores (-1) or in the grains (+1), with positive depths."""
        own = np.sign(self.square) == sign
        return DepthProfile(sign * self.square[own], self.count[own], self.mean[own], self.variance[own])


class GreyByDepth(AbstractMeasurement):
    """Count, mean and variance of grey levels for every signed squared depth; measures (scan,
    square_depth image).

    Parameters
    ----------
    reach
        That of `square_depth`.
    pivot
        A grey level near the middle of the range: sums of squares are taken about it.
    """

    reach: int = eqx.field(static=True)
    pivot: float = eqx.field(static=True)

    def of(self, grey: Array, depth: Array, *, valid: Array | None = None) -> Any:
        xp = namespace(grey)
        value = xp.astype(grey, xp.float64) - self.pivot
        counted = xp.isfinite(value) if valid is None else xp.isfinite(value) & valid
        value = xp.where(counted, value, xp.zeros_like(value))
        beyond = (self.reach + 1) ** 2
        length = 2 * beyond + 1
        # Voxels of unknown depth have depth 0; so have those that do not count.
        index = xp.where(counted, xp.astype(depth, xp.int32), 0) + beyond
        weight = xp.astype(counted, xp.float64)
        return {
            "count": bincount(index, length, weight),
            "sum": bincount(index, length, value),
            "square": bincount(index, length, value * value),
        }

    def combine(self, a: Any, b: Any) -> Any:
        return {name: a[name] + b[name] for name in a}

    def finish(self, state: Any) -> DepthProfile:
        count = np.asarray(state["count"])
        beyond = (self.reach + 1) ** 2
        square = np.arange(-beyond, beyond + 1)
        own = (count > 0) & (square != 0)
        count, total, squares = (np.asarray(state[name])[own] for name in ("count", "sum", "square"))
        mean = total / count
        return DepthProfile(square[own], count.astype(np.int64), mean + self.pivot, squares / count - mean * mean)

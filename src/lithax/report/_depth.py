"""How deep voxels lie in their phase, and what grey level they have there."""

import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, fence, namespace
from lithax.measure import AbstractMeasurement
from lithax.ops import voxel_op
from lithax.typing import Array


def _lowered(field: Array, reach: int, axis: int) -> Array:
    """Return ``min over k of field[i + k] + k*k`` along one axis, cropped by `reach` at both ends."""
    length = field.shape[axis] - 2 * reach

    def shifted(k: int) -> Array:
        at = [slice(None)] * 3
        at[axis] = slice(reach + k, reach + k + length)
        return field[tuple(at)]

    xp = namespace(field)
    lowest = shifted(0)
    for k in range(1, reach + 1):
        lowest = xp.minimum(lowest, xp.minimum(shifted(-k), shifted(k)) + k * k)
    return lowest


def _square_distance(target: Array, reach: int) -> Array:
    """Return the squared distance of every voxel of the core to the nearest True, at most ``(reach + 1)**2`` [voxel²].

    A squared Euclidean distance is a sum of squares along the axes, so one axis can be minimised after the other.

    References
    ----------
    Saito and Toriwaki, New algorithms for Euclidean distance transformation of an n-dimensional digitized picture with
    applications, Pattern Recognition 27 (1994), eqs. 2 to 4. doi:10.1016/0031-3203(94)90133-3
    """
    xp = namespace(target)
    beyond = (reach + 1) ** 2
    field = xp.astype(xp.where(target, 0, beyond), xp.int16)
    for axis in range(3):
        field = fence(_lowered(field, reach, axis))
    return xp.minimum(field, xp.asarray(beyond, dtype=xp.int16))


def _signed(pore: Array, reach: int, valid: Array | None) -> Array:
    xp = namespace(pore)
    core = tuple(slice(reach, n - reach) for n in pore.shape)
    inside = xp.ones_like(pore) if valid is None else valid
    to_grain = _square_distance(~pore & inside, reach)
    to_pore = _square_distance(pore & inside, reach)
    to_outside = _square_distance(~inside, reach)
    depth = xp.where(pore[core], to_grain, to_pore)
    known = (depth < to_outside) | (to_outside == (reach + 1) ** 2)
    return xp.where(known, xp.where(pore[core], -depth, depth), xp.zeros_like(depth))


def _masked(pore: Array, valid: Array, *, reach: int, block: Any) -> Array:
    return _signed(pore, reach, valid if block.valid is None else valid & block.valid)


@voxel_op(halo=lambda reach: reach, static="reach", context=True, masked=_masked)
def square_depth(pore: Array, *, reach: int, block: Any) -> Array:
    """Return how deep a voxel lies in its phase, as a signed square of a distance [voxel²].

    Parameters
    ----------
    pore
        Boolean, True in the pores.
    reach
        Up to where distances are told apart [voxel]; what lies deeper has ``(reach + 1)**2``.

    Returns
    -------
        int16: the squared distance from the voxel's centre to that of the nearest voxel of the other phase, negative in the
        pores; 0 where a face of the image, or the end of the region of interest, is as near, because nobody knows what is behind it.
    """
    return _signed(pore, reach, block.valid)


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """Grey levels by depth, one entry for each squared depth that occurs. Positive depths lie in the grains."""

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
    """Count, mean and variance of grey levels for every signed squared depth; measures (scan, square_depth image).

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


@dataclass(frozen=True)
class Shell:
    """Voxels whose depth lies between two whole numbers, at one side of the surface."""

    position: float
    """Mean signed distance from the surface, positive in the grains [voxel]."""
    count: int
    mean: float
    deviation: float
    """Standard deviation of the grey levels."""


def shells(profile: DepthProfile, reach: int) -> list[Shell]:
    """Return the voxels in shells of one voxel thickness, from the deepest pore to the deepest grain.

    The centres of two neighbouring voxels of different phases lie one voxel apart, and the surface midway: half a voxel is
    subtracted from the distance between centres. What lies deeper than `reach` is left out, its distance is not known.
    """
    found = []
    for sign in (-1, 1):
        part = profile.phase(sign)
        depth = np.sqrt(part.square)
        for low in range(1, reach):
            own = (depth >= low) & (depth < low + 1)
            count = int(part.count[own].sum())
            if not count:
                continue
            weight = part.count[own] / count
            mean = float(weight @ part.mean[own])
            variance = float(weight @ (part.variance[own] + (part.mean[own] - mean) ** 2))
            found.append(Shell(sign * (float(weight @ depth[own]) - 0.5), count, mean, math.sqrt(max(variance, 0.0))))
    return sorted(found, key=lambda shell: shell.position)

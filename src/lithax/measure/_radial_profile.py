"""Sums over the voxels of a slice at one distance from an axis."""

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, sequence
from lithax.measure._profile import check_axis
from lithax.measure._state import combine_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True, eq=False)
class RadialProfileResult:
    """Mean and number of voxels by slice and by distance from the axis, rounded to whole voxels."""

    axis: int
    center: tuple[float, float]
    count: np.ndarray
    """Voxels taken in, shape (slices, distances) (int64)."""
    mean: np.ndarray
    """Mean over them, in the unit of the image; NaN where there is none."""


class RadialProfile(AbstractMeasurement):
    """Mean and number of voxels at each whole distance from an axis, in each slice across it. NaN
    and infinite voxels do not count.

    Parameters
    ----------
    axis
        0, 1 or 2 for x, y or z: the axis about which the scanner turned.
    center
        Where it cuts a slice, two voxel indices along the other axes in their order; None is the
        middle.
    """

    axis: int = eqx.field(static=True)
    center: tuple[float, float] | None = eqx.field(static=True)
    context: ClassVar[bool] = True

    def __init__(self, axis: int = 2, center: Any = None) -> None:
        self.axis = check_axis(axis)
        self.center = None if center is None else (float(center[0]), float(center[1]))

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> State:
        """Summarise one block that begins at ``block.offset`` in an image of ``block.shape``; None:
        the whole image.
        """
        xp = namespace(image)
        offset, whole = ((0, 0, 0), tuple(image.shape)) if block is None else (block.offset, block.shape)
        across = [a for a in range(3) if a != self.axis]
        center = middle(whole, self.axis) if self.center is None else self.center
        distances = furthest(whole, self.axis, center) + 1
        squared: Any = None
        for a, c in zip(across, center, strict=True):
            d = xp.astype(sequence(image.shape[a], like=image) + offset[a], xp.float64) - c
            d = xp.reshape(d * d, tuple(-1 if b == a else 1 for b in range(3)))
            squared = d if squared is None else squared + d
        ring = xp.astype(xp.floor(xp.sqrt(squared) + 0.5), xp.int32)
        row = xp.astype(sequence(image.shape[self.axis], like=image) + offset[self.axis], xp.int32)
        row = xp.reshape(xp.clip(row, 0, whole[self.axis] - 1), tuple(-1 if b == self.axis else 1 for b in range(3)))
        index = xp.broadcast_to(row * distances + xp.clip(ring, 0, distances - 1), image.shape)
        value = as_sum(image)
        counted = xp.isfinite(value) if valid is None else valid & xp.isfinite(value)
        value = xp.where(counted, value, constant(0, value.dtype, like=value))
        length = distances * whole[self.axis]
        shape = (whole[self.axis], distances)
        return {
            "sum": xp.reshape(bincount(index, length, value), shape),
            "count": xp.reshape(bincount(index, length, xp.astype(counted, value.dtype)), shape),
        }

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> RadialProfileResult:
        count = np.asarray(state["count"], np.float64)
        mean = np.full(count.shape, np.nan)
        np.divide(state["sum"], count, out=mean, where=count > 0)
        center = (math.nan, math.nan) if self.center is None else self.center
        return RadialProfileResult(self.axis, center, count.astype(np.int64), mean)


def middle(shape: tuple[int, ...], axis: int) -> tuple[float, float]:
    """Return the middle of a slice across `axis`, two voxel indices."""
    a, b = (0.5 * (n - 1) for number, n in enumerate(shape) if number != axis)
    return a, b


def furthest(shape: tuple[int, ...], axis: int, center: tuple[float, float]) -> int:
    """Return the largest distance of a voxel from the axis, rounded to whole voxels."""
    sizes = [n for number, n in enumerate(shape) if number != axis]
    return int(math.hypot(*(max(c, n - 1 - c) for c, n in zip(center, sizes, strict=True))) + 0.5)

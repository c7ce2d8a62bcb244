"""An image in cells of many voxels: how many count, and what they add up to."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure import AbstractMeasurement
from lithax.typing import Array


@dataclass(frozen=True, eq=False)
class Cells:
    """Sums over cubic cells of `edge` voxels; the last cell along an axis may be cut off."""

    edge: int
    count: np.ndarray
    """Voxels that count, shape (cells along x, y, z)."""
    total: np.ndarray
    """Sum of their values, of the same shape."""

    @property
    def mean(self) -> np.ndarray:
        """Mean value; NaN in cells without any voxel that counts."""
        with np.errstate(invalid="ignore"):
            return self.total / self.count


class CellSums(AbstractMeasurement):
    """Count and sum of the voxels in each cubic cell of `edge` voxels, from the first voxel of the image on.

    Parameters
    ----------
    edge
        Edge of a cell [voxel].
    """

    edge: int = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)
    context: ClassVar[bool] = True

    def __init__(self, edge: int, shape: Any):
        self.edge = edge
        self.shape = tuple(-(-n // edge) for n in shape)

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> Any:
        xp = namespace(image)
        offset = (0, 0, 0) if block is None else block.offset
        index = None
        for axis, n in enumerate(image.shape):
            # Filler beyond the image does not count, wherever it is put.
            cell = xp.clip((xp.arange(n) + offset[axis]) // self.edge, 0, self.shape[axis] - 1)
            cell = xp.reshape(cell, tuple(-1 if a == axis else 1 for a in range(3)))
            index = cell if index is None else index * self.shape[axis] + cell
        value = xp.astype(image, xp.float64)
        counted = xp.isfinite(value) if valid is None else valid & xp.isfinite(value)
        length = math.prod(self.shape)
        weight = xp.astype(counted, xp.float64)
        return {
            "count": bincount(index, length, weight),
            "total": bincount(index, length, xp.where(counted, value, xp.zeros_like(value))),
        }

    def combine(self, a: Any, b: Any) -> Any:
        return {name: a[name] + b[name] for name in a}

    def finish(self, state: Any) -> Cells:
        return Cells(
            self.edge,
            np.asarray(state["count"]).astype(np.int64).reshape(self.shape),
            np.asarray(state["total"]).reshape(self.shape),
        )


def cell_edge(shape: Any, cells: int = 32) -> int:
    """Return the edge that divides the shortest axis into about so many cells."""
    return max(1, min(shape) // cells)

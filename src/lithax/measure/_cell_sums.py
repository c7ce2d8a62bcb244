"""An image in cells of many voxels: how many count, and what they add up to."""

import dataclasses
import math
import operator
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import sequence
from lithax.measure._phases import Phases, check_phases, phase_row
from lithax.measure._state import combine_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """Sums over cubic cells of `edge` voxels; the last cell along an axis may be cut off."""

    edge: int
    """Edge of a cell [voxel]."""
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
    """Number and sum of the voxels in each cubic cell of `edge` voxels, from the first voxel of the image on.

    Of a boolean image the sum is the number of True. NaN and infinities do not count.

    Parameters
    ----------
    edge
        Edge of a cell [voxel].
    phases
        Values of a segmentation: then the sum is the number of voxels that hold one of them.
    """

    edge: int = eqx.field(static=True)
    phases: Array | None
    context: ClassVar[bool] = True

    def __init__(self, edge: int, phases: Phases | None = None) -> None:
        self.edge = operator.index(edge)
        if self.edge < 1:
            raise ValueError(f"edge={edge!r} must be a positive number of voxels.")
        self.phases = None if phases is None else check_phases(phases)

    @classmethod
    def dividing(cls, shape: Any, cells: int = 32, phases: Phases | None = None) -> "CellSums":
        """Return the measurement whose cells divide the shortest axis of an image into about so many parts."""
        return cls(max(1, min(shape) // cells), phases)

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> State:
        """Summarise one block that begins at ``block.offset`` in an image of ``block.shape``; None: the whole image."""
        xp = namespace(image)
        offset, whole = ((0, 0, 0), image.shape) if block is None else (block.offset, block.shape)
        shape = tuple(-(-n // self.edge) for n in whole)
        index: Any = None
        for axis, n in enumerate(image.shape):
            # Filler beyond the image does not count, wherever it is put.
            cell = xp.clip((sequence(n, like=image) + offset[axis]) // self.edge, 0, shape[axis] - 1)
            cell = xp.reshape(cell, tuple(-1 if a == axis else 1 for a in range(3)))
            index = cell if index is None else index * shape[axis] + cell
        if self.phases is not None:
            image = phase_row(image, self.phases) < self.phases.shape[0]
        value = xp.astype(image, xp.float64)
        counted = xp.isfinite(value) if valid is None else valid & xp.isfinite(value)
        length = math.prod(shape)
        count = bincount(index, length, xp.astype(counted, xp.float64))
        total = bincount(index, length, xp.where(counted, value, xp.zeros_like(value)))
        return {"count": xp.reshape(count, shape), "total": xp.reshape(total, shape)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> Cells:
        return Cells(self.edge, np.asarray(state["count"]).astype(np.int64), np.asarray(state["total"], np.float64))

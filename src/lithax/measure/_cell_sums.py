"""An image in cells of many voxels: how many count, and what they add up to."""

import dataclasses
import math
import operator
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._exact_sum import SCALE, combine_sums, finished_floats
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import constant, dtype_name, sequence
from lithax.measure._phases import Phases, check_phases, phase_row
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
    finite_mean: np.ndarray | None = dataclasses.field(default=None, kw_only=True, repr=False)
    """Mean value where it was summed apart from a total that may overflow."""

    @property
    def mean(self) -> np.ndarray:
        """Mean value; NaN in cells without any voxel that counts."""
        if self.finite_mean is not None:
            return self.finite_mean
        with np.errstate(invalid="ignore"):
            return self.total / self.count


class CellSums(AbstractMeasurement):
    """Number and sum of the voxels in each cubic cell of `edge` voxels, from the first voxel of the
    image on.

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
        """Return the measurement whose cells divide the shortest axis of an image into about so
        many parts.
        """
        return cls(max(1, min(shape) // cells), phases)

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> State:
        """Summarise one block that begins at ``block.offset`` in an image of ``block.shape``; None:
        the whole image.
        """
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
        value = xp.where(counted, value, xp.zeros_like(value))
        state = {"count": count, "sum": bincount(index, length, value)}
        if dtype_name(image) == "float64":  # cells that overflow: see `float_sums`
            state["scaled"] = bincount(index, length, value * constant(2.0**-SCALE, value.dtype, like=value))
        return {name: xp.reshape(values, shape) for name, values in state.items()}

    def combine(self, a: State, b: State) -> State:
        return combine_sums(a, b)

    def finish(self, state: State) -> Cells:
        count = np.asarray(state["count"]).astype(np.int64)
        mean = np.where(count > 0, finished_floats(state, np.maximum(count, 1)), np.nan)
        return Cells(self.edge, count, finished_floats(state), finite_mean=mean)

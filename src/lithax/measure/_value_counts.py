"""Histogram of integers and booleans: one counter per value."""

import operator
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import namespace
from lithax.measure._histogram import check_blocks
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import dtype_name, plain
from lithax.measure._phases import Phases, check_phases
from lithax.measure._state import by_pieces, combine_states
from lithax.measure._tally import check_size, finish_tally, tally
from lithax.typing import Array

LARGEST = 1 << 52
"""Beyond it float64 has no number between two integers, and no edge between their bins."""


def exact_values(low: int | float, high: int | float) -> bool:
    """Return whether every integer from `low` to `high` can have a bin of its own."""
    return low > -LARGEST and high < LARGEST


class ValueCounts(AbstractMeasurement):
    """Counts of every integer from `low` to `high`, both included.

    The result is a histogram with a bin of width one about every value; its percentiles are exact,
    and any other binning follows from it (`HistogramResult.rebin`).

    Parameters
    ----------
    low, high
        First and last value counted; ``ValueCounts(0, 255)`` for uint8, ``ValueCounts(0, 1)`` for
        booleans.
    phases
        Values of a segmentation, given to `of` as the second block, to count apart.
    """

    exact: ClassVar[bool] = True

    low: int = eqx.field(static=True)
    high: int = eqx.field(static=True)
    phases: Array | None

    def __init__(self, low: int, high: int, *, phases: Phases | None = None) -> None:
        self.low, self.high = operator.index(low), operator.index(high)
        if self.low > self.high:
            raise ValueError(f"low={low} must not exceed high={high}.")
        if not exact_values(self.low, self.high):
            raise ValueError(
                f"low={low}, high={high}: integers from 2**52 on cannot have a bin each, since float64 has no edges "
                "between them; use Histogram, or subtract a constant first."
            )
        self.phases = None if phases is None else check_phases(phases)
        check_size(self.high - self.low + 1, self.phases)

    def of(self, image: Array, segmentation: Array | None = None, *, valid: Array | None = None) -> State:
        check_blocks(segmentation, self.phases)
        if not namespace(image).isdtype(image.dtype, ("bool", "integral")):
            raise TypeError(f"The image has dtype {image.dtype}, and values that cannot be listed; use Histogram.")
        counters = (self.high - self.low + 4) * (1 if self.phases is None else self.phases.shape[0] + 1)
        return by_pieces(self._of_piece, image, segmentation, valid, counters=counters)

    def _of_piece(self, image: Array, segmentation: Array | None, valid: Array | None) -> State:
        xp = namespace(image)
        bins = self.high - self.low + 1
        first, last = _limits(image)
        if (
            isinstance(image, np.ndarray)
            and first == self.low == 0
            and last <= self.high
            and valid is None
            and segmentation is None
        ):
            return tally(image, image, bins, None, None, None, bounds=False)  # its values are the columns: no copy
        x = plain(image)
        low, high = max(self.low, int(xp.iinfo(x.dtype).min)), min(self.high, int(xp.iinfo(x.dtype).max))
        complete = self.low <= first and last <= self.high
        if high < low:
            raise ValueError(f"No value from {self.low} to {self.high} exists in dtype {image.dtype}.")
        column = xp.astype(x - low if low else x, xp.int32)
        if low != self.low:
            column = column + (low - self.low)
        if not complete:
            outside = xp.astype(x > high, xp.int32) + bins
            column = xp.where((x >= low) & (x <= high), column, outside)
        return tally(x, column, bins, valid, segmentation, self.phases, bounds=not complete)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> HistogramResult:
        values = np.arange(self.low, self.high + 1)
        edges = np.arange(self.low, self.high + 2) - 0.5
        return finish_tally(state, edges, self.phases, values)


def _limits(image: Any) -> tuple[int, int]:
    name = dtype_name(image)
    if name == "bool":
        return 0, 1
    info = np.iinfo(name)
    return int(info.min), int(info.max)

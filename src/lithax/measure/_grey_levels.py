"""The histogram that thresholds are taken from: every value of an integer image, bins of a float
image.
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from lithax.arrays import to_numpy
from lithax.measure._histogram_function import VALUES, histogram
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._minimum_maximum import MinimumMaximum
from lithax.measure._source import Source
from lithax.measure._value_counts import exact_values

LISTED = 1 << 22
"""Integers between the extremes that are counted in a table; and, beyond, different values that are
counted in a list.
"""


@dataclasses.dataclass(frozen=True)
class GreyLevels:
    """Grey levels in ascending order and how many voxels have each; no level is empty."""

    values: np.ndarray
    """Exact for integers; centres of bins otherwise."""
    counts: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """The levels counted from the lowest one, so that float64 tells large integers apart; in
        any unit.
        """
        if self.values.dtype.kind in "iu":
            # As unsigned integers, in which the difference of two signed ones does not wrap.
            whole = self.values if self.values.dtype.kind == "u" else self.values.astype(np.int64).view(np.uint64)
            return (whole - whole[0]).astype(np.float64)
        largest = float(np.abs(self.values).max())
        unit = 2.0 ** (1 - math.frexp(largest)[1]) if largest > 1e100 else 1.0  # whose squares would overflow
        return self.values * unit - self.values[0] * unit

    def number(self, index: Any) -> float | int:
        """Return a level as a float, or as an integer that no float is equal to."""
        value = self.values[int(index)].item()
        return float(value) if float(value) == value else value


class _DistinctValues(AbstractMeasurement):
    """Counts of the integers that occur, however far apart they are; runs on NumPy."""

    exact: ClassVar[bool] = True

    def of(self, image: Any, *, valid: Any = None) -> State:
        x = to_numpy(image)
        values, counts = np.unique(x.reshape(-1) if valid is None else x[to_numpy(valid)], return_counts=True)
        return {"values": values, "counts": counts.astype(np.int64)}

    def combine(self, a: State, b: State) -> State:
        values, places = np.unique(np.concatenate([a["values"], b["values"]]), return_inverse=True)
        if values.size > LISTED:
            raise ValueError(
                f"The image has more than {LISTED} different grey levels; give bins=, a number of equal bins, such as 65536."
            )
        counts = np.zeros(values.size, np.int64)
        np.add.at(counts, places, np.concatenate([a["counts"], b["counts"]]))
        return {"values": values, "counts": counts}

    def finish(self, state: State) -> GreyLevels:
        return GreyLevels(state["values"], state["counts"])


def grey_histogram(image: Any, bins: Any, where: Any, *, values: int = VALUES, equal: int = 256) -> HistogramResult:
    """Return the histogram that thresholds are taken from.

    Without `bins`, integers that span at most `values` have a bin each; anything else has `equal`
    equal bins.
    """
    if isinstance(image, HistogramResult):
        if bins is not None or where is not None:
            raise ValueError("bins= and where= have been settled when the histogram was made; leave them out.")
        result = image
    else:
        if bins is None:
            bins = "values" if _span(Source(image, where)) <= values else equal
        result = histogram(image, bins, where=where)
    if result.counts.sum() == 0:
        raise ValueError("No voxel was counted (all are left out, NaN, or outside the range); there is no threshold.")
    return result


def grey_levels(image: Any, bins: Any, where: Any, equal: int = 256) -> GreyLevels:
    """Return the levels that occur: every value of integers, whatever their type, or the centres of
    `equal` equal bins.
    """
    if bins is None and not isinstance(image, HistogramResult):
        source = Source(image, where)
        if source.dtype.kind in "iu" and _span(source) > LISTED:
            found = _DistinctValues()
            levels = source.reduce(found, **({"backend": "numpy"} if source.is_image else {}))
            if levels.values.size:
                return levels
    result = grey_histogram(image, bins, where, values=LISTED, equal=equal)
    taken = result.counts > 0
    if taken.sum() == 1 and result.minimum == result.maximum:  # not the middle of the bin that it lies in
        return GreyLevels(np.asarray([result.minimum]), result.counts[taken])
    centers = result.centers
    whole = np.array_equal(result.widths, np.ones(result.widths.size)) and np.array_equal(centers, np.round(centers))
    return GreyLevels(centers[taken].astype(np.int64) if whole else centers[taken], result.counts[taken])


def _span(source: Source) -> int | float:
    if source.dtype.kind == "f":
        return float("inf")
    if source.dtype.kind == "b" or source.dtype.itemsize == 1:
        return 256
    if source.dtype.itemsize == 2:
        return VALUES
    extremes = source.reduce(MinimumMaximum(skip="nan"))
    if extremes.count and not exact_values(extremes.minimum, extremes.maximum):
        return float("inf")  # float64 has no edges between such integers
    return int(extremes.maximum) - int(extremes.minimum) + 1 if extremes.count else 0

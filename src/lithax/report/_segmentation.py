"""From grey levels to pores: a filter, a threshold from the histogram of what it leaves, and both
at once over the scan.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lithax.images import VoxelImage, chunk_map
from lithax.measure import HistogramResult, Peaks, histogram, minimum_maximum, otsu, peaks
from lithax.ops import chain, gaussian, median, threshold
from lithax.report._filtered_scan import FilteredScan

FEW_VALUES = 8
"""An image of integers with no more values than this is taken for segmented already."""

BINS = 1024
"""For grey levels that have no bin each."""

SENSITIVITY = 0.05
"""Share of the contrast by which the threshold is moved to see what depends on it."""


def make_filter(name: str) -> Callable[..., Any] | None:
    """Return the filter of that name: "none", "median", "median:2" (radius), "gaussian",
    "gaussian:1.5" (sigma) [voxel].

    Raises
    ------
    ValueError
        If there is no such filter.
    """
    kind, _, parameter = name.partition(":")
    try:
        if kind == "none" and not parameter:
            return None
        if kind == "median":
            return partial(median, radius=int(parameter or 1))
        if kind == "gaussian":
            return partial(gaussian, sigma=float(parameter or 1.0))
    except ValueError:
        pass
    raise ValueError(
        f"filter={name!r} is not known; use 'none', 'median' or 'median:2' (radius [voxel]), 'gaussian' or 'gaussian:1.5' "
        f"(standard deviation [voxel])."
    )


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that the histogram offers, and the one that was used."""

    otsu: float
    half_contrast: float | None
    """Midway between the two peaks; None where the histogram has no two peaks."""
    peaks: Peaks | None
    used: float
    """The voxels up to this grey level are pore."""
    name: str
    """"otsu", "half contrast" or "given"."""


def grey_histogram(scan: VoxelImage, fn: Any, where: Any, progress: bool = True) -> HistogramResult:
    """Return the histogram of the filtered scan, one bin per value where that is possible."""
    keeps_dtype = fn is None or fn.func is median
    filtered = FilteredScan(scan, fn, scan.dtype if keeps_dtype else np.dtype(np.float32), progress)
    return histogram(filtered, "values" if _has_few_values(filtered, where) else BINS, where=where)


def _has_few_values(scan: FilteredScan, where: Any) -> bool:
    if scan.dtype.kind not in "biu":
        return False
    if scan.dtype.itemsize <= 2:
        return True
    extremes = minimum_maximum(scan, where=where)
    return int(extremes.maximum) - int(extremes.minimum) < 2**16


def values_of(levels: HistogramResult) -> list[int] | None:
    """Return the values of an image that is segmented already; None for a scan."""
    occupied = levels.centers[levels.counts > 0]
    if len(occupied) > FEW_VALUES or not np.all(levels.widths == 1):
        return None
    return [round(v) for v in occupied]


def choose_threshold(levels: HistogramResult, wanted: str | float) -> Thresholds:
    """Return the thresholds of a histogram; `wanted` is "otsu", "half" or a grey level.

    Raises
    ------
    ValueError
        If `wanted` is none of these or lies outside the grey levels, or "half" is asked for and
        there are no two peaks.
    """
    by_otsu = otsu(levels)
    found: Peaks | None = None
    why: ValueError | None = None
    try:
        found = peaks(levels)
    except ValueError as error:
        why = error
    middle = None if found is None else found.middle
    if wanted == "otsu":
        return Thresholds(by_otsu, middle, found, by_otsu, "otsu")
    if wanted == "half":
        if middle is None:
            raise ValueError(f"threshold='half' needs the two peaks of the histogram. {why}") from why
        return Thresholds(by_otsu, middle, found, middle, "half contrast")
    try:
        value = float(wanted)
    except (TypeError, ValueError):
        raise ValueError(f"threshold={wanted!r} must be 'otsu', 'half' or a grey level.") from None
    if not levels.minimum <= value <= levels.maximum:
        raise ValueError(
            f"threshold={value:g} lies outside the grey levels of the filtered image, {levels.minimum:g} to {levels.maximum:g}, "
            f"so that everything would be one phase; Otsu's is {by_otsu:g}."
        )
    return Thresholds(by_otsu, middle, found, value, "given")


def segment(scan: VoxelImage, fn: Any, value: float, where: Any = None, **options: Any) -> VoxelImage:
    """Filter a scan and take what is not above `value` for pore: one read, one compiled function,
    one write.
    """
    below = partial(threshold, upper=value)
    return chunk_map(below if fn is None else chain(fn, below), scan, where=where, field_name="pore", **options)


def share_up_to(levels: HistogramResult, value: float) -> float:
    """Return the share of voxels not above a grey level [-]; exact where each value has a bin."""
    if math.isnan(value):
        return math.nan
    cumulated = np.concatenate([[levels.below], levels.below + np.cumsum(levels.counts)])
    edges = levels.edges
    if np.all(levels.widths == 1):  # one bin around every whole number
        edges, value = edges[:-1] + 0.5, math.floor(value)
        return float(cumulated[np.searchsorted(edges, value, side="right")]) / levels.total
    return float(np.interp(value, edges, cumulated)) / levels.total

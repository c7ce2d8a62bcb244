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
from lithax.measure import threshold as threshold_of
from lithax.ops import (
    anisotropic_diffusion,
    bilateral,
    chain,
    gaussian,
    median,
    non_local_means,
    tensor_diffusion,
    threshold,
    total_variation,
)
from lithax.report._filtered_scan import FilteredScan

FEW_VALUES = 8
"""An image of integers with no more values than this is taken for segmented already."""

BINS = 1024
"""For grey levels that have no bin each."""

SENSITIVITY = 0.05
"""Share of the contrast by which the threshold is moved to see what depends on it."""


def _number(given: str, default: float) -> float:
    try:
        return float(given or default)
    except ValueError:
        raise ValueError(f"{given!r} is no number.") from None


def _whole(given: str, default: int) -> int:
    number = _number(given, default)
    if not number.is_integer():
        raise ValueError(f"{given!r} is no whole number.")
    return int(number)


FILTERS: dict[str, Callable[[str, float], Any]] = {
    "median": lambda given, _: partial(median, radius=_whole(given, 1)),
    "gaussian": lambda given, _: partial(gaussian, sigma=_number(given, 1.0)),
    "bilateral": lambda given, noise: partial(bilateral, sigma_color=2.5 * noise, sigma_spatial=_number(given, 1.0)),
    "non_local_means": lambda given, noise: partial(non_local_means, sigma=noise, patch_distance=_whole(given, 3)),
    "total_variation": lambda given, noise: partial(total_variation, weight=_number(given, 1.0) * noise, iterations=20),
    "anisotropic_diffusion": lambda given, noise: partial(
        anisotropic_diffusion, kappa=_number(given, 2.5) * noise, iterations=10
    ),
    "tensor_diffusion": lambda given, noise: partial(
        tensor_diffusion, contrast=_number(given, 1.0) * noise, enhance="edges", iterations=10
    ),
}
"""What stands behind the colon: a radius [voxel], a standard deviation [voxel], or a strength in
standard deviations of the noise.
"""

FOLLOW_NOISE = ("bilateral", "non_local_means", "total_variation", "anisotropic_diffusion", "tensor_diffusion")
"""Filters whose strength is that of the noise."""

HISTOGRAM_THRESHOLDS = ("kittler_illingworth", "li", "yen", "isodata", "triangle", "minimum")
"""Thresholds besides Otsu's and half contrast, by their names in `lithax.measure.threshold`."""

OTSU_CLASSES = {f"otsu:{classes}": classes for classes in (3, 4, 5, 6)}
"""Otsu's for several phases, of which the darkest is pore."""

THRESHOLDS = ("otsu", "half", *OTSU_CLASSES, *HISTOGRAM_THRESHOLDS)
"""All that have a name."""


def follows_noise(name: str) -> bool:
    """Whether a filter needs to know the noise of the scan."""
    return name.partition(":")[0] in FOLLOW_NOISE


def make_filter(name: str, noise: float = 1.0) -> Callable[..., Any] | None:
    """Return the filter of that name: "none", or one of `FILTERS`, also with a parameter, as in
    "median:2".

    Parameters
    ----------
    name
        As users write it.
    noise
        Standard deviation of the noise, for those that follow it.

    Raises
    ------
    ValueError
        If there is no such filter.
    """
    kind, colon, parameter = name.partition(":")
    if name == "none":
        return None
    if kind in FILTERS and bool(colon) == bool(parameter):
        try:
            made = FILTERS[kind](parameter, noise)
            made.func.halos(made.keywords, 1)
        except ValueError as error:
            raise ValueError(f"filter={name!r} has a parameter that does not fit: {error}") from error
        return made
    raise ValueError(
        f"filter={name!r} is not known; use 'none', 'median' or 'median:2' (radius [voxel]), 'gaussian:1.5' or "
        f"'bilateral:1.5' (standard deviation [voxel]), 'non_local_means:3' (radius of the search [voxel]), "
        f"'total_variation:1', 'anisotropic_diffusion:2.5' or 'tensor_diffusion:1' (strength, in standard deviations of the noise)."
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
    """"otsu", "half contrast", the name of another method, or "given"."""


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
    """Return the thresholds of a histogram; `wanted` is one of `THRESHOLDS` or a grey level.

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
    if wanted in OTSU_CLASSES:
        classes = OTSU_CLASSES[str(wanted)]
        lowest = otsu(levels, classes=classes)[0]
        return Thresholds(by_otsu, middle, found, lowest, f"Otsu, darkest of {classes} classes")
    if wanted in HISTOGRAM_THRESHOLDS:
        name = str(wanted)
        return Thresholds(by_otsu, middle, found, threshold_of(levels, name), name.replace("_", " and ").title())
    value = grey_level_given(wanted)
    if not levels.minimum <= value <= levels.maximum:
        raise ValueError(
            f"threshold={value:g} lies outside the grey levels of the filtered image, {levels.minimum:g} to {levels.maximum:g}, "
            f"so that everything would be one phase; Otsu's is {by_otsu:g}."
        )
    return Thresholds(by_otsu, middle, found, value, "given")


def grey_level_given(wanted: Any) -> float:
    """Return a threshold that was given as a grey level.

    Raises
    ------
    ValueError
        If it is no number: then the methods are named.
    """
    try:
        return float(wanted)
    except (TypeError, ValueError):
        names = ", ".join(map(repr, THRESHOLDS))
        raise ValueError(f"threshold={wanted!r} must be one of {names}, or a grey level.") from None


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

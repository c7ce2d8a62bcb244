"""The histogram of an image or an array, measured in as few passes as its bins allow."""

import dataclasses
from typing import Any

import numpy as np

from lithax.measure._edges import Bins, Bounds, check_bins, check_range, equal_edges
from lithax.measure._histogram import Histogram
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._image_options import measures_images
from lithax.measure._minimum_maximum import Extremes, MinimumMaximum
from lithax.measure._order_statistics import order_statistics
from lithax.measure._phases import Phases, check_phases, check_segmentation, find_phases
from lithax.measure._source import Source, is_image
from lithax.measure._tally import OUTSIDE
from lithax.measure._value_counts import ValueCounts, exact_values

VALUES = 1 << 16
"""An integer image whose values span no more than this is counted value by value."""

COUNTERS = 1 << 22
"""As long as the counters of all phases together are not more than this: 16 MiB on a device."""


@measures_images
def histogram(
    image: Any,
    bins: Bins = 256,
    range: Bounds | None = None,
    where: Any = None,
    *,
    segmentation: Any = None,
    phases: Phases | None = None,
    exact: bool = False,
) -> HistogramResult:
    """Return the histogram of an image or array, for the whole and for each phase of a
    segmentation.

    The counts are those of ``numpy.histogram(voxels, bins, range)``: the maximum is counted, and so
    is a constant image. Unlike there, NaN and infinite voxels do no harm: NaN is counted apart, and
    infinities lie outside the range. Booleans always have the two bins of False and True, unless
    edges are given.

    Parameters
    ----------
    image
        An image, or an array of any array-API library (or anything that NumPy makes one of).
    bins
        Number of equal bins; or their edges in ascending order; or "values", one bin of width one
        about every integer.
    range
        Lowest and highest edge of equal bins, in the unit of the image; None takes the smallest and
        the largest finite value (for floats, and integers of more than 16 bits, that is a pass
        more).
    where
        Voxels taken in: a boolean array for an array; for an image also a region, an image or a
        `domain`, as for `chunk_reduce`.
    segmentation
        Image or array of the same shape, unsigned integers or booleans: its phases are counted
        apart as well.
    phases
        The phases to count apart; None finds those that occur among the voxels taken in, in a pass
        more (two for 32-bit labels).
    exact
        Whether percentiles are exact: for an image, asking for them then reads it again, two to
        five times.

    Returns
    -------
        Edges, counts, pdf, cdf and percentiles. Percentiles of booleans and of integers up to 16
        bits are exact; otherwise they are linear within a bin, and `percentile_error` bounds their
        error, unless `exact` is asked for.

    Raises
    ------
    TypeError
        If the image is complex, the segmentation has no integers, or "values" is asked of floats.
    ValueError
        If shapes, edges, range or phases are not as said above.
    """
    source = Source(image, where)
    bounds = check_range(range)
    bins = bins if isinstance(bins, str) and bins == "values" else check_bins(bins)
    if bounds is not None and not isinstance(bins, int):
        raise ValueError(f"range={bounds} has no meaning with bins={bins!r}; leave it out, or give a number of bins.")
    if isinstance(bins, str) and source.dtype.kind == "f":
        raise TypeError(
            f"bins='values' needs integers, and the image has dtype {source.dtype}; give a number of bins, or edges."
        )
    named = _named(segmentation, phases, source)
    others = () if named is None else (segmentation,)

    if source.dtype.kind == "b":
        result = source.reduce(ValueCounts(0, 1, phases=named), *others)
        return result.rebin(bins) if isinstance(bins, np.ndarray) else result
    rows = 1 if named is None else named.size + 1
    extremes: Extremes | None = None
    if source.dtype.kind in "iu":
        info = np.iinfo(source.dtype)
        low, high = int(info.min), int(info.max)
        if not _countable(low, high, rows):
            found: Extremes = source.reduce(MinimumMaximum(skip="nan"))
            extremes = found
            low, high = (int(found.minimum), int(found.maximum)) if found.count else (0, 0)
        few = isinstance(bins, str) and (high - low + 1) * rows <= COUNTERS
        if few and not exact_values(low, high):
            raise ValueError(
                f"bins='values': the values lie between {low} and {high}, and float64 has no edges between integers "
                "from 2**52 on; give a number of bins, or subtract a constant from the image first."
            )
        if _countable(low, high, rows) or few:
            result = source.reduce(ValueCounts(low, high, phases=named), *others)
            if not isinstance(bins, str):
                return result.rebin(bins, bounds)
            return _trimmed(result, low)
        if isinstance(bins, str):
            raise ValueError(
                f"bins='values': {high - low + 1} values between {low} and {high}, for {rows - 1} phases, are more than "
                f"{COUNTERS} counters; give a number of bins, or edges, or fewer phases."
            )
    edges = bins if isinstance(bins, np.ndarray) else _equal(int(bins), bounds, source, extremes)
    return _binned(source, edges, named, segmentation, exact)


def _named(segmentation: Any, phases: Any, source: Source) -> np.ndarray | None:
    if segmentation is None:
        if phases is not None:
            raise ValueError(f"phases={phases!r} are values of a segmentation, which is missing; give segmentation=.")
        return None
    check_segmentation(Source(segmentation).dtype)
    if phases is not None:
        return check_phases(phases)
    together = source.is_image and not is_image(segmentation)
    found = find_phases(segmentation, source.where, source if together else None)
    return found if found.size else None


def _countable(low: int, high: int, rows: int) -> bool:
    return exact_values(low, high) and high - low < VALUES and rows * (high - low + 1 + OUTSIDE) <= COUNTERS


def _trimmed(result: HistogramResult, low: int) -> HistogramResult:
    # The bins from the smallest to the largest value that occurs, of those that begin with `low`.
    first, last = (int(result.minimum) - low, int(result.maximum) - low) if result.total else (-low, -low)

    def trimmed(part: HistogramResult) -> HistogramResult:
        phases = {phase: trimmed(of_phase) for phase, of_phase in part.phases.items()}
        edges, counts = part.edges[first : last + 2], part.counts[first : last + 1]
        return dataclasses.replace(part, edges=edges, counts=counts, phases=phases)

    return trimmed(result)


def _equal(bins: int, bounds: tuple[float, float] | None, source: Source, extremes: Extremes | None) -> np.ndarray:
    if bounds is None:
        found: Extremes = extremes or source.reduce(MinimumMaximum(skip="nonfinite"))
        if found.count > found.skipped:
            return equal_edges(bins, found.minimum, found.maximum, source.dtype, found=True)
        bounds = (0.0, 1.0)
    return equal_edges(bins, *bounds, source.dtype)


def _binned(
    source: Source, edges: np.ndarray, named: np.ndarray | None, segmentation: Any, exact: bool
) -> HistogramResult:
    others = () if named is None else (segmentation,)
    result = source.reduce(Histogram(edges, phases=named), *others)
    if not exact:
        return result

    def refined(part: HistogramResult, phase: int | None = None) -> HistogramResult:
        read = order_statistics(source, part.minimum, part.maximum, segmentation, phase)
        parts = {number: refined(of_phase, number) for number, of_phase in part.phases.items()}
        return dataclasses.replace(part, order_statistics=read, phases=parts)

    return refined(result)

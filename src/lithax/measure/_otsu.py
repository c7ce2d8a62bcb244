"""Otsu's threshold, from the histogram: an image of any size takes one pass, or two."""

import math
from typing import Any

import numpy as np

from lithax.measure._edges import Bins
from lithax.measure._histogram_function import VALUES, histogram
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._minimum_maximum import MinimumMaximum
from lithax.measure._source import Source
from lithax.measure._value_counts import exact_values

LEVELS = 4096
"""Occupied bins for which more than two classes are searched: the work grows with their square."""


def otsu(
    image: Any,
    bins: Bins | None = None,
    where: Any = None,
    *,
    classes: int = 2,
) -> Any:
    """Return the threshold, or thresholds, that separate the grey levels best into classes.

    Best is the largest variance between the classes. The number is that of ``skimage.filters.threshold_otsu`` (for more
    classes ``threshold_multiotsu``) on the same histogram: the last value of the lower class, for equal bins the centre
    of its last bin. ``image > threshold`` is the upper class.

    Parameters
    ----------
    image
        An image, an array of any array-API library, or a `HistogramResult`.
    bins
        As in `histogram`. None: one bin per value for integers whose values span at most 65536 (for more than two
        classes: 256), else 256 equal bins.
    where
        Voxels taken in: a boolean array for an array; for an image whatever its combinators accept.
    classes
        Number of classes, from 2 on.

    Returns
    -------
        In the unit of the image: a float, or for more than two classes a tuple of floats, ascending. A constant image gives
        its value.

    Raises
    ------
    ValueError
        If no voxel is taken in, or there are fewer grey levels than classes (beyond two).

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on Systems, Man, and Cybernetics 9
    (1979) 62-66, eq. 18. doi:10.1109/TSMC.1979.4310076
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise ValueError(f"classes={classes!r} must be an integer, at least 2.")
    result = grey_levels(image, bins, where, values=VALUES if classes == 2 else 256)
    if classes == 2 and result.minimum == result.maximum:
        return float(result.minimum)
    occupied = result.counts > 0
    counts, centers = result.counts[occupied], result.centers[occupied]
    # Squares of the largest floats overflow; a power of two changes no digit.
    largest = float(np.abs(centers).max())
    unit = 2.0 ** (math.frexp(largest)[1] - 1) if largest > 1e100 else 1.0
    if classes == 2:
        return _two_classes(counts, centers / unit) * unit
    return tuple(threshold * unit for threshold in _more_classes(counts, centers / unit, int(classes)))


def grey_levels(image: Any, bins: Any, where: Any, *, values: int = VALUES, equal: int = 256) -> HistogramResult:
    """Return the histogram that thresholds are taken from.

    Without `bins`, integers that span at most `values` have a bin each; anything else has `equal` equal bins.
    """
    if isinstance(image, HistogramResult):
        if bins is not None or where is not None:
            raise ValueError("bins= and where= have been settled when the histogram was made; leave them out.")
        result = image
    else:
        if bins is None:
            bins = "values" if _few_values(Source(image, where), values) else equal
        result = histogram(image, bins, where=where)
    if result.counts.sum() == 0:
        raise ValueError("No voxel was counted (all are left out, NaN, or outside the range); there is no threshold.")
    return result


def _few_values(source: Source, limit: int) -> bool:
    if source.dtype.kind == "f":
        return False
    if source.dtype.kind == "b" or 2 ** (8 * source.dtype.itemsize) <= limit:
        return True
    extremes = source.reduce(MinimumMaximum(skip="nan"))
    return exact_values(extremes.minimum, extremes.maximum) and extremes.maximum - extremes.minimum < limit


def _two_classes(counts: np.ndarray, centers: np.ndarray) -> float:
    if counts.size == 1:
        return float(centers[0])
    lower = np.cumsum(counts)[:-1]
    upper = counts.sum() - lower
    moment = np.cumsum(counts * (centers - centers @ counts / counts.sum()))[:-1]
    return float(centers[np.argmax(moment**2 / (lower * upper.astype(np.float64)))])


def _more_classes(counts: np.ndarray, centers: np.ndarray, classes: int) -> tuple[float, ...]:
    size = counts.size
    if size < classes:
        raise ValueError(
            f"classes={classes}: the histogram has only {size} occupied bins; use fewer classes, or more bins."
        )
    if size > LEVELS:
        raise ValueError(
            f"The histogram has {size} occupied bins, more than {LEVELS}; use bins=256 for {classes} classes."
        )
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * (centers - centers @ counts / counts.sum()))])

    def between(start: np.ndarray, stop: Any) -> np.ndarray:
        # What the bins start ... stop - 1 as one class add to the variance between classes.
        return (moment[stop] - moment[start]) ** 2 / (weight[stop] - weight[start])

    # best[stop] is the variance of the best division of the first `stop` bins into the classes so far.
    stops = np.arange(size + 1)
    best = np.concatenate([[-np.inf], between(np.zeros(size, int), stops[1:])])
    cuts = []
    for _ in range(classes - 1):
        choices = [best[:stop] + between(stops[:stop], stop) for stop in range(1, size + 1)]
        cuts.append([0, *(int(np.argmax(choice)) for choice in choices)])
        best = np.concatenate([[-np.inf], [choice.max() for choice in choices]])
    stop, thresholds = size, []
    for cut in reversed(cuts):
        stop = cut[stop]
        thresholds.append(float(centers[stop - 1]))
    return tuple(reversed(thresholds))

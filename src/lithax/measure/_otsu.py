"""Otsu's thresholds, exact for integers of any type: an image of any size takes one pass, or
two.
"""

from typing import Any

import numpy as np

from lithax.measure._edges import Bins
from lithax.measure._grey_levels import GreyLevels, grey_levels
from lithax.measure._image_options import measures_images


@measures_images
def otsu(
    image: Any,
    bins: Bins | None = None,
    where: Any = None,
    *,
    classes: int = 2,
) -> Any:
    """Return the threshold, or thresholds, that separate the grey levels best into classes.

    Best is the largest variance between the classes. The number is that of
    `skimage.filters.threshold_otsu` (for more classes `threshold_multiotsu`) on the same histogram:
    the last value of the lower class, for equal bins the centre of its last bin. ``image >
    threshold`` is the upper class. Integers are counted value by value, whatever their type, so the
    thresholds are the best there are; floats in 256 bins, as in scikit-image.

    Parameters
    ----------
    image
        An image, an array of any array-API library, or a `HistogramResult`.
    bins
        As in `histogram`. None: one bin per value for integers, else 256 equal bins.
    where
        Voxels taken in: a boolean array for an array; for an image, anything that `where=` of
        `chunk_reduce` accepts.
    classes
        Number of classes, from 2 on.

    Returns
    -------
        In the unit of the image: a float, or for more than two classes a tuple of floats, ascending
        (of integers where no float holds them). A constant image gives its value.

    Raises
    ------
    ValueError
        If no voxel is taken in, or there are fewer grey levels than classes (beyond two).

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on Systems,
    Man, and Cybernetics 9 (1979) 62-66, eq. 18. doi:10.1109/TSMC.1979.4310076. Divide and conquer
    over the rows of a totally monotone matrix: Aggarwal et al., Geometric applications of a
    matrix-searching algorithm, Algorithmica 2 (1987) 195-208. doi:10.1007/BF01840359
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise ValueError(f"classes={classes!r} must be an integer, at least 2.")
    levels = grey_levels(image, bins, where)
    if classes == 2 and levels.counts.size == 1:
        return levels.number(0)
    if levels.counts.size < classes:
        raise ValueError(
            f"classes={classes}: the histogram has only {levels.counts.size} occupied bins; use fewer classes, or more bins."
        )
    thresholds = tuple(levels.number(cut) for cut in last_levels(levels, int(classes)))
    return thresholds[0] if classes == 2 else thresholds


def last_levels(levels: GreyLevels, classes: int) -> list[int]:
    """Return the index of the last level of every class but the highest, for the largest variance
    between classes.

    Dynamic programming: best(k, j), the most that k classes can make of the first j levels, is the
    maximum over i of best(k - 1, i) plus what levels i to j - 1 add as one class. The best i never
    decreases with j, so that between two known rows only the columns between their maxima are
    looked at: all rows of a class take O(n log n).
    """
    x, counts = levels.offsets, levels.counts
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    # Not x @ counts: BLAS wakes a thread for each core, and they spin longer than all this takes.
    moment = np.concatenate([[0.0], np.cumsum(counts * (x - (x * counts).sum() / counts.sum()))])

    def between(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        # What the levels start ... stop - 1 as one class add to the variance between classes.
        return (moment[stop] - moment[start]) ** 2 / (weight[stop] - weight[start])

    size = counts.size
    stops = np.arange(size + 1)
    best = np.concatenate([[-np.inf], between(np.zeros(size, int), stops[1:])])
    cuts = []
    for k in range(2, classes):
        best, cut = _row_maxima(best, between, k, np.arange(k, size + 1))
        cuts.append(cut)
    _, cut = _row_maxima(best, between, classes, np.asarray([size]))
    cuts.append(cut)
    stop, found = size, []
    for cut in reversed(cuts):
        stop = int(cut[stop])
        found.append(stop - 1)
    return found[::-1]


def _row_maxima(best: np.ndarray, between: Any, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return best(k, j) and the first i that reaches it, for consecutive rows j; -inf for the
    others.
    """
    value = np.full(best.size, -np.inf)
    cut = np.zeros(best.size, int)
    # Row number n (from 1) is taken in the turn of the largest power of two that divides n; its
    # neighbours at that distance were taken before, and their maxima bound its own.
    step = 1 << int(rows.size).bit_length()
    while step := step // 2:
        wanted = rows[step - 1 :: 2 * step]
        if not wanted.size:
            continue
        low = np.where(wanted - step >= rows[0], np.maximum(cut[np.maximum(wanted - step, 0)], k - 1), k - 1)
        above = np.where(wanted + step <= rows[-1], cut[np.minimum(wanted + step, rows[-1])], wanted - 1)
        high = np.minimum(above, wanted - 1)
        lengths = np.maximum(high - low, 0) + 1  # rounding may exchange two maxima that are as good as equal
        begins = np.cumsum(lengths) - lengths
        columns = np.arange(lengths.sum()) - np.repeat(begins - low, lengths)
        score = best[columns] + between(columns, np.repeat(wanted, lengths))
        value[wanted] = np.maximum.reduceat(score, begins)
        hits = np.flatnonzero(score == np.repeat(value[wanted], lengths))
        cut[wanted] = columns[hits[np.searchsorted(hits, begins)]]
    return value, cut

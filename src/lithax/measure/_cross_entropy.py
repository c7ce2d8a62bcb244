"""Li's threshold: minimum cross-entropy between an image and the means of its two phases."""

import math
from typing import Any

import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._edges import Bins
from lithax.measure._grey_levels import grey_levels
from lithax.measure._histogram import Histogram
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._minimum_maximum import MinimumMaximum
from lithax.measure._numbers import constant
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.measure._tally import OUTSIDE
from lithax.typing import Array

EDGES = 1 << 16
"""Bins into which a pass divides the stretch that the threshold lies in."""

CLOSE = 1e-8
"""The threshold is known when the voxels that could move it lie within so little of the distance
between the means of the phases.
"""

REFINEMENTS = 8
"""More than float64 has bits for."""


@measures_images
def li(image: Any, bins: Bins | None = None, where: Any = None, *, tolerance: float | None = None) -> float:
    """Return the threshold of minimum cross-entropy; `skimage.filters.threshold_li`.

    Every voxel counts, of floats too: a first pass divides their range into 65536 bins, another the
    bin that the threshold lies in, until the voxels in it cannot move the threshold by 1e-7 of the
    difference between the means of the phases. A few voxels far out cost a pass more, no accuracy.

    Parameters
    ----------
    image, where
        As in `otsu`.
    bins
        Take the centres of bins for the voxels, as in `otsu`; None: the voxels themselves.
    tolerance
        The iteration ends when the threshold moves by less, in the unit of the image; by default
        half a grey level for integers, half a bin where there are bins, and for floats when it
        does not move.

    Raises
    ------
    ValueError
        If no voxel is taken in.

    References
    ----------
    Li and Tam, An iterative algorithm for minimum cross entropy thresholding, Pattern Recognition
    Letters 19 (1998) 771-776. doi:10.1016/S0167-8655(98)00057-9
    """
    if tolerance is not None and not tolerance > 0:
        raise ValueError(
            f"tolerance={tolerance!r} must be a positive difference of grey levels; None is the usual one."
        )
    if bins is None and not isinstance(image, HistogramResult):
        source = Source(image, where)
        if source.dtype.kind == "f":
            return _of_floats(source, tolerance or 0.0)
    levels = grey_levels(image, bins, where, equal=EDGES)
    x, n = levels.offsets, levels.counts.astype(np.float64)
    if n.size == 1:
        return levels.number(0)
    near = tolerance
    if near is None:
        near = 0.5 if levels.values.dtype.kind in "iu" else np.min(np.diff(x)) / 2
    # Up to the level that a threshold lies on or above.
    count, total = (np.concatenate([[0.0], np.cumsum(v)]) for v in (n, n * x))
    found, _ = _settled(np.append(x, np.inf), count, total, total[-1] / count[-1], float(near), ends=1)
    return float(found + float(levels.values[0]))


def _settled(
    edges: np.ndarray, count: np.ndarray, total: np.ndarray, threshold: float, tolerance: float, ends: int = 0
) -> tuple[float, float]:
    """Iterate from a threshold until it moves by at most `tolerance`; return it, and the distance
    between the means.

    `count` and `total` are those of the voxels below each edge, which makes the lower phase of the
    thresholds from there to the next edge; with `ends` 1 the voxels on the edge count among them.
    """
    before, between = -math.inf, 0.0
    for _ in range(10_000):
        if abs(threshold - before) <= tolerance:
            break
        at = int(np.searchsorted(edges, threshold, side="right")) - 1 + ends
        before = threshold
        if not 0 < count[at] < count[-1]:  # a phase without a voxel has no mean
            break
        below = total[at] / count[at]
        above = (total[-1] - total[at]) / (count[-1] - count[at])
        between = above - below
        if below <= 0:
            break
        threshold = (below - above) / (math.log(below) - math.log(above))
    return threshold, between


class _BinSums(AbstractMeasurement):
    """Number and sum of the voxels in each bin of a histogram; the sum in units of `unit`, from
    `origin` on.
    """

    bins: Histogram
    origin: Array
    unit: Array

    def __init__(self, edges: np.ndarray, origin: float, unit: float) -> None:
        self.bins = Histogram(edges)
        self.origin, self.unit = np.asarray(origin), np.asarray(unit)

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return by_pieces(self._of_piece, image, valid, counters=2 * (self.bins.edges.shape[0] + OUTSIDE))

    def _of_piece(self, image: Array, valid: Array | None) -> State:
        xp = namespace(image)
        x, column = self.bins.columns(image)
        length = self.bins.edges.shape[0] - 1 + OUTSIDE
        x = xp.astype(x, xp.float64)
        counted = xp.isfinite(x) if valid is None else valid & xp.isfinite(x)
        origin, unit = (constant(v, xp.float64, like=x) for v in (self.origin, self.unit))
        value = xp.where(counted, x / unit - origin / unit, xp.zeros_like(x))
        column = xp.where(counted, column, xp.full_like(column, length))
        return {
            "counts": bincount(column, length + 1)[:length],
            "sums": bincount(column, length + 1, value)[:length],
        }

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return edges, and number and sum of the voxels in each bin, as float64."""
        counts, sums = (np.asarray(state[name], np.float64)[:-OUTSIDE] for name in ("counts", "sums"))
        return np.asarray(self.bins.edges, np.float64), counts, sums


def _edges(low: float, high: float, dtype: np.dtype) -> np.ndarray:
    """Return equal bins, with edges that are numbers of the image's type, so that passes agree
    about the voxels on them; fewer where there are not as many numbers.
    """
    edges = 2 * np.linspace(low / 2, high / 2, EDGES + 1)  # the difference itself may overflow
    edges[0], edges[-1] = low, high
    return np.unique(edges.astype(np.float32).astype(np.float64) if dtype.itemsize <= 4 else edges)


def _of_floats(source: Source, tolerance: float) -> float:
    extremes = source.reduce(MinimumMaximum(skip="nonfinite"))
    if extremes.count == extremes.skipped:
        raise ValueError("No voxel was counted (all are left out, NaN, or infinite); there is no threshold.")
    low, high = float(extremes.minimum), float(extremes.maximum)
    if low == high:
        return low
    # In a power of two of the size of the voxels no sum overflows.
    unit = 2.0 ** max(math.frexp(max(abs(low), abs(high)))[1], -1000)

    def offsets(edges: np.ndarray) -> np.ndarray:
        return edges / unit - low / unit

    edges, counts, sums = source.reduce(_BinSums(_edges(low, high, source.dtype), low, unit))
    count, total = (np.concatenate([[0.0], np.cumsum(v)]) for v in (counts, sums))
    threshold = total[-1] / max(count[-1], 1.0)
    for _ in range(REFINEMENTS):
        threshold, between = _settled(offsets(edges), count, total, threshold, tolerance / unit)
        at = int(np.clip(np.searchsorted(offsets(edges), threshold, side="right") - 1, 0, edges.size - 2))
        begin, end = edges[at], edges[at + 1]
        width = end / unit - begin / unit
        if count[at] == count[at + 1] or width <= CLOSE * between or width <= tolerance / unit:
            break
        finer = _edges(begin, end, source.dtype)
        if finer.size == 2:  # no number lies between them
            break
        fine, more, their = source.reduce(_BinSums(finer, low, unit))
        # The last bin holds its upper edge, too, which the next one held before.
        edges, count, total = (
            np.concatenate([old[: at + 1], new, old[at + 1 :]])
            for old, new in (
                (edges, fine[1:-1]),
                (count, count[at] + np.cumsum(more[:-1])),
                (total, total[at] + np.cumsum(their[:-1])),
            )
        )
    return float((threshold + low / unit) * unit)

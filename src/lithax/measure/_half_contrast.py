"""The two grey levels of a scan, pore and grain, and the threshold midway between them."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from lithax.measure._edges import Bins
from lithax.measure._grey_levels import grey_histogram
from lithax.measure._image_options import measures_images
from lithax.measure._result import Result

BANDWIDTH = 0.25
"""Standard deviation of the smoothing, relative to the robust standard deviation of what is
smoothed. A normal peak of n voxels is then found to about 5/sqrt(n) of its own standard deviation.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Peaks(Result):
    """Grey levels of the two peaks of a histogram, in the unit of the image."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The grey level midway: the half-contrast threshold."""
        return 0.5 * self.low + 0.5 * self.high

    @property
    def contrast(self) -> float:
        """Difference of the two grey levels."""
        return self.high - self.low


@measures_images
def half_contrast(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the threshold midway between the two peaks of the histogram, in the unit of the image.

    An edge between two materials, blurred symmetrically, crosses this grey level where the edge is,
    so that a flat interface is not moved by blur (in dimensional tomography: the ISO-50 %
    threshold). See `peaks` for how the peaks are found, the arguments, and when there are none.
    """
    return peaks(image, bins, where).middle


@measures_images
def peaks(image: Any, bins: Bins | None = None, where: Any = None) -> Peaks:
    """Return the grey levels of the two peaks of the histogram.

    The histogram is smoothed by a Gaussian of a quarter of its robust standard deviation (1.4826
    times the median distance from the median). Its two most prominent peaks count: those that rise
    most above the higher of the valleys that part them from something higher; the second must rise
    by five standard deviations of the counting noise and by a twentieth of its height. The lowest
    point between them divides the histogram in two classes. Each peak is then found again with the
    smoothing of its own class, and refined by the parabola through three bins.

    Other than Otsu's threshold this does not depend on how much there is of either phase. Of three
    phases the two with the most prominent peaks are taken.

    Parameters
    ----------
    image
        An image, an array of any array-API library, or a `HistogramResult` over equal bins.
    bins
        As in `histogram`. None: one bin per value for integers whose values span at most 65536,
        else 1024 equal bins.
    where
        Voxels taken in: a boolean array for an array; for an image also a region, an image or a
        `domain`, as for `chunk_reduce`.

    Raises
    ------
    ValueError
        If there is no second peak.
    """
    result = grey_histogram(image, bins, where, equal=1024)
    if not np.allclose(result.widths, result.widths[0], rtol=1e-3):
        raise ValueError("The bins of the histogram differ in width; measure with equal bins to find its peaks.")
    counts, centers = result.counts.astype(np.float64), result.centers
    smooth, deviation = _smoothed(counts)
    found = _prominent(smooth, deviation)
    if len(found) < 2:
        raise ValueError(
            "The histogram has no second peak: blur or noise hides it, or there is one material only. Give the two grey "
            "levels by other means, such as the mean over a region well inside each material."
        )
    low, high = found
    valley = low + int(np.argmin(smooth[low : high + 1]))
    return Peaks(
        _refined(np.where(np.arange(counts.size) <= valley, counts, 0), centers, low),
        _refined(np.where(np.arange(counts.size) >= valley, counts, 0), centers, high),
    )


def _prominent(smooth: np.ndarray, deviation: float) -> list[int]:
    """Return the bins of the two most prominent peaks, ascending, as far as there are two."""
    padded = np.concatenate([[0.0], smooth, [0.0]])
    tops = np.flatnonzero((smooth > padded[:-2]) & (smooth >= padded[2:]))
    heights = smooth[tops]
    valleys = [smooth[a:b].min() for a, b in itertools.pairwise(tops)]
    base = np.maximum(_bases(heights, valleys), _bases(heights[::-1], valleys[::-1])[::-1])
    prominence = heights - base
    # The variance of a sum of counts n, weighted by a normal density of that deviation, is n / (2
    # sqrt(pi) deviation).
    noise = np.sqrt(heights / max(1.0, 2 * np.sqrt(np.pi) * deviation))
    order = np.argsort(-prominence, kind="stable")[:2]
    return sorted(int(tops[i]) for i in order if prominence[i] > max(5 * noise[i], 0.05 * heights[i]))


def _bases(heights: np.ndarray, valleys: list[float]) -> np.ndarray:
    # The lowest valley on the way left to the next higher peak; 0 where there is none.
    bases, higher = [], []
    for i, height in enumerate(heights):
        lowest = valleys[i - 1] if i else 0.0
        while higher and higher[-1][0] <= height:
            lowest = min(lowest, higher.pop()[1])
        bases.append(lowest if higher else 0.0)
        higher.append((height, lowest))
    return np.asarray(bases)


def _refined(counts: np.ndarray, centers: np.ndarray, top: int) -> float:
    smooth, deviation = _smoothed(counts)
    reach = int(np.ceil(deviation / BANDWIDTH))
    start = max(0, top - reach)
    top = start + int(np.argmax(smooth[start : top + reach + 1]))
    if deviation == 0 or not 0 < top < counts.size - 1:
        return float(centers[top])
    left, middle, right = smooth[top - 1 : top + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float(centers[top] + shift * (centers[1] - centers[0]))


def _smoothed(counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the counts after a Gaussian, and its standard deviation [bin]."""
    number = np.arange(counts.size)
    distance = np.abs(number - _median(number, counts))
    order = np.argsort(distance)
    deviation = BANDWIDTH * 1.4826 * _median(distance[order], counts[order])
    if deviation == 0:
        return counts, 0.0
    radius = int(np.ceil(4 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    size = counts.size + 2 * radius
    spectrum = np.fft.rfft(counts, size) * np.fft.rfft(kernel / kernel.sum(), size)
    # What the transform leaves of nothing is rounding, not a peak.
    smooth = np.fft.irfft(spectrum, size)[radius : radius + counts.size]
    return np.where(smooth > 1e-9 * smooth.max(), smooth, 0.0), deviation


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    cumulated = np.cumsum(counts)
    return float(values[np.searchsorted(cumulated, 0.5 * cumulated[-1])])

"""The two grey levels of a scan, pore and grain, and the threshold midway between them."""

import dataclasses
from typing import Any

import numpy as np

from lithax.measure._edges import Bins
from lithax.measure._otsu import grey_levels, otsu

BANDWIDTH = 0.25
"""Standard deviation of the smoothing over the robust standard deviation of the class. With this a normal peak of n voxels
is found to about 5/sqrt(n) of its own standard deviation, and noise of single bins is not taken for a peak."""


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Grey levels of the two peaks of a histogram, in the unit of the image."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The grey level midway: the half-contrast threshold."""
        return 0.5 * (self.low + self.high)

    @property
    def contrast(self) -> float:
        """Difference of the two grey levels."""
        return self.high - self.low


def half_contrast(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the threshold midway between the two peaks of the histogram, in the unit of the image.

    An edge between two materials, blurred symmetrically, crosses this grey level where the edge is, so that a flat
    interface is not moved by blur (in dimensional tomography: the ISO-50 % threshold). See `peaks` for how the peaks
    are found, the arguments, and when there are none.
    """
    return peaks(image, bins, where).middle


def peaks(image: Any, bins: Bins | None = None, where: Any = None) -> Peaks:
    """Return the grey levels of the two peaks of the histogram.

    Otsu's threshold divides the histogram in two classes. For each, the histogram is smoothed by a Gaussian of a quarter of
    the robust standard deviation of the class (1.4826 times the median distance from its median), and its highest
    point within the class, refined by the parabola through three bins, is the peak.

    Parameters
    ----------
    image
        An image, an array of any array-API library, or a `HistogramResult` over equal bins.
    bins
        As in `histogram`. None: one bin per value for integers whose values span at most 65536, else 1024 equal bins.
    where
        Voxels taken in: a boolean array for an array; for an image whatever its combinators accept.

    Raises
    ------
    ValueError
        If a class has no peak of its own: its histogram is highest where the classes meet.
    """
    result = grey_levels(image, bins, where, equal=1024)
    if not np.allclose(result.widths, result.widths[0], rtol=1e-3):
        raise ValueError("The bins of the histogram differ in width; measure with equal bins to find its peaks.")
    counts, centers = result.counts.astype(np.float64), result.centers
    split = int(np.searchsorted(centers, otsu(result), side="right"))
    low = _peak(counts, centers, 0, split)
    high = _peak(counts, centers, split, counts.size)
    if low is None or high is None:
        name = "lower" if low is None else "upper"
        raise ValueError(
            f"The {name} class has no peak of its own: blur or noise hides it. Give the grey levels of the two "
            "materials by other means, such as the mean over a region well inside each."
        )
    return Peaks(low, high)


def _peak(counts: np.ndarray, centers: np.ndarray, start: int, stop: int) -> float | None:
    inside = counts[start:stop]
    if not inside.any():
        return None
    width = centers[1] - centers[0] if centers.size > 1 else 1.0
    smooth = _smoothed(counts, BANDWIDTH * _robust_deviation(inside))
    top = start + int(np.argmax(smooth[start:stop]))
    left = smooth[top - 1] if top else 0.0
    right = smooth[top + 1] if top + 1 < smooth.size else 0.0
    if max(left, right) > smooth[top]:
        return None  # the neighbour across the border is higher
    curvature = left - 2 * smooth[top] + right
    shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float(centers[top] + shift * width)


def _robust_deviation(counts: np.ndarray) -> float:
    number = np.arange(counts.size)
    distance = np.abs(number - _median(number, counts))
    order = np.argsort(distance)
    return 1.4826 * _median(distance[order], counts[order])


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    cumulated = np.cumsum(counts)
    return float(values[np.searchsorted(cumulated, 0.5 * cumulated[-1])])


def _smoothed(counts: np.ndarray, deviation: float) -> np.ndarray:
    if deviation == 0:
        return counts
    radius = int(np.ceil(4 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    size = counts.size + 2 * radius
    spectrum = np.fft.rfft(counts, size) * np.fft.rfft(kernel / kernel.sum(), size)
    return np.fft.irfft(spectrum, size)[radius : radius + counts.size]

"""Thresholds between two phases, from the histogram: one pass over an image of any size, or two."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.measure._cross_entropy import li
from lithax.measure._edges import Bins
from lithax.measure._grey_levels import grey_histogram, grey_levels
from lithax.measure._image_options import measures_images
from lithax.measure._otsu import otsu
from lithax.measure._sum import mean

SMOOTHINGS = 10_000
"""Smoothings of the histogram after which `minimum` gives up, as in scikit-image."""


@measures_images
def kittler_illingworth(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the threshold of minimum error: two normal distributions of different widths fit the
    histogram best.

    Other than Otsu's it allows for phases of unequal share and unequal noise. ``image > threshold``
    is the upper phase; the threshold is the last value of the lower one (the centre of its last
    bin). A bin counts as spread over its width, so that a phase may occupy a single one.
    scikit-image has no counterpart.

    Parameters
    ----------
    image, bins, where
        As in `otsu`.

    Raises
    ------
    ValueError
        If no voxel is taken in.

    References
    ----------
    Kittler and Illingworth, Minimum error thresholding, Pattern Recognition 19 (1986) 41-47, eq.
    15. doi:10.1016/0031-3203(86)90030-0
    """
    levels = grey_levels(image, bins, where)
    x, n = levels.offsets, levels.counts.astype(np.float64)
    if n.size == 1:
        return levels.number(0)
    steps = np.diff(x)  # 0 between integers that float64 does not tell apart
    spread = np.min(steps[steps > 0]) ** 2 / 12.0  # the variance of a uniform bin
    lower, squares_lower = _running(x, n)
    upper, squares_upper = (v[::-1] for v in _running(x[::-1], n[::-1]))
    share = lower[:-1] / lower[-1], upper[1:] / lower[-1]
    variance = squares_lower[:-1] / lower[:-1] + spread, squares_upper[1:] / upper[1:] + spread
    criterion = sum(p * np.log(v) - 2.0 * p * np.log(p) for p, v in zip(share, variance, strict=True))
    return levels.number(np.argmin(criterion))


def _running(x: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Count and sum of squared deviations of the levels up to each one; centred, so that little
    # cancels.
    centre = (x * n).sum() / n.sum()
    total = np.cumsum(n)
    first = np.cumsum(n * (x - centre))
    second = np.cumsum(n * (x - centre) ** 2)
    return total, np.maximum(second - first**2 / total, 0.0)


@measures_images
def yen(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the threshold of maximum correlation; `skimage.filters.threshold_yen`, in float64.

    Parameters
    ----------
    image, bins, where
        As in `otsu`, with bins of every value for integers that span at most 65536.

    Raises
    ------
    ValueError
        If no voxel is taken in.

    References
    ----------
    Yen, Chang and Chang, A new criterion for automatic multilevel thresholding, IEEE Transactions
    on Image Processing 4 (1995) 370-378. doi:10.1109/83.366472
    """
    levels = grey_levels(image, bins, where)
    share = levels.counts / levels.counts.sum()
    if share.size == 1:
        return levels.number(0)
    below = np.cumsum(share)[:-1]
    squares_below = np.cumsum(share**2)[:-1]
    squares_above = np.cumsum(share[::-1] ** 2)[::-1][1:]
    above = np.cumsum(share[::-1])[::-1][1:]
    return levels.number(np.argmax(2.0 * np.log(below * above) - np.log(squares_below * squares_above)))


@measures_images
def isodata(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the lowest threshold midway between the means of the two phases it makes;
    `skimage.filters.threshold_isodata`.

    Parameters
    ----------
    image, bins, where
        As in `otsu`, with bins of every value for integers that span at most 65536, empty ones
        included.

    Raises
    ------
    ValueError
        If no voxel is taken in.

    References
    ----------
    Ridler and Calvard, Picture thresholding using an iterative selection method, IEEE Transactions
    on Systems, Man, and Cybernetics 8 (1978) 630-632. doi:10.1109/TSMC.1978.4310039
    """
    counts, centers = _occupied_stretch(grey_histogram(image, bins, where))
    if counts.size == 1:
        return float(centers[0])
    below = np.cumsum(counts)
    total = np.cumsum(counts * centers)
    middle = 0.5 * (total[:-1] / below[:-1] + (total[-1] - total[:-1]) / (below[-1] - below[:-1]))
    distance = middle - centers[:-1]
    return float(centers[:-1][(distance >= 0) & (distance < centers[1] - centers[0])][0])


@measures_images
def triangle(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the grey level furthest from the line between the peak and the longer tail;
    `skimage.filters.threshold_triangle`.

    For one phase of which there is much more than of the other: microporosity, fractures, heavy
    minerals.

    Parameters
    ----------
    image, bins, where
        As in `otsu`, with bins of every value for integers that span at most 65536, empty ones
        included.

    Raises
    ------
    ValueError
        If no voxel is taken in.

    References
    ----------
    Zack, Rogers and Latt, Automatic measurement of sister chromatid exchange frequency, Journal of
    Histochemistry and Cytochemistry 25 (1977) 741-753. doi:10.1177/25.7.70454
    """
    counts, centers = _occupied_stretch(grey_histogram(image, bins, where))
    if counts.size == 1:
        return float(centers[0])
    peak = int(np.argmax(counts))
    flipped = peak < counts.size - 1 - peak
    if flipped:
        counts, peak = counts[::-1], counts.size - 1 - peak
    step = np.arange(peak)
    furthest = int(np.argmax(counts[peak] * step - peak * counts[:peak])) if peak else 0
    return float(centers[::-1][furthest] if flipped else centers[furthest])


@measures_images
def threshold_minimum(image: Any, bins: Bins | None = None, where: Any = None) -> float:
    """Return the lowest point between the two peaks of the smoothed histogram;
    `skimage.filters.threshold_minimum`.

    The histogram is smoothed by means of three bins until it has two peaks, in float64 (there in
    float32).

    Parameters
    ----------
    image, bins, where
        As in `otsu`, with bins of every value for integers that span at most 65536, empty ones
        included.

    Raises
    ------
    ValueError
        If no voxel is taken in, or two peaks are never found.

    References
    ----------
    Prewitt and Mendelsohn, The analysis of cell images, Annals of the New York Academy of Sciences
    128 (1966) 1035-1053. doi:10.1111/j.1749-6632.1965.tb11715.x
    """
    counts, centers = _occupied_stretch(grey_histogram(image, bins, where))
    smooth = counts.astype(np.float64)
    peaks = np.asarray([], int)
    for _ in range(SMOOTHINGS):
        padded = np.concatenate([smooth[:1], smooth, smooth[-1:]])
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
        peaks = _tops(smooth)
        if peaks.size < 3:
            break
    if peaks.size != 2:
        raise ValueError(
            f"The smoothed histogram has {peaks.size} peaks instead of two, so there is no minimum between them; use another "
            f"threshold, such as measure.otsu."
        )
    return float(centers[peaks[0] + int(np.argmin(smooth[peaks[0] : peaks[1] + 1]))])


def _tops(smooth: np.ndarray) -> np.ndarray:
    # Where it begins to fall after it rose, or after the start; plateaus end where they fall.
    slope = np.sign(np.diff(smooth))
    moving = np.flatnonzero(slope)
    turns = slope[moving]
    before = np.concatenate([[1.0], turns[:-1]])
    return moving[(turns < 0) & (before > 0)]


def _occupied_stretch(result: Any) -> tuple[np.ndarray, np.ndarray]:
    taken = np.flatnonzero(result.counts)
    stretch = slice(taken[0], taken[-1] + 1)
    return result.counts[stretch], result.centers[stretch]


METHODS: dict[str, Callable[..., Any]] = {
    "otsu": otsu,
    "kittler_illingworth": kittler_illingworth,
    "li": li,
    "yen": yen,
    "isodata": isodata,
    "triangle": triangle,
    "minimum": threshold_minimum,
    "mean": lambda image, bins=None, where=None: mean(image, where),
}


@measures_images
def threshold(image: Any, method: str = "otsu", *, bins: Bins | None = None, where: Any = None) -> float:
    """Return the threshold between two phases by a method of this name.

    Parameters
    ----------
    image, bins, where
        As in `otsu`.
    method
        "otsu", "kittler_illingworth", "li", "yen", "isodata", "triangle", "minimum" (the lowest
        point between two peaks) or "mean".

    Raises
    ------
    ValueError
        If there is no such method, or no threshold.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not known; use one of {', '.join(map(repr, METHODS))}.")
    if method == "mean" and bins is not None:
        raise ValueError(f"bins={bins!r} has no meaning with method='mean', which takes every voxel; leave it out.")
    return float(METHODS[method](image, bins, where))

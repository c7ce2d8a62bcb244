"""scipy.ndimage on arrays that are already in memory: no input, no output, no codec."""

import numpy as np
import scipy
import scipy.ndimage


def versions():
    return lambda: {"scipy": scipy.__version__, "numpy": np.__version__}


def gaussian(values, sigma):
    array = np.load(values)

    def run():
        scipy.ndimage.gaussian_filter(array, sigma)

    return run


def median(values, size):
    array = np.load(values)

    def run():
        scipy.ndimage.median_filter(array, size)

    return run


def ranked(values, radius, percentile):
    """A percentile over a ball."""
    array = np.load(values)
    axis = np.arange(-radius, radius + 1) ** 2
    ball = axis[:, None, None] + axis[:, None] + axis <= radius**2

    def run():
        scipy.ndimage.percentile_filter(array, percentile, footprint=ball)

    return run


CASES = {"versions": versions, "gaussian": gaussian, "median": median, "ranked": ranked}

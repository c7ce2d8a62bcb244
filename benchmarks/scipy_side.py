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


CASES = {"versions": versions, "gaussian": gaussian, "median": median}

"""The standard deviation of the noise in a scan, from differences that leave smooth structure
out.
"""

from functools import partial
from typing import Any

import numpy as np

from lithax.arrays import as_real
from lithax.measure._histogram import Histogram
from lithax.measure._image_options import measures_images
from lithax.measure._minimum_maximum import MinimumMaximum
from lithax.measure._source import Source
from lithax.ops import NORMAL_MEDIAN, chain, threefold_difference

BINS = 1 << 16


@measures_images
def noise(image: Any, where: Any = None) -> float:
    """Return the standard deviation of white noise in an image or array, in its unit.

    Each voxel and its seven neighbours on the lower side are summed with alternating signs, which
    leaves out all that varies along one or two axes only, as edges between large grains nearly do;
    the median of the absolute values tells the noise from the few that edges still reach. It is the
    estimate of `skimage.restoration.estimate_sigma` with the shortest wavelet (Haar) and without
    decimation, except for the steps of integers, which are rounded. Noise that a filter or a
    reconstruction has made smooth is underestimated.

    Parameters
    ----------
    image
        An image, or a three-dimensional array of any array-API library.
    where
        Voxels taken in: a boolean array for an array; for an image, anything that `where=` of
        `chunk_reduce` accepts. Groups of eight that are not taken in completely do not count.

    Raises
    ------
    ValueError
        If no group of eight voxels is taken in, or the image is thinner than two voxels.

    References
    ----------
    Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81 (1994)
    425-455, section 4.2. doi:10.1093/biomet/81.3.425
    """
    source = Source(image, where)
    shape = tuple(source.data.shape)
    if len(shape) != 3 or min(shape) < 2:
        raise ValueError(
            f"The image has shape {shape}; to estimate its noise it must have three axes of at least 2 voxels."
        )
    # Mirrored about its voxels a face shows other differences; about its edge it would show zeros.
    # An eighth of the grey levels, exactly, so that the largest floats have a difference, too.
    residual = chain(_eighth, partial(threefold_difference, boundary="mirror"))
    found = source.reduce(MinimumMaximum(skip="nonfinite"), fn=residual)
    if found.count == found.skipped:
        raise ValueError(
            "No group of 2×2×2 voxels is taken in completely, so there is nothing to estimate the noise from."
        )
    top = float(found.maximum)
    if top == 0:
        return 0.0
    result = source.reduce(Histogram(BINS, (0.0, np.nextafter(top, np.inf))), fn=residual)
    return 8.0 * float(result.percentile(50)) / NORMAL_MEDIAN


def _eighth(x: Any) -> Any:
    return as_real(x) * 0.125

"""Morphological reconstruction of a block in host memory, by a compiled library."""

import numpy as np

SETTLE_BYTES = 176
"""Memory for a voxel in which blocks are reconstructed again and again [byte]: once takes 76, and
the rounds of a settle leave as much and more with the C library.
"""


def reconstruct_block(marker: np.ndarray, mask: np.ndarray, connectivity: int, downward: bool = False) -> np.ndarray:
    """Return the marker spread as far as the mask allows.

    Every voxel gets the largest value that reaches it: along a path of neighbours, the smallest
    mask on the way, from a marker that is no smaller. `downward`: the smallest value, along the
    path with the lowest largest mask.

    Parameters
    ----------
    marker, mask
        Of one type; the marker nowhere above the mask (`downward`: nowhere below).
    connectivity
        6, 18 or 26 neighbours.
    """
    from scipy import ndimage
    from skimage.morphology import reconstruction

    footprint = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    method = "erosion" if downward else "dilation"
    if mask.dtype == np.bool_:
        return reconstruct_block(marker.view(np.uint8), mask.view(np.uint8), connectivity, downward).view(np.bool_)
    return reconstruction(marker, mask, method=method, footprint=footprint).astype(mask.dtype, copy=False)

"""The planes of an image one by one, for formats that are written from the first to the last."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SLAB = 512 * 2**20
"""How much of an image is read at once [byte]."""


Count = Callable[[int], Any]
"""Called with the number of voxels that were written."""


def planes_of(image: Any, count: Count, *, dtype: np.dtype | None = None) -> Iterator[np.ndarray]:
    """Yield the planes z = 0, 1, ... as (y, x), read as many at once as `SLAB` holds, whole chunks
    if possible.
    """
    nx, ny, nz = image.shape
    chunk = image.chunks[2]
    room = max(1, SLAB // (nx * ny * image.dtype.itemsize))
    step = room if room < chunk else room // chunk * chunk
    for first in range(0, nz, step):
        slab = image[:, :, first : first + step]
        for n in range(slab.shape[2]):
            plane = np.ascontiguousarray(slab[:, :, n].T)
            count(plane.size)
            yield plane if dtype is None else plane.astype(dtype, copy=False)

"""A scan as a filter would leave it, measured without being stored."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.images import VoxelImage, chunk_reduce


class FilteredScan:
    """Stands for ``chunk_map(filter, scan)`` in the functions of `lithax.measure`: it can be
    measured and holds nothing.
    """

    def __init__(self, scan: VoxelImage, fn: Callable[..., Any] | None, dtype: np.dtype, progress: bool = True):
        self._scan, self._fn, self._progress = scan, fn, progress
        self.dtype = dtype
        self.shape = scan.shape
        self.voxel_length = scan.voxel_length

    def reduce(self, measurement: Any, *others: Any, where: Any = None, **arguments: Any) -> Any:
        """Measure the filtered scan; see `chunk_reduce`."""
        options = {"progress": self._progress} | arguments
        return chunk_reduce(measurement, self._scan, *others, fn=self._fn, where=where, **options)

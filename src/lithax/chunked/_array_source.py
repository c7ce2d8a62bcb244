"""An array in memory as a source of blocks."""

from typing import Any

import numpy as np

from lithax.arrays import refuse_masked, to_numpy
from lithax.grid import Box, ChunkGrid, Index, triple


class ArraySource:
    """Blocks of an array of any library; nothing is copied but the blocks."""

    layered_axis = 0

    def __init__(self, array: Any):
        refuse_masked(array)
        self._array = to_numpy(array)
        if self._array.ndim != 3:
            raise ValueError(f"an array of shape {self._array.shape} was given; an image has three axes, x y z.")
        self.shape: Index = self._array.shape
        self.dtype = self._array.dtype.newbyteorder("=")
        self.chunks: Index = triple(min(n, 128) for n in self.shape)

    def read(self, box: Box) -> np.ndarray:
        return np.ascontiguousarray(self._array[box], dtype=self.dtype)

    def read_chunk(self, index: Index) -> np.ndarray:
        return self.read(ChunkGrid(self.shape, self.chunks).box(index))

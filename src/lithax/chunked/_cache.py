"""Decoded chunks kept for the blocks that will ask for them again."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from lithax.grid import BlockSource, Box, ChunkGrid, Index, shift, triple

_FEW = 4
"""Up to this part of a chunk its layers are decoded alone."""


def layers_fit(capacity: int, sources: Sequence[BlockSource]) -> bool:
    """Tell whether two layers of chunks across x fit into a cache: one that blocks are made of, and
    the next one.
    """
    layers = (s.chunks[0] * math.prod(s.shape[1:]) * np.dtype(s.dtype).itemsize for s in sources)
    return 2 * sum(layers) <= capacity


class ChunkCache:
    """A bounded store of decoded chunks shared by all worker threads.

    A chunk that two threads want at once is decoded once: the second waits for the first.

    Parameters
    ----------
    capacity
        Bytes that are kept.
    returns
        Tells whether a chunk will be asked for as a whole while it is still kept. Of the others
        only the layers wanted are decoded where that is cheaper: the halo of a block needs a few.
    """

    def __init__(self, capacity: int, returns: Callable[[BlockSource, Index], bool] = lambda source, index: True):
        self.capacity = capacity
        self._returns = returns
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._coming: dict[Hashable, threading.Event] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, source: BlockSource, index: Index) -> np.ndarray:
        """Return a chunk of `source`, decoding it if need be."""
        return self._get((id(source), index), lambda: source.read_chunk(index))

    def part(self, source: BlockSource, index: Index, box: Box) -> np.ndarray:
        """Return the voxels of a box of the image that lies within one chunk."""
        grid = ChunkGrid(source.shape, source.chunks)
        whole = grid.box(index)
        axis = source.layered_axis
        thin = axis is not None and _FEW * (box[axis].stop - box[axis].start) <= source.chunks[axis]
        if axis is None or not thin or self._returns(source, index):
            values = self.get(source, index)
        elif (kept := self._kept.get((id(source), index))) is not None:
            values = kept  # this is no reason to keep it longer
        else:
            # The layers reach from side to side of the chunk: the next blocks need the rest.
            whole = triple(box[a] if a == axis else whole[a] for a in range(3))
            values = self._get((id(source), index, box[axis].start, box[axis].stop), lambda: source.read(whole))
        return values[shift(box, triple(s.start for s in whole))]

    def _get(self, key: Hashable, load: Callable[[], np.ndarray]) -> np.ndarray:
        if not self.capacity:
            return load()
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                coming = self._coming.get(key)
                if coming is None:
                    mine = self._coming[key] = threading.Event()
                    break
            coming.wait()
        try:
            values = _alone(load())
            with self._lock:
                self._kept[key] = values
                self._bytes += values.nbytes
                while self._bytes > self.capacity and len(self._kept) > 1:
                    _, old = self._kept.popitem(last=False)
                    self._bytes -= old.nbytes
        finally:
            with self._lock:
                del self._coming[key]
            mine.set()
        return values


def _alone(values: np.ndarray) -> np.ndarray:
    """Return voxels that hold no others in memory: of a chunk at an upper face only a part lies in
    the image.
    """
    whole = values.base
    return values.copy("K") if isinstance(whole, np.ndarray) and whole.nbytes > values.nbytes else values

"""Decoded chunks kept for the blocks that will ask for them again."""

import threading
from collections import OrderedDict

import numpy as np

from lithax.grid import BlockSource, Index


class ChunkCache:
    """A bounded store of decoded chunks shared by all worker threads.

    A chunk that two threads want at once is decoded once: the second waits for the first.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._chunks: OrderedDict[tuple[int, Index], np.ndarray] = OrderedDict()
        self._coming: dict[tuple[int, Index], threading.Event] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, source: BlockSource, index: Index) -> np.ndarray:
        """Return a chunk of `source`, decoding it if need be."""
        if not self.capacity:
            return source.read_chunk(index)
        key = (id(source), index)
        while True:
            with self._lock:
                if key in self._chunks:
                    self._chunks.move_to_end(key)
                    return self._chunks[key]
                coming = self._coming.get(key)
                if coming is None:
                    mine = self._coming[key] = threading.Event()
                    break
            coming.wait()
        try:
            chunk = source.read_chunk(index)
            with self._lock:
                self._chunks[key] = chunk
                self._bytes += chunk.nbytes
                while self._bytes > self.capacity and len(self._chunks) > 1:
                    _, old = self._chunks.popitem(last=False)
                    self._bytes -= old.nbytes
        finally:
            with self._lock:
                del self._coming[key]
            mine.set()
        return chunk

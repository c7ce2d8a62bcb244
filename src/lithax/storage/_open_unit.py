"""A unit that is open for reading: its chunks, and layers of them, by as few requests as
possible.
"""

from typing import Any

import numpy as np

from lithax.grid import Index, triple
from lithax.storage._objects import ObjectReader


class OpenUnit:
    """A unit that is open for reading; that a remote object is missing shows only when it is
    read.
    """

    def __init__(self, array: Any, unit: Index, reader: ObjectReader):
        self._array = array
        self._unit = unit
        self._reader = reader
        self._index: np.ndarray | None = None
        self._parts: dict[Index, np.ndarray] | None = None

    def prefetch(self, count: int) -> None:
        """Read a shard as a whole if at least half of its chunks are wanted."""
        layout = self._array._layout
        if layout is None or 2 * count < np.prod(layout.counts):
            return
        try:
            data = self._reader.whole()
        except FileNotFoundError:
            self._array.check_not_lost(self._unit)
            self._parts = {}
            return
        with self._array._damage(self._unit):
            self._parts = layout.split(data)

    def chunk(self, index: Index, out: np.ndarray | None = None) -> np.ndarray | None:
        """Return a chunk, not cropped, or None if it is not stored."""
        try:
            data = self._encoded(index)
        except FileNotFoundError:
            self._array.check_not_lost(self._unit)
            return None
        return None if data is None else self._array._decode(index, data, out)

    def layers(self, index: Index, layers: slice) -> np.ndarray | None:
        """Return some layers of a chunk along the array's `layered_axis`, or None if it is not
        stored.
        """
        chain = self._array._chain
        if self._reader.size is None or self._parts is not None:
            try:
                data = self._encoded(index)
            except FileNotFoundError:
                self._array.check_not_lost(self._unit)
                return None
            if data is None:
                return None
            with self._array._damage(self._unit):
                return chain.decode_layers(lambda a, b: data[a:b], len(data), layers)
        span = self._span(index)
        if span is None:
            return None
        start, stop = span
        # Blosc raises RuntimeError; a disk that fails says so itself.
        with self._array._damage(self._unit, (ValueError, RuntimeError)):
            return chain.decode_layers(lambda a, b: self._reader.span(start + a, start + b), stop - start, layers)

    def _encoded(self, index: Index) -> np.ndarray | None:
        layout = self._array._layout
        if layout is None:
            return self._reader.whole()
        if self._parts is not None:
            return self._parts.get(modulo(index, layout.counts))
        span = self._span(index)
        if span is None:
            return None
        with self._array._damage(self._unit, ValueError):
            return self._reader.span(*span)

    def _span(self, index: Index) -> tuple[int, int] | None:
        """Return where in the object a chunk begins and ends, or None if it is not stored."""
        layout = self._array._layout
        if layout is None:
            assert self._reader.size is not None
            return 0, self._reader.size
        # Only bytes that are wrong are damage: a network that fails says so itself.
        if self._index is None:
            with self._array._damage(self._unit, ValueError):
                encoded = layout.read_index(self._reader)
            with self._array._damage(self._unit):
                self._index = layout.decode_index(encoded)
        return layout.span(self._index, modulo(index, layout.counts))


def modulo(index: Index, counts: Index) -> Index:
    """Return the place of a chunk in its shard."""
    return triple(i % n for i, n in zip(index, counts, strict=True))

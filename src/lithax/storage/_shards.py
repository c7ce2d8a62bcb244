"""The layout of a shard: encoded chunks one after the other, and an index of where each begins and
how long it is.

Zarr v3 specification, `sharding_indexed` codec. Chunks are laid down in C order, so equal chunks
give equal shards.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from zarr.codecs import ShardingCodec

from lithax.grid import Index
from lithax.storage._codecs import CodecChain
from lithax.storage._objects import ObjectReader, Payload

_EMPTY = 2**64 - 1


class ShardLayout:
    """Join and split shards of one sharding codec.

    Parameters
    ----------
    codec
        The sharding codec.
    counts
        Number of chunks in a shard along each axis.
    """

    def __init__(self, codec: ShardingCodec, counts: Index):
        self.counts = counts
        configuration: Any = codec.to_dict()["configuration"]
        self._index_first = configuration["index_location"] == "start"
        self._chain = CodecChain(codec.index_codecs, codec._get_index_chunk_spec(counts))
        self._index_size = self._chain.encoded_size(16 * math.prod(counts))

    def read_index(self, reader: ObjectReader) -> np.ndarray:
        """Return the encoded index of an open shard."""
        return reader.span(0, self._index_size) if self._index_first else reader.suffix(self._index_size)

    def decode_index(self, data: np.ndarray) -> np.ndarray:
        """Return (offset, length) of every chunk, shape (*counts, 2)."""
        return self._chain.decode(data)

    def split(self, data: np.ndarray) -> dict[Index, np.ndarray]:
        """Return the encoded chunks of a whole shard by their place in it; views of `data`."""
        if len(data) < self._index_size:
            raise ValueError(f"it holds {len(data)} bytes, its index alone takes {self._index_size}")
        index = self.decode_index(data[: self._index_size] if self._index_first else data[-self._index_size :])
        chunks = {}
        for place in self._places():
            span = self.span(index, place)
            if span is not None:
                if span[1] > len(data):
                    raise ValueError(f"its index points to byte {span[1]} of {len(data)}")
                chunks[place] = data[span[0] : span[1]]
        return chunks

    def _places(self) -> Iterator[Index]:
        return itertools.product(*(range(n) for n in self.counts))  # type: ignore[return-value]

    def span(self, index: np.ndarray, place: Index) -> tuple[int, int] | None:
        """Return first and last-plus-one byte of a chunk, or None if it equals the fill value."""
        start, length = (int(value) for value in index[place])
        if start == _EMPTY and length == _EMPTY:
            return None
        return start, start + length

    def join(self, chunks: Mapping[Index, Payload | None]) -> Payload | None:
        """Return the bytes of a shard; None if none of its chunks is stored."""
        index = np.full((*self.counts, 2), _EMPTY, dtype=np.uint64)
        offset = self._index_size if self._index_first else 0
        parts: list[Payload] = []
        for place in self._places():
            part = chunks.get(place)
            if part is not None:
                index[place] = offset, len(part)
                offset += len(part)
                parts.append(part)
        if not parts:
            return None
        encoded = self._chain.encode(index)
        return b"".join([encoded, *parts] if self._index_first else [*parts, encoded])

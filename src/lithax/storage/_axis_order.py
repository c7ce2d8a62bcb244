"""Arrays whose axes are z, y, x in their metadata, as OME-Zarr asks, and whose chunks are those of
an image all the same.

A chunk of an image is stored with z running fastest. An array with the axes z, y, x whose first
codec transposes has the very same bytes in its chunks; only the names of the objects (``c/k/j/i``)
and the metadata differ. So such an array is read and written as fast as any other image: as the
*view* that this module makes of it, in which the axes are x, y, z.

With shards it is the codecs of the chunks inside that begin by transposing, so that other programs,
too, can read a single chunk of a shard. The index of a shard then runs z, y, x; in the view a codec
of the index turns it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import zarr
from zarr.codecs import ShardingCodec, TransposeCodec
from zarr.core.chunk_key_encodings import ChunkKeyEncoding
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import StorePath

TURNED_NAMES = ("z", "y", "x")

_TURN = (2, 1, 0)
_TURN_INDEX = (2, 1, 0, 3)
"""Of the index of a shard, whose last axis is offset and length."""


@dataclass(frozen=True)
class _TurnedKeys(ChunkKeyEncoding):
    """Names chunks by their place along z, y, x. It is never written down."""

    name: ClassVar[str] = "lithax-turned"
    stored: Any = None

    def encode_chunk_key(self, chunk_coords: tuple[int, ...]) -> str:
        return self.stored.encode_chunk_key(tuple(reversed(chunk_coords)))


def in_zyx(metadata: ArrayV3Metadata) -> ArrayV3Metadata:
    """Return the metadata of the array with axes z, y, x that has the chunks of an image with axes
    x, y, z.
    """
    names: Any = TURNED_NAMES
    turn, first = TransposeCodec(order=_TURN), metadata.codecs[0]
    if isinstance(first, ShardingCodec):
        codecs: Any = (_sharding(first, (turn, *first.codecs), first.index_codecs), *metadata.codecs[1:])
    else:
        codecs = (turn, *metadata.codecs)
    return _reversed(metadata, codecs, names, metadata.chunk_key_encoding)


def is_zyx(metadata: Any) -> bool:
    """Tell whether an array has the axes z, y, x and chunks that are those of an image."""
    if not isinstance(metadata, ArrayV3Metadata) or metadata.dimension_names != TURNED_NAMES:
        return False
    first = metadata.codecs[0]
    if isinstance(first, ShardingCodec):
        first = first.codecs[0]
    return isinstance(first, TransposeCodec) and tuple(first.order) == _TURN


def is_view(zarray: zarr.Array) -> bool:
    """Tell whether an array is what `image_view` returns."""
    metadata: Any = zarray.metadata
    return isinstance(metadata.chunk_key_encoding, _TurnedKeys)


def image_view(zarray: zarr.Array) -> zarr.Array:
    """Return an array with axes z, y, x (for which `is_zyx`) as one with axes x, y, z, in the same
    place of its store.
    """
    metadata: Any = zarray.metadata
    keys = _TurnedKeys(stored=metadata.chunk_key_encoding)
    codecs, first = metadata.codecs[1:], metadata.codecs[0]
    if isinstance(first, ShardingCodec):
        turn = TransposeCodec(order=_TURN_INDEX)
        codecs = (_sharding(first, first.codecs[1:], (turn, *first.index_codecs)), *codecs)
    made: Any = zarr.AsyncArray(
        metadata=_reversed(metadata, codecs, ("x", "y", "z"), keys),
        store_path=StorePath(zarray.store, zarray.path),
    )
    return zarr.Array(made)


def _sharding(codec: ShardingCodec, codecs: Any, index_codecs: Any) -> ShardingCodec:
    """Return a sharding codec for the reversed axes, with other codecs."""
    return ShardingCodec(
        chunk_shape=tuple(reversed(codec.chunk_shape)),
        codecs=codecs,
        index_codecs=index_codecs,
        index_location=codec.index_location,
    )


def _reversed(metadata: ArrayV3Metadata, codecs: Any, names: Any, keys: Any) -> ArrayV3Metadata:
    grid: Any = metadata.chunk_grid.to_dict()
    shape = tuple(reversed(grid["configuration"]["chunk_shape"]))
    return ArrayV3Metadata(
        shape=tuple(reversed(metadata.shape)),
        data_type=metadata.data_type,
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": shape}},
        chunk_key_encoding=keys,
        fill_value=metadata.fill_value,
        codecs=codecs,
        attributes=metadata.attributes,
        dimension_names=names,
    )

"""Arrays whose axes are z, y, x in their metadata, as OME-Zarr asks, and whose chunks are those of an image all the same.

A chunk of an image is stored with z running fastest. An array with the axes z, y, x whose first codec transposes has
the very same bytes in its chunks; only the names of the objects (``c/k/j/i``) and the metadata differ. So such an array is
read and written as fast as any other image: as the *view* that this module makes of it, in which the axes are x, y, z.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import zarr
from zarr.codecs import TransposeCodec
from zarr.core.chunk_key_encodings import ChunkKeyEncoding
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import StorePath

TURNED_NAMES = ("z", "y", "x")

_TURN = (2, 1, 0)


@dataclass(frozen=True)
class _TurnedKeys(ChunkKeyEncoding):
    """Names chunks by their place along z, y, x. It is never written down."""

    name: ClassVar[str] = "lithax-turned"
    stored: Any = None

    def encode_chunk_key(self, chunk_coords: tuple[int, ...]) -> str:
        return self.stored.encode_chunk_key(tuple(reversed(chunk_coords)))


def turned(metadata: ArrayV3Metadata) -> ArrayV3Metadata:
    """Return the metadata of the array with axes z, y, x that has the chunks of an image with axes x, y, z."""
    names: Any = TURNED_NAMES
    return _reversed(metadata, (TransposeCodec(order=_TURN), *metadata.codecs), names, metadata.chunk_key_encoding)


def is_turned(metadata: Any) -> bool:
    """Tell whether an array has the axes z, y, x and chunks that are those of an image."""
    if not isinstance(metadata, ArrayV3Metadata) or metadata.dimension_names != TURNED_NAMES:
        return False
    first = metadata.codecs[0]
    return isinstance(first, TransposeCodec) and tuple(first.order) == _TURN


def image_view(zarray: zarr.Array) -> zarr.Array:
    """Return an array with axes z, y, x (for which `is_turned`) as one with axes x, y, z, in the same place of its store."""
    metadata: Any = zarray.metadata
    keys = _TurnedKeys(stored=metadata.chunk_key_encoding)
    made: Any = zarr.AsyncArray(
        metadata=_reversed(metadata, metadata.codecs[1:], ("x", "y", "z"), keys),
        store_path=StorePath(zarray.store, zarray.path),
    )
    return zarr.Array(made)


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

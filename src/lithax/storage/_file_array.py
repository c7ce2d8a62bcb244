"""A file of another format, seen as an array that is read box by box and never copied as a
whole.
"""

import contextlib
import json
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from lithax.errors import FileFormatError
from lithax.grid import Box, Index, box_shape, triple
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._chunks import resolve_chunks
from lithax.storage._schema import Metadata
from lithax.storage._workers import default_workers


class FileArray(AbstractStoredArray):
    """A read-only array over an open file.

    Parameters
    ----------
    open_file
        Opens the file: a `FileSource`. It is called again where the array is unpickled.
    file
        The file, for messages.
    kind
        What it is, for messages: "TIFF file".
    metadata
        Says what is known of the image, from the open file.
    """

    def __init__(
        self,
        open_file: Callable[[], Any],
        file: str | os.PathLike[str],
        kind: str,
        metadata: Callable[[Any], Metadata],
    ):
        self._arguments = (open_file, os.fspath(file), kind, metadata)
        self.file = Path(os.fspath(file)).resolve()
        self.kind = kind
        self._source = open_file()
        self._finalizer = weakref.finalize(self, _close, self._source)
        self._shape = triple(int(n) for n in self._source.shape)
        self._dtype = np.dtype(np.dtype(self._source.dtype).newbyteorder("=").str)
        if self._dtype.kind not in "biufc" or min(self._shape) < 1:
            raise FileFormatError(
                f"file={os.fspath(file)!r} holds {self._dtype} in the shape {self._shape}, which is no image."
            )
        self.metadata = metadata(self._source)
        self._chunks, _ = resolve_chunks(self._shape)
        self._zarray: zarr.Array | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self._arguments)

    @property
    def zarray(self) -> zarr.Array:  # type: ignore[override]
        """The same voxels as a Zarr array, whose chunks are made of the file as they are read."""
        if self._zarray is None:
            self._zarray = zarr.open_array(_FileStore(self), mode="r")
        return self._zarray

    @property
    def store(self) -> Any:
        return self.zarray.store

    @property
    def path(self) -> str:
        return ""

    @property
    def where(self) -> str:
        return str(self.file)

    @property
    def fill_value(self) -> np.generic:
        return self._dtype.type(0)

    @property
    def read_only(self) -> bool:
        return True

    @property
    def workers(self) -> int:
        return default_workers(remote=False)

    @property
    def layered_axis(self) -> int | None:
        return {"F": 2, "C": 0}.get(getattr(self._source, "order", ""))

    def free_attributes(self) -> dict[str, Any]:
        return {}

    def check_writable(self) -> None:
        raise PermissionError(
            f"the image at {self.where} is a {self.kind}, which is read but not changed; copy() it to a store, or import "
            "the file, first."
        )

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        if 0 in box_shape(box):
            values = np.empty(box_shape(box), self._dtype)
        else:
            values = np.asarray(self._source.read(triple(slice(s.start, s.stop) for s in box)))
        if values.shape != box_shape(box):
            raise FileFormatError(
                f"file={str(self.file)!r}: its reader returned the shape {values.shape} for a box of {box_shape(box)}."
            )
        if out is None:
            return values.astype(self._dtype, copy=False)
        out[...] = values
        return out

    @property
    def files(self) -> list[Path]:
        """The file, and the one that holds its voxels if that is another."""
        return sorted({self.file, Path(getattr(self._source, "file", self.file)).resolve()})

    def close(self) -> None:
        """Close the file; the array cannot be read any more."""
        self._finalizer()

    def __repr__(self) -> str:
        return f"FileArray({self.where!r}, {self.kind}, shape={self._shape}, dtype={self._dtype})"


def _close(source: Any) -> None:
    with contextlib.suppress(AttributeError):
        source.close()


class _FileStore(Store):
    """A Zarr store whose metadata and chunks are made of a file; it holds nothing itself."""

    def __init__(self, array: FileArray):
        super().__init__(read_only=True)
        self._array = array
        shape, chunks = array.shape, array.chunks
        self._document = json.dumps(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": shape,
                "data_type": array.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": [0.0, 0.0] if array.dtype.kind == "c" else False if array.dtype.kind == "b" else 0,
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                "attributes": {},
                "dimension_names": ["x", "y", "z"],
            }
        ).encode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FileStore) and other._array.file == self._array.file

    def __hash__(self) -> int:
        return hash(self._array.file)

    def __str__(self) -> str:
        return str(self._array.file)

    __repr__ = __str__

    def _bytes(self, key: str) -> bytes | None:
        if key == "zarr.json":
            return self._document
        parts = key.split("/")
        if len(parts) != 4 or parts[0] != "c" or not all(part.isdigit() for part in parts[1:]):
            return None
        index: Index = triple(int(part) for part in parts[1:])
        if any(i >= n for i, n in zip(index, self._array.grid.counts, strict=True)):
            return None
        box = self._array.grid.box(index)
        chunk = np.zeros(self._array.chunks, self._array.dtype.newbyteorder("<"))
        chunk[tuple(slice(0, n) for n in box_shape(box))] = self._array.read(box)
        return chunk.tobytes()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = self._bytes(key)
        if data is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            data = data[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            data = data[byte_range.offset :]
        elif byte_range is not None:
            data = data[-byte_range.suffix :]
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._bytes(key) is not None

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return False

    @property
    def supports_partial_writes(self) -> Literal[False]:
        return False

    async def set(self, key: str, value: Buffer) -> None:
        self._array.check_writable()

    async def delete(self, key: str) -> None:
        self._array.check_writable()

    async def list(self) -> AsyncIterator[str]:
        yield "zarr.json"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        if "zarr.json".startswith(prefix):
            yield "zarr.json"

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        if not prefix:
            yield "zarr.json"

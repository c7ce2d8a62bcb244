"""One three-dimensional Zarr v3 array, seen as chunks and units, for many threads at once.

Every method runs in the thread that calls it: reading, decoding, encoding and writing release the
interpreter lock where the time goes, so as many threads as there are cores keep them all busy.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
import zarr
from zarr.buffer.cpu import numpy_buffer_prototype
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.metadata import ArrayV3Metadata

from lithax.errors import MetadataError
from lithax.grid import Box, Index, box_shape, intersect, shift, triple
from lithax.storage._array_metadata import MetadataMixin
from lithax.storage._codecs import CodecChain
from lithax.storage._equal_bits import equal_bits
from lithax.storage._node_document import NodeDocument
from lithax.storage._objects import BytesInMemory, DirectoryObjects, MemoryObjects, Payload, StoreObjects, objects_of
from lithax.storage._open_unit import OpenUnit, modulo
from lithax.storage._partial_write import PartialWriteMixin
from lithax.storage._pickling import deep_copy, reduced
from lithax.storage._place_locks import locks_of
from lithax.storage._recorded_units import RecordedUnitsMixin
from lithax.storage._schema import KEY, Metadata
from lithax.storage._shards import ShardLayout
from lithax.storage._workers import default_workers


class StoredArray(PartialWriteMixin, MetadataMixin, RecordedUnitsMixin):
    """A Zarr v3 array of three dimensions that is read and written by chunk, unit, box and
    selection.

    It satisfies the `BlockSource` and `BlockSink` protocols of `lithax.grid`. No voxel is cached:
    what another handle or process has written is seen at the next read.

    Parameters
    ----------
    zarray
        The array.
    metadata
        What is known of the image. By default what its attributes say.
    read_only
        Refuse to write, even if the store would allow it.
    kind
        Which program's image it is, for messages.
    document
        The stored ``zarr.json``, where it is known.

    Raises
    ------
    MetadataError
        If the array is not three-dimensional, not Zarr v3, not on a regular grid, or not of
        numbers.
    """

    def __init__(
        self,
        zarray: zarr.Array,
        metadata: Metadata | None = None,
        *,
        read_only: bool = False,
        kind: str = "lithax",
        document: Mapping[str, Any] | None = None,
    ):
        description = zarray.metadata
        where = str(zarray.store_path)
        if not isinstance(description, ArrayV3Metadata):
            raise MetadataError(f"{where} is a Zarr v2 array; StoredArray needs Zarr v3.")
        if description.chunk_grid.to_dict()["name"] != "regular":
            raise MetadataError(f"{where} has an irregular chunk grid, which is not supported.")
        if len(description.shape) != 3:
            raise MetadataError(f"{where} has {len(description.shape)} dimensions; an image has three.")
        self._dtype = np.dtype(description.data_type.to_native_dtype()).newbyteorder("=")
        if self._dtype.kind not in "biufc":
            raise MetadataError(f"{where} holds {self._dtype}; an image holds numbers or booleans.")
        self.zarray = zarray
        self.kind = kind
        self._objects = objects_of(zarray.store)
        self._prefix = f"{zarray.path}/" if zarray.path else ""
        self._encode_key = description.encode_chunk_key
        self._read_only = read_only or zarray.store.read_only
        self.locks = locks_of(zarray.store, zarray.path, where)
        self._document = NodeDocument(
            self._objects, zarray.path, where, self.locks.of_metadata, readable=not self.in_memory
        )
        if metadata is None:
            stored = description.attributes.get(KEY)
            metadata = Metadata() if stored is None else Metadata.from_json(stored, where)
        self.metadata = metadata

        self._fill = np.asarray(description.fill_value, dtype=self._dtype)
        self._shape = triple(description.shape)
        if 0 in self._shape:
            raise MetadataError(f"{where} has the shape {self._shape}, which holds no voxel.")
        self._unit: Index = triple(zarray.shards or zarray.chunks)
        self._chunks = self._unit
        self._layout: ShardLayout | None = None
        codecs = description.codecs
        if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
            sharding = codecs[0]
            self._chunks = triple(sharding.chunk_shape)
            self._layout = ShardLayout(sharding, triple(u // c for u, c in zip(self._unit, self._chunks, strict=True)))
            codecs = sharding.codecs
        spec = ArraySpec(
            shape=self._chunks,
            dtype=description.data_type,
            fill_value=description.fill_value,
            config=ArrayConfig(order="C", write_empty_chunks=False),
            prototype=numpy_buffer_prototype(),
        )
        self._chain = CodecChain(codecs, spec)
        self._form = {name: part for name, part in (document or {}).items() if name != "attributes"}
        self.check = False
        """Whether the bytes of every unit that is read are compared with the ledger first."""
        self._checked: dict[Index, tuple[int, ...]] = {}
        self.ledger = self._make_ledger()

    def __reduce__(self) -> Any:
        return reduced(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return deep_copy(self)

    # What the array is

    @property
    def directory(self) -> Path | None:
        return self._objects.root / self.path if isinstance(self._objects, DirectoryObjects) else None

    @property
    def shards(self) -> Index | None:
        return None if self._layout is None else self._unit

    @property
    def fill_value(self) -> np.generic:
        return self._dtype.type(self._fill[()])

    @property
    def read_only(self) -> bool:
        return self._read_only

    @property
    def workers(self) -> int:
        return default_workers(remote=isinstance(self._objects, StoreObjects))

    @property
    def in_memory(self) -> bool:
        return isinstance(self._objects, MemoryObjects)

    @property
    def stored_bytes(self) -> int | None:
        """Number of bytes that an array in memory, or in a local directory, takes; None for other
        stores.
        """
        if isinstance(self._objects, DirectoryObjects | MemoryObjects):
            return self._objects.stored_bytes(self.path)
        return None

    @property
    def stored_units(self) -> int | None:
        """Number of units that an array in memory, or in a local directory, holds; None for other
        stores.
        """
        if isinstance(self._objects, DirectoryObjects | MemoryObjects):
            return self._objects.stored_units(self.path)
        return None

    def encoding(self) -> dict[str, Any]:
        """Return the codecs, as options for another array with other chunks."""
        if isinstance(self.zarray.serializer, ShardingCodec):  # shards within shards
            return {}
        return {
            "filters": list(self.zarray.filters),
            "serializer": self.zarray.serializer,
            "compressors": list(self.zarray.compressors),
        }

    def unit_of(self, index: Index) -> Index:
        """Return the unit that holds a chunk."""
        return triple(i * c // u for i, c, u in zip(index, self._chunks, self._unit, strict=True))

    def chunks_of(self, unit: Index) -> Iterator[Index]:
        """Return the chunks of a unit that meet the image, in C order."""
        return self.grid.covering(self.unit_grid.box(unit))

    def unit_key(self, unit: Index) -> str:
        """Return the key of a unit inside the store."""
        return self._prefix + self._encode_key(tuple(unit))

    # Reading

    def read_chunk(self, index: Index) -> np.ndarray:
        with self._open_unit(self.unit_of(index)) as opened:
            return self._crop(index, None if opened is None else opened.chunk(index))

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        if out is None:
            index = self._single_chunk(box)
            if index is not None:
                return self.read_chunk(index)
            out = np.empty(box_shape(box), self._dtype)
        for unit in self.unit_grid.covering(box):
            self._read_from_unit(unit, box, out)
        return out

    @property
    def layered_axis(self) -> int | None:
        return self._chain.layered_axis

    def read_unit(self, unit: Index) -> Payload | None:
        """Return the stored bytes of a unit, or None if nothing is stored for it."""
        data = self._objects.read(self.unit_key(unit))
        return None if data is None else data.data.toreadonly()

    # Writing

    def check_writable(self) -> None:
        if self._read_only:
            raise PermissionError(
                f"the image at {self.where} is read-only; open it with mode='r+' from a store that may be written to, "
                "or copy() it."
            )

    def encode_chunk(self, index: Index, values: np.ndarray) -> Payload | None:
        """Compress one chunk.

        Parameters
        ----------
        index
            Place of the chunk in the grid.
        values
            The whole chunk, or its part inside the image; of this array's data type.

        Returns
        -------
            The bytes, or None if every voxel equals the fill value bit for bit. Uncompressed bytes
            may be a view of `values`.
        """
        values = np.asarray(values)
        if values.dtype != self._dtype:
            raise TypeError(
                f"values of chunk {tuple(index)} are {values.dtype}; the image is {self._dtype}. Cast first."
            )
        if values.shape != self._chunks:
            inside = box_shape(self.grid.box(index))
            if values.shape != inside:
                raise ValueError(
                    f"values of chunk {tuple(index)} have shape {values.shape}; "
                    f"a chunk has {self._chunks}, of which {inside} lie in the image."
                )
        if equal_bits(values, self._fill):
            return None
        if values.shape != self._chunks:
            padded = np.full(self._chunks, self._fill, dtype=self._dtype)
            padded[tuple(slice(0, n) for n in values.shape)] = values
            values = padded
        return self._chain.encode(values)

    def assemble_unit(self, unit: Index, chunks: Mapping[Index, Payload | None]) -> Payload | None:
        """Join encoded chunks, by their place in the grid of the image, into the stored bytes of
        their unit.
        """
        if self._layout is None:
            return chunks.get(triple(unit))
        counts = self._layout.counts
        return self._layout.join({modulo(index, counts): data for index, data in chunks.items()})

    def digest(self, payload: Payload | None) -> str:
        """Return "empty", or the 128-bit xxHash of the stored bytes of a unit."""
        return "empty" if payload is None else xxhash.xxh3_128_hexdigest(payload)

    # Objects beside the chunks: a journal, a lock

    def read_object(self, name: str) -> bytes | None:
        """Return an object stored beside the chunks, by its name below the array's path."""
        data = self._objects.read(self._prefix + name)
        return None if data is None else data.tobytes()

    def write_object(self, name: str, payload: bytes) -> None:
        """Store an object beside the chunks, at once or not at all."""
        self.check_writable()
        self._objects.write(self._prefix + name, payload)

    def delete_object(self, name: str) -> None:
        """Remove an object beside the chunks, if it exists."""
        self.check_writable()
        self._objects.delete(self._prefix + name)

    def list_objects(self, prefix: str = "") -> list[str]:
        """Return the names directly below a prefix, sorted."""
        return self._objects.children((self._prefix + prefix).rstrip("/"))

    def remove_partials(self) -> int:
        """Remove half-written files that killed writers left in a local directory; return how many
        there were.

        Only for an array that nobody writes to at the moment.
        """
        self.check_writable()
        return self._objects.remove_partials(self.path) if isinstance(self._objects, DirectoryObjects) else 0

    # Inside

    @contextmanager
    def _open_unit(self, unit: Index) -> Iterator["OpenUnit | None"]:
        with self._objects.open(self.unit_key(unit)) as reader:
            status = None if reader is None else reader.status
            if self.check and (status is None or self._checked.get(unit) != status):
                data = self.checked_unit(unit)
                if data is not None and status is not None:
                    self._checked[unit] = status
                yield None if data is None else OpenUnit(self, unit, BytesInMemory(data))
                return
            if reader is None:
                self.check_not_lost(unit)
            yield None if reader is None else OpenUnit(self, unit, reader)

    def _decode(self, index: Index, data: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        with self._damage(self.unit_of(index)):
            return self._chain.decode(data, out)

    @contextmanager
    def _damage(self, unit: Index, kind: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except kind as error:  # every codec has its own
            raise OSError(
                f"{self.unit_key(unit)!r} of the image at {self.where} cannot be decoded: {error}. "
                "The object is damaged or was cut off; write this part of the image again."
            ) from error

    def _crop(self, index: Index, values: np.ndarray | None) -> np.ndarray:
        shape = box_shape(self.grid.box(index))
        if values is None:
            return np.broadcast_to(self._fill, shape)  # of the size of one voxel, however large the chunk
        return values if shape == self._chunks else values[tuple(slice(0, n) for n in shape)]

    def _single_chunk(self, box: Box) -> Index | None:
        """Return the chunk whose part inside the image is exactly the box."""
        i, j, k = (s.start // c for s, c in zip(box, self._chunks, strict=True))
        inside = self.grid.box((i, j, k))
        same = all(a.start == b.start and a.stop == b.stop for a, b in zip(inside, box, strict=True))
        return (i, j, k) if same and 0 not in box_shape(box) else None

    def _read_from_unit(self, unit: Index, box: Box, out: np.ndarray) -> None:
        """Read the part of a box that lies in a unit into its place in `out`."""
        x, y, z = (s.start for s in box)
        wanted = list(self.grid.covering(intersect(box, self.unit_grid.box(unit))))
        with self._open_unit(unit) as opened:
            if opened is not None and len(wanted) > 1:
                opened.prefetch(len(wanted))
            for index in wanted:
                chunk = self.grid.box(index)
                part = intersect(box, chunk)
                target = out[shift(part, (x, y, z))]
                inner = shift(part, (chunk[0].start, chunk[1].start, chunk[2].start))
                axis = self.layered_axis
                if opened is None:
                    values = None
                elif axis is not None and 2 * target.shape[axis] <= self._chunks[axis]:
                    values = opened.layers(index, inner[axis])
                    inner = triple(slice(None) if a == axis else s for a, s in enumerate(inner))
                else:
                    # A whole chunk that is one piece of `out` is decoded where it belongs.
                    direct = target if target.shape == self._chunks and target.flags.c_contiguous else None
                    values = opened.chunk(index, direct)
                    if values is not None and values is direct:
                        continue
                target[...] = self._fill if values is None else values[inner]

    def __repr__(self) -> str:
        return (
            f"StoredArray({self.where!r}, shape={self._shape}, dtype={self._dtype}, "
            f"chunks={self._chunks}, shards={self.shards})"
        )


def same_encoding(source: StoredArray, target: StoredArray) -> bool:
    """Tell whether the stored bytes of one array's units are valid for the other."""
    a, b = source.zarray.metadata, target.zarray.metadata
    assert isinstance(a, ArrayV3Metadata) and isinstance(b, ArrayV3Metadata)  # noqa: PT018
    return (
        a.shape == b.shape
        and a.data_type == b.data_type
        and a.chunk_grid == b.chunk_grid
        and [codec.to_dict() for codec in a.codecs] == [codec.to_dict() for codec in b.codecs]
        and source.fill_value.tobytes() == target.fill_value.tobytes()
    )

"""One three-dimensional Zarr v3 array, seen as chunks and units, for many threads at once.

Every method runs in the thread that calls it: reading, decoding, encoding and writing release the interpreter lock
where the time goes, so as many threads as there are cores keep them all busy.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
import zarr
from zarr.buffer.cpu import numpy_buffer_prototype
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.metadata import ArrayV3Metadata

from lithax.errors import MetadataError
from lithax.grid import Box, Index, box_shape, intersect, shift, triple
from lithax.storage._abstract_array import AbstractStoredArray, Ranges, map_threads, parts_of, touched
from lithax.storage._codecs import CodecChain
from lithax.storage._node_document import NodeDocument, UserAttributes
from lithax.storage._objects import (
    DirectoryObjects,
    MemoryObjects,
    ObjectReader,
    Payload,
    StoreObjects,
    objects_of,
)
from lithax.storage._schema import KEY, Metadata
from lithax.storage._shards import ShardLayout
from lithax.storage._workers import default_workers


class StoredArray(AbstractStoredArray):
    """A Zarr v3 array of three dimensions that is read and written by chunk, unit, box and selection.

    It satisfies the `BlockSource` and `BlockSink` protocols of `lithax.grid`. No voxel is cached: what another handle
    or process has written is seen at the next read.

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

    Raises
    ------
    MetadataError
        If the array is not three-dimensional, not Zarr v3, not on a regular grid, or not of numbers.
    """

    def __init__(
        self,
        zarray: zarr.Array,
        metadata: Metadata | None = None,
        *,
        read_only: bool = False,
        kind: str = "lithax",
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
        self._document = NodeDocument(self._objects, zarray.path, where)
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
        # Threads that change parts of the same unit take turns; a fixed number of locks serves any number of units.
        self._locks = tuple(threading.Lock() for _ in range(64))

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
        """Number of bytes that an array in memory, or in a local directory, takes; None for other stores."""
        if isinstance(self._objects, DirectoryObjects | MemoryObjects):
            return self._objects.stored_bytes(self.path)
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
            The bytes, or None if every voxel equals the fill value bit for bit. Uncompressed bytes may be a view of
            `values`.
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
        """Join encoded chunks, by their place in the grid of the image, into the stored bytes of their unit."""
        if self._layout is None:
            return chunks.get(triple(unit))
        counts = self._layout.counts
        return self._layout.join({_modulo(index, counts): data for index, data in chunks.items()})

    def write_unit(self, unit: Index, payload: Payload | None) -> None:
        """Store the bytes of a unit under its final name, or remove it; never a half-written object.

        Raises
        ------
        PermissionError
            If the array is read-only.
        """
        self.check_writable()
        if payload is None:
            self._objects.delete(self.unit_key(unit))
        else:
            self._objects.write(self.unit_key(unit), payload)

    def digest(self, payload: Payload | None) -> str:
        """Return "empty", or the 128-bit xxHash of the stored bytes of a unit."""
        return "empty" if payload is None else xxhash.xxh3_128_hexdigest(payload)

    def write(self, box: Box, values: np.ndarray, workers: int | None = None) -> None:
        """Write the voxels of a box; chunks and units that are met in part keep the rest of what they hold.

        Parameters
        ----------
        box
            Slices within the image, of unit step.
        values
            Array that broadcasts to the box, of this data type.
        workers
            Number of threads [-]; by default one per core, more for a remote store.
        """
        x, y, z = (range(s.start, s.stop) for s in box)
        self.write_selection((x, y, z), values, workers)

    def write_selection(
        self,
        selection: Ranges,
        values: np.ndarray,
        workers: int | None = None,
        casting: Literal["no", "same_kind", "unsafe"] = "no",
    ) -> None:
        """Write the voxels at three ranges of indices, rewriting only the chunks that hold some.

        Parameters
        ----------
        selection
            One range per axis, inside the image, of any step, also backwards.
        values
            Array that broadcasts to the lengths of the ranges.
        workers
            As in `write`.
        casting
            Which changes of data type are allowed; they are made chunk by chunk.
        """
        self.check_writable()
        if not np.can_cast(values.dtype, self._dtype, casting) and values.dtype != self._dtype:
            raise TypeError(f"values are {values.dtype}; the image is {self._dtype}. Cast first.")
        values = np.broadcast_to(values, tuple(len(r) for r in selection))
        if values.size == 0:
            return
        values = values[tuple(slice(None, None, 1 if r.step > 0 else -1) for r in selection)]
        x, y, z = (r if r.step > 0 else r[::-1] for r in selection)
        workers = self.workers if workers is None else workers
        units = touched((x, y, z), self._unit)
        # One large shard would occupy one thread: then its chunks are encoded side by side.
        inner = 1 if len(units) >= workers else workers
        map_threads(lambda unit: self._change_unit(unit, (x, y, z), values, inner), units, workers)

    def _change_unit(self, unit: Index, selection: Ranges, values: np.ndarray, workers: int) -> None:
        with self._locks[hash(unit) % len(self._locks)]:
            encoded = {} if _covers(selection, self.unit_grid.box(unit)) else self._stored_chunks(unit)

            def change(index: Index) -> tuple[Index, Payload | None]:
                parts = parts_of(selection, self.grid.box(index))
                if parts is None:
                    return index, encoded.get(index)
                outer, inner = parts
                if _covers(selection, self.grid.box(index)):
                    return index, self.encode_chunk(index, values[outer].astype(self._dtype, copy=False))
                stored = encoded.get(index)
                old = None if stored is None else self._decode(index, np.frombuffer(stored, np.uint8))
                whole = np.array(self._crop(index, old))
                whole[inner] = values[outer]
                return index, self.encode_chunk(index, whole)

            chunks = dict(map_threads(change, self.chunks_of(unit), workers))
            self.write_unit(unit, self.assemble_unit(unit, chunks))

    def _stored_chunks(self, unit: Index) -> dict[Index, Payload | None]:
        """Return the encoded chunks that a unit holds, by their place in the grid of the image."""
        data = self._objects.read(self.unit_key(unit))
        if data is None:
            self._check_present()
            return {}
        if self._layout is None:
            return {unit: data.data}
        base = tuple(u * n for u, n in zip(unit, self._layout.counts, strict=True))
        with self._damage(unit):
            parts = self._layout.split(data)
        return {
            (base[0] + place[0], base[1] + place[1], base[2] + place[2]): part.data for place, part in parts.items()
        }

    # Metadata

    def update_metadata(self, **changes: Any) -> Metadata:
        """Change some fields of the metadata: read fresh from the store, changed, and stored at once.

        Returns
        -------
            The new metadata, which is also `self.metadata`.

        Raises
        ------
        PermissionError
            If the array is read-only.
        TypeError
            If a value cannot be held by JSON.
        """
        self.check_writable()
        if changes.get("content_hash", "") is None:  # voxels change, or have changed: their pyramid is that of others
            changes = {"levels": None, **changes}
        changed: Metadata | None = None

        def work(attributes: dict[str, Any]) -> None:
            nonlocal changed
            stored = attributes.get(KEY)
            # An array of another program has no such key yet: what was understood of it is written down.
            base = self.metadata if stored is None else Metadata.from_json(stored, self.where)
            document = base.replace(**changes).to_json()
            changed = Metadata.from_json(document, self.where)
            attributes[KEY] = document

        attributes = self._document.change(work)
        assert changed is not None
        self.metadata = changed
        self._refresh(attributes)
        return changed

    def reload_metadata(self) -> Metadata:
        """Read the metadata again, as another handle or process may have changed it."""
        attributes = self._document.attributes()
        if KEY in attributes:
            self.metadata = Metadata.from_json(attributes[KEY], self.where)
        self._refresh(attributes)
        return self.metadata

    def drop_content_hash(self) -> None:
        """Forget the stored content hash, because voxels are about to change."""
        # The store is asked, not the copy in memory: another handle may have stored a hash since.
        stored = self._document.attributes().get(KEY)
        if stored is not None and (stored.get("content_hash") is not None or stored.get("levels") is not None):
            self.update_metadata(content_hash=None)

    @property
    def attrs(self) -> UserAttributes:
        """Free metadata, beside that of lithax."""

        def change(work: Any) -> None:
            self.check_writable()
            self._refresh(self._document.change(work))

        return UserAttributes(self._document.attributes, change)

    def _refresh(self, attributes: dict[str, Any]) -> None:
        """Let the Zarr array's copy of the attributes say what is stored."""
        own = self.zarray.metadata.attributes
        own.clear()
        own.update(attributes)

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
        """Remove half-written files that killed writers left in a local directory; return how many there were.

        Only for an array that nobody writes to at the moment.
        """
        self.check_writable()
        return self._objects.remove_partials(self.path) if isinstance(self._objects, DirectoryObjects) else 0

    # Inside

    @contextmanager
    def _open_unit(self, unit: Index) -> Iterator["_OpenUnit | None"]:
        with self._objects.open(self.unit_key(unit)) as reader:
            if reader is None:
                self._check_present()
            yield None if reader is None else _OpenUnit(self, unit, reader)

    def _check_present(self) -> None:
        """Tell an image that holds the fill value from a directory that is gone."""
        directory = self.directory
        if directory is not None and not (directory / "zarr.json").exists():
            raise FileNotFoundError(f"the image at {self.where} is no longer there; was it removed or unmounted?")

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
            return np.full(shape, self._fill, dtype=self._dtype)
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


class _OpenUnit:
    """A unit that is open for reading; that a remote object is missing shows only when it is read."""

    def __init__(self, array: StoredArray, unit: Index, reader: ObjectReader):
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
            self._parts = {}
            return
        with self._array._damage(self._unit):
            self._parts = layout.split(data)

    def chunk(self, index: Index, out: np.ndarray | None = None) -> np.ndarray | None:
        """Return a chunk, not cropped, or None if it is not stored."""
        try:
            data = self._encoded(index)
        except FileNotFoundError:
            return None
        return None if data is None else self._array._decode(index, data, out)

    def layers(self, index: Index, layers: slice) -> np.ndarray | None:
        """Return some layers of a chunk along the array's `layered_axis`, or None if it is not stored."""
        chain = self._array._chain
        if self._reader.size is None or self._parts is not None:
            try:
                data = self._encoded(index)
            except FileNotFoundError:
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
            return self._parts.get(_modulo(index, layout.counts))
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
        return layout.span(self._index, _modulo(index, layout.counts))


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


def _modulo(index: Index, counts: Index) -> Index:
    return triple(i % n for i, n in zip(index, counts, strict=True))


def _covers(selection: Ranges, box: Box) -> bool:
    """Tell whether forward ranges hold every voxel of a box."""
    return all(r.step == 1 and r.start <= s.start and r.stop >= s.stop for r, s in zip(selection, box, strict=True))


def equal_bits(values: np.ndarray, fill: np.ndarray) -> bool:
    """Tell whether every voxel has exactly the bits of `fill`: NaN equals itself, -0.0 is not 0.0."""
    if values.size == 0:
        return True
    if values[(0,) * values.ndim].tobytes() != fill.tobytes():
        return False  # nearly every chunk that is not empty ends here
    words = np.dtype(f"u{min(values.dtype.itemsize, 8)}")
    target = np.frombuffer(fill.tobytes(), words)
    # Plane by plane: the first difference ends the search.
    return all(
        (np.ascontiguousarray(p).reshape(-1).view(words).reshape(-1, len(target)) == target).all() for p in values
    )

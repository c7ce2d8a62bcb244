"""One three-dimensional Zarr v3 array, seen as chunks and units, for many threads at once.

Every method runs in the thread that calls it: reading, decoding, encoding and writing release the interpreter lock
where the time goes, so as many threads as there are cores keep them all busy.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import numpy_buffer_prototype
from zarr.core.chunk_grids import RegularChunkGrid
from zarr.core.metadata import ArrayV3Metadata

from lithax.errors import MetadataError
from lithax.grid import Box, ChunkGrid, Index, box_shape, intersect, shift
from lithax.storage._codecs import CodecChain
from lithax.storage._objects import DirectoryObjects, ObjectReader, Payload, StoreObjects, objects_of
from lithax.storage._shards import ShardLayout
from lithax.storage._workers import default_workers

_Result = TypeVar("_Result")


class StoredArray:
    """A Zarr v3 array of three dimensions that is read and written by chunk, unit and box.

    It satisfies the `BlockSource` and `BlockSink` protocols of `lithax.grid`. Nothing is cached: what another handle
    or process has written is seen at the next read.

    Parameters
    ----------
    zarray
        The array.
    read_only
        Refuse to write, even if the store would allow it.

    Raises
    ------
    MetadataError
        If the array is not three-dimensional, not Zarr v3, not on a regular grid, or not of numbers.
    """

    def __init__(self, zarray: zarr.Array, *, read_only: bool = False):
        metadata = zarray.metadata
        if not isinstance(metadata, ArrayV3Metadata):
            raise MetadataError(f"{zarray.store_path} is a Zarr v2 array; StoredArray needs Zarr v3")
        if not isinstance(metadata.chunk_grid, RegularChunkGrid):
            raise MetadataError(f"{zarray.store_path} has an irregular chunk grid, which is not supported")
        if len(metadata.shape) != 3:
            raise MetadataError(f"{zarray.store_path} has {len(metadata.shape)} dimensions; an image has three")
        self.zarray = zarray
        self._objects = objects_of(zarray.store)
        self._prefix = f"{zarray.path}/" if zarray.path else ""
        self._encode_key = metadata.encode_chunk_key
        self._read_only = read_only or zarray.store.read_only

        self._dtype = np.dtype(metadata.data_type.to_native_dtype()).newbyteorder("=")
        if self._dtype.kind not in "biufc":
            raise MetadataError(f"{zarray.store_path} holds {self._dtype}; an image holds numbers or booleans")
        self._fill = np.asarray(metadata.fill_value, dtype=self._dtype)
        self._shape: Index = tuple(metadata.shape)
        self._unit: Index = tuple(metadata.chunk_grid.chunk_shape)
        self._chunks = self._unit
        self._layout: ShardLayout | None = None
        codecs = metadata.codecs
        if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
            sharding = codecs[0]
            self._chunks = tuple(sharding.chunk_shape)
            self._layout = ShardLayout(sharding, tuple(u // c for u, c in zip(self._unit, self._chunks, strict=True)))
            codecs = sharding.codecs
        spec = ArraySpec(
            shape=self._chunks,
            dtype=metadata.data_type,
            fill_value=metadata.fill_value,
            config=ArrayConfig(order="C", write_empty_chunks=False),
            prototype=numpy_buffer_prototype(),
        )
        self._chain = CodecChain(codecs, spec)
        self._grid = ChunkGrid(self._shape, self._chunks)
        self._unit_grid = ChunkGrid(self._shape, self._unit)
        # Threads that change parts of the same unit take turns; a fixed number of locks serves any number of units.
        self._locks = tuple(threading.Lock() for _ in range(64))

    # What the array is

    @property
    def store(self) -> Any:
        """The Zarr store."""
        return self.zarray.store

    @property
    def path(self) -> str:
        """Path of the array inside its store."""
        return self.zarray.path

    @property
    def where(self) -> str:
        """Where the array is, for messages."""
        return str(self.zarray.store_path)

    @property
    def directory(self) -> Path | None:
        """The local directory that holds the array, or None if there is none."""
        return self._objects.root / self.path if isinstance(self._objects, DirectoryObjects) else None

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel, in the byte order of this machine."""
        return self._dtype

    @property
    def chunks(self) -> Index:
        """Shape of what the codec compresses at once."""
        return self._chunks

    @property
    def shards(self) -> Index | None:
        """Shape of what is stored as one object, or None if that is the chunk."""
        return None if self._layout is None else self._unit

    @property
    def unit(self) -> Index:
        """Shape of what is written at once: the shard, or the chunk where there are no shards."""
        return self._unit

    @property
    def fill_value(self) -> np.generic:
        """Value of voxels that were never written."""
        return self._fill[()]

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

    @property
    def grid(self) -> ChunkGrid:
        """The chunks over the image."""
        return self._grid

    @property
    def unit_grid(self) -> ChunkGrid:
        """The units over the image."""
        return self._unit_grid

    @property
    def nchunks(self) -> int:
        """Number of chunks, stored or not."""
        return len(self._grid)

    def unit_of(self, index: Index) -> Index:
        """Return the unit that holds a chunk."""
        return tuple(i * c // u for i, c, u in zip(index, self._chunks, self._unit, strict=True))

    def chunks_of(self, unit: Index) -> Iterator[Index]:
        """Return the chunks of a unit that meet the image, in C order."""
        return self._grid.covering(self._unit_grid.box(unit))

    def unit_key(self, unit: Index) -> str:
        """Return the key of a unit inside the store."""
        return self._prefix + self._encode_key(tuple(unit))

    def chunk_key(self, index: Index) -> str:
        """Return the key of the object that holds a chunk."""
        return self.unit_key(self.unit_of(index))

    # Reading

    def read_chunk(self, index: Index) -> np.ndarray:
        """Return one whole chunk, cropped to the image; it may be read-only, and in any memory order.

        Raises
        ------
        OSError
            If the stored bytes are damaged.
        """
        unit = self.unit_of(index)
        values = None
        with self._open_unit(unit) as opened:
            if opened is not None:
                values = opened.chunk(index)
        return self._crop(index, values)

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        """Return the voxels of a box, read in the calling thread.

        Parameters
        ----------
        box
            Slices within the image, of unit step.
        out
            Array to read into, of the box's shape and this data type. Without it, a box that is exactly one chunk
            is returned without a copy, and may then be read-only.
        """
        if out is None:
            index = self._single_chunk(box)
            if index is not None:
                return self.read_chunk(index)
            out = np.empty(box_shape(box), self._dtype)
        for unit in self._unit_grid.covering(box):
            self._read_part(unit, box, out)
        return out

    def read_parallel(self, box: Box, workers: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Return the voxels of a box, always a writable array of its own, read by several threads.

        Parameters
        ----------
        box, out
            As in `read`.
        workers
            Number of threads [-]; by default one per core, more for a remote store.
        """
        out = np.empty(box_shape(box), self._dtype) if out is None else out
        # A large shard would occupy one thread only: its chunks are shared out, each read by its own range.
        pieces = list(self._grid.covering(box))
        units = list(self._unit_grid.covering(box))
        workers = self.workers if workers is None else workers
        if len(units) >= 2 * workers or len(units) == len(pieces):
            self._each(units, lambda unit: self._read_part(unit, box, out), workers)
        else:
            self._each(pieces, lambda index: self._read_part(self.unit_of(index), box, out, (index,)), workers)
        return out

    def read_selection(self, selection: tuple[range, range, range], workers: int | None = None) -> np.ndarray:
        """Return the voxels at three ranges of indices (any step, also backwards), reading only chunks that hold some.

        Parameters
        ----------
        selection
            One range per axis, inside the image.
        workers
            As in `read_parallel`.
        """
        out = np.empty(tuple(len(r) for r in selection), self._dtype)
        if all(r.step == 1 or len(r) <= 1 for r in selection):
            return self.read_parallel(
                tuple(slice(r[0], r[-1] + 1) if len(r) else slice(0, 0) for r in selection), workers, out
            )
        touched = [sorted({i // c for i in r}) for r, c in zip(selection, self._chunks, strict=True)]

        def read(index: Index) -> None:
            values = self.read_chunk(index)
            inner, outer = [], []
            for r, i, c in zip(selection, index, self._chunks, strict=True):
                places = [n for n, voxel in enumerate(r) if voxel // c == i]
                outer.append(slice(places[0], places[-1] + 1))
                inner.append(np.array([r[n] - i * c for n in places]))
            out[tuple(outer)] = values[np.ix_(*inner)]

        indices = [(i, j, k) for i in touched[0] for j in touched[1] for k in touched[2]]
        self._each(indices, read, self.workers if workers is None else workers)
        return out

    @property
    def workers(self) -> int:
        """How many threads reading or writing a large part of this array uses by default."""
        return default_workers(remote=isinstance(self._objects, StoreObjects))

    def read_unit(self, unit: Index) -> Payload | None:
        """Return the stored bytes of a unit, or None if nothing is stored for it."""
        data = self._objects.read(self.unit_key(unit))
        return None if data is None else memoryview(data).toreadonly()

    # Writing

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
                f"values of chunk {tuple(index)} are {values.dtype}; the image is {self._dtype}: cast first"
            )
        if values.shape != self._chunks:
            inside = box_shape(self._grid.box(index))
            if values.shape != inside:
                raise ValueError(
                    f"values of chunk {tuple(index)} have shape {values.shape}; "
                    f"a chunk has {self._chunks}, of which {inside} lie in the image"
                )
        if equals_bitwise(values, self._fill):
            return None
        if values.shape != self._chunks:
            padded = np.full(self._chunks, self._fill, dtype=self._dtype)
            padded[tuple(slice(0, n) for n in values.shape)] = values
            values = padded
        return self._chain.encode(values)

    def assemble_unit(self, unit: Index, chunks: Mapping[Index, Payload | None]) -> Payload | None:
        """Join encoded chunks, by their place in the grid of the image, into the stored bytes of their unit."""
        if self._layout is None:
            return chunks.get(tuple(unit))
        counts = self._layout.counts
        base = tuple(u * n for u, n in zip(unit, counts, strict=True))
        return self._layout.join(
            {tuple(i - b for i, b in zip(index, base, strict=True)): data for index, data in chunks.items()}
        )

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
        """Return "empty", or the SHA-256 of the stored bytes of a unit."""
        return "empty" if payload is None else hashlib.sha256(payload).hexdigest()

    def write(self, box: Box, values: np.ndarray, workers: int | None = None) -> None:
        """Write the voxels of a box; chunks and units that are met in part keep the rest of what they hold.

        Parameters
        ----------
        box
            Slices within the image, of unit step.
        values
            Array of the box's shape and this data type, or a zero-dimensional one for all voxels.
        workers
            As in `read_parallel`.
        """
        self.write_selection(tuple(range(s.start, s.stop) for s in box), values, workers)

    def write_selection(
        self, selection: tuple[range, range, range], values: np.ndarray, workers: int | None = None
    ) -> None:
        """Write the voxels at three ranges of indices (of positive step), rewriting only chunks that hold some.

        Parameters
        ----------
        selection
            One range per axis, inside the image.
        values
            Array that broadcasts to the lengths of the ranges, of this data type.
        workers
            As in `read_parallel`.
        """
        self.check_writable()
        values = np.broadcast_to(values, tuple(len(r) for r in selection))
        if values.dtype != self._dtype:
            raise TypeError(f"values are {values.dtype}; the image is {self._dtype}: cast first")
        if values.size == 0:
            return
        units = [sorted({i // u for i in r}) for r, u in zip(selection, self._unit, strict=True)]
        indices = [(i, j, k) for i in units[0] for j in units[1] for k in units[2]]
        workers = self.workers if workers is None else workers
        # With a single unit (one large shard) its chunks are encoded side by side instead.
        inner = 1 if len(indices) >= workers else workers
        self._each(indices, lambda unit: self._change_unit(unit, selection, values, inner), workers)

    def _change_unit(
        self, unit: Index, selection: tuple[range, range, range], values: np.ndarray, workers: int
    ) -> None:
        with self._locks[hash((unit, self.path)) % len(self._locks)]:
            encoded = self._stored_chunks(unit, selection)
            changed = []
            for index in self.chunks_of(unit):
                inside = self._grid.box(index)
                parts = [_part(r, s) for r, s in zip(selection, inside, strict=True)]
                if all(part is not None for part in parts):
                    changed.append((index, inside, parts))

            def change(task: tuple[Index, Box, list]) -> tuple[Index, Payload | None]:
                index, inside, parts = task
                outer = tuple(part[0] for part in parts)
                inner = tuple(part[1] for part in parts)
                shape = box_shape(inside)
                if all(part == slice(0, n, 1) for part, n in zip(inner, shape, strict=True)):
                    return index, self.encode_chunk(index, values[outer])
                old = encoded.get(index)
                whole = np.array(
                    self._crop(index, None if old is None else self._decode(index, np.frombuffer(old, np.uint8)))
                )
                whole[inner] = values[outer]
                return index, self.encode_chunk(index, whole)

            encoded.update(self._each(changed, change, workers))
            self.write_unit(unit, self.assemble_unit(unit, encoded))

    def _stored_chunks(self, unit: Index, selection: tuple[range, range, range]) -> dict[Index, Payload | None]:
        """Return the encoded chunks that a unit holds now; nothing if all of it is about to be replaced."""
        if all(
            r.step == 1 and len(r) and r[0] <= s.start and r[-1] >= s.stop - 1
            for r, s in zip(selection, self._unit_grid.box(unit), strict=True)
        ):
            return {}
        data = self._objects.read(self.unit_key(unit))
        if data is None:
            return {}
        if self._layout is None:
            return {unit: memoryview(data)}
        base = tuple(u * n for u, n in zip(unit, self._layout.counts, strict=True))
        with self._damage(unit):
            parts = self._layout.split(data)
        return {
            tuple(b + p for b, p in zip(base, place, strict=True)): memoryview(part) for place, part in parts.items()
        }

    def check_writable(self) -> None:
        """Raise PermissionError if the array is read-only."""
        if self._read_only:
            raise PermissionError(
                f"the image at {self.where} is read-only; open it with mode='r+' from a store that may be written to"
            )

    # Objects beside the chunks: metadata, journal

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
    def _open_unit(self, unit: Index) -> Iterator["_OpenedUnit | None"]:
        with self._objects.open(self.unit_key(unit)) as reader:
            if reader is None:
                self._check_present()
                yield None
            else:
                yield _OpenedUnit(self, unit, reader)

    def _check_present(self) -> None:
        """Tell an image that holds the fill value from a directory that is gone."""
        directory = self.directory
        if directory is not None and not (directory / "zarr.json").exists():
            raise FileNotFoundError(f"the image at {self.where} is no longer there; was it removed or unmounted?")

    def _decode(self, index: Index, data: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        with self._damage(self.unit_of(index)):
            return self._chain.decode(data, out)

    @contextmanager
    def _damage(self, unit: Index) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:
            raise OSError(
                f"{self.unit_key(unit)!r} of the image at {self.where} cannot be decoded: {error}. "
                "The object is damaged or was cut off; write this part of the image again."
            ) from error

    def _crop(self, index: Index, values: np.ndarray | None) -> np.ndarray:
        shape = box_shape(self._grid.box(index))
        if values is None:
            return np.full(shape, self._fill, dtype=self._dtype)
        return values if shape == self._chunks else values[tuple(slice(0, n) for n in shape)]

    def _single_chunk(self, box: Box) -> Index | None:
        """Return the chunk whose part inside the image is exactly the box."""
        index = tuple(s.start // c for s, c in zip(box, self._chunks, strict=True))
        inside = self._grid.box(index)
        same = all(a.start == b.start and a.stop == b.stop for a, b in zip(inside, box, strict=True))
        return index if same and 0 not in box_shape(box) else None

    def _read_part(self, unit: Index, box: Box, out: np.ndarray, indices: tuple[Index, ...] | None = None) -> None:
        """Read the part of a box that lies in a unit (or in some of its chunks) into its place in `out`."""
        corner = tuple(s.start for s in box)
        wanted = list(self._grid.covering(intersect(box, self._unit_grid.box(unit)))) if indices is None else indices
        with self._open_unit(unit) as opened:
            if opened is not None and len(wanted) > 1:
                opened.prefetch(len(wanted))
            for index in wanted:
                chunk_box = self._grid.box(index)
                part = intersect(box, chunk_box)
                target = out[shift(part, corner)]
                # A chunk that lies in the box whole, and in one piece of `out`, is decoded where it belongs.
                direct = target if target.shape == self._chunks and target.flags.c_contiguous else None
                values = None if opened is None else opened.chunk(index, direct)
                if values is None:
                    target[...] = self._fill
                elif values is not direct:
                    start = tuple(s.start for s in chunk_box)
                    target[...] = values[shift(part, start)]

    def _each(self, items: Any, work: Callable[[Any], _Result], workers: int) -> list[_Result]:
        """Apply `work` to every item, in several threads where that pays; return the results in order."""
        items = list(items)
        workers = min(workers, len(items))
        if workers <= 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(workers, thread_name_prefix="lithax-io") as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def __repr__(self) -> str:
        return f"StoredArray({self.where!r}, shape={self._shape}, dtype={self._dtype}, chunks={self._chunks}, unit={self._unit})"


class _OpenedUnit:
    """A unit that is open for reading; a missing remote object shows only when it is read."""

    def __init__(self, array: StoredArray, unit: Index, reader: ObjectReader):
        self._array = array
        self._unit = unit
        self._reader = reader
        self._index: np.ndarray | None = None
        self._parts: dict[Index, np.ndarray] | None = None

    def prefetch(self, count: int) -> None:
        """Read the whole shard at once if at least half of its chunks are wanted."""
        layout = self._array._layout
        if layout is not None and 2 * count >= np.prod(layout.counts):
            try:
                data = self._reader.whole()
            except FileNotFoundError:
                self._parts = {}
                return
            with self._array._damage(self._unit):
                self._parts = layout.split(data)

    def chunk(self, index: Index, out: np.ndarray | None = None) -> np.ndarray | None:
        """Return a chunk, full-size, or None if it is not stored."""
        try:
            data = self._bytes(index)
        except FileNotFoundError:
            return None
        return None if data is None else self._array._decode(index, data, out)

    def _bytes(self, index: Index) -> np.ndarray | None:
        layout = self._array._layout
        if layout is None:
            return self._reader.whole()
        place = tuple(i % n for i, n in zip(index, layout.counts, strict=True))
        if self._parts is not None:
            return self._parts.get(place)
        with self._array._damage(self._unit):
            if self._index is None:
                self._index = layout.read_index(self._reader)
            span = layout.span(self._index, place)
            return None if span is None else self._reader.span(*span)


def _part(indices: range, span: slice) -> tuple[slice, slice] | None:
    """Return which members of `indices` lie in `span`, and where in it, as two slices; None if none does."""
    step = indices.step
    first = max(0, -(-(span.start - indices.start) // step))
    last = min(len(indices), -(-(span.stop - indices.start) // step))
    if first >= last:
        return None
    start = indices[first] - span.start
    return slice(first, last), slice(start, indices[last - 1] - span.start + 1, step)


def equals_bitwise(values: np.ndarray, fill: np.ndarray) -> bool:
    """Tell whether every voxel has exactly the bits of `fill`: NaN equals itself, -0.0 is not 0.0."""
    size = values.dtype.itemsize
    if values.size == 0:
        return True
    bits = np.dtype(f"u{min(size, 8)}")
    target = np.frombuffer(fill.tobytes(), bits)
    if values.dtype != fill.dtype or values[(0,) * values.ndim].tobytes() != fill.tobytes():
        return False  # nearly every chunk that is not empty ends here
    for plane in values:  # plane by plane, so that the first difference ends the search
        words = np.ascontiguousarray(plane).reshape(-1).view(bits)
        if not (words.reshape(-1, len(target)) == target).all():
            return False
    return True

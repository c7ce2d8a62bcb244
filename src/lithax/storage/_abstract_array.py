"""What every array of voxels that lies in a store can do: be read."""

import abc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr

from lithax.grid import Box, ChunkGrid, Index, box_shape, intersect, shift, triple
from lithax.storage._schema import KEY, ROCKVERSE_ATTRIBUTES, Metadata

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Ranges = tuple[range, range, range]
"""A selection of voxels: the indices along each axis."""


class AbstractStoredArray(abc.ABC):
    """A three-dimensional array in a store that can be read by chunk, box and selection, from many
    threads at once.
    """

    zarray: zarr.Array
    kind: str
    metadata: Metadata
    _shape: Index
    _chunks: Index
    _dtype: np.dtype

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
    def note(self) -> str:
        """What a user should know of the format; "" for an image of our own."""
        return "" if self.kind == "lithax" else self.kind

    @property
    def in_memory(self) -> bool:
        """Whether the array lies in the memory of this process, and ends with it."""
        return False

    @property
    def directory(self) -> Path | None:
        """The local directory that holds the array, or None if there is none."""
        return None

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
        return None

    @property
    def unit(self) -> Index:
        """Shape of what is written at once: the shard, or the chunk where there are no shards."""
        return self.shards or self._chunks

    @property
    @abc.abstractmethod
    def fill_value(self) -> np.generic:
        """Value of voxels that were never written."""

    @property
    @abc.abstractmethod
    def read_only(self) -> bool:
        """Whether writing is refused."""

    def free_attributes(self) -> dict[str, Any]:
        """Return the attributes that a copy should have, too: those that the image's own metadata
        does not hold.
        """
        own = {KEY, *(ROCKVERSE_ATTRIBUTES if self.kind == "RockVerse" else ())}
        return {key: value for key, value in dict(self.zarray.attrs).items() if key not in own}

    def reload_metadata(self) -> Metadata:
        """Read the metadata again, where another handle or process may have changed it."""
        return self.metadata

    @property
    def grid(self) -> ChunkGrid:
        """The chunks over the image."""
        return ChunkGrid(self.shape, self.chunks)

    @property
    def unit_grid(self) -> ChunkGrid:
        """The units over the image."""
        return ChunkGrid(self.shape, self.unit)

    @property
    def nchunks(self) -> int:
        """Number of chunks, stored or not."""
        return len(self.grid)

    @property
    @abc.abstractmethod
    def workers(self) -> int:
        """How many threads reading or writing a large part of this array uses by default."""

    @property
    def layered_axis(self) -> int | None:
        """The axis of which a few layers of a chunk are read for much less than the chunk; None if
        there is none.
        """
        return None

    @abc.abstractmethod
    def check_writable(self) -> None:
        """Raise PermissionError if the array is read-only."""

    @abc.abstractmethod
    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        """Return the voxels of a box, read in the calling thread.

        Parameters
        ----------
        box
            Slices within the image, of unit step.
        out
            Array to read into, of the box's shape and this data type. Without it, a box that is
            exactly one chunk may be returned without a copy, and may then be read-only.
        """

    def read_chunk(self, index: Index) -> np.ndarray:
        """Return one whole chunk, cropped to the image; it may be read-only, and in any memory
        order.

        Raises
        ------
        OSError
            If the stored bytes are damaged.
        """
        return self.read(self.grid.box(index))

    def read_parallel(self, box: Box, workers: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Return the voxels of a box, read by several threads; without `out`, a new array that may
        be changed.

        Parameters
        ----------
        box, out
            As in `read`.
        workers
            Number of threads [-]; by default one per core, more for a remote store.
        """
        out = np.empty(box_shape(box), self.dtype) if out is None else out
        corner = triple(s.start for s in box)

        def read(piece: Box) -> None:
            part = intersect(box, piece)
            self.read(part, out[shift(part, corner)])

        workers = self.workers if workers is None else workers
        units, chunks = self.unit_grid, self.grid
        # A few large shards would occupy as few threads: then each of their chunks is read on its
        # own.
        grid = units if len(list(units.covering(box))) >= 2 * workers else chunks
        map_threads(read, [grid.box(index) for index in grid.covering(box)], workers)
        return out

    def read_selection(self, selection: Ranges, workers: int | None = None) -> np.ndarray:
        """Return the voxels at three ranges of indices, reading only chunks that hold some.

        Parameters
        ----------
        selection
            One range per axis, inside the image, of any step, also backwards.
        workers
            As in `read_parallel`.
        """
        forward = triple(r if r.step > 0 else r[::-1] for r in selection)
        flip = tuple(slice(None, None, 1 if r.step > 0 else -1) for r in selection)
        if all(r.step == 1 for r in forward):
            box = triple(slice(r.start, r.stop) if len(r) else slice(0, 0) for r in forward)
            return self.read_parallel(box, workers)[flip]
        out = np.empty(tuple(len(r) for r in forward), self.dtype)

        def read(index: Index) -> None:
            parts = parts_of(forward, self.grid.box(index))
            assert parts is not None  # only touched chunks are read
            outer, inner = parts
            out[outer] = self.read_chunk(index)[inner]

        map_threads(read, touched(forward, self.chunks), self.workers if workers is None else workers)
        return out[flip]


def map_threads(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    watch: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """Apply `work` to every item, in several threads where there are several items; return the
    results in order.

    The first failure stops what has not begun, and is raised; ``watch()``, called in this thread
    between results, may fail, too.
    """
    items = list(items)
    workers = min(workers, len(items))
    results = []
    if workers <= 1:
        for item in items:
            watch()
            results.append(work(item))
        return results
    with ThreadPoolExecutor(workers, thread_name_prefix="lithax-io") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                watch()
                results.append(future.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def touched(selection: Ranges, chunks: Index) -> list[Index]:
    """Return the indices of the chunks (or units) that hold at least one selected voxel."""
    x, y, z = (sorted({voxel // c for voxel in r}) for r, c in zip(selection, chunks, strict=True))
    return [(i, j, k) for i in x for j in y for k in z]


def parts_of(selection: Ranges, box: Box) -> tuple[Box, Box] | None:
    """Return which members of forward ranges lie in a box, and where in the box: two triples of
    slices; None if none.

    Examples
    --------
    >>> parts_of((range(1, 9, 3), range(1), range(1)), (slice(4, 8), slice(0, 1), slice(0, 1)))
    ((slice(1, 3, None), slice(0, 1, None), slice(0, 1, None)), (slice(0, 4, 3), slice(0, 1, 1),
    slice(0, 1, 1)))
    """
    outer, inner = [], []
    for r, s in zip(selection, box, strict=True):
        first = max(0, -(-(s.start - r.start) // r.step))
        last = min(len(r), -(-(s.stop - r.start) // r.step))
        if first >= last:
            return None
        outer.append(slice(first, last))
        inner.append(slice(r[first] - s.start, r[last - 1] - s.start + 1, r.step))
    return triple(outer), triple(inner)

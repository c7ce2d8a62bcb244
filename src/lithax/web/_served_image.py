"""An image, of any store and format, as the OME-Zarr that a browser understands: documents and
chunks made when asked for.

Nothing is copied to a disk, and no file is served: a request names a level and a chunk, and is
answered with voxels. So nothing but the image can be asked for, whatever the request says, and
credentials of a remote store stay here.
"""

import json
import math
import re
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.grid import Box, ChunkGrid, Index, triple
from lithax.images import VoxelImage
from lithax.storage import multiscales, parts_of

_CHUNK = 64
_CACHE_BYTES = 256 * 2**20
_READ_BYTES = 128 * 2**20
"""A level that is not stored is offered if a chunk of it needs no more than this of the image."""

# A browser's graphics card knows these.
_BROWSER_TYPES = {"bool": "uint8", "float16": "float32", "float64": "float32"}

_CHUNK_NAME = re.compile(r"(\d+)/c/(\d+)/(\d+)/(\d+)")
_LEVEL_NAME = re.compile(r"(\d+)/zarr\.json")

PARTS = {"real": np.real, "imaginary": np.imag, "magnitude": np.abs, "angle": np.angle}


class ServedImage:
    """The documents and chunks of one image; answers several threads at once.

    Parameters
    ----------
    image
        The image; its `levels` are served, too. Without levels coarser ones are made of every
        second, fourth, ... voxel when they are asked for, as far as that needs little of the image.
    part
        Of complex voxels: "real", "imaginary", "magnitude" or "angle".

    Raises
    ------
    ValueError
        If voxels are complex and `part` is not given, or `part` is unknown.
    """

    def __init__(self, image: VoxelImage, part: str | None = None):
        if (image.dtype.kind == "c") != (part is not None) or (part is not None and part not in PARTS):
            raise ValueError(
                f"part={part!r}: voxels are {image.dtype}; "
                + (
                    f"say which part to show, one of {', '.join(PARTS)}."
                    if image.dtype.kind == "c"
                    else "leave part out."
                )
            )
        self.image = image
        self._part = None if part is None else PARTS[part]
        stored = [_Level(level, (1, 1, 1), level.frame) for level in (image, *image.levels)]
        self._levels = stored if len(stored) > 1 else [*stored, *_thinned(image)]
        name = "float32" if part else str(image.dtype)
        self.dtype = np.dtype(_BROWSER_TYPES.get(name, name))
        self._chunks: OrderedDict[tuple[int, Index], Future[np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def frames(self) -> list[Frame]:
        """Where the voxels of each level are."""
        return [level.frame for level in self._levels]

    def document(self, name: str) -> bytes | None:
        """Return a document or a chunk by its name below the group, such as "zarr.json" or
        "0/c/1/2/3"; None if there is none.
        """
        if name == "zarr.json":
            return self._group()
        if found := _LEVEL_NAME.fullmatch(name):
            level = int(found[1])
            return self._array(level) if level < len(self._levels) else None
        if found := _CHUNK_NAME.fullmatch(name):
            level, k, j, i = map(int, found.groups())
            if level < len(self._levels) and all(
                n < m for n, m in zip((i, j, k), self._grid(level).counts, strict=True)
            ):
                return self._chunk(level, (i, j, k))
        return None

    def sample(self) -> np.ndarray:
        """Return voxels, as they are served, for a choice of contrast: those in the middle, at most
        64³ of the finest level.
        """
        box = triple(slice(max(0, (n - _CHUNK) // 2), min(n, (n + _CHUNK) // 2)) for n in self.image.shape)
        try:
            return self._values(self._levels[0], box)
        except OSError:  # damaged there: the rest is shown all the same
            return np.zeros((1, 1, 1), self.dtype)

    def level_for(self, pixels: int) -> tuple[VoxelImage, int]:
        """Return the finest stored level, and how many voxels of it make a step, for at most this
        many along an axis.
        """
        stored = [level.image for level in self._levels if level.step == (1, 1, 1)]
        image = next((i for i in stored if max(i.shape) <= pixels), stored[-1])
        return image, max(1, -(-max(image.shape) // pixels))

    def _group(self) -> bytes:
        names = [str(number) for number in range(len(self._levels))]
        ome = multiscales(self.frames, names, name=self.image.field_name or "image", method="")
        return _json({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})

    def _array(self, level: int) -> bytes:
        return _json(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": self._levels[level].frame.shape[::-1],
                "data_type": str(self.dtype),
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [_CHUNK] * 3}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0,
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                "dimension_names": ["z", "y", "x"],
                "attributes": {},
            }
        )

    def _grid(self, level: int) -> ChunkGrid:
        return ChunkGrid(self._levels[level].frame.shape, (_CHUNK, _CHUNK, _CHUNK))

    def _chunk(self, level: int, index: Index) -> bytes:
        box = self._grid(level).box(index)
        values = self._values(self._levels[level], box)
        if values.shape != (_CHUNK,) * 3:
            whole = np.zeros((_CHUNK,) * 3, self.dtype)
            whole[tuple(slice(0, n) for n in values.shape)] = values
            values = whole
        return np.ascontiguousarray(values.transpose(2, 1, 0), self.dtype.newbyteorder("<")).tobytes()

    def _values(self, level: "_Level", box: Box) -> np.ndarray:
        """Return the voxels of a box of a level."""
        ends = zip(box, level.step, strict=True)
        wanted = triple(range(s.start * step, (s.stop - 1) * step + 1, step) for s, step in ends)
        values = np.empty(tuple(map(len, wanted)), level.image.dtype)
        grid = level.image.stored.grid
        touched = grid.covering(triple(slice(r.start, r.stop) for r in wanted))
        for index in touched:
            # With a thin chunk and a large step there may be none of its voxels among those that
            # are wanted.
            if parts := parts_of(wanted, grid.box(index)):
                outer, inner = parts
                values[outer] = self._decoded(level, index)[inner]
        return self.shown(values)

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Return voxels of the image as they are shown: the part of complex ones, in the data type
        that is served.
        """
        if self._part is not None:
            values = self._part(values)
        with np.errstate(over="ignore"):  # a float64 beyond float32 is shown as infinite
            return values.astype(self.dtype, copy=False)

    def _decoded(self, level: "_Level", index: Index) -> np.ndarray:
        """Return a stored chunk; what several requests need is decoded once, and kept for a
        while.
        """
        key = id(level.image), index
        with self._lock:
            found = self._chunks.get(key)
            mine = found is None
            if found is None:
                found = self._chunks[key] = Future()
            self._chunks.move_to_end(key)
        if mine:
            try:
                found.set_result(level.image.stored.read_chunk(index))
            except BaseException as error:
                found.set_exception(error)
                with self._lock:
                    del self._chunks[key]
            most = max(1, _CACHE_BYTES // (math.prod(level.image.chunks) * level.image.dtype.itemsize))
            with self._lock:
                while len(self._chunks) > most:
                    self._chunks.popitem(last=False)
        return found.result()


class _Level:
    def __init__(self, image: VoxelImage, step: Index, frame: Frame):
        self.image, self.step, self.frame = image, step, frame


def _thinned(image: VoxelImage) -> list[_Level]:
    levels, step = [], 2
    while max(image.shape) > _CHUNK * step // 2 and (_CHUNK * step) ** 3 * image.dtype.itemsize <= _READ_BYTES:
        steps = triple(min(step, n) for n in image.shape)
        frame = image.frame.sub(tuple(slice(None, None, s) for s in steps))
        levels.append(_Level(image, steps, frame))
        step *= 2
    return levels


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()

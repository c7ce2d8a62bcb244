"""An array of another program whose axes are not x, y, z, or that is Zarr v2: seen as an image, for
reading only.
"""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore

from lithax.errors import MetadataError
from lithax.grid import Box, Index
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._objects import StoreObjects, objects_of
from lithax.storage._pickling import deep_copy, reduced
from lithax.storage._schema import Metadata
from lithax.storage._stored_array import StoredArray
from lithax.storage._workers import default_workers


class ForeignArray(AbstractStoredArray):
    """A read-only view of a Zarr array, its axes taken in the order x, y, z when a box is read.

    Parameters
    ----------
    zarray
        The array, of either Zarr format.
    metadata
        What is known of the image, along x, y, z.
    axes
        Which axes of the array are x, y and z; the others must have one element, and are left out.
    kind
        The name of the format, for messages.
    """

    def __init__(self, zarray: zarr.Array, metadata: Metadata, *, axes: tuple[int, ...], kind: str):
        where = str(zarray.store_path)
        self._dtype = np.dtype(zarray.dtype).newbyteorder("=")
        if self._dtype.kind not in "biufc":
            raise MetadataError(f"{where} holds {self._dtype}; an image holds numbers or booleans.")
        if 0 in zarray.shape:
            raise MetadataError(f"{where} has the shape {zarray.shape}, which holds no voxel.")
        self.zarray = zarray
        self.metadata = metadata
        self.kind = kind
        self._axes = tuple(axes)
        self._shape = _pick(zarray.shape, axes)
        self._chunks = _pick(zarray.chunks, axes)
        # The codecs of a Zarr v3 array run in the thread that reads; for the rest Zarr does the
        # work.
        v3 = isinstance(zarray.metadata, ArrayV3Metadata) and zarray.ndim == 3
        self._source = StoredArray(zarray, metadata, read_only=True) if v3 else None

    def __reduce__(self) -> Any:
        return reduced(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return deep_copy(self)

    @property
    def directory(self) -> Path | None:
        store = self.store
        return store.root / self.path if type(store) is LocalStore else None

    @property
    def note(self) -> str:
        order = "".join(sorted("xyz", key=lambda name: self._axes["xyz".index(name)]))
        return self.kind if order == "xyz" else f"{self.kind}, stored {', '.join(order)}"

    @property
    def source(self) -> StoredArray | None:
        """The same array, its axes as they are stored; None if Zarr itself reads it."""
        return self._source

    @property
    def axes(self) -> tuple[int, ...]:
        """Which axes of the Zarr array are x, y and z."""
        return self._axes

    @property
    def fill_value(self) -> np.generic:
        value = self.zarray.fill_value
        return self._dtype.type(0 if value is None else value)

    @property
    def read_only(self) -> bool:
        return True

    @property
    def workers(self) -> int:
        return default_workers(remote=isinstance(objects_of(self.store), StoreObjects))

    @property
    def layered_axis(self) -> int | None:
        stored = None if self._source is None else self._source.layered_axis
        return None if stored is None else self._axes.index(stored)

    def check_writable(self) -> None:
        raise PermissionError(
            f"the image at {self.where} is {self.kind} that lithax reads but does not write; "
            "copy() it to an image of its own first."
        )

    def read(self, box: Box, out: np.ndarray | None = None) -> np.ndarray:
        selection: list[Any] = [0] * self.zarray.ndim
        for axis, part in zip(self._axes, box, strict=True):
            selection[axis] = part
        if self._source is not None:
            values = self._source.read((selection[0], selection[1], selection[2]))
        else:
            values = np.asarray(self.zarray[tuple(selection)])
        # What is left are the three axes in the order of the file.
        values = values.transpose(np.argsort(np.argsort(self._axes)))
        if out is None:
            return values.astype(self._dtype, copy=False)
        out[...] = values
        return out

    def __repr__(self) -> str:
        return f"ForeignArray({self.where!r}, {self.kind}, shape={self._shape}, dtype={self._dtype}, axes={self._axes})"


def _pick(values: tuple[int, ...], axes: tuple[int, ...]) -> Index:
    i, j, k = (int(values[axis]) for axis in axes)
    return i, j, k

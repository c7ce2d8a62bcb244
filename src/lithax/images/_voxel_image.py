"""The image that users hold: a thin handle on one Zarr array and its place in space."""

import os
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from lithax.geometry import AxisNamesMixin, Frame, UnknownUnit
from lithax.grid import Box, ChunkGrid, Index
from lithax.images._arithmetic import ArithmeticMixin
from lithax.images._collective import check_same, on_first, world_or_connected
from lithax.images._described import metadata_changes
from lithax.images._handle import HandleMixin
from lithax.images._indexing import as_arrays, read_numbers, spread, voxel_numbers
from lithax.images._operators import OperatorsMixin
from lithax.images._values import basic_selection, check_values
from lithax.storage import AbstractStoredArray, Metadata, StoredArray, UserAttributes, handle_write

Triple = tuple[float, float, float]


class VoxelImage(AxisNamesMixin, ArithmeticMixin, OperatorsMixin, HandleMixin):
    """A three-dimensional image in a store, indexed ``[x, y, z]``, and where its voxels are.

    Made by `create`, `open` and their relatives. The handle reads nothing by itself: ``image[...]``
    reads the chunks that it needs, in this process only, and ``image[...] = values`` rewrites those
    that it changes. Operators (``image <= 3``, ``a & ~b``) give an `Expression`, an image that is
    computed when it is read; ``==`` compares voxels, and an image hashes by identity.

    Parameters
    ----------
    stored
        The array in the store.
    world
        The processes that share the image; the connected ones by default.
    """

    def __init__(self, stored: AbstractStoredArray, world: Any = None):
        self._stored: Any = stored
        self._world = world_or_connected(world)
        self._described: Metadata | None = None
        self._frame: Frame
        self._frame = self.frame

    # The array

    @property
    def stored(self) -> Any:
        """The array in the store, as the combinators use it."""
        return self._stored

    @property
    def world(self) -> Any:
        """The processes that share the image."""
        return self._world

    @property
    def zarray(self) -> Any:
        """The Zarr array. What is written through it is not noticed here: a stored content hash
        stays.
        """
        return self._stored.zarray

    @property
    def store(self) -> Any:
        """The Zarr store."""
        return self._stored.store

    @property
    def path(self) -> str:
        """Path of the image inside its store."""
        return self._stored.path

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._stored.read_only

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return self._stored.shape

    @property
    def size(self) -> int:
        """Number of voxels."""
        nx, ny, nz = self.shape
        return nx * ny * nz

    @property
    def dtype(self) -> np.dtype:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Type of a voxel."""
        return self._stored.dtype

    @property
    def nbytes(self) -> int:
        """Number of bytes of the voxels, uncompressed."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> Index:
        """Shape of what is compressed at once."""
        return self._stored.chunks

    @property
    def shards(self) -> Index | None:
        """Shape of what is stored as one object, or None if that is the chunk."""
        return self._stored.shards

    @property
    def nchunks(self) -> int:
        """Number of chunks."""
        return self._stored.nchunks

    @property
    def fill_value(self) -> np.generic:
        """Value of voxels that were never written."""
        return self._stored.fill_value

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def levels(self) -> tuple["VoxelImage", ...]:
        """Coarser images of the same, the finest first: of its OME-Zarr group, or made by
        `pyramid`; none if there are none.
        """
        from lithax.images._pyramid import levels_of

        return levels_of(self)

    # What it shows, and where it is

    @property
    def metadata(self) -> Metadata:
        """What is known of the image besides its voxels."""
        return self._stored.metadata

    @property
    def attrs(self) -> UserAttributes:
        """Free metadata: a mapping that stores what is assigned to it."""
        if not isinstance(self._stored, StoredArray):
            return UserAttributes(lambda: dict(self._stored.zarray.attrs), lambda work: self._stored.check_writable())
        return self._stored.attrs

    @property
    def field_name(self) -> str:
        """What a voxel's value is."""
        return self.metadata.field_name

    @property
    def field_unit(self) -> str:
        """Unit of a voxel's value."""
        return self.metadata.field_unit

    @property
    def description(self) -> str:
        """Free text."""
        return self.metadata.description

    @property
    def frame(self) -> Frame:
        """Number, size and place of the voxels."""
        metadata = self.metadata
        if metadata is not self._described:
            unit = metadata.voxel_unit
            before = None if self._described is None else self._frame.voxel_unit
            # A unit that is not understood is warned of once.
            known = isinstance(before, UnknownUnit) and before == unit
            make = Frame if known else Frame.from_store
            self._frame = make(self.shape, metadata.voxel_length, metadata.voxel_origin, before if known else unit)
            self._described = metadata
        return self._frame

    @property
    def voxel_length(self) -> Triple:
        """Distance between neighbouring voxel centres [voxel_unit]."""
        return self.frame.voxel_length

    @property
    def voxel_origin(self) -> Triple:
        """Coordinates of the centre of voxel (0, 0, 0) [voxel_unit]."""
        return self.frame.voxel_origin

    @property
    def voxel_unit(self) -> str:
        """Unit of length, or ""."""
        return self.frame.voxel_unit

    @property
    def dimensions(self) -> Triple:
        """Edge lengths of the image, outer face to outer face [voxel_unit]."""
        return self.frame.dimensions

    @property
    def bounding_box(self) -> tuple[Triple, Triple]:
        """Coordinates of the first and of the last voxel centre [voxel_unit]."""
        return self.frame.bounding_box

    @property
    def extent(self) -> tuple[Triple, Triple]:
        """Coordinates of the outer corners: half a voxel beyond `bounding_box` [voxel_unit]."""
        return self.frame.extent

    def index_to_coordinate(self, i: Any, j: Any, k: Any) -> tuple[Any, Any, Any]:
        """Return the coordinates of voxel centres [voxel_unit]; see
        `lithax.geometry.Frame.index_to_coordinate`.
        """
        return self.frame.index_to_coordinate(i, j, k)

    def coordinate_to_index(
        self, x: Any, y: Any, z: Any, outside: Literal["raise", "clip", "keep", "none"] = "raise"
    ) -> Any:
        """Return the indices of the voxels that points lie in; see
        `lithax.geometry.Frame.coordinate_to_index`.

        Parameters
        ----------
        x, y, z
            Coordinates [voxel_unit], numbers or arrays.
        outside
            What to do with points outside the image: "raise", "clip" to the nearest voxel, "keep"
            the index that the voxel would have, or "none".
        """
        return self.frame.coordinate_to_index(x, y, z, outside)

    def chunk_slices(self, n: int, unit: Literal["chunk", "shard"] = "chunk", order: Literal["C", "F"] = "C") -> Box:
        """Return the voxels of the n-th chunk or shard, so that ``image[image.chunk_slices(n)]`` is
        what it holds.

        Parameters
        ----------
        n
            Number of the chunk; negative ones count from the end.
        unit
            "chunk", or "shard" (the same where there are no shards).
        order
            "C": z runs fastest; "F": x runs fastest.

        Raises
        ------
        IndexError
            If there is no such chunk.
        """
        if unit not in ("chunk", "shard"):
            raise ValueError(f"unit={unit!r} must be 'chunk' or 'shard'.")
        if order not in ("C", "F"):
            raise ValueError(f"order={order!r} must be 'C' or 'F'.")
        grid = ChunkGrid(self.shape, self.chunks if unit == "chunk" else self._stored.unit)
        count = len(grid)
        if not -count <= n < count:
            raise IndexError(f"n={n} is out of range: the image has {count} {unit}s.")
        i, j, k = (int(v) for v in np.unravel_index(n % count, grid.counts, order=order))
        return grid.box((i, j, k))

    def update(self, **changes: Any) -> Self:
        """Change what is known of the image; it is stored at once, and survives reopening.

        Parameters
        ----------
        **changes
            Any of `field_name`, `field_unit`, `description`, `voxel_length`, `voxel_origin`,
            `voxel_unit`. A unit given alone says what the numbers mean, and changes none of them;
            given with the length or the origin of a voxel, the other of the two is converted to it.

        Returns
        -------
            The image itself.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown or a value wrong; then nothing is changed.
        PermissionError
            If the image is read-only.
        """
        self._stored.check_writable()
        wanted = metadata_changes(self.frame, changes)
        place = "memory" if self._stored.in_memory else self._stored.where
        check_same(self._world, "update", lambda: {"image": place, "changes": wanted})

        def write() -> None:
            self._stored.update_metadata(**wanted)

        on_first(self._world, write)
        if not self._world.first:
            self._stored.reload_metadata()
        return self

    # Voxels

    def __getitem__(self, selection: Any) -> np.ndarray:
        basic = basic_selection(selection, self.shape)
        if basic is not None:
            ranges, keep = basic
            return self._stored.read_selection(ranges)[keep]
        selection = as_arrays(selection)
        return read_numbers(voxel_numbers(selection, self.shape), self.shape, self.chunks, self._stored.read)

    def __setitem__(self, selection: Any, values: Any) -> None:
        self._stored.check_writable()
        values = check_values(values, self.dtype)
        basic = basic_selection(selection, self.shape)
        if basic is not None:
            ranges, keep = basic
            shape = tuple(len(r) for r in ranges)
            target = tuple(n for n, k in zip(shape, keep, strict=True) if k != 0)
            values = spread(values, target).reshape(shape) if values.ndim else values
            with handle_write(self._stored):
                self._stored.write_selection(ranges, values, casting="unsafe")
            return
        numbers = voxel_numbers(as_arrays(selection), self.shape)
        values = spread(values, numbers.shape).reshape(-1).astype(self.dtype, copy=False)
        points = np.stack(np.unravel_index(numbers.reshape(-1), self.shape), axis=-1)
        with handle_write(self._stored):
            self._stored.write_points(points.astype(np.intp, copy=False), values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("copy=False is not possible: the voxels of an image lie in a store and are read.")
        values = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def crop(self, *selection: Any) -> "VoxelImage":
        """Return a part of the image as an image that knows where it lies: a view, of which nothing
        is read yet.

        Origin, voxel length, unit and texts are kept, and what is written to the image later is
        seen. It is read-only; ``copy`` makes an image of its own of it. Filters see the faces of
        the crop as faces of an image.

        Parameters
        ----------
        *selection
            A region of `lithax.regions`: the smallest box that holds all voxels whose centre lies
            in it. Or slices along x, y and z, as in ``image[...]``, without a step:
            ``crop(np.s_[10:50, :, 20:])``.

        Raises
        ------
        TypeError, ValueError
            If it is neither, or holds no voxel.

        Examples
        --------
        >>> import lithax as lx
        >>> image = lx.zeros((10, 10, 10), "u1", voxel_length=2.0, voxel_unit="um")
        >>> part = image.crop(lx.regions.Sphere((8, 8, 8), 4.5))
        >>> part.shape, part.voxel_origin
        ((5, 5, 5), (4.0, 4.0, 4.0))
        """
        from lithax.images._crop import crop

        return crop(self, selection)

    def copy(
        self,
        store: Any = None,
        path: str | None = None,
        *,
        region: Any = None,
        chunks: Any = None,
        shards: Any = None,
        overwrite: bool = False,
        memory: int | None = None,
        memory_limit: int | str | None = None,
        workers: int | None = None,
        progress: bool = False,
        **overrides: Any,
    ) -> "VoxelImage":
        """Copy the image, with other chunks if wanted, in bounded memory whatever the two grids.

        Parameters
        ----------
        store, path
            Where; memory by default.
        region
            What to copy: a region, or a tuple of slices, as for `crop`; everything by default.
        chunks, shards
            As in `create`; those of this image by default.
        overwrite
            Replace an image that is there.
        memory_limit, memory
            How much may be held at once [byte]; 512 MiB by default. Two names for one thing; text
            such as "1 GiB" is understood by the first.
        workers
            Threads; by default as many as the store bears.
        progress
            Show a bar for work longer than a second.
        **overrides
            `dtype`, metadata (`description`, ...) and options of `create` that differ from those of
            this image.

        Returns
        -------
            The copy.
        """
        from lithax.images._copy import copy_image

        source = self if region is None else self.crop(region)
        return copy_image(
            source, store, path, chunks=chunks, shards=shards, overwrite=overwrite, memory=memory,
            memory_limit=memory_limit, workers=workers, progress=progress, **overrides,
        )  # fmt: skip

    def content_hash(
        self, *, memory_limit: int | str | None = None, workers: int | None = None, progress: bool = False
    ) -> str:
        """Return a hash of shape, data type and voxels: the same for every chunking, codec and
        store.

        SHA-256 over shape, data type and the hashes of tiles of 128³ voxels (little-endian, C
        order). It is stored with the image, unless that is read-only, and dropped when voxels are
        written. The processes of the image's world share the work; `memory_limit`, `workers` and
        `progress` are as for `copy`.
        """
        from lithax.images._content_hash import content_hash

        return content_hash(self, memory_limit=memory_limit, workers=workers, progress=progress)

    def reduce(self, measurement: Any, *others: Any, where: Any = None, **arguments: Any) -> Any:
        """Measure the image block by block; see `chunk_reduce`."""
        from lithax.images._reduce import chunk_reduce

        return chunk_reduce(measurement, self, *others, where=where, **arguments)

    def export(
        self, file: str | os.PathLike[str], *, overwrite: bool = False, progress: bool = False, **options: Any
    ) -> Path:
        """Write the image to a file whose suffix says the format, whole or not at all, in bounded
        memory.

        Parameters
        ----------
        file
            Path of the file to make: ``.tif``, ``.raw``, ``.npy``, ``.nrrd``, ``.mha``, ..., see
            `file_formats`; ``.zarr`` and ``.ome.zarr`` make a copy and a pyramid.
        overwrite
            Replace a file that is there.
        progress
            Show a bar for work longer than a second.
        **options
            For raw files as for `export_raw`; `compress` for NRRD and MetaImage.

        Returns
        -------
            The path of the file.

        Raises
        ------
        TypeError, ValueError
            If no format that is written has the suffix, an option does not go with it, or it has no
            such data type.
        FileExistsError
            If the file exists and `overwrite` is False.
        IsADirectoryError, FileNotFoundError
            If it is a directory, or its directory does not exist.
        """
        from lithax.images._files import export_file

        return export_file(self, file, overwrite=overwrite, progress=progress, **options)

    def export_raw(
        self,
        file: str | PathLike[str],
        dtype: Any = None,
        order: str = "F",
        byteorder: str = "=",
        fiji_macro: bool = False,
        **options: Any,
    ) -> Path:
        """Write the voxels to a raw file; see `export_raw`."""
        from lithax.images._raw import export_raw

        return export_raw(self, file, dtype, order, byteorder, fiji_macro, **options)

    def to_xarray(self) -> Any:
        """Return an `xarray.DataArray` with coordinates and units, whose voxels are read when they
        are used.
        """
        from lithax.images._display import to_xarray

        return to_xarray(self)

    # How it looks

    def __repr__(self) -> str:
        length = " × ".join(f"{h:g}" for h in self.voxel_length)
        unit = f" {self.voxel_unit}" if self.voxel_unit else ""
        name = f" {self.field_name!r}" if self.field_name else ""
        state = "" if self.metadata.state == "complete" else f", {self.metadata.state}"
        note = f" ({self._stored.note})" if self._stored.note else ""
        shards = f", shards={self.shards}" if self.shards else ""
        return (
            f"<VoxelImage{name} {self.shape} {self.dtype}, voxel {length}{unit}, chunks={self.chunks}{shards}, "
            f"{self._stored.where}{note}{state}>"
        )

    def _repr_html_(self) -> str:
        from lithax.images._display import html

        return html(self)

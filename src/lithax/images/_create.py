"""New images: of one value, or filled from an array of any library."""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lithax.arrays import is_jax, refuse_masked, to_numpy
from lithax.errors import IncompleteImageError, MetadataError
from lithax.geometry import Frame
from lithax.grid import Box, Index, World
from lithax.images._collective import (
    check_same,
    cleared_together,
    described,
    on_first,
    open_shared_array,
    refuse_memory,
    share_of,
    together,
    world_or_connected,
)
from lithax.images._derived_array import stored_origins
from lithax.images._described import description_of, geometry_of, metadata_changes
from lithax.images._values import check_values
from lithax.images._voxel_image import VoxelImage
from lithax.runtime import check_launcher
from lithax.storage import (
    AbstractStoredArray,
    Location,
    Metadata,
    StoredArray,
    changed_units,
    check_options,
    claim,
    creating,
    locate,
    open_array,
    resolve_chunks,
    voxel_dtype,
)
from lithax.storage.formats import check_store_name


def create(
    shape: Sequence[int],
    dtype: Any,
    chunks: int | str | Sequence[int] | None = "auto",
    store: Any = None,
    path: str | None = None,
    *,
    shards: int | Sequence[int] | None = None,
    overwrite: bool = False,
    field_name: str = "",
    field_unit: str = "",
    description: str = "",
    voxel_origin: float | Sequence[float] = (0, 0, 0),
    voxel_length: float | Sequence[float] = (1, 1, 1),
    voxel_unit: str = "",
    world: Any = None,
    **zarr_options: Any,
) -> VoxelImage:
    """Make an image that holds its fill value everywhere.

    Parameters
    ----------
    shape
        Number of voxels along x, y and z.
    dtype
        Type of a voxel: boolean, integer, float or complex.
    chunks
        Shape of what is compressed at once: an edge length, three of them (-1: the whole axis),
        "auto" for near-cubic chunks of about 128³ voxels that divide the shard, or "nprocs" for as
        many as there are processes.
    store
        A path, a URL (``s3://...``, ``memory://...``), a Zarr store, or None for memory.
    path
        Path of the image inside the store; its root by default.
    shards
        Shape of what is stored as one object, a multiple of the chunk; None: each chunk is an
        object.
    overwrite
        Replace an image that is there.
    field_name, field_unit, description
        What a voxel's value is, its unit, and free text.
    voxel_origin
        Coordinates of the centre of voxel (0, 0, 0) [voxel_unit].
    voxel_length
        Distance between neighbouring voxel centres [voxel_unit].
    voxel_unit
        A unit of length that pint understands, or "".
    world
        The processes that share the image; the connected ones by default.
    **zarr_options
        `compressors`, `filters`, `serializer`, `fill_value`, `order` ("F": x runs fastest inside a
        chunk), `chunk_key_encoding`, `attributes`, passed on to Zarr; and `storage_options` for the
        file system of a URL.

    Returns
    -------
        The image, open for writing.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong; then nothing is made.
    FileExistsError
        If the place is taken.
    PermissionError
        If the store is read-only.

    Examples
    --------
    >>> image = create((6, 6, 6), "uint8", chunks=2, voxel_length=(0.5, 0.5, 0.5), voxel_unit="mm")
    >>> image.nchunks, image.dimensions
    (27, (3.0, 3.0, 3.0))
    """
    with new_image(
        shape,
        dtype,
        chunks,
        store,
        path,
        shards=shards,
        overwrite=overwrite,
        field_name=field_name,
        field_unit=field_unit,
        description=description,
        voxel_origin=voxel_origin,
        voxel_length=voxel_length,
        voxel_unit=voxel_unit,
        world=world,
        **zarr_options,
    ) as image:
        return image


@contextlib.contextmanager
def new_image(
    shape: Sequence[int],
    dtype: Any,
    chunks: Any = "auto",
    store: Any = None,
    path: str | None = None,
    *,
    shards: Any = None,
    overwrite: bool = False,
    field_name: str = "",
    field_unit: str = "",
    description: str = "",
    voxel_origin: float | Sequence[float] = (0, 0, 0),
    voxel_length: float | Sequence[float] = (1, 1, 1),
    voxel_unit: str = "",
    world: Any = None,
    state: str = "complete",
    run: Any = None,
    filled_by: str | None = None,
    storage_options: Any = None,
    axes: Literal["xyz", "zyx"] = "xyz",
    compared: Mapping[str, Any] | None = None,
    **zarr_options: Any,
) -> Iterator[VoxelImage]:
    """Make an image, and give the ``with`` block time to fill it; the arguments are those of
    `create`, and:

    Parameters
    ----------
    state, run
        What the image says about the run that fills it.
    filled_by
        Name of the function that fills it in the ``with`` block. Until the block ends the image
        calls itself unfinished; if the block fails, on any process, the image is removed.
    axes
        "zyx" writes the metadata of an array with the axes z, y, x, as OME-Zarr asks.
    compared
        What else every process must have passed: arguments of the function that fills it, by name.
    """
    if world is None:
        check_launcher()
    check_store_name(store)
    world = world_or_connected(world)
    dtype = voxel_dtype(dtype)
    frame = Frame(shape, voxel_length, voxel_origin, voxel_unit)
    texts = {"field_name": field_name, "field_unit": field_unit, "description": description}
    if filled_by is not None:
        state, run = "writing", {"function": filled_by}
    metadata = Metadata(
        **metadata_changes(frame, texts),
        **geometry_of(frame),
        state=state,
        run=run,
    )
    chunk, shard = resolve_chunks(frame.shape, chunks, shards, processes=world.count)
    check_options(zarr_options)
    place = locate(store, path, storage_options=storage_options)
    refuse_memory("store", place.label, place.unshared, world)
    call = {"shape": frame.shape, "dtype": dtype.str, "chunks": chunk, "shards": shard, "store": place.label}
    call |= {"overwrite": overwrite} | described(zarr_options) | dict(compared or {})
    check_same(world, filled_by or "create", lambda: call | texts | geometry_of(frame))
    with cleared_together(world), contextlib.ExitStack() as stack:

        def begin() -> StoredArray:
            return stack.enter_context(
                creating(
                    place,
                    shape=frame.shape,
                    dtype=dtype,
                    chunks=chunk,
                    shards=shard,
                    metadata=metadata,
                    overwrite=overwrite,
                    axes=axes,
                    **zarr_options,
                )
            )

        stored: AbstractStoredArray | None = on_first(world, begin)
        with together(world):
            image = VoxelImage(open_shared_array(place, world) if stored is None else stored, world)
        with together(world):
            if filled_by is not None:
                image.stored.ledger.gather()
            yield image
            image.stored.ledger.flush()
        if filled_by is not None:

            def finish() -> None:
                if lost := changed_units(image.stored):
                    raise IncompleteImageError(
                        f"{', '.join(repr(image.stored.unit_key(unit)) for unit in lost[:5])} of the image at {place.label} were removed or "
                        f"changed by something else while the image was made; make it again."
                    )
                image.stored.update_metadata(state="complete", run=None)
                image.stored.ledger.merge()

            on_first(world, finish)
            if not world.first:
                image.stored.reload_metadata()


def empty(shape: Sequence[int], dtype: Any, **options: Any) -> VoxelImage:
    """Make an image; as `create`. What was never written reads as the fill value."""
    return create(shape, dtype, **options)


def zeros(shape: Sequence[int], dtype: Any, **options: Any) -> VoxelImage:
    """Make an image of zeros, which take no space; options as in `create`."""
    return full(shape, dtype, 0, **options)


def ones(shape: Sequence[int], dtype: Any, **options: Any) -> VoxelImage:
    """Make an image of ones, which take no space; options as in `create`."""
    return full(shape, dtype, 1, **options)


def full(shape: Sequence[int], dtype: Any, fill_value: Any, **options: Any) -> VoxelImage:
    """Make an image that holds `fill_value` everywhere, which takes no space; options as in
    `create`.

    Raises
    ------
    ValueError
        If `dtype` cannot hold `fill_value`.
    """
    return create(shape, dtype, fill_value=fill_value, **options)


def empty_like(image: Any, **options: Any) -> VoxelImage:
    """Make an image like another: shape, data type, chunks and metadata are taken over unless
    given.

    Parameters
    ----------
    image
        An image, or anything with shape and dtype.
    **options
        As in `create`, `shape` and `dtype` included; memory is the default store.
    """
    return create(**{**_like(image, options), **options})


def zeros_like(image: Any, **options: Any) -> VoxelImage:
    """Make an image of zeros like another; see `empty_like`."""
    return full_like(image, 0, **options)


def ones_like(image: Any, **options: Any) -> VoxelImage:
    """Make an image of ones like another; see `empty_like`."""
    return full_like(image, 1, **options)


def full_like(image: Any, fill_value: Any, **options: Any) -> VoxelImage:
    """Make an image that holds `fill_value` everywhere, like another; see `empty_like`."""
    return empty_like(image, fill_value=fill_value, **options)


def _like(image: Any, options: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(image, VoxelImage):
        _check_array(image)
        return {"shape": tuple(image.shape), "dtype": _dtype_of(image)}
    taken: dict[str, Any] = {"shape": image.shape, "dtype": image.dtype, "world": image.world}
    if "chunks" not in options and "shards" not in options:
        taken |= {"chunks": image.chunks, "shards": image.shards}
    return taken | description_of(image)


def from_array(
    array: Any,
    chunks: int | str | Sequence[int] | None = "auto",
    store: Any = None,
    path: str | None = None,
    *,
    dtype: Any = None,
    like: Any = None,
    **options: Any,
) -> VoxelImage:
    """Make an image of an array, chunk by chunk, in memory bounded by a few chunks (or shards).

    Parameters
    ----------
    array
        Three-dimensional, indexed ``[x, y, z]``: NumPy, JAX, PyTorch, CuPy, Dask, xarray, Zarr, an
        image, or anything with shape and dtype that can be sliced. An xarray.DataArray with the
        dimensions x, y, z is brought into that order; evenly spaced coordinates, their unit, name
        and ``attrs["units"]`` become metadata, as they do for an image or a Zarr array. Under
        several processes every one must pass the same array.
    chunks, store, path, **options
        As in `create`.
    dtype
        Type of the image; that of the array by default. Values are cast if nothing is lost that
        NumPy's "same kind" would keep, integers only if they fit.
    like
        An image of the same shape that lies at the same place: origin, voxel length and unit are
        taken over, and chunks and shards unless given. ``image[...]`` is a NumPy array, which knows
        none of them.

    Raises
    ------
    TypeError, ValueError
        If `array` is no three-dimensional array of numbers, or its coordinates are not evenly
        spaced, or its shape is not that of `like`.
    OverflowError
        If an integer does not fit `dtype`; then nothing is left behind.
    """
    source, known = _readable(array)
    if like is not None:
        known = known | _place_like(like, source.shape, options)
        if chunks == "auto" and options.get("shards") is None and source.shape == like.shape:
            chunks, options = like.chunks, options | {"shards": like.shards}
    wanted = {"chunks": chunks, "store": store, "path": path, **known, **options}
    if isinstance(source, _Stored):
        refuse_itself(source.stored, store, path, bool(options.get("overwrite")))
    with new_image(source.shape, dtype or source.dtype, filled_by="from_array", **wanted) as image:
        source.fill(image)
    return image


def check_free(argument: str, store: Any, *paths: str) -> None:
    """Raise FileExistsError if images cannot be made at paths of a store, or at its root: before
    what they are to hold is computed for hours. The text names the argument of the caller, which
    replaces nothing.
    """
    check_store_name(store)
    places = [locate(store, path) for path in paths or (None,)]
    occupied = [place for place in places if not _is_free(place)]
    if not occupied:
        return
    unfinished = [place.label for place in occupied if _is_unfinished(place)]
    cut_off = (
        f" ({', '.join(unfinished)}: unfinished, by a call that was killed or is still writing)" if unfinished else ""
    )
    raise FileExistsError(
        f"{argument}={locate(store, None).label}: {', '.join(place.label for place in occupied)} "
        f"{'exists' if len(occupied) == 1 else 'exist'} already{cut_off}; remove {'it' if len(occupied) == 1 else 'them'}, or name "
        "another store."
    )


def _is_free(place: Location) -> bool:
    try:
        claim(place, overwrite=False)
    except FileExistsError:
        return False
    return True


def _is_unfinished(place: Location) -> bool:
    """Tell whether an image is there that was never written to its end."""
    try:
        return open_array(place, read_only=True).metadata.state != "complete"
    except (FileNotFoundError, MetadataError):
        return False


def _place_like(like: Any, shape: Index, options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(like, VoxelImage):
        raise TypeError(f"like is a {type(like).__name__}; give the image that the array lies on.")
    if tuple(shape) != like.shape and "voxel_origin" not in options:
        raise ValueError(
            f"array has shape {tuple(shape)}, like {like.shape}, so it is not known where the array begins; for a part give "
            "like=image.crop(...) with the same slices, or voxel_origin=."
        )
    return {**geometry_of(like.frame), "world": like.world}


class _Sliced:
    """Anything that gives a box of voxels when it is sliced."""

    def __init__(self, array: Any):
        _check_array(array)
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = _dtype_of(array)
        # The host can see these as they are; slicing them would compile a program for each shape.
        on_host = is_jax(array) and {d.platform for d in array.devices()} == {"cpu"} and array.is_fully_addressable
        self._array: Any = to_numpy(array) if on_host else array

    def read(self, box: Box) -> np.ndarray:
        return to_numpy(self._array[box])

    def fill(self, image: VoxelImage) -> None:
        write_own_units(image.stored, self.read, image.world)


class _DaskTarget:
    """What Dask writes blocks to."""

    def __init__(self, stored: StoredArray):
        self._stored = stored

    def __dask_tokenize__(self) -> str:
        return uuid.uuid4().hex  # Dask would pickle all voxels for a name

    def __setitem__(self, box: Box, values: Any) -> None:
        dtype = self._stored.dtype
        self._stored.write(box, check_values(values, dtype).astype(dtype, copy=False), workers=1)


class _SlicedDask:
    """A Dask array: its own scheduler computes each of its blocks once."""

    def __init__(self, array: Any):
        _check_array(array)
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        self._array = array

    def fill(self, image: VoxelImage) -> None:
        stored: StoredArray = image.stored
        blocks = self._array.rechunk(stored.unit)

        # Each block is one unit, so no two threads write to the same object.
        if image.world.first:
            blocks.store(_DaskTarget(stored), lock=False)


def _readable(array: Any) -> tuple[Any, dict[str, Any]]:
    """Return a source of voxels, and what is known of the image besides."""
    library = type(array).__module__.partition(".")[0]
    if library == "zarr":
        array = VoxelImage(open_array(locate(array), read_only=True))
    if isinstance(array, VoxelImage):
        return _Stored(array), description_of(array)
    if library == "xarray":
        return _from_xarray(array)
    return (_SlicedDask(array) if library == "dask" else _Sliced(array)), {}


def refuse_itself(source: AbstractStoredArray, store: Any, path: str | None, overwrite: bool) -> None:
    """Raise ValueError if an image would be overwritten by its own copy."""
    if overwrite and store is not None and any(map(locate(store, path).covers, stored_origins(source))):
        raise ValueError(
            f"store={store!r} holds the image itself, which overwrite=True would remove before it is copied; "
            "copy it elsewhere."
        )


class _Stored:
    """An image, or an array that can be opened as one."""

    def __init__(self, image: VoxelImage):
        self.shape, self.dtype, self.stored = image.shape, image.dtype, image.stored

    def fill(self, image: VoxelImage) -> None:
        from lithax.images._copy import transfer

        transfer(self.stored, image.stored, image.world)


def _from_xarray(array: Any) -> tuple[Any, dict[str, Any]]:
    _check_array(array)
    if set(array.dims) == {"x", "y", "z"}:
        array = array.transpose("x", "y", "z")
    known: dict[str, Any] = {}
    if isinstance(array.name, str):
        known["field_name"] = array.name
    for name, key in (("field_unit", "units"), ("description", "description")):
        if isinstance(array.attrs.get(key), str):
            known[name] = array.attrs[key]
    origin, length, units = [], [], set()
    for dimension in array.dims:
        if dimension not in array.coords:
            origin.append(0.0)
            length.append(1.0)
            continue
        points = np.asarray(array.coords[dimension].values)
        if points.dtype.kind not in "iuf":
            raise ValueError(
                f"array has coordinates of {points.dtype} along {dimension}; drop them, or make them numbers."
            )
        points = points.astype(np.float64)
        step = (points[-1] - points[0]) / (len(points) - 1) if len(points) > 1 else 1.0
        even = points[0] + step * np.arange(len(points))
        # Coordinates that were stored as 32-bit floats are even to about 1e-7 of their size.
        if not step > 0 or np.abs(points - even).max() > 1e-3 * step:
            raise ValueError(
                f"array has coordinates along {dimension} that do not rise evenly; an image's must. Drop them with "
                "array.drop_vars(...), and give voxel_length and voxel_origin."
            )
        origin.append(float(points[0]))
        length.append(float(step))
        units.add(str(array.coords[dimension].attrs.get("units", "")))
    known |= {"voxel_origin": tuple(origin), "voxel_length": tuple(length)}
    if len(units) == 1:
        known["voxel_unit"] = units.pop()
    if array.chunks is not None:
        return _SlicedDask(array.data), known
    return _SlicedXarray(array), known


class _SlicedXarray(_Sliced):
    """A DataArray that is not Dask's: lazily read ones are read box by box."""

    def read(self, box: Box) -> np.ndarray:
        return to_numpy(self._array[box].values)


def _check_array(array: Any) -> None:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise TypeError(f"array is a {type(array).__name__}; it must have a shape and a dtype, like a NumPy array.")
    refuse_masked(array)
    if len(array.shape) != 3:
        raise ValueError(
            f"array has the shape {tuple(array.shape)}; an image has three axes x, y, z. "
            "A slice becomes an image of one voxel's thickness with array[:, :, None]."
        )


def _dtype_of(array: Any) -> np.dtype:
    try:
        return np.dtype(array.dtype)
    except TypeError:  # libraries with data types of their own
        return to_numpy(array[:1, :1, :1]).dtype


def write_own_units(
    stored: StoredArray, values_of: Callable[[Box], np.ndarray], world: World, workers: int | None = None
) -> None:
    """Write every unit of a new array that this process owns.

    Parameters
    ----------
    stored
        The array; what it holds is replaced.
    values_of
        Returns the voxels of a box, of any type that `check_values` lets pass; it is called by
        several threads, with the boxes of chunks.
    world
        Units are dealt out in turn to its processes.
    workers
        Number of threads [-]; by default as many as the array suggests.
    """

    def checked(box: Box) -> np.ndarray:
        return check_values(values_of(box), stored.dtype).astype(stored.dtype, copy=False)

    stored.write_units(share_of(world).of(stored.unit_grid), checked, workers, world.check)

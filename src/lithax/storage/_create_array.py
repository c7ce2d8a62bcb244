"""A new array in a store: everything is checked before the first byte is written."""

import contextlib
import copy
import functools
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import zarr
from zarr.codecs import BloscCodec, TransposeCodec
from zarr.storage import MemoryStore, StorePath

from lithax.grid import Index
from lithax.storage._axis_order import image_view, in_zyx
from lithax.storage._location import Location, claim, replacing
from lithax.storage._node_document import ZARR_JSON, encoded_document
from lithax.storage._schema import DIMENSION_NAMES, KEY, Metadata
from lithax.storage._stored_array import StoredArray

OPTIONS = ("attributes", "chunk_key_encoding", "compressors", "fill_value", "filters", "order", "serializer")
"""What may be passed on to Zarr."""

_HINTS = {
    "codecs": "name compressors, filters and serializer",
    "compressor": "its name is compressors",
    "dimension_names": "they are always x, y, z",
    "zarr_format": "images are always Zarr v3",
    "write_empty_chunks": "chunks equal to the fill value are never stored",
}

_BLOSC_LIMIT = 2**31 - 1 - 16
_GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}).encode()


def default_compressors() -> tuple[Any, ...]:
    """Return the compressors of a new image that is not in memory.

    Blosc with LZ4, level 5; bytes shuffled, or bits for one-byte voxels: measured in
    `docs/design/0002`.
    """
    return (BloscCodec(cname="lz4", clevel=5, typesize=None, shuffle=None),)


def _usual_compressors(in_memory: bool) -> Any:
    return None if in_memory else default_compressors()


def voxel_dtype(dtype: Any) -> np.dtype:
    """Return a data type that an image can have, in the byte order of this machine.

    Raises
    ------
    TypeError
        If it is none, or not a number or boolean that Zarr v3 can hold.
    """
    rule = "must be boolean, integer, float or complex, of at most 64 bits (128 for complex)"
    try:
        found = np.dtype(dtype).newbyteorder("=")
        if found.kind in "iu":  # C has two names for integers of 64 bits, and Zarr knows the one that NumPy prefers
            found = np.dtype(f"{found.kind}{found.itemsize}")
    except TypeError as error:
        raise TypeError(f"dtype={dtype!r} {rule}.") from error
    if dtype is None or found.kind not in "biufc" or found.itemsize > (16 if found.kind == "c" else 8):
        raise TypeError(f"dtype={dtype!r} {rule}.")
    return found


def exact_fill(value: Any, dtype: np.dtype) -> np.generic:
    """Return a fill value in the data type of the image.

    Raises
    ------
    TypeError, ValueError
        If the data type cannot hold it exactly (rounding of decimals to float is no change).
    """
    if value is None:
        return dtype.type(0)
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "biufc":
        raise TypeError(f"fill_value={value!r} must be one number of type {dtype}.")
    held = array.dtype.kind != "c" or dtype.kind == "c"
    if held:
        with np.errstate(all="ignore"):
            cast = array.astype(dtype)
        # An integer must be the same; a float may be rounded, but not to infinity.
        held = bool(cast == array if dtype.kind in "biu" else np.isfinite(cast) or not np.isfinite(array))
    if not held:
        raise ValueError(f"fill_value={value!r} cannot be held by dtype {dtype}; choose another of the two.")
    return dtype.type(array.astype(dtype)[()])


def check_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option that images do not pass on to Zarr."""
    for name in options:
        if name not in OPTIONS:
            hint = f" ({_HINTS[name]})" if name in _HINTS else ""
            raise TypeError(f"{name}= is not an option of an image{hint}; the options are {', '.join(OPTIONS)}.")


def _form(
    shape: Index,
    dtype: np.dtype,
    chunks: Index,
    shards: Index | None,
    fill: np.generic,
    filters: list[Any],
    compressors: Any,
    serializer: Any = "auto",
    chunk_key_encoding: Any = None,
) -> Any:
    """Return the metadata of an array without attributes.

    A trial in memory lets Zarr check every argument while nothing can be left behind.
    """
    trial = zarr.create_array(
        MemoryStore(),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        filters=filters,
        compressors=compressors,
        serializer=serializer,
        fill_value=fill,
        chunk_key_encoding=chunk_key_encoding,
        dimension_names=DIMENSION_NAMES,
        zarr_format=3,
    )
    return trial.metadata


@functools.lru_cache(256)
def _usual_form(
    shape: Index, dtype: np.dtype, chunks: Index, shards: Index | None, fill: bytes, in_memory: bool
) -> tuple[Any, dict[str, Any]]:
    """Return the same for an image without options, and as it is stored, which a small call would
    wait for; by the bits of the fill value, since NaN equals nothing and -0 equals 0.
    """
    form = _form(shape, dtype, chunks, shards, np.frombuffer(fill, dtype)[0], [], _usual_compressors(in_memory))
    return form, form.to_dict()


@contextlib.contextmanager
def creating(
    location: Location,
    *,
    shape: Index,
    dtype: np.dtype,
    chunks: Index,
    shards: Index | None = None,
    metadata: Metadata | None = None,
    overwrite: bool = False,
    axes: Literal["xyz", "zyx"] = "xyz",
    **options: Any,
) -> Iterator[StoredArray]:
    """Make an array that holds its fill value everywhere, and give the ``with`` block time to fill
    it.

    If the block fails, the array is removed, and what stood in its place comes back (on a local
    disk).

    Parameters
    ----------
    location
        Where.
    shape, dtype, chunks, shards
        As `voxel_dtype` and `resolve_chunks` give them.
    metadata
        What is known of the image.
    overwrite
        Replace an image that is there.
    axes
        "zyx" writes the metadata of an array with the axes z, y, x, as OME-Zarr asks; the chunks
        are those of any image.
    **options
        `OPTIONS`: passed on to Zarr, but for ``order="F"``, which stores each chunk with x running
        fastest.

    Raises
    ------
    TypeError, ValueError
        If an option is unknown, or Zarr refuses its value.
    FileExistsError, PermissionError
        If the place is taken, or read-only.
    """
    check_options(options)
    order = options.pop("order", "C")
    if order not in ("C", "F"):
        raise ValueError(f"order={order!r} must be 'C' or 'F', the memory order inside a chunk.")
    filters = options.pop("filters", None)
    filters = [] if filters is None or filters == "auto" else filters
    filters = list(filters) if isinstance(filters, list | tuple) else [filters]
    if order == "F":
        filters.insert(0, TransposeCodec(order=(2, 1, 0)))
    compressors: Any = options.pop("compressors", "auto")
    usual = isinstance(compressors, str) and compressors == "auto"
    if usual:
        compressors = _usual_compressors(location.in_memory)
    nbytes = int(np.prod(chunks, dtype=np.int64)) * dtype.itemsize
    if compressors is not None and nbytes > _BLOSC_LIMIT:
        raise ValueError(
            f"chunks={chunks} hold {nbytes} bytes of {dtype}, more than a compressor takes at once ({_BLOSC_LIMIT}); "
            "use smaller chunks, or compressors=None."
        )
    metadata = (Metadata() if metadata is None else metadata).replace(created=uuid.uuid4().hex)
    attributes = dict(options.pop("attributes", None) or {})
    if KEY in attributes:
        raise ValueError(f"attributes holds the key {KEY!r}, which is the image's own; use another name.")
    fill = exact_fill(options.pop("fill_value", None), dtype)
    if usual and not filters and not options:
        form, stored = _usual_form(shape, dtype, chunks, shards, fill.tobytes(), location.in_memory)
    else:
        form = _form(shape, dtype, chunks, shards, fill, filters, compressors, **options)
        stored = form.to_dict()
    # A copy with other attributes: Zarr has checked all the rest.
    described: Any = copy.copy(form)
    object.__setattr__(described, "attributes", {**attributes, KEY: metadata.to_json()})
    description: Any = in_zyx(described) if axes == "zyx" else described
    stored = description.to_dict() if axes == "zyx" else {**stored, "attributes": description.attributes}
    document = encoded_document(stored, readable=not location.in_memory)
    claim(location, overwrite)
    with replacing(location), _groups_above(location):
        location.objects.write(location.key(ZARR_JSON), document)
        place = StorePath(location.store, location.path)
        made: Any = zarr.AsyncArray(metadata=description, store_path=place)
        made = image_view(zarr.Array(made)) if axes == "zyx" else zarr.Array(made)
        array = StoredArray(made, document=json.loads(document))
        if array.directory is None:
            array.start_ledger()
        yield array


def create_array(location: Location, **arguments: Any) -> StoredArray:
    """Make an array that holds its fill value everywhere; the arguments are those of `creating`."""
    with creating(location, **arguments) as array:
        return array


@contextlib.contextmanager
def _groups_above(location: Location) -> Iterator[None]:
    """Make the groups that lead to a path, where they are missing; remove them again on failure."""
    made: list[str] = []
    try:
        parts = location.path.split("/")[:-1] if location.path else []
        for depth in range(len(parts) + 1 if location.path else 0):
            group = Location(location.store, "/".join(parts[:depth]), location.label)
            if group.node() is None:
                made.append(group.key(ZARR_JSON))
                location.objects.write(made[-1], _GROUP)
        yield
    except BaseException:
        for key in reversed(made):
            with contextlib.suppress(Exception):
                location.objects.delete(key)
        raise

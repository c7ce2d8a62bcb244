"""An image that is there already: our own, or one that another program has written."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import StorePath

from lithax.errors import LithaxError, MetadataError
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._axis_order import image_view, is_zyx
from lithax.storage._foreign_array import ForeignArray
from lithax.storage._location import Location, Node, require_node
from lithax.storage._ome import Multiscales
from lithax.storage._rockverse import DATATYPE, rockverse_metadata
from lithax.storage._schema import KEY, Metadata, shown, shown_text
from lithax.storage._stored_array import StoredArray


def open_array(location: Location, *, read_only: bool = False) -> AbstractStoredArray:
    """Open the image at a location.

    Own images, images of RockVerse and plain three-dimensional Zarr v3 arrays can be written to;
    metadata written to such an array of another program is added to what it holds. Zarr v2 arrays,
    and arrays whose axes are not x, y, z (OME-Zarr), can be read, and copied.

    Parameters
    ----------
    location
        Where; an OME-Zarr group stands for its level of full resolution, a group of one array for
        that array.
    read_only
        Refuse to write.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    MetadataError
        If there is no image there, or one that this version cannot read.
    """
    node = require_node(location)
    with understood(location.label):
        if node.kind == "group":
            location = _image_in_group(location, node.attributes)
            node = require_node(location)
        return _open_node(location, node, read_only)


@contextlib.contextmanager
def understood(label: str) -> Iterator[None]:
    """Turn what goes wrong while metadata of any content are read into one MetadataError that names
    the store.
    """
    try:
        yield
    except (LithaxError, OSError):
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise MetadataError(
            f"store={label} has metadata that cannot be understood ({type(error).__name__}: {shown_text(error)}); "
            "the store is damaged."
        ) from error


def _open_node(location: Location, node: Node, read_only: bool) -> AbstractStoredArray:
    zarray = _zarr_array(location, node)
    _check_sizes(zarray, location.label)
    attributes = node.attributes
    directory = location.directory
    read_only = (
        read_only
        or not location.store.supports_deletes
        or (directory is not None and not os.access(directory, os.W_OK))
    )
    is_v3 = node.zarr_format == 3
    if KEY in attributes and is_v3:
        zarray = image_view(zarray) if is_zyx(zarray.metadata) else zarray
        return StoredArray(zarray, read_only=read_only, document=node.document)
    if attributes.get(DATATYPE) == "VoxelImage":
        metadata, kind = rockverse_metadata(attributes, location.label), "RockVerse"
        axes: tuple[int, ...] = (0, 1, 2)
        singles: tuple[int, ...] = ()
    else:
        level = Multiscales.around(location)
        if level is not None:
            metadata, axes, singles = level.image(zarray.shape)
            kind = "OME-Zarr"
        else:
            metadata, kind = Metadata(), "Zarr"
            axes, singles = _named_axes(zarray, location.label)
    if is_v3 and axes == (0, 1, 2) and not singles:
        return StoredArray(zarray, metadata, read_only=read_only, kind=kind)
    return ForeignArray(zarray, metadata, axes=axes, kind=kind)


def _check_sizes(zarray: zarr.Array, label: str) -> None:
    for name, sizes in (("shape", zarray.shape), ("chunk_shape", zarray.chunks), ("shard shape", zarray.shards)):
        if sizes is None:
            continue
        if min(sizes, default=1) < (0 if name == "shape" else 1):
            raise MetadataError(f"store={label} has {name} {shown(list(sizes))}, which must be positive.")
        if math.prod(sizes) * np.dtype(zarray.dtype).itemsize >= 2**63:
            raise MetadataError(f"store={label} has {name} {shown(list(sizes))}: more bytes than a machine can count.")


def _image_in_group(location: Location, attributes: Mapping[str, Any]) -> Location:
    if attributes.get(DATATYPE) in ("DECTGroup", "DualEnergyCTGroup"):
        raise MetadataError(
            f"store={location.label} is a dual-energy group of RockVerse, not one image; "
            f"pass path= to open one of {', '.join(map(repr, location.children()))}."
        )
    multiscales = Multiscales.of(location)
    if multiscales is not None:
        return location.child(multiscales.paths[0])
    names = location.children()
    if len(names) == 1:  # nothing else can be meant
        only = location.child(names[0])
        inside = only.node()
        if inside is not None and inside.kind == "array":
            return only
    held = f"pass path= to open one of {', '.join(map(repr, names))}" if names else "it holds no array"
    raise MetadataError(f"store={location.label} is a group, not an image; {held}.")


def _zarr_array(location: Location, node: Node) -> zarr.Array:
    place = StorePath(location.store, location.path)
    try:
        if node.zarr_format == 2:
            return zarr.open_array(place, mode="r", zarr_format=2)
        return zarr.Array(zarr.AsyncArray(metadata=ArrayV3Metadata.from_dict(node.document), store_path=place))
    except Exception as error:  # Zarr raises many kinds for what it does not understand
        raise MetadataError(
            f"store={location.label} is a Zarr array that cannot be read: {shown_text(error)}"
        ) from error


def _named_axes(zarray: zarr.Array, label: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which axes of a plain array are x, y and z: by their names if it has all three, else
    in this order.
    """
    names = [str(name).lower() for name in getattr(zarray.metadata, "dimension_names", None) or ()]
    if zarray.ndim != 3:
        raise MetadataError(
            f"store={label} has {zarray.ndim} dimensions (shape {zarray.shape}); an image has three. "
            "Take three of them with zarr and from_array()."
        )
    if sorted(names) == ["x", "y", "z"]:
        return tuple(names.index(axis) for axis in "xyz"), ()
    return (0, 1, 2), ()

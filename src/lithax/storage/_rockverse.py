"""What RockVerse writes about a voxel image: the attributes of its Zarr array."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.storage import StorePath

from lithax.errors import MetadataError
from lithax.storage._schema import Metadata, is_positive_triple, is_triple

DATATYPE = "_ROCKVERSE_DATATYPE"
"""The attribute that tells a RockVerse object and its kind."""


def rockverse_metadata(attributes: Mapping[str, Any], where: str) -> Metadata:
    """Return the metadata of an image written by RockVerse.

    Its coordinates have our meaning: the origin is the centre of the first voxel.

    Raises
    ------
    MetadataError
        If the voxel length or origin is not three numbers.
    """
    length = attributes.get("voxel_length", (1, 1, 1))
    origin = attributes.get("voxel_origin", (0, 0, 0))
    for name, value, good, rule in (
        ("voxel_length", length, is_positive_triple(length), "three positive numbers"),
        ("voxel_origin", origin, is_triple(origin), "three finite numbers"),
    ):
        if not good:
            raise MetadataError(f"attribute {name!r} (={value!r}) of the RockVerse image {where} must be {rule}.")
    return Metadata(
        field_name=_text(attributes.get("field_name")),
        field_unit=_text(attributes.get("field_unit")),
        description=_text(attributes.get("description")),
        voxel_length=(float(length[0]), float(length[1]), float(length[2])),
        voxel_origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        voxel_unit=_text(attributes.get("voxel_unit")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def dual_energy_group(place: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the attributes of a dual-energy group of RockVerse and its small tables by name; None
    if there is none.

    The tables are its distributions, of shape (points, 2), and its coefficients, of shape (draws,
    11).
    """
    node = place.node()
    if node is None or node.kind != "group" or node.attributes.get(DATATYPE) not in ("DECTGroup", "DualEnergyCTGroup"):
        return None
    tables = {}
    for name in place.children():
        if name.endswith("_pdf") or name in ("matrixl", "matrixh"):
            child = place.child(name)
            tables[name] = np.asarray(zarr.open_array(StorePath(child.store, child.path), mode="r")[...])
    return dict(node.attributes), tables

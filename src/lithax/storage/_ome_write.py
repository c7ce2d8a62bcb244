"""OME-Zarr 0.5 written: the group around the levels of a pyramid, and what says that they still
belong to an image.

Specification: Moore et al., OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5, "multiscales". Axes
are z, y, x, as it recommends; scale and translation are voxel length and the centre of the first
voxel.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lithax.errors import MetadataError
from lithax.geometry import Frame, UnknownUnit, length_factor
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._location import LEVELS, Location, locate
from lithax.storage._node_document import ZARR_JSON
from lithax.storage._ome import Multiscales
from lithax.storage._schema import KEY

# The lengths that the specification names, those of scans first.
_UNITS = [
    "micrometer",
    "millimeter",
    "nanometer",
    "meter",
    "centimeter",
    "angstrom",
    "inch",
    "foot",
    "kilometer",
    "decimeter",
    "picometer",
    "femtometer",
    "attometer",
    "hectometer",
    "megameter",
    "gigameter",
    "mile",
    "yard",
    "parsec",
    "exameter",
    "petameter",
    "terameter",
    "yoctometer",
    "yottameter",
    "zeptometer",
    "zettameter",
]


def ome_unit(unit: str) -> tuple[str, float]:
    """Return the name that OME-Zarr has for a unit of length ("" if it is unknown), and how many of
    it one unit is.

    Examples
    --------
    >>> ome_unit("um"), ome_unit("thou")
    (('micrometer', 1.0), ('micrometer', 25.4))
    """
    if unit == "" or isinstance(unit, UnknownUnit):
        return "", 1.0
    same = next((name for name in _UNITS if length_factor(unit, name) == 1.0), None)
    return (same, 1.0) if same else ("micrometer", length_factor(unit, "micrometer"))


def multiscales(frames: Sequence[Frame], paths: Sequence[str], *, name: str, method: str) -> dict[str, Any]:
    """Return the attribute "ome" of a group of levels, the finest first.

    Parameters
    ----------
    frames
        Where the voxels of each level are.
    paths
        The path of each below the group.
    name
        What the image shows.
    method
        How the levels were made.
    """
    unit, factor = ome_unit(frames[0].voxel_unit)
    measured = {"unit": unit} if unit else {}
    datasets = []
    for frame, path in zip(frames, paths, strict=True):
        steps = [
            {"type": "scale", "scale": [h * factor for h in reversed(frame.voxel_length)]},
            {"type": "translation", "translation": [o * factor for o in reversed(frame.voxel_origin)]},
        ]
        datasets.append({"path": path, "coordinateTransformations": steps})
    entry = {
        "name": name,
        "axes": [{"name": axis, "type": "space", **measured} for axis in "zyx"],
        "datasets": datasets,
        "type": method,
    }
    return {"version": "0.5", "multiscales": [entry]}


def path_of_level(number: int) -> str:
    """Return the path of a level inside its group: "0", "1/0", "2/0", ...

    Every level is the only array of its Zarr group, the finest one of the outermost. So xarray,
    for which the axes z, y, x have one size in a group, opens each of them; and OME-Zarr wants
    these names for all.
    """
    return f"{number}/0" if number else "0"


def write_group(place: Location, attributes: Mapping[str, Any]) -> None:
    """Make a Zarr group at a place, or replace the attributes of the one that is there."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    place.objects.write(place.key(ZARR_JSON), json.dumps(document, indent=2).encode())


def own_attributes(place: Location) -> dict[str, Any] | None:
    """Return what lithax has written about the group of levels at a place; None if there is none of
    its own.
    """
    node = place.node()
    own = None if node is None or node.kind != "group" else node.attributes.get(KEY)
    return dict(own) if isinstance(own, Mapping) else None


def levels_beside(array: AbstractStoredArray) -> Location:
    """Return where the levels that are made for an array lie that stays where it is."""
    return locate(array.zarray).child(LEVELS)


def coarser_levels(array: AbstractStoredArray) -> list[Location]:
    """Return where the coarser levels of an array are, the finest first.

    They are those of its OME-Zarr group, or those made beside it. Levels of lithax that were made
    before the voxels of the array were changed are left out.
    """
    place = locate(array.zarray)
    found = Multiscales.group_around(place)
    if found is not None:
        around, group = found
        level = around.level
        if level == 0 and not _current(array, group, around=True):
            return []
        return [group.child(path) for path in around.paths[level + 1 :]]
    beside = levels_beside(array)
    try:
        found = Multiscales.of(beside)
    except (OSError, MetadataError):
        return []
    return [beside.child(path) for path in found.paths] if found is not None and _current(array, beside) else []


def _current(array: AbstractStoredArray, group: Location, around: bool = False) -> bool:
    own = own_attributes(group)
    # The finest level beside an image was made of that image, which knows; other programs say
    # nothing of changes.
    return own is None or (around and bool(own.get("beside"))) or own.get("levels") == array.metadata.levels

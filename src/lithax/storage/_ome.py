"""OME-Zarr: the multiscales metadata of a group says where the voxels of its levels are.

Specification: Moore et al., OME-NGFF, versions 0.1 to 0.5, https://ngff.openmicroscopy.org,
"multiscales".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lithax.errors import MetadataError
from lithax.geometry import length_factor
from lithax.storage._location import Location
from lithax.storage._schema import Metadata

# Before version 0.3 the axes were not written down.
_OLD_AXES = ("t", "c", "z", "y", "x")


@dataclass(frozen=True)
class Multiscales:
    """The first multiscales entry of a group, and one level of it."""

    label: str
    entry: Mapping[str, Any]
    level: int = 0

    @classmethod
    def of(cls, group: Location) -> "Multiscales | None":
        """Return the multiscales of a group; None if it has none."""
        node = group.node()
        attributes = {} if node is None else node.attributes
        inner = attributes.get("ome")
        found = (inner if isinstance(inner, Mapping) else attributes).get("multiscales")
        if not isinstance(found, Sequence) or not found or not isinstance(found[0], Mapping):
            return None
        made = cls(group.label, found[0])
        return made if made.paths else None

    @classmethod
    def around(cls, array: Location) -> "Multiscales | None":
        """Return the multiscales that an array is a level of; None if it is of none."""
        found = cls.group_around(array)
        return None if found is None else found[0]

    @classmethod
    def group_around(cls, array: Location) -> "tuple[Multiscales, Location] | None":
        """Return the multiscales that an array is a level of, and the place of their group: that of
        the array, or the one above.
        """
        here, path = array, ""
        for _ in range(2):
            parent, directory = here.parent(), here.directory
            name = here.path.rpartition("/")[2] or (directory.name if directory is not None else "")
            name = name or str(getattr(here.store, "path", "")).rstrip("/").rpartition("/")[2]
            path = f"{name}/{path}".rstrip("/")
            try:
                found = None if parent is None else cls.of(parent)
            except (OSError, MetadataError):  # what lies above may be anything, or not ours to read
                return None
            if parent is None:
                return None
            if found is not None:
                known = path in found.paths
                return (cls(array.label, found.entry, found.paths.index(path)), parent) if known else None
            here = parent
        return None

    @property
    def paths(self) -> list[str]:
        """Paths of the levels inside the group, the finest first."""
        return [str(d["path"]) for d in self.entry.get("datasets", ()) if isinstance(d, Mapping) and "path" in d]

    def image(self, shape: tuple[int, ...]) -> tuple[Metadata, tuple[int, ...], tuple[int, ...]]:
        """Return the metadata of this level along x, y, z, and which axes of the array are x, y, z,
        and others.

        Raises
        ------
        MetadataError
            If one of x, y, z is missing, or another axis has more than one element.
        """
        axes = [
            a if isinstance(a, str) else str(a.get("name")) for a in self.entry.get("axes") or _OLD_AXES[-len(shape) :]
        ]
        lower = [axis.lower() for axis in axes]
        if len(lower) != len(shape) or not {"x", "y", "z"} <= set(lower):
            raise MetadataError(f"{self.label} has the axes {axes} and the shape {shape}; an image needs x, y and z.")
        order = tuple(lower.index(axis) for axis in "xyz")
        others = tuple(n for n in range(len(shape)) if n not in order)
        for n in others:
            if shape[n] != 1:
                raise MetadataError(
                    f"{self.label} has {shape[n]} elements along its axis {axes[n]!r}; an image has x, y and z only. "
                    "Take one of them with zarr and from_array()."
                )
        scale, translation = self._transform(len(shape))
        units = [
            a.get("unit") or "" if isinstance(a, Mapping) else "" for a in self.entry.get("axes") or [""] * len(shape)
        ]
        unit = str(units[order[0]])
        try:
            factors = [length_factor(str(units[n]), unit) for n in order]
        except ValueError as error:
            raise MetadataError(f"{self.label} has units along x, y, z that do not go together: {error}") from error
        metadata = Metadata(
            field_name=str(self.entry.get("name") or ""),
            voxel_unit=unit,
            voxel_length=_three([scale[n] * f for n, f in zip(order, factors, strict=True)]),
            voxel_origin=_three([translation[n] * f for n, f in zip(order, factors, strict=True)]),
        )
        if min(metadata.voxel_length) <= 0:
            raise MetadataError(f"{self.label} has the scale {scale}, which must be positive along every axis.")
        return metadata, order, others

    def _transform(self, ndim: int) -> tuple[list[float], list[float]]:
        """Return scale and translation of this level: its own transformations first, then those of
        all levels.
        """
        scale, translation = [1.0] * ndim, [0.0] * ndim
        steps = [
            *(self.entry["datasets"][self.level].get("coordinateTransformations") or ()),
            *(self.entry.get("coordinateTransformations") or ()),
        ]
        for step in steps:
            values = step.get(step.get("type"))
            if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != ndim:
                if step.get("type") == "identity":
                    continue
                raise MetadataError(f"{self.label} has a coordinate transformation that cannot be read: {step!r}.")
            if step["type"] == "scale":
                scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
                translation = [a * float(b) for a, b in zip(translation, values, strict=True)]
            else:
                translation = [a + float(b) for a, b in zip(translation, values, strict=True)]
        return scale, translation


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z

"""What an image says about itself, in the attributes of its Zarr array under the key "lithax".

The schema has a number. A later version of lithax may add keys, which this one keeps untouched, and
raises the number only when an older one would misunderstand.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from lithax.errors import MetadataError

SCHEMA = 1
"""The version of the schema that this version of lithax writes, and the newest that it reads."""

KEY = "lithax"
"""Name of the attribute that holds the schema."""

ROCKVERSE_ATTRIBUTES = (
    "_ROCKVERSE_DATATYPE",
    "description",
    "field_name",
    "field_unit",
    "voxel_length",
    "voxel_origin",
    "voxel_unit",
)
"""What RockVerse writes beside its own attributes, each under a name of its own."""

DIMENSION_NAMES = ("x", "y", "z")


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What is known of an image besides its voxels.

    Attributes
    ----------
    field_name, field_unit, description
        What a voxel's value is, its unit, and free text.
    voxel_origin
        Coordinates of the centre of voxel (0, 0, 0) [voxel_unit].
    voxel_length
        Distance between neighbouring voxel centres [voxel_unit].
    voxel_unit
        A unit of length, or "".
    content_hash
        Hash of shape, data type and voxels, if it was computed since they were last changed.
    state
        "complete", or "writing" while a run fills the image.
    provenance
        What produced the image: function, parameters, versions, inputs.
    run
        Identity of the run that is writing, or wrote, the image.
    levels
        Name of the pyramid that was made of the voxels as they are; forgotten when they change.
    created
        Name of the act of making the array: another array in the same place has another one.
    history
        The runs that changed the image in place and ended, the first one first: when, under which
        key, from what to what.
    extra
        Keys that this version does not know; they are kept.
    """

    field_name: str = ""
    field_unit: str = ""
    description: str = ""
    voxel_origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_length: tuple[float, float, float] = (1.0, 1.0, 1.0)
    voxel_unit: str = ""
    content_hash: str | None = None
    state: str = "complete"
    provenance: Mapping[str, Any] | None = None
    run: Any = None
    levels: str | None = None
    created: str | None = dataclasses.field(default=None, compare=False)
    history: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def replace(self, **changes: Any) -> "Metadata":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the form in which the metadata is stored."""
        known = {
            "schema": SCHEMA,
            "field_name": self.field_name,
            "field_unit": self.field_unit,
            "description": self.description,
            "voxel_origin": list(self.voxel_origin),
            "voxel_length": list(self.voxel_length),
            "voxel_unit": str(self.voxel_unit),
            "content_hash": self.content_hash,
            "state": self.state,
            "provenance": None if self.provenance is None else dict(self.provenance),
            "run": self.run,
        }
        if self.levels is not None:
            known["levels"] = self.levels
        if self.created is not None:
            known["created"] = self.created
        if self.history:
            known["history"] = [dict(entry) for entry in self.history]
        return {**self.extra, **known}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Metadata":
        """Read the stored form.

        Parameters
        ----------
        value
            What stands under "lithax".
        where
            Where the image is, for messages.

        Raises
        ------
        MetadataError
            If a key is missing or has a wrong value, or the schema is newer than this version
            knows.
        """
        if not isinstance(value, Mapping):
            raise MetadataError(
                f"attribute {KEY!r} (={shown(value)}) of {where} must be a mapping; the metadata is damaged."
            )
        reader = _Reader(value, where)
        schema = reader.get("schema", _is_version, "a positive integer")
        if schema > SCHEMA:
            from importlib.metadata import version

            raise MetadataError(
                f"the image at {where} has metadata of schema {schema}; lithax {version('lithax')} reads schemas up to "
                f"{SCHEMA}. Open it with a newer lithax."
            )
        return cls(
            field_name=reader.get("field_name", _is_text, "text", ""),
            field_unit=reader.get("field_unit", _is_text, "text", ""),
            description=reader.get("description", _is_text, "text", ""),
            voxel_origin=_triple(reader.get("voxel_origin", is_triple, "three finite numbers")),
            voxel_length=_triple(reader.get("voxel_length", is_positive_triple, "three positive numbers")),
            voxel_unit=reader.get("voxel_unit", _is_text, "text", ""),
            content_hash=reader.get("content_hash", _is_text_or_none, "text or null", None),
            state=reader.get("state", _is_state, "'complete' or 'writing'"),
            provenance=reader.get("provenance", _is_mapping_or_none, "a mapping or null", None),
            run=value.get("run"),
            levels=reader.get("levels", _is_text_or_none, "text or null", None),
            created=reader.get("created", _is_id_or_none, "text of at most 32 characters, or null", None),
            history=tuple(reader.get("history", _is_history, "a list of mappings", ())),
            extra={key: item for key, item in value.items() if key not in _KNOWN},
        )


_KNOWN = {field.name for field in dataclasses.fields(Metadata)} - {"extra"} | {"schema"}


def shown(value: Any) -> str:
    """Return what a damaged document holds, short enough for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; lists in lists in lists
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else text[:77] + "..."


def shown_text(error: BaseException) -> str:
    """Return the text of another library's error, in one line and short enough for a message."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


class _Reader:
    _MISSING = object()

    def __init__(self, value: Mapping[str, Any], where: str):
        self._value = value
        self._where = where

    def get(self, key: str, accepts: Any, rule: str, default: Any = _MISSING) -> Any:
        found = self._value.get(key, default)
        if found is self._MISSING:
            raise MetadataError(f"metadata key {key!r} of {self._where} is missing; it must be {rule}.")
        if not accepts(found):
            raise MetadataError(f"metadata key {key!r} (={shown(found)}) of {self._where} must be {rule}.")
        return found


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_mapping_or_none(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _is_id_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.isascii() and len(value) <= 32)


def _is_history(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, Mapping) for entry in value)


def _is_state(value: Any) -> bool:
    return isinstance(value, str) and value in ("complete", "writing")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond every float
        return False


def is_triple(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(_is_number(v) for v in value)


def is_positive_triple(value: Any) -> bool:
    return is_triple(value) and min(value) > 0


def _triple(value: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in value)
    return x, y, z

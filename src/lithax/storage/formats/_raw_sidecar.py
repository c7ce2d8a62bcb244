"""What a raw file cannot say of itself: a JSON document beside it, ``rock.raw.json`` for
``rock.raw``.
"""

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lithax.errors import FileFormatError
from lithax.storage.formats._damage import check_file
from lithax.storage.formats._new_file import written_whole
from lithax.storage.formats._raw_dtype import raw_dtype, raw_order, with_byteorder

_FORMAT = "lithax-raw"
_VERSION = 1
_BYTE_ORDERS = {"little": "<", "big": ">"}


@dataclasses.dataclass(frozen=True)
class RawDescription:
    """Layout and metadata of a raw file.

    `dtype` carries the byte order. `parts` names the two files of complex voxels that are stored
    apart, real and imaginary part, each of the real type that belongs to `dtype`.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    order: str = "F"
    offset: int = 0
    voxel_length: tuple[float, float, float] = (1.0, 1.0, 1.0)
    voxel_origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_unit: str = ""
    field_name: str = ""
    field_unit: str = ""
    description: str = ""
    parts: tuple[str, str] | None = None


def sidecar_path(file: str | os.PathLike[str]) -> Path:
    """Return where the document of a raw file is."""
    file = Path(file)
    return file.with_name(file.name + ".json")


def write_sidecar(file: str | os.PathLike[str], description: RawDescription) -> Path:
    """Write the document of a raw file, at once or not at all."""
    document = {"format": _FORMAT, "version": _VERSION} | dataclasses.asdict(description)
    native = "<" if sys.byteorder == "little" else ">"
    byteorder = description.dtype.byteorder
    document["dtype"] = description.dtype.newbyteorder("=").name
    document["byteorder"] = "big" if (native if byteorder in "=|" else byteorder) == ">" else "little"
    document["voxel_unit"] = str(description.voxel_unit)
    if description.parts is None:
        del document["parts"]
    path = sidecar_path(file)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_sidecar(file: str | os.PathLike[str]) -> RawDescription | None:
    """Return what the document of a raw file says, or None if there is none.

    For a compressed file, ``rock.raw.gz``, the document of ``rock.raw`` serves too.

    Raises
    ------
    FileFormatError
        If it is not such a document, or was written by a later version.
    """
    candidates = [sidecar_path(file)]
    if Path(file).suffix.lower() == ".gz":
        candidates.append(sidecar_path(Path(file).with_suffix("")))
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        return None
    check_file(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{str(path)!r} is not JSON ({error}); pass shape= and dtype= to do without it."
        ) from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FileFormatError(f"{str(path)!r} does not describe a raw file; pass shape= and dtype= to do without it.")
    if document.get("version") != _VERSION:
        raise FileFormatError(
            f"{str(path)!r} has version {repr(document.get('version'))[:80]}, but this lithax reads version {_VERSION}; "
            "update lithax, or pass shape= and dtype= to do without it."
        )
    return _description(path, document)


def _description(path: Path, document: dict[str, Any]) -> RawDescription:
    try:
        shape = tuple(int(n) for n in document["shape"])
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) >= 2**60 or int(document["offset"]) < 0:
            raise ValueError(f"shape={str(shape)[:80]}, offset={document['offset']!r}")
        parts = document.get("parts")
        return RawDescription(
            shape=(shape[0], shape[1], shape[2]),
            dtype=with_byteorder(raw_dtype(document["dtype"]), _BYTE_ORDERS[document["byteorder"]]),
            order=raw_order(document["order"]),
            offset=int(document["offset"]),
            voxel_length=_positive(_three(document["voxel_length"])),
            voxel_origin=_three(document["voxel_origin"]),
            voxel_unit=str(document["voxel_unit"]),
            field_name=str(document["field_name"]),
            field_unit=str(document["field_unit"]),
            description=str(document["description"]),
            parts=None if parts is None else (str(parts[0]), str(parts[1])),
        )
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise FileFormatError(
            f"{str(path)!r} describes a raw file in part only: {str(repr(error))[:200]}; pass shape= and dtype= to do "
            "without it."
        ) from error


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(f"{values!r} must be finite")
    return x, y, z


def _positive(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(values) <= 0:
        raise ValueError(f"voxel_length={values} must be positive")
    return values

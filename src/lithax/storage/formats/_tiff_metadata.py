"""Size and unit of the voxels of a TIFF file, as ImageJ, OME and lithax write them."""

import json
import math
import re
import warnings
import xml.etree.ElementTree as ElementTree
from typing import Any

from lithax.geometry import length_factor, lenient_unit, unit_in_file

NOTE = "lithax"
"""Key of the note, in JSON, in which lithax keeps what TIFF has no exact place for."""

# Spellings of ImageJ and others; "" counts voxels.
_UNITS = {
    "micron": "um",
    "microns": "um",
    "\N{GREEK SMALL LETTER MU}m": "um",
    "\N{MICRO SIGN}m": "um",
    "inches": "inch",
}


def described(tiff: Any, file: str) -> dict[str, Any]:
    """Return what a TIFF file says of the size of its voxels, as arguments of `create`.

    Resolutions of plain TIFF files are those of printers more often than of scanners: they count
    only beside a description of ImageJ.
    """
    if tiff.is_imagej:
        found, note = _imagej(tiff, file), (tiff.imagej_metadata or {}).get(NOTE)
    elif tiff.is_ome:
        found, note = _ome(tiff, file)
    else:
        shaped = next(iter(tiff.shaped_metadata or ()), {})
        found, note = {}, shaped.get(NOTE)
    return _with_note(found, note)


def unit_of(text: Any, file: str) -> str:
    """Return a unit as lithax spells it, "" for a count of voxels; one that is not understood with
    a warning.
    """
    unit = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), str(text or "")).strip().strip("\0")
    unit = _UNITS.get(unit, _UNITS.get(unit.lower(), unit))
    return unit_in_file(unit, file)


def _imagej(tiff: Any, file: str) -> dict[str, Any]:
    imagej, tags = tiff.imagej_metadata or {}, tiff.pages[0].tags
    of_tag = {2: "inch", 3: "cm"}.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1, "")
    lengths = []
    for name in ("XResolution", "YResolution"):
        above, below = tags[name].value if name in tags else (1, 1)
        lengths.append(below / above if above and below else 1.0)
    lengths.append(imagej.get("spacing", lengths[0]))
    return {
        "voxel_length": _lengths(lengths, file),
        "voxel_unit": unit_of(imagej.get("unit", of_tag if "spacing" not in imagej else ""), file),
    }


def _ome(tiff: Any, file: str) -> tuple[dict[str, Any], str | None]:
    # Elements carry a namespace that differs between versions of the schema.
    root = ElementTree.fromstring(tiff.ome_metadata)
    image = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Image"), None)
    pixels = None if image is None else next((e for e in image if e.tag.rpartition("}")[2] == "Pixels"), None)
    if image is None or pixels is None:
        return {}, None
    text = next((e.text for e in image if e.tag.rpartition("}")[2] == "Description"), None)
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "XYZ"]
    if sizes[0] is None and sizes[2] is None:
        return {}, text
    units = [unit_of(pixels.get(f"PhysicalSize{axis}Unit", "um"), file) for axis in "XYZ"]
    given = {n: float(size) for n, size in enumerate(sizes) if size is not None}
    first = min(given)
    unit = units[first]
    lengths = [given[n] * length_factor(units[n], unit) if n in given else given[first] for n in range(3)]
    found: dict[str, Any] = {"voxel_length": _lengths(lengths, file), "voxel_unit": unit}
    if image.get("Name") and image.get("Name") != "Image0":
        found["field_name"] = image.get("Name")
    return found, text


def _lengths(values: list[Any], file: str) -> tuple[float, ...]:
    lengths = [float(value) for value in values]
    good = [h for h in lengths if math.isfinite(h) and h != 0]
    if len(good) < 3 or min(lengths) < 0:
        lengths = [abs(h) if math.isfinite(h) and h != 0 else abs(good[0]) if good else 1.0 for h in lengths]
        warnings.warn(
            f"{file} has the voxel lengths {', '.join(str(v) for v in values)}; lengths are positive, and "
            f"{', '.join(f'{h:g}' for h in lengths)} is taken. Pass voxel_length= to say what is right.",
            UserWarning,
            stacklevel=2,
        )
    return tuple(lengths)


def _with_note(found: dict[str, Any], note: Any) -> dict[str, Any]:
    """Add what lithax noted, if it still agrees with the fields that other programs change."""
    try:
        noted = json.loads(note)
        if "voxel_length" in found:
            unit, factor = found["voxel_unit"], 1.0
            if unit != noted["voxel_unit"]:
                factor = length_factor(noted["voxel_unit"], unit)
            pairs = zip(noted["voxel_length"], found["voxel_length"], strict=True)
            if not all(math.isclose(a * factor, b, rel_tol=1e-5) for a, b in pairs):
                return found
        length, origin = ([float(h) for h in noted[name]] for name in ("voxel_length", "voxel_origin"))
        texts = {name: str(noted[name]) for name in ("field_name", "field_unit", "description") if noted.get(name)}
        if len(length) != 3 or len(origin) != 3 or min(length) <= 0 or not all(map(math.isfinite, (*length, *origin))):
            return found
        noted_unit = lenient_unit(noted["voxel_unit"])
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError):
        return found  # of another program, or damaged
    return {**found, "voxel_length": tuple(length), "voxel_origin": tuple(origin), "voxel_unit": noted_unit, **texts}

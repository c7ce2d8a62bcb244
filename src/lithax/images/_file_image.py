"""Files of other formats as images that are read lazily."""

import functools
import os
import warnings
from pathlib import Path
from typing import Any

from lithax.errors import FileFormatError
from lithax.geometry import Frame
from lithax.images._collective import together, world_or_connected
from lithax.images._described import DESCRIBED, metadata_changes
from lithax.images._raw import RAW_SUFFIXES  # noqa: F401 (registers the format)
from lithax.images._voxel_image import VoxelImage
from lithax.storage import FileArray, Metadata
from lithax.storage.formats import FileFormat, file_formats, format_of, format_of_folder, known_suffixes, sidecar_path


def file_to_open(store: Any) -> FileFormat | None:
    """Return the format of a path that is a file, a folder of slices, or should be a file by its
    name; None if it means a store.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    FileFormatError
        If it is a file of a format that is not read.
    """
    if not isinstance(store, str | os.PathLike):
        return None
    name = os.fspath(store)
    if not isinstance(name, str) or "://" in name or not name:
        return None
    place = Path(name).expanduser()
    found = format_of(place)
    if place.is_dir():
        return format_of_folder(place)
    if place.suffix.lower() == ".zip" and found is None:
        return None
    if not place.exists():
        if found is not None:
            raise FileNotFoundError(f"store={name!r} does not exist.")
        return None
    if found is None:
        found = next(f for f in file_formats() if f.name == "raw")
        if not sidecar_path(place).exists():
            return found if place.is_file() else None
    if found.open is None:
        raise FileFormatError(
            f"file={name!r} is a {found.noun}, which is written but not read; read are {known_suffixes('open')}."
        )
    return found


def open_file(format: FileFormat, file: Any, world: Any = None, options: dict[str, Any] | None = None) -> VoxelImage:
    """Return a file as a read-only image.

    Parameters
    ----------
    format, file
        The format, and the path.
    world
        The processes that share the image.
    options
        Options of the format, and of `create` for what is known of an image besides its voxels.
    """
    options = dict(options or {})
    layout = {name: options.pop(name) for name in format.open_options if name in options}
    check_options(format, options)
    file = Path(os.fspath(file)).expanduser()
    world = world_or_connected(world)
    with together(world):
        array = FileArray(
            functools.partial(open_source, format, file, layout),
            file,
            format.noun,
            functools.partial(_metadata, given=options),
        )
        array.metadata = _checked(array, file)
    return VoxelImage(array, world)


def check_options(format: FileFormat, options: dict[str, Any], known: tuple[str, ...] = DESCRIBED) -> None:
    """Refuse options that neither the format nor the image knows."""
    layout = [n for n in ("shape", "dtype", "order", "offset") if n in options and n not in known]
    if layout:
        raise ValueError(f"{', '.join(layout)}: a {format.noun} says so itself; leave it out.")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"{', '.join(unknown)}: no option of a {format.noun}; there are {', '.join((*format.open_options, *known))}."
        )


def open_source(format: FileFormat, file: Path, layout: dict[str, Any]) -> Any:
    """Open a file, with a word on its format where it has no known suffix."""
    assert format.open is not None
    if format.name == "raw" and not layout and format_of(file) is None and not sidecar_path(file).exists():
        raise FileFormatError(
            f"file={str(file)!r}: its suffix names no format that lithax reads ({known_suffixes('open')}); shape and dtype must "
            "be given if it holds raw voxels."
        )
    return format.open(file, **layout)


def described(source: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return what a source says of its voxels, and over it what is given."""
    say = getattr(source, "described", dict)
    with warnings.catch_warnings():
        if "voxel_unit" in given:  # then nobody needs to hear that the file has a strange one
            warnings.filterwarnings("ignore", ".* has the unit ")
        return {**say(), **given}


def _metadata(source: Any, given: dict[str, Any]) -> Metadata:
    return Metadata(**described(source, given))


def _checked(array: FileArray, file: Path) -> Metadata:
    """Return the metadata in the form of an image's."""
    metadata = array.metadata
    said = {name: getattr(metadata, name) for name in DESCRIBED}
    frame = Frame(array.shape, said["voxel_length"], said["voxel_origin"], said["voxel_unit"])
    checked = metadata_changes(
        frame, {n: v for n, v in said.items() if n in ("field_name", "field_unit", "description")}
    )
    return Metadata(
        **checked, voxel_length=frame.voxel_length, voxel_origin=frame.voxel_origin, voxel_unit=frame.voxel_unit
    )

"""Import, export and conversion of files of other formats."""

import contextlib
import os
from pathlib import Path
from typing import Any

from lithax.images._collective import on_first, together, world_or_connected
from lithax.images._copy import copy_image, progress_of, transfer
from lithax.images._create import new_image
from lithax.images._described import DESCRIBED
from lithax.images._file_image import check_options, described, file_to_open, open_file, open_source
from lithax.images._open import open_image
from lithax.images._pyramid import pyramid
from lithax.images._raw import fill_from_file, import_raw
from lithax.images._voxel_image import VoxelImage
from lithax.runtime import SerialWorld
from lithax.storage.formats import ZARR_NODES, check_store_name, format_of, format_of_folder, known_suffixes

_CREATION = ("store", "path", "chunks", "shards", "overwrite", "world", "storage_options")
_CREATION += ("compressors", "filters", "serializer", "fill_value", "order", "chunk_key_encoding", "attributes")


def file_format(name: Any) -> str:
    """Return what a name stands for, by its ending: the name of a format in lower case, "ome-zarr",
    or "zarr".

    A file that is there and has no known suffix is raw; a folder of slices has the format of its
    files; URLs and stores are Zarr.

    Examples
    --------
    >>> [file_format(name) for name in ("rock.raw.gz", "rock.TIF", "rock.zarr", "s3://bucket/rock.ome.zarr")]
    ['raw', 'tiff', 'zarr', 'ome-zarr']
    """
    if not isinstance(name, str | os.PathLike):
        return "zarr"
    text = os.fspath(name).lower().rstrip("/")
    if text.endswith(".ome.zarr"):
        return "ome-zarr"
    place = Path(os.fspath(name))
    found = None if "://" in text else format_of_folder(place) if place.is_dir() else format_of(text)
    if found is not None:
        return found.name.lower()
    return "raw" if place.is_file() and not text.endswith(".zip") else "zarr"


def import_file(file: Any, store: Any = None, *, progress: bool = False, **options: Any) -> VoxelImage:
    """Copy a file of another format into a store, in bounded memory; what the file is, its suffix
    says.

    Parameters
    ----------
    file
        Path of the file: raw, TIFF, ``.npy``, NRRD, MetaImage, or another format of `file_formats`;
        or of a folder of TIFF files with one page each. A ``.npy`` file has the axes x, y, z; the
        pages of a TIFF stack are z, and so are the files of a folder, in the order of the numbers
        in their names.
    store
        Where the image goes, as for `create`; None for memory.
    progress
        Show a bar for work longer than a second.
    **options
        As for `create`; for raw files as for `import_raw`. What the file says of its voxels is
        taken over unless given.

    Returns
    -------
        The image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If an option does not go with the file.
    FileFormatError
        If the file is damaged, or does not hold one image.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/rock.npy", np.ones((4, 3, 2), "u2"))
    ...     image = import_file(f"{folder}/rock.npy", voxel_length=2.5, voxel_unit="um")
    >>> image.shape, image.dimensions
    ((4, 3, 2), (10.0, 7.5, 5.0))
    """
    if isinstance(file, tuple | list):
        return import_raw(file, store=store, progress=progress, **options)
    format = file_to_open(file)
    if format is None:
        raise ValueError(
            f"file={os.fspath(file) if isinstance(file, str | os.PathLike) else file!r} cannot be imported; files end with "
            f"{known_suffixes('open')}. Open stores with lx.open."
        )
    file = Path(os.fspath(file)).expanduser()
    layout = {name: options.pop(name) for name in format.open_options if name in options}
    if format.name == "raw":
        if not layout:
            open_source(format, file, layout).close()  # says what is missing
        return import_raw(file, store=store, progress=progress, **layout, **options)
    if "order" in options and "order" not in format.open_options:
        raise ValueError(f"order: a {format.noun} says so itself; leave it out.")
    check_options(format, options, (*DESCRIBED, *_CREATION))
    check_store_name(store)
    world = world_or_connected(options.get("world"))
    with contextlib.ExitStack() as opened:
        with together(world):
            source = open_source(format, file, layout)
            opened.callback(getattr(source, "close", lambda: None))
            wanted = described(source, options)
        with new_image(source.shape, source.dtype, store=store, filled_by="import_file", **wanted) as image:
            if hasattr(source, "read_stored"):
                fill_from_file(image.stored, source, image.world, progress)
            else:
                transfer(open_file(format, file, world, layout).stored, image.stored, image.world, None, progress)
    return image


def export_file(
    image: VoxelImage,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write an image to a file, whole or not at all, in bounded memory; see `VoxelImage.export`."""
    file = Path(os.fspath(file)).expanduser()
    name = file.name.lower()
    if name.endswith(".zarr"):
        made = {"overwrite": overwrite, "progress": progress, **options}
        pyramid(image, file, **made) if name.endswith(".ome.zarr") else copy_image(image, file, **made)
        return file
    format = format_of(file)
    if format is None or format.write is None:
        raise _unknown_target("file", file)
    if unknown := [option for option in options if option not in format.write_options]:
        known = f"; its options are {', '.join(format.write_options)}" if format.write_options else ""
        raise ValueError(f"{', '.join(unknown)}: no option of {file.name}, a {format.noun}{known}.")
    write = format.write
    if format.collective:
        write(image, file, overwrite=overwrite, progress=progress, **options)
        return file

    def alone() -> None:
        with progress_of(image.shape, SerialWorld(), "export", progress) as bar:
            write(image, file, overwrite=overwrite, progress=bar.add, **options)

    on_first(image.world, alone)
    return file


def _unknown_target(argument: str, file: Path) -> ValueError:
    problem = f"lithax does not write {file.suffix} files" if file.suffix else "a suffix must name the format"
    return ValueError(f"{argument}={str(file)!r}: {problem}; use one of .zarr, .ome.zarr, {known_suffixes('write')}.")


def convert(
    source: Any,
    target: Any,
    *,
    path: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> Any:
    """Turn an image or a file into another format, which the ending of `target` names.

    Parameters
    ----------
    source
        A file that `open` reads (raw ones with their JSON document, or `shape` and `dtype`), or a
        store.
    target
        A file that `VoxelImage.export` writes; ``.ome.zarr`` for an OME-Zarr pyramid; ``.zarr``, a
        name without suffix, a URL or a Zarr store for a store of lithax.
    path
        Path of the image inside the store of `source`.
    overwrite
        Replace what is there.
    progress
        Show a bar for work longer than a second.
    **options
        For a file as for `open`; for a target that is a store as for `import_file` and `create`,
        such as `chunks` and `voxel_length`; as for `pyramid` for ``.ome.zarr``, as for
        `VoxelImage.export` for a file.

    Returns
    -------
        The new image, or the path of the new file.
    """
    made = _target_kind(target)
    format = file_to_open(source)
    if format is not None:
        if path is not None:
            raise ValueError(f"path={path!r} is for stores, and {os.fspath(source)!r} is a file; leave it out.")
        if made == "zarr":
            return import_file(source, target, overwrite=overwrite, progress=progress, **options)
        known = {*DESCRIBED, *format.open_options, "world"}
        of_source = {name: options.pop(name) for name in list(options) if name in known}
        image = open_file(format, source, of_source.pop("world", None), of_source)
    else:
        image = open_image(source, path=path, mode="r")
    if made == "ome-zarr":
        return pyramid(image, target, overwrite=overwrite, progress=progress, **options)
    if made == "zarr":
        return copy_image(image, target, overwrite=overwrite, progress=progress, **options)
    return export_file(image, target, overwrite=overwrite, progress=progress, **options)


def _target_kind(target: Any) -> str:
    """Return "zarr", "ome-zarr" or "file"."""
    if not isinstance(target, str | os.PathLike):
        return "zarr"
    text = os.fspath(target).rstrip("/")
    if text.lower().endswith(".ome.zarr"):
        return "ome-zarr"
    place = Path(text)
    found = format_of(text)
    # A folder that is there, whatever it is called, if it is a store or no format has its name.
    is_store = place.is_dir() and (found is None or any((place / name).exists() for name in ZARR_NODES))
    if "://" in text or is_store or place.suffix.lower() in ("", ".zarr"):
        return "zarr"
    if found is None or found.write is None:
        raise _unknown_target("target", place)
    return "file"

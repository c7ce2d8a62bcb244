"""Files of other formats become images, and images such files."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lithax.images._collective import on_first, together, world_or_connected
from lithax.images._copy import MEMORY, copy_image, progress_of
from lithax.images._create import from_array, new_image
from lithax.images._open import open_image
from lithax.images._pyramid import pyramid
from lithax.images._raw import export_raw, fill_from_file, import_raw
from lithax.images._voxel_image import VoxelImage
from lithax.runtime import SerialWorld
from lithax.storage.formats import TIFF_SUFFIXES, TiffSource, check_new_file, write_tiff, written_whole

RAW_SUFFIXES = (".raw", ".bin", ".dat", ".img", ".vol")


def file_format(name: Any) -> str:
    """Return what a name stands for, by its ending: "raw", "npy", "tiff", "ome-zarr" or "zarr" (also for URLs and stores).

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
    suffix = Path(text.removesuffix(".gz")).suffix
    if suffix == ".npy":
        return "npy"
    if suffix in TIFF_SUFFIXES:
        return "tiff"
    return "raw" if suffix in RAW_SUFFIXES or (Path(text).is_file() and suffix != ".zip") else "zarr"


def import_file(file: Any, *, progress: bool = False, **options: Any) -> VoxelImage:
    """Make an image of a raw, ``.npy`` or TIFF file, by its ending, in bounded memory.

    Parameters
    ----------
    file
        Path of the file. A ``.npy`` file has the axes x, y, z; the pages of a TIFF stack are z.
    progress
        Show a bar for work longer than a second (not for ``.npy`` files).
    **options
        As for `create`; for raw files as for `import_raw`. What a TIFF file of ImageJ says of its voxels is taken over unless given.

    Raises
    ------
    TypeError, ValueError
        If an option does not go with the file, or the file does not hold one image.
    """
    kind = file_format(file)
    if kind == "raw":
        return import_raw(file, progress=progress, **options)
    if layout := [name for name in ("shape", "dtype", "order", "offset") if name in options]:
        raise ValueError(f"{', '.join(layout)}: a {kind} file says itself what it holds; leave it out.")
    if kind == "npy":
        return from_array(np.load(file, mmap_mode="r"), **options)
    if kind != "tiff":
        raise ValueError(f"file={os.fspath(file)!r} is no file that is imported; open images with lx.open.")
    world = world_or_connected(options.get("world"))
    with contextlib.ExitStack() as opened:
        with together(world):
            source = opened.enter_context(TiffSource(file))
        wanted = {**source.described(), **options}
        with new_image(source.shape, source.dtype, filled_by="import_file", **wanted) as image:
            fill_from_file(image.stored, source, image.world, progress)
    return image


def export_file(
    image: VoxelImage,
    file: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write an image to a raw, ``.npy`` or TIFF file, by its ending, whole or not at all, in bounded memory.

    Parameters
    ----------
    image
        The image.
    file
        Path of the file to make.
    overwrite
        Replace a file that is there.
    progress
        Show a bar for work longer than a second.
    **options
        For raw files, as for `export_raw`.

    Raises
    ------
    TypeError, ValueError
        If an option does not go with the file, or its format has no such data type.
    FileExistsError
        If the file exists and `overwrite` is False.
    IsADirectoryError, FileNotFoundError
        If it is a directory, or its directory does not exist.
    """
    kind, file = file_format(file), Path(file)
    if kind in ("raw", "zarr"):
        return export_raw(image, file, overwrite=overwrite, progress=progress, **options)
    if options:
        raise ValueError(f"{', '.join(options)}: these are for raw files; {file.name} is a {kind} file.")

    def write() -> None:
        if kind == "npy":
            _write_npy(image, file, overwrite, progress)
            return
        length, unit = image.voxel_length, str(image.voxel_unit)
        with progress_of(image.shape, SerialWorld(), "export", progress) as bar:
            planes = _planes(image, bar)
            write_tiff(
                file, image.shape, image.dtype, planes, voxel_length=length, voxel_unit=unit, overwrite=overwrite
            )

    on_first(image.world, write)
    return file


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
        A raw (with its JSON document, or `shape` and `dtype`), ``.npy`` or TIFF file, or a store that `open` reads.
    target
        ``.raw``, ``.npy``, ``.tif``; ``.ome.zarr`` for an OME-Zarr pyramid; otherwise a store of lithax.
    path
        Path of the image inside the store of `source`.
    overwrite
        Replace what is there.
    progress
        Show a bar for work longer than a second.
    **options
        As for `import_file` and `create`, such as `chunks` and `voxel_length`; as for `pyramid` for ``.ome.zarr``.

    Returns
    -------
        The new image, or the path of the new file.
    """
    made, kind = file_format(target), file_format(source)
    if kind not in ("zarr", "ome-zarr"):
        if made == "zarr":
            return import_file(source, store=target, overwrite=overwrite, progress=progress, **options)
        with _between(source, target, options) as image:
            return _convert_image(image, target, made, overwrite, {"progress": progress})
    image = open_image(source, path=path, mode="r")
    return _convert_image(image, target, made, overwrite, {"progress": progress, **options})


def _convert_image(image: VoxelImage, target: Any, made: str, overwrite: bool, options: dict[str, Any]) -> Any:
    if made == "ome-zarr":
        return pyramid(image, target, overwrite=overwrite, **options)
    if made == "zarr":
        return copy_image(image, target, overwrite=overwrite, **options)
    return export_file(image, target, overwrite=overwrite, **options)


@contextlib.contextmanager
def _between(source: Any, target: Any, options: dict[str, Any]) -> Iterator[VoxelImage]:
    """Give a file as an image for a moment: in a store beside the target, which is removed."""
    place = Path(target)
    store = place.with_name(f".{place.name}.{secrets.token_hex(4)}.zarr")
    try:
        yield import_file(source, store=store, **options)
    finally:
        import shutil

        shutil.rmtree(store, ignore_errors=True)


def _write_npy(image: VoxelImage, file: Path, overwrite: bool, progress: bool) -> None:
    check_new_file(file, overwrite)
    with written_whole(file) as temporary:
        out = np.lib.format.open_memmap(temporary, "w+", image.dtype, image.shape)
        with progress_of(image.shape, SerialWorld(), "export", progress) as bar:
            for n in range(len(image.stored.unit_grid)):
                box = image.chunk_slices(n, unit="shard")
                out[box] = image[box]
                bar.add(out[box].size)
        out.flush()
        del out


def _planes(image: VoxelImage, bar: Any) -> Iterator[np.ndarray]:
    """Yield the planes z = 0, 1, ... as (y, x), read as many at once as half a GiB holds, whole chunks if possible."""
    nx, ny, nz = image.shape
    chunk = image.chunks[2]
    room = max(1, MEMORY // (nx * ny * image.dtype.itemsize))
    step = room if room < chunk else room // chunk * chunk
    for first in range(0, nz, step):
        slab = image[:, :, first : first + step]
        for n in range(slab.shape[2]):
            plane = np.ascontiguousarray(slab[:, :, n].T)
            bar.add(plane.size)
            yield plane.view(np.uint8) if plane.dtype == bool else plane

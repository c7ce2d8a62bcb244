"""Images that are there already."""

import os
from typing import Any, Literal

from lithax.errors import IncompleteImageError
from lithax.groups import open_group
from lithax.images._file_image import file_to_open, open_file
from lithax.images._voxel_image import VoxelImage
from lithax.storage import check_reads, locate, open_array


def open(
    store: Any,
    *,
    path: str | None = None,
    mode: Literal["r", "r+"] = "r+",
    incomplete: bool = False,
    check: bool = False,
    storage_options: Any = None,
    world: Any = None,
    **options: Any,
) -> Any:
    """Open an image, or a dual-energy study (`lithax.dect.Study`; those of RockVerse, too).

    Own images, those of RockVerse, and three-dimensional Zarr v3 arrays can be read and written.
    Zarr v2 arrays, and the levels of OME-Zarr, whose axes z, y, x are taken as x, y, z when voxels
    are read, can be read and copied.

    Files of other formats (`file_formats`: TIFF, raw, ``.npy``, NRRD, MetaImage), and folders of
    TIFF files with one page each, are opened lazily, too: nothing is copied, voxels are read from
    the file when they are needed. `import_file` makes a store of one, which is faster to work with
    where a file is compressed, or read more than once.

    Parameters
    ----------
    store
        A path of a store or a file, a URL, or a Zarr store. An OME-Zarr group stands for its level
        of full resolution.
    path
        Path of the image inside the store; its root by default.
    mode
        "r+" to read and write, "r" to read only.
    incomplete
        Open an image that was cut off while it was written.
    check
        Compare the stored bytes of everything that is read with the digests recorded when it was
        written: damage that the codec does not notice is an error, instead of wrong voxels. A shard
        is then read as a whole.
    storage_options
        Options for the file system behind a URL.
    world
        The processes that share the image; the connected ones by default.
    **options
        For a file: what its format asks for (`shape`, `dtype`, `offset` and `order` of a raw file
        without a JSON document beside it, see `import_raw`), and `voxel_length`, `voxel_unit` and
        their like, as for `create`, which override what the file says.

    Raises
    ------
    FileNotFoundError
        If nothing is there; nothing is made.
    MetadataError
        If there is no image, or one that this version cannot read.
    IncompleteImageError
        If the image was cut off while it was written, and `incomplete` is False.
    """
    if mode not in ("r", "r+"):
        raise ValueError(
            f"mode={mode!r} must be 'r' (read only) or 'r+' (read and write); use create() for new images."
        )
    if store is None:
        raise TypeError("store=None is new memory, which holds no image; pass a path, a URL or a Zarr store.")
    if (file := file_to_open(store)) is not None:
        if path is not None or storage_options is not None:
            name = "path" if path is not None else "storage_options"
            raise ValueError(f"{name}= is for stores, and {os.fspath(store)!r} is a file; leave it out.")
        return open_file(file, store, world, options)
    if options:
        raise TypeError(
            f"{', '.join(options)}: only files of other formats take this, and store={store!r} is none; change what is stored "
            "with image.update(...)."
        )
    place = locate(store, path, read_only=mode == "r", storage_options=storage_options)
    if (group := open_group(place, world)) is not None:
        return group
    stored = open_array(place, read_only=mode == "r")
    if stored.metadata.state != "complete" and not incomplete:
        run = stored.metadata.run
        maker = run.get("function") if isinstance(run, dict) else None
        way_out = (
            f"Repeat the {maker}() that made it, with overwrite=True"
            if isinstance(maker, str)
            else "Repeat the call that was writing it, with resume=True"
        )
        raise IncompleteImageError(
            f"store={place.label} holds an image that was cut off while it was written. {way_out}, or open it with "
            "incomplete=True to look at what is there."
        )
    if check:
        check_reads(stored)
    return VoxelImage(stored, world)


open_image = open
"""The same function, for modules that also use the built-in `open`."""

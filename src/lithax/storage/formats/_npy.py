"""Files of NumPy (``.npy``) with the axes x, y, z: a header, and the voxels as they are."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from lithax.errors import FileFormatError
from lithax.storage.formats._damage import check_beginning, check_file, readable
from lithax.storage.formats._lost import warn_of_lost
from lithax.storage.formats._new_file import check_new_file, written_whole
from lithax.storage.formats._planes import Count
from lithax.storage.formats._positional_file import PositionalFile
from lithax.storage.formats._raw_source import RawSource


class NpySource(RawSource):
    """The voxels of a ``.npy`` file, read box by box; it says nothing of their size.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is no such file, or holds no three-dimensional array of numbers.
    """

    def __init__(self, file: str | os.PathLike[str]):
        check_file(file)
        with readable(file, "a .npy file"):
            check_beginning(file, (np.lib.format.MAGIC_PREFIX,))
            try:
                array = np.load(file, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                if "Python objects" not in str(error):
                    raise
                raise FileFormatError(
                    f"file={os.fspath(file)!r} holds Python objects; an image holds numbers."
                ) from error
            shape, dtype, offset, flags = array.shape, array.dtype, array.offset, array.flags
            order = "C" if flags.c_contiguous else "F"
            del array
            if len(shape) != 3 or 0 in shape:
                rule = "three axes, x, y and z" if len(shape) != 3 else "at least one voxel"
                raise FileFormatError(f"file={os.fspath(file)!r} holds an array of shape {shape}; an image has {rule}.")
            if dtype.kind not in "biufc":
                raise FileFormatError(f"file={os.fspath(file)!r} holds {dtype}; an image holds numbers or booleans.")
            super().__init__(file, shape, dtype, offset=offset, order=order, exact=False)


def write_npy(
    image: Any, file: str | os.PathLike[str], *, overwrite: bool = False, progress: Count = lambda voxels: None
) -> Path:
    """Write the voxels of an image with the axes x, y, z, in C order, whole or not at all; one
    warning names what else is known of the image, for which there is no place.
    """
    file = Path(file)
    check_new_file(file, overwrite)
    with written_whole(file) as temporary:
        out = np.lib.format.open_memmap(temporary, "w+", image.dtype, image.shape)
        with temporary.open("r+b", buffering=0) as stream:
            # A full disk must show now: where a page of a mapped file finds no room, the system
            # ends the process.
            PositionalFile(stream).reserve(temporary.stat().st_size)
        for n in range(len(image.stored.unit_grid)):
            box = image.chunk_slices(n, unit="shard")
            out[box] = image[box]
            progress(out[box].size)
        out.flush()
        del out
    warn_of_lost(image, file, "a .npy file")
    return file

"""File formats as values: a name, the suffixes of its files, how they are opened, and how they are
written.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lithax.grid import Box, Index


class FileSource(Protocol):
    """An open file, read box by box; what `FileFormat.open` returns.

    It may also have `described()`, a mapping of arguments of `lithax.create` such as
    ``voxel_length`` that the file says of its voxels; `order`, "F" where x runs fastest in the file
    and "C" where z does; and `close()`.
    """

    @property
    def shape(self) -> Index:
        """Number of voxels along x, y and z."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel, in the byte order of this machine."""
        ...

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, three slices, indexed ``[x, y, z]``; may be called by several
        threads at once.
        """
        ...


@dataclass(frozen=True)
class FileFormat:
    """A file format that images are read from, or written to.

    Parameters
    ----------
    name
        What the format is called, in messages and on the command line.
    suffixes
        Endings of its files, in lower case with their dot; of two that fit, the longer one decides.
    open
        ``open(file, **options)`` returns a `FileSource`; None if the format is only written.
    write
        ``write(image, file, overwrite=..., progress=..., **options)`` makes the file, whole or not
        at all; None if the format is only read. `image` is a `VoxelImage`, ``progress(n)`` is to be
        called as n more voxels are written.
    open_options, write_options
        Names of the options that `open` and `write` know.
    collective
        Whether `write` is called on every process, and they share the work; else the first one
        writes alone. `progress` is then whether a bar is shown.
    open_folder
        As `open`, for a folder of such files that are the slices of one image; None if there are no
        such folders.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[..., FileSource] | None = None
    write: Callable[..., Any] | None = None
    open_options: tuple[str, ...] = ()
    write_options: tuple[str, ...] = ()
    collective: bool = False
    open_folder: Callable[..., FileSource] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.suffixes, str) or not all(s.startswith(".") and s == s.lower() for s in self.suffixes):
            raise ValueError(
                f"suffixes={self.suffixes!r} must be endings in lower case with their dot, such as ('.tif',)."
            )
        if self.open is None and self.write is None:
            raise ValueError(f"the format {self.name!r} is neither opened nor written; give open=, write=, or both.")

    @property
    def noun(self) -> str:
        """What messages call one: "TIFF file", "folder of TIFF files"."""
        folder = self.open is not None and self.open == self.open_folder
        return f"folder of {self.name} files" if folder else f"{self.name} file"


_FORMATS: dict[str, FileFormat] = {}

ZARR_NODES = frozenset(("zarr.json", ".zarray", ".zgroup", ".zattrs"))
"""Files that make a folder a Zarr store, of version 3 or 2."""


def register_format(format: FileFormat, *, replace: bool = False) -> FileFormat:
    """Let `lithax.open`, `import_file`, `VoxelImage.export` and the command line know a format.

    Parameters
    ----------
    format
        The format.
    replace
        Take the place of one of that name, or of those that have one of its suffixes.

    Raises
    ------
    ValueError
        If there is one already, and `replace` is False.
    """
    rivals = {f.name: f for f in _FORMATS.values() if f.name == format.name or set(f.suffixes) & set(format.suffixes)}
    if rivals and not replace:
        raise ValueError(
            f"format {format.name!r} with {', '.join(format.suffixes)} has a name or suffix of the format "
            f"{', '.join(rivals)}; pass replace=True to take its place."
        )
    for name in rivals:
        del _FORMATS[name]
    _FORMATS[format.name] = format
    return format


def file_formats() -> tuple[FileFormat, ...]:
    """Return the formats that are known, in the order in which they were registered."""
    return tuple(_FORMATS.values())


def format_of(file: str | os.PathLike[str]) -> FileFormat | None:
    """Return the format of a file by its suffix; None if no format has it."""
    name = Path(os.fspath(file)).name.lower()
    fitting = [(len(s), f.name) for f in _FORMATS.values() for s in f.suffixes if name.endswith(s) and name != s]
    return _FORMATS[max(fitting)[1]] if fitting else None


def format_of_folder(folder: str | os.PathLike[str]) -> FileFormat | None:
    """Return the format whose slices lie in a folder, as one that opens it; None if it holds none,
    or is a Zarr store.
    """
    names = [entry.name.lower() for entry in os.scandir(folder)]
    if not ZARR_NODES.isdisjoint(names):
        return None
    for known in _FORMATS.values():
        if known.open_folder is not None and any(n.endswith(known.suffixes) and n[0] != "." for n in names):
            return replace(known, open=known.open_folder, write=None)
    return None


def known_suffixes(use: str) -> str:
    """Return the suffixes of all formats that are opened ("open"), or written ("write"), for
    messages; of compressed twins, .raw.gz beside .raw, only where they are opened.
    """
    return ", ".join(
        s
        for f in _FORMATS.values()
        if getattr(f, use) is not None
        for s in f.suffixes
        if use == "open" or s.removesuffix(".gz") == s or s.removesuffix(".gz") not in f.suffixes
    )


# Formats of other programs whose files are often taken for the place of a store.
_FOREIGN = (
    ".vti",
    ".vtk",
    ".nc",
    ".h5",
    ".hdf5",
    ".nii",
    ".nii.gz",
    ".mat",
    ".am",
    ".dcm",
    ".png",
    ".jpg",
    ".csv",
    ".zip",
)


def check_store_name(store: Any) -> None:
    """Refuse to make a store, which is a folder, under the name of a file of another format.

    Raises
    ------
    ValueError
        If `store` is a path that ends like such a file; a store that is there already may be called
        anything.
    """
    if not isinstance(store, str | os.PathLike):
        return
    name = os.fspath(store)
    if not isinstance(name, str) or "://" in name or Path(name).is_dir():
        return
    found = format_of(name)
    foreign = next((s for s in _FOREIGN if Path(name).name.lower().endswith(s)), None)
    if found is None and foreign is None:
        return
    if found is not None and found.write is not None:
        way_out = f"to write a {found.name} file, use image.export({Path(name).name!r})"
    else:
        way_out = f"files that lithax writes end with {known_suffixes('write')}"
    raise ValueError(
        f"store={name!r} ends like a file of another format; a store is a folder, such as {Path(name).stem + '.zarr'!r}; "
        f"{way_out}."
    )

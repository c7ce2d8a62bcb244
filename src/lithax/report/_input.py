"""What a report is made of: an image, an array, or a file in one of several formats."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lithax.images import VoxelImage, file_format, from_array, import_file
from lithax.images import open as open_image

HASHED = 4 * 2**30
"""Files up to this size are hashed as they are; the voxels always are [byte]."""


@dataclass(frozen=True)
class RawLayout:
    """How a raw file is to be read; None: its JSON document says so."""

    shape: tuple[int, int, int] | None = None
    dtype: Any = None
    order: str | None = None
    offset: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is known."""
        known = {"shape": self.shape, "dtype": self.dtype, "order": self.order, "offset": self.offset}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Source:
    """Where an image comes from, for the record."""

    image: VoxelImage
    described: dict[str, Any] = field(default_factory=dict)


def open_source(
    source: Any,
    folder: Path,
    *,
    layout: RawLayout,
    voxel_length: Any = None,
    voxel_unit: str | None = None,
    overwrite: bool = False,
) -> Source:
    """Return the image that a report is made of; a file in another format is imported to
    ``scan.zarr``.

    Parameters
    ----------
    source
        An image; an array indexed ``[x, y, z]``; the path or URL of a Zarr store; the path of a
        file that `lithax.open` reads: raw, TIFF, ``.npy``, NRRD, MetaImage, ...
    folder
        Where ``scan.zarr`` goes.
    layout
        How a raw file is to be read.
    voxel_length, voxel_unit
        Override what the source says.
    overwrite
        Replace ``scan.zarr``.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If there is nothing, or nothing that can be read as an image.
    """
    geometry = {name: v for name, v in (("voxel_length", voxel_length), ("voxel_unit", voxel_unit)) if v is not None}
    if isinstance(source, VoxelImage):
        _refuse_layout(layout, "an image")
        return _described(source, {"image": source.stored.where}, geometry, folder, overwrite)
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        _refuse_layout(layout, "an array")
        image = from_array(source, store=folder / "scan.zarr", overwrite=overwrite, **geometry)
        return Source(image, {"array": type(source).__name__})
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"image is a {type(source).__name__}; give an image, an array, or the path of a file or store.")
    return _from_path(os.fspath(source), folder, layout, geometry, overwrite)


def _from_path(path: str, folder: Path, layout: RawLayout, geometry: dict[str, Any], overwrite: bool) -> Source:
    local = Path(path)
    if "://" in path or (local.is_dir() and file_format(local) == "zarr"):
        _refuse_layout(layout, f"the store {path}")
        return _described(open_image(path, mode="r"), {"store": path}, geometry, folder, overwrite)
    if not local.exists():
        raise FileNotFoundError(f"image={path!r} does not exist; give the path of a file, or of a Zarr store.")
    if local.is_dir():
        record: dict[str, Any] = {"folder": path}
    else:
        record = {"file": path, "bytes": local.stat().st_size}
        if local.stat().st_size <= HASHED:
            with local.open("rb") as stream:
                record["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    target = {"store": folder / "scan.zarr", "overwrite": overwrite, **geometry}
    if file_format(local) != "raw":
        _refuse_layout(layout, f"{local.name}, which says so itself")
    record["layout"] = {k: str(v) if k == "dtype" else v for k, v in layout.given.items()}
    return Source(import_file(local, **layout.given, **target), record)


def _described(
    image: VoxelImage, record: dict[str, Any], geometry: dict[str, Any], folder: Path, overwrite: bool
) -> Source:
    if not geometry:
        return Source(image, record)
    target = folder / "scan.zarr"
    if not image.path and Path(image.stored.where.removeprefix("file://")).resolve() == target.resolve():
        raise ValueError(
            f"{', '.join(geometry)}: the input {target} would have to be replaced by a copy of itself; change it with "
            "image.update(...), or name another output."
        )
    # The source is not ours to change; a copy of its chunks is cheap beside what follows.
    copy = image.copy(target, overwrite=overwrite, **geometry)
    return Source(copy, record)


def _refuse_layout(layout: RawLayout, what: str) -> None:
    if layout.given:
        raise ValueError(f"{', '.join(layout.given)}: only raw files need this, but the input is {what}; leave it out.")

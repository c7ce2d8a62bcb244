"""An image in a line, for the commands that made it."""

from typing import Any


def describe(image: Any) -> str:
    """Return what an image is: "rock.zarr: 512 x 512 x 400 voxels of uint16, each 2.5 um, chunks
    128 x 128 x 128".
    """
    lengths = image.voxel_length if len(set(image.voxel_length)) > 1 else image.voxel_length[:1]
    each = " x ".join(f"{h:.6g}" for h in lengths)
    parts = [f"{_by(image.shape)} voxels of {image.dtype}"]
    if image.voxel_unit or each != "1":
        parts.append(f"each {each} {image.voxel_unit}".rstrip())
    parts.append(f"chunks {_by(image.chunks)}")
    if image.shards is not None:
        parts.append(f"shards {_by(image.shards)}")
    return f"{image.stored.where.removeprefix('file://')}: {', '.join(parts)}"


def _by(numbers: Any) -> str:
    return " x ".join(map(str, numbers))

"""How an image looks in a notebook, and to xarray."""

import base64
import html as text
import struct
import zlib
from typing import Any

import numpy as np

from lithax.images._voxel_image import VoxelImage

_PIXELS = 256
"""Longest edge of a picture [pixel]."""

_CHUNKS = 64
"""A picture decodes at most about this many chunks: of a very large image it shows the central
part.
"""


def html(image: VoxelImage) -> str:
    """Return a table of what the image is, and pictures of three slices through its middle."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{text.escape(name)}</th><td style='text-align:left'>{text.escape(value)}</td></tr>"
        for name, value in _table(image).items()
    )
    try:
        pictures = _pictures(image)
    except Exception as error:  # a picture is not worth losing the table for
        pictures = f"<p>No picture: {text.escape(str(error))}</p>"
    return f"<div><table>{rows}</table>{pictures}</div>"


def _table(image: VoxelImage) -> dict[str, str]:
    unit = f" {image.voxel_unit}" if image.voxel_unit else ""

    def triple(values: Any) -> str:
        return " × ".join(f"{v:g}" for v in values) + unit

    field = image.field_name + (f" [{image.field_unit}]" if image.field_unit else "")
    shards = f", shards {image.shards}" if image.shards else ""
    table = {
        "field": field,
        "description": image.description,
        "shape": " × ".join(map(str, image.shape)),
        "dtype": str(image.dtype),
        "size": _bytes(image.nbytes),
        "voxel": triple(image.voxel_length),
        "dimensions": triple(image.dimensions),
        "origin": "(" + ", ".join(f"{v:g}" for v in image.voxel_origin) + ")" + unit,
        "chunks": f"{image.chunks} ({image.nchunks}){shards}",
        "store": image.stored.where + (f" ({image.stored.note})" if image.stored.note else ""),
        "state": "" if image.metadata.state == "complete" else image.metadata.state,
    }
    return {name: value for name, value in table.items() if value}


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def _pictures(image: VoxelImage) -> str:
    slices = {}
    for name, across, down, normal in (("xy", 0, 1, 2), ("xz", 0, 2, 1), ("yz", 1, 2, 0)):
        ranges = [range(0)] * 3
        ranges[normal] = range(image.shape[normal] // 2, image.shape[normal] // 2 + 1)
        for axis in (across, down):
            ranges[axis] = _window(image.shape[axis], image.chunks[axis])
        values = image.stored.read_selection((ranges[0], ranges[1], ranges[2]))
        # Rows run down the picture, columns across.
        plane = np.squeeze(values, normal).T
        size = [len(ranges[axis]) * ranges[axis].step * image.voxel_length[axis] for axis in (across, down)]
        slices[name] = _magnitude(plane), size
    finite = np.concatenate([plane[np.isfinite(plane)] for plane, _ in slices.values()])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    longest = max(max(size) for _, size in slices.values())
    figures = []
    for name, (plane, size) in slices.items():
        width, height = (max(1, round(_PIXELS * s / longest)) for s in size)
        data = base64.b64encode(png(plane, low, high)).decode()
        figures.append(
            f"<figure style='display:inline-block;margin:4px'><img alt='{name}' "
            f"style='width:{width}px;height:{height}px;image-rendering:pixelated' "
            f"src='data:image/png;base64,{data}'><figcaption>{name}</figcaption></figure>"
        )
    return f"<div>{''.join(figures)}</div><p>black {low:g}, white {high:g}</p>"


def _window(n: int, chunk: int) -> range:
    """Return at most 256 indices through the middle of an axis that meet a bounded number of
    chunks.
    """
    length = min(n, max(round(_CHUNKS**0.5) * chunk, _PIXELS))
    start = (n - length) // 2
    return range(start, start + length, -(-length // _PIXELS))


def _magnitude(plane: np.ndarray) -> np.ndarray:
    if plane.dtype.kind == "c":
        plane = np.abs(plane)
    return plane.astype(np.float64)


def png(plane: np.ndarray, low: float, high: float) -> bytes:
    """Return a grey PNG of a plane, rows downwards; what is not a finite number is transparent.

    Parameters
    ----------
    plane
        float64, shape (rows, columns).
    low, high
        Values shown black and white; where they are equal everything is middle grey.
    """
    seen = np.isfinite(plane)
    span = 0.5 * high - 0.5 * low  # halves, whose difference cannot overflow
    with np.errstate(all="ignore"):
        grey = 255.0 * ((0.5 * plane - 0.5 * low) / span) if span > 0 else np.full(plane.shape, 127.0)
    pixels = np.empty((*plane.shape, 2), np.uint8)
    pixels[..., 0] = np.clip(np.where(seen, grey, 0.0), 0, 255)
    pixels[..., 1] = np.where(seen, 255, 0)
    rows, columns = plane.shape
    lines = np.zeros((rows, 1 + 2 * columns), np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(rows, -1)

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 4, 0, 0, 0)  # 8 bits, grey with opacity
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", zlib.compress(lines.tobytes()))
        + part(b"IEND", b"")
    )


def to_xarray(image: VoxelImage) -> Any:
    """Return a lazy DataArray; see `VoxelImage.to_xarray`."""
    try:
        import xarray
        from xarray.backends import BackendArray
        from xarray.core import indexing
    except ImportError as error:
        raise ImportError("to_xarray() needs xarray; pip install 'lithax[xarray]'.") from error

    class Voxels(BackendArray):
        """Reads what is asked for: integers and slices."""

        shape = image.shape
        dtype = image.dtype

        def __getitem__(self, key: Any) -> Any:
            basic = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, image.shape, basic, lambda selection: image[selection])

    length = {"units": image.voxel_unit} if image.voxel_unit else {}
    attributes = {"long_name": image.field_name, "units": image.field_unit, "description": image.description}
    return xarray.DataArray(
        xarray.Variable(("x", "y", "z"), indexing.LazilyIndexedArray(Voxels())),
        coords={axis: (axis, image.frame.axis_coordinates(axis), length) for axis in "xyz"},
        name=image.field_name or None,
        attrs={name: value for name, value in attributes.items() if value},
    )

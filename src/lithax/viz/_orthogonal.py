"""Three slices through a point, with a phase laid over them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.geometry import AbstractRegion
from lithax.images import VoxelImage
from lithax.viz._figure import FAINT, OVERLAY, drawing
from lithax.viz._levels import levels_of
from lithax.viz._pixels import blend, grey_pixels
from lithax.viz._plane import Plane, on_plane
from lithax.viz._plane_reader import PlaneReader
from lithax.viz._scale_bar import draw_scale_bar
from lithax.viz._unit import unit_symbol

PIXELS = 800
"""About as many, and less than twice as many, pixels the longest edge of a slice is drawn with, if
it has so many voxels.
"""

_PLANES = (("xy", 0, 1, 2), ("xz", 0, 2, 1), ("yz", 1, 2, 0))  # name, axis across, axis up, normal


@dataclass(frozen=True)
class Slice:
    """One slice of an image: everything that drawing it needs."""

    name: str
    """"xy", "xz" or "yz": the axis across and the one upwards."""
    position: float
    """Coordinate along the third axis [unit of length]."""
    values: np.ndarray
    """Shape (across, up)."""
    extent: tuple[float, float, float, float]
    """Left, right, bottom and top [unit of length]."""
    overlay: np.ndarray | None = None
    """True where a colour is laid over."""
    shaded: np.ndarray | None = None
    """True outside of the region of interest."""


def cut(
    image: VoxelImage,
    point: tuple[int, int, int] | None = None,
    *,
    overlay: VoxelImage | None = None,
    region: AbstractRegion | None = None,
) -> tuple[Slice, Slice, Slice]:
    """Read the three slices through a voxel: only the chunks that they cut, of a coarser level
    where there is one.

    Parameters
    ----------
    image
        Any image of real numbers or booleans.
    point
        Indices of the voxel; the middle of the image by default.
    overlay
        Boolean image on the same grid.
    region
        Region of interest.

    Raises
    ------
    IndexError
        If the voxel is not in the image.
    ValueError
        If the overlay has another shape.
    """
    middle = tuple(n // 2 for n in image.shape) if point is None else tuple(int(i) for i in point)
    if any(not 0 <= i < n for i, n in zip(middle, image.shape, strict=True)):
        raise IndexError(f"point={point} is not a voxel of an image of shape {image.shape}.")
    if overlay is not None and overlay.shape != image.shape:
        raise ValueError(f"overlay has shape {overlay.shape}, the image {image.shape}; they must agree.")
    levels, reader = levels_of(image), PlaneReader()
    lower, upper = image.frame.extent
    place = image.frame.index_to_coordinate(*middle)
    slices = []
    for name, across, up, normal in _PLANES:
        window = (lower[across], upper[across]), (lower[up], upper[up])
        size = max(b - a for a, b in window) / PIXELS
        # The reader knows the plane of y and z with z across.
        axes = (across, up) if normal else (up, across)
        plane = Plane(levels, axes, place, window if normal else (window[1], window[0]), (size, size))

        def turned(values: np.ndarray, normal: int = normal) -> np.ndarray:
            return values if normal else values.T

        shaded = None
        if region is not None:
            shaded = turned(~on_plane(region.contains, axes, plane.places, place[normal]))
        left, right, bottom, top = plane.extent
        slices.append(
            Slice(
                name,
                place[normal],
                turned(plane.read(reader)),
                (left, right, bottom, top) if normal else (bottom, top, left, right),
                None if overlay is None else turned(plane.read_beside(reader, overlay)).astype(bool),
                shaded,
            )
        )
    return slices[0], slices[1], slices[2]


def orthogonal(
    image: VoxelImage,
    point: tuple[int, int, int] | None = None,
    *,
    overlay: VoxelImage | None = None,
    region: AbstractRegion | None = None,
    limits: tuple[float, float] | None = None,
    color: str = OVERLAY,
    alpha: float = 0.55,
) -> Any:
    """Draw the three slices through a voxel, with a scale bar; with an overlay, once without and
    once with it.

    Parameters
    ----------
    image, point, overlay, region
        As in `cut`. What is not in the region is lightened.
    limits
        Values shown black and white; by default the percentiles 0.5 and 99.5 of the slices.
    color, alpha
        Colour of the overlay and its opacity.

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.
    """
    slices = cut(image, point, overlay=overlay, region=region)
    return draw_slices(slices, unit_symbol(image.frame.unit_name), limits=limits, color=color, alpha=alpha)


def draw_slices(
    slices: tuple[Slice, ...],
    unit: str,
    *,
    limits: tuple[float, float] | None = None,
    color: str = OVERLAY,
    alpha: float = 0.55,
) -> Any:
    """Draw slices side by side, and below once more with their overlay; see `orthogonal`."""
    low, high = limits or _limits(slices)
    rows = 2 if any(s.overlay is not None for s in slices) else 1
    with drawing(9.2, 3.25 * rows) as figure:
        from matplotlib.colors import to_rgb

        rgb = [255 * c for c in to_rgb(color)]
        widths = [s.extent[1] - s.extent[0] for s in slices]
        grid = figure.subplots(rows, len(slices), squeeze=False, gridspec_kw={"width_ratios": widths})
        for row in range(rows):
            for axes, part in zip(grid[row], slices, strict=True):
                pixels = slice_pixels(part, low, high, rgb if row else None, alpha)
                axes.imshow(pixels, origin="lower", extent=part.extent, interpolation="nearest", aspect="equal")
                axes.set_xticks([])
                axes.set_yticks([])
                for spine in axes.spines.values():
                    spine.set(visible=True, color=FAINT, linewidth=0.6)
                axes.set_xlabel(f"{part.name[0]} →", labelpad=2)
                axes.set_ylabel(f"{part.name[1]} →", labelpad=2)
                draw_scale_bar(axes, part.extent[1] - part.extent[0], unit)
                if row == 0:
                    normal = ({"x", "y", "z"} - set(part.name)).pop()
                    axes.set_title(f"{part.name} at {normal} = {part.position:.4g} {unit}")
    return figure


def slice_pixels(part: Slice, low: float, high: float, color: Any = None, alpha: float = 0.55) -> np.ndarray:
    """Return a slice as colours, shape (up, across, 3): grey levels, the overlay if a colour is
    given, what is outside lightened.
    """
    pixels = grey_pixels(part.values.T, low, high)
    if color is not None and part.overlay is not None:
        pixels = blend(pixels, part.overlay.T, color, alpha)
    if part.shaded is not None:
        pixels = blend(pixels, part.shaded.T, (255, 255, 255), 0.6)
    return pixels


def _limits(slices: tuple[Slice, ...]) -> tuple[float, float]:
    values = np.concatenate([s.values[np.isfinite(s.values)].ravel() for s in slices]).astype(np.float64)
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, [0.5, 99.5])
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))

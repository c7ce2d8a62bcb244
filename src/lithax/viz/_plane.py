"""Which voxels stand for the pixels of a slice, of which level, and where they are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.images import VoxelImage
from lithax.viz._levels import levels_of, sharp_enough
from lithax.viz._plane_reader import PlaneReader


class Plane:
    """A window of the plane through a point, in about so many pixels.

    Parameters
    ----------
    levels
        An image and its coarser levels, as `levels_of` returns them; the coarsest that is sharp
        enough is read.
    axes
        The axes across and up: (0, 1), (0, 2) or (2, 1).
    point
        Coordinates of a voxel that the plane goes through [voxel_unit].
    window
        Lower and upper end of what is seen across and up [voxel_unit].
    pixel
        Length that a pixel covers across and up [voxel_unit].
    """

    def __init__(
        self,
        levels: Sequence[VoxelImage],
        axes: tuple[int, int],
        point: tuple[float, float, float],
        window: tuple[tuple[float, float], tuple[float, float]],
        pixel: tuple[float, float],
    ):
        self.image = levels[0]
        self.axes, self.point, self.pixel = axes, point, pixel
        self.normal = 3 - sum(axes)
        self.number = sharp_enough(levels, axes, pixel)
        """Which level is read."""
        self.level = levels[self.number]
        self.frame = _same_unit(self.level.frame, self.image.frame)
        self.steps = [
            max(1, int(size / self.frame.voxel_length[a] + 1e-6)) for a, size in zip(axes, pixel, strict=True)
        ]
        """Of so many voxels of the level one is drawn, across and up."""
        (columns, left, right), (rows, bottom, top) = (
            _samples(self.frame, a, seen, step) for a, seen, step in zip(axes, window, self.steps, strict=True)
        )
        self.indices = columns, rows
        self.extent = left, right, bottom, top
        """Where the pixels begin and end [voxel_unit]."""

    @property
    def places(self) -> list[np.ndarray]:
        """Coordinates of the pixels across and up [voxel_unit]."""
        return [self.frame.axis_coordinates(a)[i] for a, i in zip(self.axes, self.indices, strict=True)]

    def read(self, reader: PlaneReader) -> np.ndarray:
        """Return the voxels of the image, shape (across, up)."""
        position = self.frame.coordinate_to_index(*self.point, outside="clip")[self.normal]
        return reader.read(self.level.stored, self.normal, position, *self.indices)

    def read_beside(self, reader: PlaneReader, value: Any) -> np.ndarray:
        """Return the voxels of a mask or segmentation on the same grid, from a coarser level where
        it has one.
        """
        source, frame = value, self.image.frame
        if hasattr(value, "stored"):
            source = value.stored
            if value.frame.same_grid(frame):
                levels = levels_of(value)
                level = levels[sharp_enough(levels, self.axes, self.pixel)]
                source, frame = level.stored, _same_unit(level.frame, frame)
        across, up = (
            np.clip(np.floor((p - frame.voxel_origin[a]) / frame.voxel_length[a] + 0.5), 0, frame.shape[a] - 1).astype(
                int
            )
            for a, p in zip(self.axes, self.places, strict=True)
        )
        position = frame.coordinate_to_index(*self.point, outside="clip")[self.normal]
        return reader.read(source, self.normal, position, across, up)


def on_plane(
    function: Callable[..., Any], axes: tuple[int, int], places: Sequence[np.ndarray], position: float
) -> np.ndarray:
    """Return a function of coordinates on a plane, shape (across, up)."""
    coordinates: list[Any] = [np.full((1, 1), position)] * 3
    coordinates[axes[0]], coordinates[axes[1]] = places[0][:, None], places[1][None, :]
    found = np.asarray(function(*coordinates))
    return np.broadcast_to(found, (places[0].size, places[1].size))


def _same_unit(frame: Frame, other: Frame) -> Frame:
    return frame if str(frame.voxel_unit) == str(other.voxel_unit) else frame.to(str(other.voxel_unit))


def _samples(frame: Frame, axis: int, window: tuple[float, float], step: int) -> tuple[np.ndarray, float, float]:
    """Return the voxels drawn along an axis, the middle one of every `step`, and where their pixels
    begin and end.
    """
    n, h, lower = frame.shape[axis], frame.voxel_length[axis], frame.extent[0][axis]
    # Groups are counted from the first voxel of the image, so that moving the window does not
    # change what is drawn.
    first = max(0, int((window[0] - lower) / h / step + 1e-9))
    last = min(-(-n // step), int(np.ceil((window[1] - lower) / h / step - 1e-9)))
    groups = np.arange(first, max(last, first + 1))
    return np.minimum(groups * step + step // 2, n - 1), lower + first * step * h, lower + (groups[-1] + 1) * step * h

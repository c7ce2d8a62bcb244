"""What a viewer draws, worked out: arrays, numbers and words, but nothing of a plotting package."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.measure import HistogramResult
from lithax.viz._layout import Arrangement
from lithax.viz._view_state import ViewState


@dataclass(frozen=True, eq=False)
class PanelPicture:
    """One slice."""

    name: str
    """"xy", "zy" or "xz": the axis across and the one upwards."""
    pixels: np.ndarray
    """uint8, shape (rows, columns, 3); the first row is the lowest."""
    values: np.ndarray
    """What the pixels show, shape (rows, columns)."""
    masked: np.ndarray | None
    """Where a voxel is left out, by the mask or the region."""
    labels: np.ndarray | None
    """Phases."""
    extent: tuple[float, float, float, float]
    """Left, right, bottom and top of the pixels [voxel_unit]."""
    window: tuple[float, float, float, float]
    """What is seen of them [voxel_unit]."""
    title: str
    guide: tuple[float, float] | None
    """Where the vertical and the horizontal guide line are [voxel_unit]."""
    chunk_lines: tuple[np.ndarray, np.ndarray]
    """Faces between chunks: places of vertical and of horizontal lines."""
    shard_lines: tuple[np.ndarray, np.ndarray]
    contours: tuple[np.ndarray, ...]
    """Lines of points, each of shape (points, 2)."""
    outlines: tuple[np.ndarray, ...]
    """The surface of the region in this slice."""
    scale_bar: tuple[float, str] | None
    """Length [voxel_unit] and label."""
    level: int
    """The level of resolution that was read; 0 is the image itself."""
    step: int
    """Every how manyth voxel of the level is drawn along an axis."""

    @property
    def exact(self) -> bool:
        """Whether every voxel seen has a pixel."""
        return self.level == 0 and self.step == 1

    def pixel_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the pixel at a place [voxel_unit], or None beside the
        picture.
        """
        left, right, bottom, top = self.extent
        rows, columns = self.values.shape
        column, row = (
            math.floor((x - left) / (right - left) * columns),
            math.floor((y - bottom) / (top - bottom) * rows),
        )
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None


@dataclass(frozen=True)
class Curve:
    """One line of the histogram."""

    label: str
    color: Any
    edges: np.ndarray
    shares: np.ndarray
    """Of all voxels, per bin [%]."""
    phase: int | None = None


@dataclass(frozen=True, eq=False)
class HistogramPicture:
    """The histogram."""

    curves: tuple[Curve, ...]
    range: tuple[float, float]
    label: str
    """What the values are, with their unit."""
    note: str
    """What part of the image it is about, if not all of it."""


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    label: str
    color: Any
    alpha: float
    kind: str
    """"patch", "line" or "thick line"."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Everything that `render` found to draw."""

    state: ViewState
    arrangement: Arrangement
    panels: dict[str, PanelPicture]
    histogram: HistogramPicture | None
    counted: HistogramResult
    limits: tuple[float, float]
    """Values with the first and the last colour."""
    colors: np.ndarray
    """The colours in between: uint8, shape (256, 3)."""
    value_label: str
    legend: tuple[Entry, ...]
    notes: tuple[str, ...]
    """What a reader must know, such as that the image is still being written."""

    def describe(self, name: str, x: float, y: float) -> str:
        """Return what the status bar says of a place in a slice.

        Parameters
        ----------
        name
            The slice: "xy", "zy" or "xz".
        x, y
            The place in its axes [voxel_unit].
        """
        panel = self.panels[name]
        place = panel.pixel_at(x, y)
        if place is None:
            return ""
        state = self.state
        point = dict(zip("xyz", state.reference_point, strict=True))
        point[name[0]], point[name[1]] = x, y
        voxel = state.frame.coordinate_to_index(*point.values(), outside="clip")
        if state.status_mode == "voxel":
            where = ", ".join(f"{axis} = {n}" for axis, n in zip("ijk", voxel, strict=True))
        else:
            unit = f" {unit_of(state)}"
            where = ", ".join(f"{axis} = {value:.5g}" for axis, value in point.items()) + unit
        value = panel.values[place]
        about = "" if panel.exact else "≈ "
        text = f"{where}  |  {about}{_number(value)} {state.image.field_unit}".rstrip()
        if panel.labels is not None:
            text += f"  |  {phase_name(state, int(panel.labels[place]))}"
        if panel.masked is not None and panel.masked[place]:
            text += "  |  left out"
        return text


def unit_of(state: ViewState) -> str:
    """Return the unit of length as people write it; "voxel" where there is none and voxels are 1
    long.
    """
    from lithax.viz._unit import unit_symbol

    frame = state.frame
    symbol = unit_symbol(str(frame.voxel_unit))
    return symbol or ("voxel" if frame.voxel_length == (1.0, 1.0, 1.0) else "")


def phase_name(state: ViewState, phase: int) -> str:
    """Return the name of a phase, or its number."""
    return str(state.phase_names.get(phase, f"phase {phase}"))


def _number(value: Any) -> str:
    item = value.item()
    return f"{item:.6g}" if isinstance(item, float) else str(item)

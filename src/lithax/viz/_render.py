"""From the state of a viewer to what it draws: a pure function."""

import dataclasses
from typing import Any

import numpy as np

from lithax.measure import HistogramResult
from lithax.viz._distribution import MANY_PHASES, Distribution, distribution
from lithax.viz._layout import GAPS, Arrangement, arrange
from lithax.viz._phase_colors import paint_phases, phase_color
from lithax.viz._picture import Curve, Entry, HistogramPicture, PanelPicture, Picture, phase_name, unit_of
from lithax.viz._pixels import blend, colorize
from lithax.viz._plane import Plane, on_plane
from lithax.viz._plane_reader import PlaneReader
from lithax.viz._scale_bar import round_length
from lithax.viz._unit import unit_symbol
from lithax.viz._view_state import ViewState

FIGURE = {"figsize": (9.0, 7.5), "dpi": 100, "facecolor": "white"}

OUTLINE = 300
"""Places along each axis of a slice at which the distance to the surface of the region is worked
out.
"""

_NOTE = 0.2  # height of a line below the slices [inch]

ENTRIES = 12
"""Phases that the legend names at most."""


class ViewCache:
    """What may be used again for the next picture: decoded slabs, and histograms."""

    def __init__(self) -> None:
        self.reader = PlaneReader()
        self._distribution: tuple[tuple[Any, ...], Distribution] | None = None

    def clear(self) -> None:
        """Forget everything, because the stored voxels may have changed."""
        self.reader.clear()
        self._distribution = None

    def distribution(self, state: ViewState) -> Distribution:
        """Return the histogram of a state; it is counted again only if what it depends on is
        another.
        """
        names = ("image", "mask", "segmentation", "region", "part", "histogram", "histogram_bins")
        key = tuple(getattr(state, name) for name in names)
        if self._distribution is None or not all(
            a is b or (isinstance(a, int | str) and a == b) for a, b in zip(key, self._distribution[0], strict=True)
        ):
            self._distribution = key, distribution(state)
        return self._distribution[1]


def figure_style(state: ViewState, notes: bool = False) -> dict[str, Any]:
    """Return size [inch], resolution and colour of the figure; by default without blank borders."""
    style = {**FIGURE, **state.figure_style}
    if "figsize" not in state.figure_style:
        width, height = FIGURE["figsize"]
        size = {"vertical": (0.62 * width, 1.6 * height), "horizontal": (1.6 * width, 0.62 * height)}
        style["figsize"] = _arranged(state, size.get(state.layout, (width, height)), notes).needed
    return style


def _arranged(state: ViewState, size: tuple[float, float], notes: bool) -> Arrangement:
    x, y, z = (b - a for a, b in state.window)
    return arrange((x, y, z), state.planes, size=size, **arrangement_options(state, notes))


def arrangement_options(state: ViewState, notes: bool = False) -> dict[str, Any]:
    """Return what `arrange` needs to know besides sizes; `notes` need a line of their own."""
    bottom = state.grid_style.get("bottom", GAPS["bottom"])
    return {
        "layout": state.layout,
        "axes": state.show_axes,
        "histogram": state.show_histogram,
        "color_bar": state.show_color_bar,
        "gaps": {**state.grid_style, "bottom": bottom + _NOTE} if notes else state.grid_style,
    }


def render(state: ViewState, cache: ViewCache | None = None, *, pixel_ratio: float = 1.0) -> Picture:
    """Work out everything that a viewer draws.

    The result depends on the state and on the stored voxels only. Read are the chunks that the
    three slices cut, of the coarsest level that is sharp enough, and for the histogram of a large
    image some more.

    Parameters
    ----------
    state
        What is to be seen.
    cache
        Keeps what was read for the next picture.
    pixel_ratio
        Pixels of the screen per pixel of the figure.
    """
    from matplotlib import colormaps

    cache = cache or ViewCache()
    look = state.look
    counted = cache.distribution(state)
    notes = _notes(state, counted)
    style = figure_style(state, bool(notes))
    arrangement = _arranged(state, style["figsize"], bool(notes))
    limits = state.limits or default_limits(counted.histogram)
    colors = np.round(255 * colormaps[look.color_map](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
    panels = {}
    for name in state.planes:
        _, _, width, height = arrangement.rectangles[name]
        resolution = style["dpi"] * pixel_ratio
        panels[name] = _panel(state, name, (width * resolution, height * resolution), cache.reader, limits, colors)
    label = value_label(state)
    histogram = _histogram(state, counted, limits, label) if state.show_histogram else None
    entries = _legend(state, panels, counted.histogram) if state.show_legend else ()
    return Picture(state, arrangement, panels, histogram, counted.histogram, limits, colors, label, entries, notes)


def default_limits(counted: HistogramResult) -> tuple[float, float]:
    """Return the percentiles 0.05 and 99.95; all values of booleans, 0 and 1 where there is nothing
    to count.
    """
    if not counted.total:
        return 0.0, 1.0
    low, high = (float(v) for v in counted.percentile([0.05, 99.95]))
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = float(counted.edges[0]), float(counted.edges[-1])
    return low, high


def value_label(state: ViewState) -> str:
    """Return what the values are, with their unit."""
    name = state.image.field_name or "value"
    part = f"{state.part} of " if state.part else ""
    unit = "rad" if state.part == "angle" else state.image.field_unit
    return f"{part}{name} [{unit_symbol(unit)}]" if unit else f"{part}{name}"


# A slice


def _panel(
    state: ViewState,
    name: str,
    pixels: tuple[float, float],
    reader: PlaneReader,
    limits: tuple[float, float],
    colors: np.ndarray,
) -> PanelPicture:
    across, up = "xyz".index(name[0]), "xyz".index(name[1])
    normal = 3 - across - up
    axes = (across, up)
    window = state.window
    point = state.reference_point
    pixel = tuple((window[a][1] - window[a][0]) / max(1.0, n) for a, n in zip(axes, pixels, strict=True))
    plane = Plane(state.levels, axes, point, (window[across], window[up]), (pixel[0], pixel[1]))
    values = state.shown_part(plane.read(reader)).T
    places = plane.places

    look = state.look
    rgb = colorize(values, *limits, colors, _bytes(look.not_a_number))
    labels = masked = None
    if state.segmentation is not None:
        labels = plane.read_beside(reader, state.segmentation).T
        rgb = paint_phases(rgb, labels, state.segmentation_alpha, state.segmentation_colors)
    if state.mask is not None:
        masked = plane.read_beside(reader, state.mask).T.astype(bool)
    outlines: tuple[np.ndarray, ...] = ()
    if state.region is not None:
        outside = ~on_plane(state.region.contains, axes, places, point[normal]).T
        masked = outside if masked is None else masked | outside
        if state.show_region_outline:
            outlines = _outline(state, axes, point[normal])
    if masked is not None:
        rgb = blend(rgb, masked, _bytes(look.mask_color), look.mask_alpha)

    unit = unit_of(state)
    third = "xyz"[normal]
    scale_bar = None
    if state.show_scale_bar:
        length = round_length(window[across][1] - window[across][0])
        scale_bar = length, f"{length:g} {unit}".rstrip()
    return PanelPicture(
        name=name,
        pixels=rgb,
        values=values,
        masked=masked,
        labels=labels,
        extent=plane.extent,
        window=(*window[across], *window[up]),
        title=f"{name} at {third} = {point[normal]:.4g} {unit}".rstrip(),
        guide=(point[across], point[up]) if state.show_guide_lines else None,
        chunk_lines=_faces(state, axes, state.image.chunks if state.show_chunks else None),
        shard_lines=_faces(state, axes, state.image.shards if state.show_shards else None),
        contours=_contours(values, places, state.contours),
        outlines=outlines,
        scale_bar=scale_bar,
        level=plane.number,
        step=max(plane.steps),
    )


def _outline(state: ViewState, axes: tuple[int, int], position: float) -> tuple[np.ndarray, ...]:
    assert state.region is not None
    places = [np.linspace(*state.window[a], OUTLINE) for a in axes]
    distance = on_plane(state.region.signed_distance, axes, places, position)
    return _lines(places, distance.T, 0.0)


def _contours(values: np.ndarray, places: list[np.ndarray], levels: Any) -> tuple[np.ndarray, ...]:
    if not levels or min(values.shape) < 2:
        return ()
    numbers = np.ma.masked_invalid(values.astype(np.float64))
    return tuple(line for level in levels for line in _lines(places, numbers, level))


def _lines(places: list[np.ndarray], values: Any, level: float) -> tuple[np.ndarray, ...]:
    from contourpy import contour_generator

    return tuple(np.asarray(line) for line in contour_generator(places[0], places[1], values).lines(level))


def _faces(state: ViewState, axes: tuple[int, int], edges: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return where chunks or shards meet inside the image, along the axes of a slice."""
    if edges is None:
        return np.empty(0), np.empty(0)
    frame = state.frame
    found = []
    for a in axes:
        index = np.arange(edges[a], frame.shape[a], edges[a])
        found.append(frame.extent[0][a] + index * frame.voxel_length[a])
    return found[0], found[1]


def _bytes(color: Any) -> list[int]:
    from matplotlib.colors import to_rgb

    return [round(255 * c) for c in to_rgb(color)]


# The histogram and the words


def _histogram(state: ViewState, counted: Distribution, limits: tuple[float, float], label: str) -> HistogramPicture:
    result = _drawn(counted.histogram, state)
    total = max(1, result.total)
    look = state.look
    parts = {phase: part for phase, part in result.phases.items() if part.total}
    curves = [Curve("all voxels", look.histogram.get("color"), result.edges, 100 * result.counts / total)]
    for phase, part in parts.items():
        color = phase_color(phase, state.segmentation_colors, tuple(parts)) or "#9a9a9a"
        curves.append(Curve(phase_name(state, phase), color, part.edges, 100 * part.counts / total, phase))
    return HistogramPicture(tuple(curves), _range(result, limits), label, counted.note)


def _drawn(result: HistogramResult, state: ViewState) -> HistogramResult:
    """Return the histogram over bins of a whole number of values each, or some would hold one more
    than their neighbours.
    """
    if state.image.dtype.kind == "b" and result.counts.size == 2:
        return dataclasses.replace(result, edges=np.array([-0.5, 0.5, 1.5]))
    left, right, _ = result.levels
    whole = state.image.dtype.kind in "iu" and result.total and np.array_equal(left, right)
    if not whole or not isinstance(state.histogram_bins, int) or isinstance(state.histogram, HistogramResult):
        return result
    width = max(1, -(-int(result.maximum - result.minimum + 1) // state.histogram_bins))
    first = float(result.minimum) - 0.5
    return result.rebin(first + width * np.arange(int((float(result.maximum) - first) / width) + 2))


def _range(result: HistogramResult, limits: tuple[float, float]) -> tuple[float, float]:
    if not result.total:
        return 0.0, 1.0
    if result.edges.size <= 17:  # a few wide bins are shown whole
        limits = min(limits[0], float(result.edges[0])), max(limits[1], float(result.edges[-1]))
    low, high = (float(v) for v in result.percentile([0.01, 99.99]))
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = float(result.edges[0]), float(result.edges[-1])
    low, high = min(low, limits[0]), max(high, limits[1])
    spare = 0.04 * (high - low) or 0.5
    return low - spare, high + spare


def _legend(state: ViewState, panels: dict[str, PanelPicture], counted: HistogramResult) -> tuple[Entry, ...]:
    entries = []
    if state.segmentation is not None:
        seen = set(counted.phases)
        for panel in panels.values():
            assert panel.labels is not None
            seen |= {int(p) for p in np.unique(panel.labels)} if len(seen) <= MANY_PHASES else set()
        colored = [p for p in sorted(seen) if phase_color(p, state.segmentation_colors) is not None]
        for phase in colored[:ENTRIES]:
            color = phase_color(phase, state.segmentation_colors)
            entries.append(Entry(phase_name(state, phase), color, 1.0, "patch"))
        if len(colored) > ENTRIES:
            entries.append(Entry(f"and {len(colored) - ENTRIES} more", "none", 0.0, "patch"))
    look = state.look
    if state.mask is not None or state.region is not None:
        what = "left out" if state.mask is not None else "outside the region"
        entries.append(Entry(what, look.mask_color, look.mask_alpha, "patch"))
    if state.contours:
        values = ", ".join(f"{v:g}" for v in state.contours)
        entries.append(Entry(f"contour at {values}", look.contour["color"], 1.0, "line"))
    if state.show_chunks:
        entries.append(Entry("chunks", look.chunk["color"], 1.0, "line"))
    if state.show_shards and state.image.shards is not None:
        entries.append(Entry("shards", look.shard["color"], 1.0, "thick line"))
    return tuple(entries)


def _notes(state: ViewState, counted: Distribution) -> tuple[str, ...]:
    notes = []
    if state.image.metadata.state != "complete":
        notes.append("still being written: what is missing shows the fill value; refresh() reads again")
    if not counted.histogram.total:
        notes.append("no voxel holds a number" if counted.histogram.nan else "no voxel is taken in")
    elif counted.histogram.minimum == counted.histogram.maximum:
        notes.append(f"every voxel is {counted.histogram.minimum:g}")
    if state.show_shards and state.image.shards is None:
        notes.append("the image has no shards: each chunk is stored by itself")
    return tuple(notes)

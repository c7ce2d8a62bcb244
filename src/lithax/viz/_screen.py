"""A picture of slices on a figure of matplotlib: what is new is made, what is there already is
moved.
"""

from typing import Any

import numpy as np

from lithax.viz._figure import FAINT, style
from lithax.viz._picture import PanelPicture, Picture, unit_of
from lithax.viz._templates import Template


class Screen:
    """Shows pictures on one figure."""

    def __init__(self, figure: Any):
        self.figure = figure
        self.panels: dict[str, _Panel] = {}
        self.histogram: Any = None
        self.color_bar: Any = None
        self.curves: dict[Any, Any] = {}
        """Lines of the histogram by phase; None is that of all voxels."""
        self._built: Any = None
        self._counted: Any = None

    def show(self, picture: Picture) -> None:
        """Draw a picture; the canvas is not told."""
        with style():
            key = _structure(picture)
            if key != self._built:
                self._build(picture)
                self._built = key
                self._counted = None
            for name, panel in self.panels.items():
                panel.show(picture.panels[name], picture)
            counted = (picture.counted, picture.limits, picture.legend, picture.state)
            if self._counted is None or not _same_counted(counted, self._counted):
                self._show_values(picture)
                self._counted = counted

    def _build(self, picture: Picture) -> None:
        from lithax.viz._still_axes import FramedAxes, StillAxes

        self.figure.clear()
        self.figure.set_facecolor(picture.state.figure_style.get("facecolor", "white"))
        width, height = picture.arrangement.size

        def axes(name: str, **options: Any) -> Any:
            if name not in picture.arrangement.rectangles:
                return None
            x, y, w, h = picture.arrangement.rectangles[name]
            return self.figure.add_axes((x / width, y / height, w / width, h / height), label=name, **options)

        self.panels = {name: _Panel(axes(name, axes_class=FramedAxes), name, picture) for name in picture.panels}
        self.histogram, self.color_bar = (axes(name, axes_class=StillAxes) for name in ("histogram", "color_bar"))
        if picture.notes:
            self.figure.text(
                0.08 / width, 0.07 / height, " · ".join(picture.notes), fontsize=8, color="#a04000", va="bottom"
            )

    # Histogram, calibration bar and legend

    def _show_values(self, picture: Picture) -> None:
        self.curves = {}
        home = next((a for a in (self.histogram, self.color_bar) if a is not None), None)
        if self.histogram is not None and picture.histogram is not None:
            self._show_histogram(picture)
        if self.color_bar is not None:
            self._show_bar(picture)
        self._show_legend(picture, home)

    def _show_histogram(self, picture: Picture) -> None:
        axes, shown, state = self.histogram, picture.histogram, picture.state
        assert shown is not None
        axes.clear()
        look = state.look.histogram
        highest = 0.0
        lowest = np.inf
        for curve in shown.curves:
            options = {**look, "color": curve.color} if curve.phase is not None else dict(look)
            filled = {"fill": True, "alpha": 0.22, "linewidth": 0, "color": options.get("color")}
            if curve.phase is not None:
                axes.stairs(curve.shares, curve.edges, **filled)
            self.curves[curve.phase] = axes.stairs(
                curve.shares, curve.edges, baseline=None, label=curve.label, **options
            )
            # A single bin, of a constant image say, is not what the height is chosen for unless
            # there is nothing else.
            seen = curve.shares[(curve.edges[1:] >= shown.range[0]) & (curve.edges[:-1] <= shown.range[1])]
            highest = max(highest, float(seen.max()) if seen.size else 0.0)
            positive = seen[seen > 0]
            lowest = min(lowest, float(positive.min()) if positive.size else np.inf)
        for value in () if state.image.dtype.kind == "b" else picture.limits:
            axes.axvline(value, color="#666666", linewidth=0.8, linestyle=(0, (2, 2)))
        rows = -(-len(picture.legend) // 2)
        if state.histogram_scale == "log" and highest > 0:
            axes.set_yscale("log")
            axes.set_ylim(0.7 * lowest, highest * (highest / lowest) ** (0.06 + 0.13 * rows))
        else:
            axes.set_ylim(0, (highest or 1.0) * (1.06 + 0.13 * rows))
        axes.set_xlim(*shown.range)
        axes.set_ylabel("voxels per bin [%]")
        axes.yaxis.set_major_locator(_locator(state.histogram_scale))
        _small(axes.yaxis)
        if shown.note:
            axes.set_title(shown.note, loc="right", fontsize=8, color="#666666", pad=3)
        if self.color_bar is None:
            axes.set_xlabel(shown.label)
        else:
            axes.tick_params(axis="x", bottom=False, labelbottom=False)
        _few_ticks(axes.xaxis, 4)

    def _show_bar(self, picture: Picture) -> None:
        axes = self.color_bar
        axes.clear()
        low, high = picture.limits
        spare = 0.02 * (high - low) or 0.5
        start, stop = picture.histogram.range if picture.histogram is not None else (low - spare, high + spare)
        values = np.linspace(start, stop, 512)
        if picture.state.image.dtype.kind == "b":
            values = values > 0.5
        place = np.clip((values - low) / (high - low), 0, 1) if high > low else np.full(512, 0.5)
        strip = picture.colors[np.round(place * (len(picture.colors) - 1)).astype(int)][None]
        axes.imshow(strip, extent=(start, stop, 0, 1), aspect="auto", interpolation="nearest")
        axes.set_yticks([])
        axes.set_xlim(start, stop)
        axes.set_xlabel(picture.value_label)
        for spine in axes.spines.values():
            spine.set(visible=True, color="#666666", linewidth=0.6)
        if picture.state.image.dtype.kind == "b":
            axes.set_xticks([0, 1], ["False", "True"])
            _small(axes.xaxis)
        else:
            _few_ticks(axes.xaxis, 4)

    def _show_legend(self, picture: Picture, home: Any) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        for old in [*self.figure.legends, *(a.get_legend() for a in self.figure.axes)]:
            if old is not None:
                old.remove()
        if not picture.legend:
            return
        handles = [
            Line2D([], [], color=e.color, linewidth=2.6 if e.kind == "thick line" else 1.2, label=e.label)
            if e.kind.endswith("line")
            else Patch(facecolor=e.color, alpha=e.alpha, label=e.label, edgecolor="#999999", linewidth=0.4)
            for e in picture.legend
        ]
        options = {"fontsize": 8, "handlelength": 1.1, "columnspacing": 1.0, "borderaxespad": 0.3, "handletextpad": 0.5}
        options |= {"frameon": True, "framealpha": 0.8, "facecolor": "white", "edgecolor": "none"}
        columns = 1 if max(len(e.label) for e in picture.legend) > 22 else 2
        if home is not None and home is self.histogram:
            home.legend(handles=handles, loc="upper right", ncols=columns, **options)
        elif home is not None:
            home.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.6), ncols=columns, **options)
        elif self.panels:
            axes = next(iter(self.panels.values())).axes
            axes.legend(handles=handles, loc="upper right", **options)


class _Panel:
    """The axes of one slice and what stands in them."""

    def __init__(self, axes: Any, name: str, picture: Picture):
        from lithax.viz._slice_image import SliceImage

        self.axes = axes
        state, shown = picture.state, picture.panels[name]
        unit = unit_of(state)
        options = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", **state.image_style}
        self.image = axes.imshow(shown.pixels, extent=shown.extent, **options)
        self.image.__class__ = SliceImage
        axes.autoscale(False)
        self.image.mouseover = False  # the status bar has words of its own
        self._lines: list[Any] = []
        look = state.look
        self._guides: tuple[Any, ...] = (
            (axes.axvline(0, zorder=5, **look.guide), axes.axhline(0, zorder=5, **look.guide))
            if shown.guide is not None
            else ()
        )
        # The height is what it is by default; to find that out takes longer than to draw.
        self._title = axes.set_title("", loc="left", pad=4, y=1.0)
        self._bar: Any = None
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT, linewidth=0.6)
        if not state.show_axes:
            axes.set_xticks([])
            axes.set_yticks([])
            return
        _few_ticks(axes.xaxis)
        _few_ticks(axes.yaxis)
        # Slices that share an axis, one beside or above the other, have its labels once.
        x, y, *_ = picture.arrangement.rectangles[name]
        others = [picture.arrangement.rectangles[n] for n in picture.panels if n != name]
        below = name == "xy" and "xz" in picture.panels and any(r[0] == x and r[1] < y for r in others)
        beside = name == "zy" and "xy" in picture.panels and any(r[1] == y and r[0] < x for r in others)
        text = "{} [" + unit + "]" if unit else "{}"
        if below:
            axes.tick_params(axis="x", labelbottom=False)
        else:
            axes.set_xlabel(text.format(name[0]), labelpad=2)
        if beside:
            axes.tick_params(axis="y", labelleft=False)
        else:
            axes.set_ylabel(text.format(name[1]), labelpad=2)

    def show(self, shown: PanelPicture, picture: Picture) -> None:
        axes, look = self.axes, picture.state.look
        self.image.set_data(shown.pixels)
        self.image.set_extent(shown.extent)
        if (*axes.get_xlim(), *axes.get_ylim()) != shown.window:  # after the same again ticks are drawn again
            axes.set_xlim(shown.window[:2])
            axes.set_ylim(shown.window[2:])
        self._title.set_text(shown.title)
        if shown.guide is not None:
            self._guides[0].set_xdata([shown.guide[0]] * 2)
            self._guides[1].set_ydata([shown.guide[1]] * 2)
        for line in self._lines:
            line.remove()
        self._lines = [made for made in self._line_collections(shown, look) if made is not None]
        if shown.scale_bar != (None if self._bar is None else (self._bar.length, self._bar.label)):
            self._show_scale_bar(shown.scale_bar)

    def _show_scale_bar(self, scale_bar: tuple[float, str] | None) -> None:
        from lithax.viz._drawn_scale_bar import DrawnScaleBar

        if self._bar is not None:
            self._bar.remove()
        self._bar = None if scale_bar is None else self.axes.add_artist(DrawnScaleBar(*scale_bar))

    def _line_collections(self, shown: PanelPicture, look: Template) -> Any:
        left, right, bottom, top = shown.window
        for lines, options, order in ((shown.chunk_lines, look.chunk, 3), (shown.shard_lines, look.shard, 3.5)):
            across, up = lines
            segments = [((x, bottom), (x, top)) for x in across] + [((left, y), (right, y)) for y in up]
            yield self._collection(segments, options, order)
        yield self._collection(shown.contours, look.contour, 4)
        yield self._collection(shown.outlines, look.outline, 4.5)

    def _collection(self, segments: Any, options: dict[str, Any], order: float) -> Any:
        from matplotlib.collections import LineCollection

        if not len(segments):
            return None
        return self.axes.add_collection(LineCollection(segments, zorder=order, **options), autolim=False)


def _structure(picture: Picture) -> Any:
    """Return what must be built anew if it changes; everything else is only moved."""
    state = picture.state
    look = state.look
    return (
        tuple(picture.panels),
        # To a hundredth of a pixel: the slices keep their axes, and the toolbar its history, when
        # one zooms.
        {name: tuple(round(1e4 * v) for v in r) for name, r in picture.arrangement.rectangles.items()},
        tuple(round(1e4 * v) for v in picture.arrangement.size),
        state.show_guide_lines,
        state.show_axes,
        state.layout,
        unit_of(state),
        tuple(sorted(state.image_style.items())),
        tuple(sorted(look.guide.items(), key=str)),
        state.figure_style.get("facecolor"),
        picture.notes,
    )


def _same_counted(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    names = (
        "segmentation_colors",
        "phase_names",
        "histogram_line_style",
        "histogram_scale",
        "color_map",
        "template",
        "show_color_bar",
    )
    a, b = now[3], before[3]
    return (
        now[0] is before[0]
        and a.image is b.image  # images compare voxel by voxel
        and now[1:3] == before[1:3]
        and all(getattr(a, name) is getattr(b, name) or getattr(a, name) == getattr(b, name) for name in names)
    )


def _locator(scale: str) -> Any:
    from matplotlib.ticker import LogLocator, MaxNLocator

    return LogLocator(numticks=5) if scale == "log" else MaxNLocator(4)


def _few_ticks(axis: Any, count: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))
    _small(axis)


def _small(axis: Any) -> None:
    # Labels are made when they are drawn, where the style of this room is gone.
    axis.set_tick_params(which="both", labelsize=8.5, color="#666666", labelcolor="#444444", width=0.7)

"""The viewer: a thin shell that keeps a state, draws what `render` makes of it, and turns clicks
into changes.
"""

import sys
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.images import VoxelImage
from lithax.measure import HistogramResult
from lithax.viz._figure import encode, load_matplotlib
from lithax.viz._layout import fitted
from lithax.viz._phase_colors import phase_color
from lithax.viz._picture import Picture, phase_name
from lithax.viz._render import ViewCache, arrangement_options, default_limits, figure_style, render
from lithax.viz._screen import Screen
from lithax.viz._view_state import ViewState
from lithax.viz._window import display_canvas, has_window, managed_figure, plain_figure

_ZOOM_STEP = 1.25


class _Live:
    """A value of the state that can be read and set; setting it draws anew."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.__doc__ = f"See `ViewState.{name}`."

    def __get__(self, viewer: Any, owner: type) -> Any:
        return self if viewer is None else getattr(viewer.state, self.name)

    def __set__(self, viewer: Any, value: Any) -> None:
        viewer.update(**{self.name: value})


class OrthogonalViewer:
    """Three linked slices of an image of any size, with its histogram.

    Works in a notebook (``%matplotlib widget``, from ipympl), in a window of any desktop backend of
    matplotlib (`show`), and without a screen (`save`). Every option is also a property that can be
    set at any time; `update` sets several and draws once.

    With the mouse, on a slice: the right button moves the reference point there, the left one
    prints what is known of the voxel, the middle one brings the place to the middle, the wheel
    leafs through the slices, and with the control key it zooms. On the histogram: the left and the
    right button set the values with the first and the last colour, the middle one sets them to the
    percentiles 0.05 and 99.95.

    Only the chunks that the slices cut are read, of a coarser level where there is one. Nothing
    here waits for other processes: one of several may look at its image alone.

    Parameters
    ----------
    image
        Any image.
    window
        Whether to open a window (or a widget) at once; by default if matplotlib uses an interactive
        backend already.
    **options
        The values of `ViewState`; `reference_point` [voxel_unit] may stand for `reference_voxel`.

    Examples
    --------
    >>> import lithax as lx
    >>> viewer = lx.viz.OrthogonalViewer(lx.sphere_pack((40, 30, 20)), window=False)
    >>> viewer.update(reference_voxel=(3, 4, 5), show_guide_lines=False)
    >>> viewer.record()["value"]
    1
    """

    image = _Live()
    levels = _Live()
    mask = _Live()
    segmentation = _Live()
    region = _Live()
    part = _Live()
    zoom = _Live()
    center = _Live()
    show_xy_plane = _Live()
    show_xz_plane = _Live()
    show_zy_plane = _Live()
    show_histogram = _Live()
    show_guide_lines = _Live()
    show_axes = _Live()
    show_scale_bar = _Live()
    show_color_bar = _Live()
    show_legend = _Live()
    show_chunks = _Live()
    show_shards = _Live()
    show_region_outline = _Live()
    color_map = _Live()
    contours = _Live()
    segmentation_colors = _Live()
    segmentation_alpha = _Live()
    phase_names = _Live()
    mask_color = _Live()
    mask_alpha = _Live()
    histogram_bins = _Live()
    histogram_scale = _Live()
    image_style = _Live()
    guide_line_style = _Live()
    histogram_line_style = _Live()
    contour_style = _Live()
    outline_style = _Live()
    chunk_line_style = _Live()
    shard_line_style = _Live()
    figure_style = _Live()
    grid_style = _Live()
    template = _Live()
    layout = _Live()
    status_mode = _Live()

    def __init__(self, image: VoxelImage, *, window: bool | None = None, **options: Any):
        load_matplotlib()
        point = {"reference_point": options.pop("reference_point")} if "reference_point" in options else {}
        unknown = options.keys() - ViewState.__dataclass_fields__.keys()
        state = ViewState(image=image, **{k: v for k, v in options.items() if k not in unknown})
        self._state = state.replace(**point, **{k: options[k] for k in unknown})
        self._cache = ViewCache()
        self._picture: Picture | None = None
        self._busy = False
        self._dragging = False
        self.redraws = 0
        """How often something was drawn."""
        self._attach(window if window is not None else has_window())

    # State

    @property
    def state(self) -> ViewState:
        """What is shown, as one immutable value."""
        return self._state

    @property
    def picture(self) -> Picture:
        """What `render` made of the state."""
        assert self._picture is not None
        return self._picture

    def update(self, **changes: Any) -> None:
        """Change several values and draw once.

        Parameters
        ----------
        **changes
            Values of `ViewState`; `reference_point` [voxel_unit] may stand for `reference_voxel`.

        Raises
        ------
        TypeError, ValueError, IndexError
            If a name or a value is not possible; then nothing is changed.
        """
        state = self._state.replace(**changes)
        picture = render(state, self._cache, pixel_ratio=self._pixel_ratio())
        renamed = state.image is not self._state.image
        self._state = state
        self._draw(picture)
        if renamed:
            self._name_window()

    def refresh(self) -> None:
        """Read again and draw, because voxels may have been written."""
        self._cache.clear()
        stored = self.image.stored
        if hasattr(stored, "reload_metadata"):
            stored.reload_metadata()
        self.update()

    @property
    def reference_voxel(self) -> tuple[int, int, int]:
        """The voxel that the slices go through."""
        return self._state.voxel

    @reference_voxel.setter
    def reference_voxel(self, voxel: Any) -> None:
        self.update(reference_voxel=voxel)

    @property
    def reference_point(self) -> tuple[float, float, float]:
        """The centre of the reference voxel [voxel_unit]; the voxel that a point lies in becomes
        the reference voxel.
        """
        return self._state.reference_point

    @reference_point.setter
    def reference_point(self, point: Any) -> None:
        self.update(reference_point=point)

    @property
    def limits(self) -> tuple[float, float]:
        """Values with the first and the last colour; None chooses the percentiles 0.05 and
        99.95.
        """
        return self.picture.limits

    @limits.setter
    def limits(self, limits: Any) -> None:
        self.update(limits=limits)

    @property
    def histogram(self) -> HistogramResult:
        """The histogram that is shown; "auto", "sample", "full", or another one can be set."""
        return self.picture.counted

    @histogram.setter
    def histogram(self, value: Any) -> None:
        self.update(histogram=value)

    @property
    def phase_colors(self) -> dict[int, Any]:
        """Red, green and blue from 0 to 1 of each phase that was found; None for one that is not
        painted.
        """
        phases = sorted(self.histogram.phases)
        return {phase: phase_color(phase, self.segmentation_colors) for phase in phases}

    def record(self, voxel: Any = None) -> dict[str, Any]:
        """Return what is known of a voxel, read from the store: its indices, coordinates, value,
        phase, and if it is left out.

        Parameters
        ----------
        voxel
            Its indices; the reference voxel by default.
        """
        state = self._state if voxel is None else self._state.replace(reference_voxel=voxel)
        index = state.voxel
        box = tuple(slice(i, i + 1) for i in index)

        def read(value: Any) -> Any:
            return np.asarray(getattr(value, "stored", value).read(box))[0, 0, 0].item()

        point = state.reference_point
        found: dict[str, Any] = {"voxel": index, "point": point, "value": read(state.image)}
        if state.segmentation is not None:
            found["phase"] = int(read(state.segmentation))
            found["phase_name"] = phase_name(state, found["phase"])
        if state.mask is not None:
            found["masked"] = bool(read(state.mask))
        if state.region is not None:
            found["in_region"] = bool(state.region.contains(*point))
        return found

    # Drawing

    @property
    def figure(self) -> Any:
        """The figure of matplotlib."""
        return self._screen.figure

    @property
    def ax_xy(self) -> Any:
        """The axes of the xy slice; None if it is not shown. So for the others."""
        return self._axes("xy")

    @property
    def ax_zy(self) -> Any:
        """The axes of the zy slice."""
        return self._axes("zy")

    @property
    def ax_xz(self) -> Any:
        """The axes of the xz slice."""
        return self._axes("xz")

    @property
    def ax_histogram(self) -> Any:
        """The axes of the histogram."""
        return self._screen.histogram

    @property
    def ax_color_bar(self) -> Any:
        """The axes of the calibration bar."""
        return self._screen.color_bar

    @property
    def histogram_lines(self) -> dict[int | None, Any]:
        """The lines of the histogram by phase; that of all voxels is None's."""
        return dict(self._screen.curves)

    def shrink_to_fit(self) -> None:
        """Cut off what is blank in the figure."""
        self._fit(grow=False)

    def expand_to_fit(self) -> None:
        """Enlarge the figure along one side until the slices fill the other one."""
        self._fit(grow=True)

    def _fit(self, grow: bool) -> None:
        state = self._state
        x, y, z = (b - a for a, b in state.window)
        size = fitted(
            (x, y, z), state.planes, size=figure_style(state)["figsize"], grow=grow, **arrangement_options(state)
        )
        self.update(figure_style={**state.figure_style, "figsize": size})

    def save(self, file: Any, dpi: int | None = None) -> Any:
        """Write the figure to a file whose ending says the format: .png, .svg, .pdf, ...

        Parameters
        ----------
        file
            A path, or an open file.
        dpi
            Pixels per inch; those of the figure by default.

        Returns
        -------
            `file`.
        """
        from lithax.viz._figure import style

        with style():
            self.figure.savefig(file, dpi=dpi or "figure")
        return file

    def show(self, block: bool | None = None) -> None:
        """Open a window of matplotlib's desktop backend.

        Parameters
        ----------
        block
            Wait until it is closed; by default as ``matplotlib.pyplot.show``.

        Raises
        ------
        NoDisplayError
            If there is no display.
        """
        if not self._windowed:
            self._attach(True)
        from matplotlib import pyplot

        pyplot.show(block=block)

    def close(self) -> None:
        """Close the window; the viewer can be used on, and shown again."""
        if self._windowed:
            from matplotlib import pyplot

            pyplot.close(self.figure)
            self._on_close(None)  # widgets do not tell

    def _repr_png_(self) -> bytes:
        return encode(self.figure, "png", dpi=round(self.figure.dpi))

    def _ipython_display_(self) -> None:
        if not self._windowed or not display_canvas(self.figure):
            raise NotImplementedError  # IPython then takes the picture

    def _axes(self, name: str) -> Any:
        panel = self._screen.panels.get(name)
        return None if panel is None else panel.axes

    def _attach(self, windowed: bool) -> None:
        """Draw on a new figure: one in a window, or one without."""
        style = figure_style(self._state)
        self._screen = Screen(managed_figure(**style) if windowed else plain_figure(**style))
        self._windowed = windowed
        self._name_window()
        connect = self.figure.canvas.mpl_connect
        # matplotlib keeps weak references to methods: a viewer that nobody holds is forgotten with
        # its window.
        connect("button_press_event", self._on_press)
        connect("button_release_event", self._on_release)
        connect("draw_event", self._on_draw)
        connect("scroll_event", self._on_scroll)
        connect("resize_event", self._on_resize)
        connect("close_event", self._on_close)
        self.update()

    def _draw(self, picture: Picture) -> None:
        self._picture = picture
        self._busy = True
        try:
            size = picture.arrangement.size
            if not np.allclose(self.figure.get_size_inches(), size, atol=0.02):
                self.figure.set_size_inches(size, forward=True)
            self._screen.show(picture)
        finally:
            self._busy = False
        for name, panel in self._screen.panels.items():
            panel.axes.format_coord = lambda x, y, name=name: self.picture.describe(name, x, y)
        for axes in (self.ax_histogram, self.ax_color_bar):
            if axes is not None:
                axes.format_coord = lambda x, y: f"{x:.6g} {self.image.field_unit}".rstrip()
        self.redraws += 1
        self.figure.canvas.draw_idle()

    def _name_window(self) -> None:
        """Call the window what the image is called: the end of its address, and what its voxels
        are.
        """
        if not self._windowed:
            return
        stored, name = self.image.stored, self.image.field_name
        place = "" if stored.in_memory else _end_of(stored.where)
        title = " · ".join(part for part in (place, name) if part) or "image in memory"
        self.figure.canvas.manager.set_window_title(title)

    def _pixel_ratio(self) -> float:
        return float(getattr(self.figure.canvas, "device_pixel_ratio", 1.0) or 1.0)

    # Mouse

    def _panel_of(self, event: Any) -> str | None:
        return next((name for name, panel in self._screen.panels.items() if panel.axes is event.inaxes), None)

    def _tool_active(self) -> bool:
        """Whether the mouse belongs to a tool of the toolbar, such as zooming."""
        return bool(getattr(getattr(self.figure.canvas, "toolbar", None), "mode", ""))

    def _place(self, name: str, event: Any) -> tuple[float, float, float]:
        point = dict(zip("xyz", self.reference_point, strict=True))
        point[name[0]], point[name[1]] = event.xdata, event.ydata
        return point["x"], point["y"], point["z"]

    def _on_press(self, event: Any) -> None:
        self._dragging = self._tool_active()
        if self._tool_active() or event.inaxes is None:
            return
        if event.inaxes in (self.ax_histogram, self.ax_color_bar):
            self._on_histogram(event)
            return
        name = self._panel_of(event)
        if name is None:
            return
        place = self._place(name, event)
        voxel = self.image.coordinate_to_index(*place, outside="clip")
        if event.button == 3:
            self.update(reference_voxel=voxel)
        elif event.button == 2:
            middle = [0.5 * (a + b) for a, b in self._state.window]
            for axis in name:
                middle["xyz".index(axis)] = place["xyz".index(axis)]
            self.update(center=tuple(middle))
        elif event.button == 1:
            sys.stdout.write(format_record(self.record(voxel), self._state) + "\n")

    def _on_histogram(self, event: Any) -> None:
        low, high = self.limits
        if event.button == 1:
            self.update(limits=(min(event.xdata, high), high))
        elif event.button == 3:
            self.update(limits=(low, max(event.xdata, low)))
        elif event.button == 2:
            self.update(limits=default_limits(self.histogram))

    def _on_scroll(self, event: Any) -> None:
        name = self._panel_of(event)
        if name is None or self._tool_active():
            return
        step = 1 if event.step > 0 else -1
        # A window without the focus hears of no key, but the event knows.
        if event.key == "control" or "ctrl" in event.modifiers:
            self.zoom_at(self._place(name, event), _ZOOM_STEP**step)
            return
        normal = ({0, 1, 2} - {"xyz".index(name[0]), "xyz".index(name[1])}).pop()
        voxel = list(self.reference_voxel)
        voxel[normal] = min(max(voxel[normal] + step, 0), self.image.shape[normal] - 1)
        if tuple(voxel) != self.reference_voxel:
            self.update(reference_voxel=tuple(voxel))

    def zoom_at(self, point: tuple[float, float, float], factor: float) -> None:
        """Magnify the slices around a point, which stays where it is on the screen.

        Parameters
        ----------
        point
            Coordinates [voxel_unit].
        factor
            How much larger [-].
        """
        state = self._state
        after = state.replace(zoom=max(1.0, state.zoom * factor))
        shrink = state.zoom / after.zoom
        middle = [0.5 * (a + b) for a, b in state.window]
        center = tuple(p + (m - p) * shrink for p, m in zip(point, middle, strict=True))
        self.update(zoom=after.zoom, center=center)

    def _on_release(self, event: Any) -> None:
        """Take over what the zoom and pan tools of the toolbar did to the axes."""
        self._dragging = False
        if self._tool_active():
            self._take_over()

    def _on_draw(self, event: Any) -> None:
        """Take over what the buttons of the toolbar that go home, back and forward did to the
        axes.
        """
        if self._windowed and not self._busy and not self._dragging:
            self._take_over()

    def _take_over(self) -> None:
        """Make what the axes of a slice were set to the window of all slices."""
        changed = {name: self._screen.panels[name].axes for name in self.picture.panels}
        changed = {
            name: (*axes.get_xlim(), *axes.get_ylim())
            for name, axes in changed.items()
            if not np.allclose((*axes.get_xlim(), *axes.get_ylim()), self.picture.panels[name].window)
        }
        if not changed:
            return
        frame: Frame = self._state.frame
        center = [0.5 * (a + b) for a, b in self._state.window]
        factors = []
        for name, seen in changed.items():
            for axis, low, high in ((name[0], *seen[:2]), (name[1], *seen[2:])):
                number = "xyz".index(axis)
                center[number] = 0.5 * (low + high)
                factors.append(frame.dimensions[number] / abs(high - low))
        self.update(zoom=max(1.0, min(factors)), center=tuple(center))

    def _on_close(self, event: Any) -> None:
        """Go on without a window: its canvas is gone, but the viewer may be asked, changed, and
        shown again.
        """
        if self._windowed:
            self._attach(False)

    def _on_resize(self, event: Any) -> None:
        if self._busy or not self._windowed:
            return
        size = tuple(float(v) for v in self.figure.get_size_inches())
        if min(size) > 1 and not np.allclose(size, self.picture.arrangement.size, atol=0.02):
            self.update(figure_style={**self._state.figure_style, "figsize": size})


def _end_of(address: str) -> str:
    """Return the name of a store, and what follows it: rock.ome.zarr/0 of /data/rock.ome.zarr/0."""
    parts = address.rstrip("/").split("/")
    stores = [number for number, part in enumerate(parts) if ".zarr" in part]
    return "/".join(parts[stores[-1] :]) if stores else parts[-1]


def format_record(record: dict[str, Any], state: ViewState) -> str:
    """Return what is known of a voxel as one line."""
    unit = f" {state.frame.voxel_unit}" if state.frame.voxel_unit else ""
    point = ", ".join(f"{value:.6g}" for value in record["point"])
    words = [
        f"voxel {record['voxel']}",
        f"at ({point}){unit}",
        f"value {record['value']} {state.image.field_unit}".rstrip(),
    ]
    if "phase" in record:
        words.append(f"phase {record['phase']} ({record['phase_name']})")
    if "masked" in record:
        words.append("masked" if record["masked"] else "not masked")
    if "in_region" in record:
        words.append("in the region" if record["in_region"] else "outside the region")
    return ", ".join(words)

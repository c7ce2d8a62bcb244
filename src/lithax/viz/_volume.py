"""An image in three dimensions: a block, the surfaces of its phases, a level surface, or a
translucent volume.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lithax.geometry import AbstractRegion, Frame
from lithax.images import VoxelImage
from lithax.viz._levels import levels_of
from lithax.viz._phase_colors import PhaseColors, phase_color
from lithax.viz._picture import phase_name, unit_of
from lithax.viz._render import value_label
from lithax.viz._view_state import ViewState

QUALITY = {"preview": 64**3, "normal": 144**3, "fine": 320**3, "full": None}
"""How many voxels are drawn at most."""

_SMOOTHING = 0.5  # how far smoothing may move a surface [voxel]: more takes off the volume of small grains

_OUTLINE = "#8a8a8a"
_SURFACE = "#c9b28f"


def volume(
    image: VoxelImage,
    *,
    segmentation: Any = None,
    phases: Collection[int] | None = None,
    colors: PhaseColors | None = None,
    phase_names: Mapping[int, str] | None = None,
    surface: float | None = None,
    opacity: Any = None,
    region: AbstractRegion | None = None,
    clip: AbstractRegion | None = None,
    quality: str | int = "normal",
    levels: Sequence[VoxelImage] | None = None,
    part: str | None = None,
    limits: tuple[float, float] | None = None,
    color_map: str | None = None,
    template: str = "X-ray CT",
    size: tuple[int, int] = (900, 800),
    background: Any = "white",
    show_axes: bool = True,
    off_screen: bool | None = None,
) -> Any:
    """Show an image in three dimensions, with PyVista.

    Drawn is one of: the surfaces of phases, if a `segmentation` is given; the level surface of a
    value, if `surface` is; a translucent volume, if an `opacity` is; otherwise the image as a solid
    block, its values on its faces.

    Parameters
    ----------
    image
        Any image of real numbers or booleans, or complex with `part`.
    segmentation
        Image of phases on the same grid, unsigned integers or booleans.
    phases
        Those that are drawn; by default all but 0.
    colors, phase_names
        As `segmentation_colors` and `phase_names` of `ViewState`.
    surface
        Value of a level surface, in the unit of the image.
    opacity
        Of a translucent volume: a name that PyVista knows ("linear", "sigmoid", ...) or numbers
        from 0 to 1 over the limits.
    region
        Only what lies inside is drawn.
    clip
        What lies inside is cut away, so that one sees into the image.
    quality
        "preview", "normal", "fine" or "full", or a number of voxels: the coarsest level with more,
        or every second, third, ... voxel, is drawn. The finer, the more is read.
    levels
        Coarser levels; by default ``image.levels``.
    part, limits, color_map, template
        As in `ViewState`.
    size
        Of the picture [pixel].
    background
        Colour behind the image.
    show_axes
        Whether the directions of the axes and the size of the image are drawn.
    off_screen
        Draw without a window; by default as PyVista is set up.

    Returns
    -------
        A `pyvista.Plotter`: ``show()`` opens a window or a widget, ``screenshot(file)`` writes a
        picture, ``export_html(file)`` a page that can be turned.

    Raises
    ------
    ModuleNotFoundError
        If PyVista is not installed.
    ValueError
        If there is nothing to draw, or two ways of drawing are asked for.
    """
    ways = {"segmentation": segmentation, "surface": surface, "opacity": opacity}
    asked = [name for name, value in ways.items() if value is not None]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)} are two ways of drawing; give one of them.")
    state = ViewState(
        image=image,
        levels=levels or (),
        segmentation=segmentation,
        segmentation_colors=colors,
        phase_names=phase_names or {},
        region=region,
        part=part,
        limits=limits,
        color_map=color_map,
        template=template,
    )
    if clip is not None and not isinstance(clip, AbstractRegion):
        raise TypeError(f"clip is a {type(clip).__name__}; give a region of lithax.regions, which is cut away.")
    budget = _budget(quality)
    pyvista = _load_pyvista()
    plotter = pyvista.Plotter(off_screen=off_screen, window_size=list(size))
    plotter.set_background(background)
    source = image if segmentation is None else state.segmentation
    values, frame = _read(source, state, budget)
    inside = _kept(frame, region, clip)
    if segmentation is not None:
        _phases(plotter, pyvista, state, values, frame, inside, phases)
    else:
        values = state.shown_part(values)
        if surface is not None:
            _level(plotter, pyvista, values, frame, inside, surface)
        else:
            _block(plotter, pyvista, state, values, frame, inside, opacity)
    _furnish(plotter, pyvista, state, frame, show_axes)
    return plotter


def _load_pyvista() -> Any:
    try:
        import pyvista
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Drawing in three dimensions needs PyVista: pip install 'lithax[volume]'.", name="pyvista"
        ) from error
    return pyvista


def _budget(quality: Any) -> int | None:
    if isinstance(quality, str) and quality in QUALITY:
        return QUALITY[quality]
    if isinstance(quality, int) and not isinstance(quality, bool) and quality > 0:
        return quality
    raise ValueError(f"quality={quality!r} must be {', '.join(map(repr, QUALITY))}, or a number of voxels.")


def _read(source: Any, state: ViewState, budget: int | None) -> tuple[np.ndarray, Frame]:
    """Return at most `budget` voxels, spread evenly, of the coarsest level that has as many; and
    where they are.
    """
    candidates = levels_of(source) if source is not state.image and hasattr(source, "stored") else (source,)
    if source is state.image:
        candidates = tuple(state.levels)
    chosen = candidates[0]
    for level in candidates[1:]:
        if budget is not None and np.prod(level.shape, dtype=float) >= budget:
            chosen = level
    smaller = [level for level in candidates if budget is not None and np.prod(level.shape, dtype=float) <= budget]
    if smaller and np.prod(smaller[0].shape, dtype=float) >= budget / 4:  # pyright: ignore[reportOptionalOperand]
        chosen = smaller[0]  # whole, rather than every second voxel of the next finer one
    step = 1
    while budget is not None and np.prod([-(-n // step) for n in chosen.shape], dtype=float) > budget:
        step += 1
    frame = getattr(chosen, "frame", state.frame)
    # The voxel in the middle of those that one stands for.
    ranges = tuple(range(min(step // 2, n - 1), n, step) for n in chosen.shape)
    stored: Any = getattr(chosen, "stored", chosen)
    if hasattr(stored, "read_selection"):
        values = stored.read_selection(ranges)
    else:
        values = stored.read(tuple(slice(0, n) for n in stored.shape))[
            tuple(slice(r.start, r.stop, step) for r in ranges)
        ]
    coarse = Frame(
        values.shape,
        tuple(step * h for h in frame.voxel_length),
        tuple(
            o + (0.5 * (step - 1) if n > 1 else 0) * h
            for o, h, n in zip(frame.voxel_origin, frame.voxel_length, frame.shape, strict=True)
        ),
        frame.voxel_unit,
    )
    if str(coarse.voxel_unit) != str(state.frame.voxel_unit):
        coarse = coarse.to(str(state.frame.voxel_unit))
    return np.asarray(values), coarse


def _kept(frame: Frame, region: AbstractRegion | None, clip: AbstractRegion | None) -> np.ndarray | None:
    if region is None and clip is None:
        return None
    x, y, z = frame.coordinates()
    kept = np.ones(frame.shape, bool)
    if region is not None:
        kept &= np.asarray(region.contains(x, y, z))
    if clip is not None:
        kept &= ~np.asarray(clip.contains(x, y, z))
    if not kept.any():
        raise ValueError("region and clip leave nothing to draw: no voxel lies inside of region and outside of clip.")
    return kept


def _grid(pyvista: Any, frame: Frame, values: np.ndarray, name: str, *, cells: bool) -> Any:
    """Return a grid with a cell for each voxel, or with a point at its centre."""
    shape = tuple(n + 1 for n in values.shape) if cells else values.shape
    origin = frame.extent[0] if cells else frame.voxel_origin
    grid = pyvista.ImageData(dimensions=shape, spacing=frame.voxel_length, origin=origin)
    data = grid.cell_data if cells else grid.point_data
    data[name] = values.ravel(order="F")
    return grid


def _padded(frame: Frame) -> Frame:
    """Return the frame with a voxel more on every side, so that surfaces are closed at the faces of
    the image.
    """
    return Frame(
        tuple(n + 2 for n in frame.shape),
        frame.voxel_length,
        tuple(o - h for o, h in zip(frame.voxel_origin, frame.voxel_length, strict=True)),
        frame.voxel_unit,
    )


def _phases(
    plotter: Any,
    pyvista: Any,
    state: ViewState,
    labels: np.ndarray,
    frame: Frame,
    inside: np.ndarray | None,
    phases: Any,
) -> None:
    labels = labels.astype(np.int32)
    if inside is not None:
        labels = np.where(inside, labels, 0)
    found = tuple(int(p) for p in np.unique(labels) if p)
    wanted = tuple(p for p in found if phases is None or p in set(phases))
    wanted = tuple(p for p in wanted if phase_color(p, state.segmentation_colors, found) is not None)
    if not wanted:
        raise ValueError(f"phases={phases!r}: none of them is in the image, which has {list(found)} besides 0.")
    labels = np.where(np.isin(labels, wanted), labels, 0)
    grid = _grid(pyvista, _padded(frame), np.pad(labels, 1), "phase", cells=False)
    for phase in wanted:
        closed = grid.contour_labels(
            scalars="phase",
            select_inputs=[phase],
            select_outputs=[phase],
            boundary_style="all",
            smoothing=True,
            smoothing_distance=_SMOOTHING * min(frame.voxel_length),
            output_mesh_type="triangles",
            pad_background=False,
        )
        if closed.n_points == 0:
            continue
        closed.clear_data()
        color = phase_color(phase, state.segmentation_colors, found)
        plotter.add_mesh(
            closed,
            color=color,
            label=phase_name(state, phase),
            smooth_shading=True,
            specular=0.15,
        )
    plotter.add_legend(
        bcolor=None, border=False, face="rectangle", size=(0.2, 0.03 * len(wanted) + 0.02), loc="upper left"
    )


def _level(
    plotter: Any, pyvista: Any, values: np.ndarray, frame: Frame, inside: np.ndarray | None, surface: float
) -> None:
    numbers = np.nan_to_num(values.astype(np.float32), nan=-np.inf, neginf=float(np.finfo(np.float32).min))
    low = float(min(numbers[np.isfinite(numbers)].min(initial=surface), surface))
    beyond = low - max(1.0, abs(surface - low))
    numbers = np.where(np.isfinite(numbers), numbers, beyond)
    if inside is not None:
        numbers = np.where(inside, numbers, beyond)
    grid = _grid(pyvista, _padded(frame), np.pad(numbers, 1, constant_values=beyond), "value", cells=False)
    found = grid.contour([surface], scalars="value")
    if found.n_points == 0:
        raise ValueError(f"surface={surface!r} lies beyond the values of the image, up to {numbers.max():g}.")
    plotter.add_mesh(
        found, color=_SURFACE, smooth_shading=True, split_sharp_edges=True, specular=0.2, show_scalar_bar=False
    )


def _block(
    plotter: Any,
    pyvista: Any,
    state: ViewState,
    values: np.ndarray,
    frame: Frame,
    inside: np.ndarray | None,
    opacity: Any,
) -> None:
    look = state.look
    values = values.astype(np.float32)
    seen = values[np.isfinite(values)]
    if state.limits is not None:
        limits = state.limits
    else:
        limits = tuple(float(v) for v in np.percentile(seen, [0.5, 99.5])) if seen.size else (0.0, 1.0)
    bar = {
        "title": f"{value_label(state)}\n",
        "color": "#444444",
        "label_font_size": 12,
        "title_font_size": 14,
        "n_labels": 3,
        "vertical": True,
        "width": 0.05,
        "height": 0.3,
        "position_x": 0.87,
        "position_y": 0.66,
        "fmt": "%.4g",
    }
    options = {"scalars": "value", "cmap": look.color_map, "clim": limits, "scalar_bar_args": bar}
    if opacity is not None:
        if inside is not None:
            values = np.where(inside, values, limits[0])
        grid = _grid(pyvista, frame, np.nan_to_num(values, nan=limits[0]), "value", cells=False)
        plotter.add_volume(grid, opacity=opacity, shade=False, **options)
        return
    grid = _grid(pyvista, frame, values, "value", cells=True)
    cells = grid if inside is None else grid.extract_cells(np.flatnonzero(inside.ravel(order="F")))
    block = cells.extract_surface(algorithm=None)
    plotter.add_mesh(block, lighting=True, ambient=0.55, diffuse=0.5, nan_color=look.not_a_number, **options)


def _furnish(plotter: Any, pyvista: Any, state: ViewState, frame: Frame, show_axes: bool) -> None:
    lower, upper = frame.extent
    bounds = [v for pair in zip(lower, upper, strict=True) for v in pair]
    plotter.add_mesh(pyvista.Box(bounds), style="wireframe", color=_OUTLINE, line_width=1, lighting=False)
    if show_axes:
        unit = unit_of(state)
        dimensions = " × ".join(f"{high - low:.4g}" for low, high in zip(lower, upper, strict=True))
        plotter.add_text(f"{dimensions} {unit}".rstrip(), position="lower_right", font_size=8, color="#444444")
        plotter.add_axes(color="#444444", line_width=2, viewport=(0, 0, 0.16, 0.16))
    plotter.enable_parallel_projection()
    plotter.camera_position = "iso"
    plotter.camera.zoom(0.95)

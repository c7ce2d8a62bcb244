"""Two images of the same place, side by side."""

from typing import Any

import numpy as np

from lithax.images import VoxelImage
from lithax.viz._figure import FAINT, drawing
from lithax.viz._picture import PanelPicture, unit_of
from lithax.viz._render import ViewCache, default_limits, render, value_label
from lithax.viz._scale_bar import draw_scale_bar
from lithax.viz._view_state import ViewState


def side_by_side(
    first: VoxelImage,
    second: VoxelImage,
    *,
    plane: str = "xy",
    titles: tuple[str, str] = ("", ""),
    difference: bool = True,
    reference_voxel: tuple[int, int, int] | None = None,
    limits: tuple[float, float] | None = None,
    difference_limit: float | None = None,
    **options: Any,
) -> Any:
    """Draw the same slice of two images in the same colours, and their difference.

    Parameters
    ----------
    first, second
        Images on the same grid.
    plane
        "xy", "xz" or "zy".
    titles
        What the two are; by default their field names.
    difference
        Whether ``second - first`` is drawn, too: red where it is positive, blue where it is
        negative.
    reference_voxel
        The slice goes through it; by default the middle.
    limits
        Values with the first and the last colour; by default the percentiles 0.05 and 99.95 of the
        first image.
    difference_limit
        Difference with the strongest colour, in the unit of the images; by default the percentile
        99 of its magnitude.
    **options
        Further values of `ViewState` for both, such as `color_map`, `part`, `zoom`, `region`,
        `mask`, `contours`.

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.

    Raises
    ------
    ValueError
        If the images are not on the same grid, or `plane` is none.
    """
    if plane not in ("xy", "xz", "zy"):
        raise ValueError(f"plane={plane!r} must be 'xy', 'xz' or 'zy'.")
    state = ViewState(
        image=first,
        reference_voxel=reference_voxel,
        show_histogram=False,
        show_legend=False,
        show_guide_lines=False,
        **{f"show_{name}_plane": name == plane for name in ("xy", "xz", "zy")},
        **options,
    )
    if not isinstance(second, VoxelImage):
        raise TypeError(f"second is a {type(second).__name__}; give a VoxelImage.")
    unlike = first.frame.difference(second.frame)
    if unlike:
        raise ValueError(
            f"second is not on the grid of first: its {unlike}. Resample one of them, or correct image.update(...)."
        )
    cache = ViewCache()
    limits = limits or default_limits(cache.distribution(state).histogram)
    parts = [render(state.replace(image=image, limits=limits), cache) for image in (first, second)]
    panels = [part.panels[plane] for part in parts]
    named = [title or image.field_name for title, image in zip(titles, (first, second), strict=True)]
    named[0] = f"{named[0]}, {panels[0].title}".removeprefix(", ")
    count = 3 if difference else 2
    left, right, bottom, top = panels[0].window
    width = 3.05
    height = min(max(width * (top - bottom) / (right - left), 0.6), 6.0)
    with drawing(count * width, height + 0.95) as figure:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        every = figure.subplots(1, count, squeeze=False)[0]
        for axes, panel, name in zip(every, panels, named, strict=False):
            _show(axes, panel, panel.pixels, name)
            draw_scale_bar(axes, right - left, unit_of(state))
        colors = ListedColormap(parts[0].colors / 255)
        grey = ScalarMappable(Normalize(*limits), colors)
        bar = {"orientation": "horizontal", "aspect": 30, "pad": 0.03, "shrink": 0.8}
        figure.colorbar(grey, ax=list(every[:2]), label=value_label(state), **bar)
        if difference:
            a, b = (panel.values.astype(np.float64) for panel in panels)
            change = b - a
            finite = np.abs(change[np.isfinite(change)])
            most = difference_limit or (float(np.percentile(finite, 99)) if finite.size else 0.0) or 1.0
            picture = _show(every[2], panels[0], change, "difference", cmap="RdBu_r", vmin=-most, vmax=most)
            unit = f" [{first.field_unit}]" if first.field_unit else ""
            figure.colorbar(picture, ax=every[2], label=f"second − first{unit}", **bar | {"aspect": 15})
    return figure


def _show(axes: Any, panel: PanelPicture, values: np.ndarray, title: str, **options: Any) -> Any:
    picture = axes.imshow(
        values, origin="lower", extent=panel.extent, interpolation="nearest", aspect="equal", **options
    )
    axes.set_xlim(panel.window[:2])
    axes.set_ylim(panel.window[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{panel.name[0]} →", labelpad=2)
    axes.set_ylabel(f"{panel.name[1]} →", labelpad=2)
    axes.set_title(title, loc="left")
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.6)
    return picture

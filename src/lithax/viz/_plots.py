"""Plots of an image in one line: its histogram, its mean slice by slice, its porosity against the
size of the window.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lithax.images import VoxelImage
from lithax.measure import histogram as measure_histogram
from lithax.measure import profile
from lithax.measure import representative_volume as measure_representative_volume
from lithax.viz._curves import draw_profiles, draw_representative_volume
from lithax.viz._figure import INK, drawing
from lithax.viz._phase_colors import PhaseColors, phase_color
from lithax.viz._unit import unit_symbol


def _label(image: VoxelImage) -> str:
    name = image.field_name or "value"
    return f"{name} [{unit_symbol(image.field_unit)}]" if image.field_unit else name


def histogram(
    image: VoxelImage,
    *,
    segmentation: Any = None,
    where: Any = None,
    bins: Any = 256,
    colors: PhaseColors | None = None,
    phase_names: Mapping[int, str] | None = None,
    scale: str = "linear",
) -> Any:
    """Measure the histogram of an image, and draw it: all voxels, and each phase in its colour.

    Parameters
    ----------
    image, segmentation, where, bins
        As in `lithax.measure.histogram`. All processes of the image must call this together.
    colors, phase_names
        As `segmentation_colors` and `phase_names` of `ViewState`.
    scale
        "linear" or "log".

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.
    """
    if scale not in ("linear", "log"):
        raise ValueError(f"scale={scale!r} must be 'linear' or 'log'.")
    counted = measure_histogram(image, bins, where=where, segmentation=segmentation)
    total = max(1, counted.total)
    names = phase_names or {}
    with drawing(5.6, 3.2) as figure:
        axes = figure.subplots()
        for phase, part in counted.phases.items():
            color = phase_color(phase, colors, tuple(counted.phases)) or "#9a9a9a"
            label = names.get(phase, f"phase {phase}")
            axes.stairs(100 * part.counts / total, part.edges, fill=True, color=color, alpha=0.3)
            axes.stairs(100 * part.counts / total, part.edges, color=color, linewidth=1.2, label=label)
        axes.stairs(100 * counted.counts / total, counted.edges, color=INK, linewidth=1.1, label="all voxels")
        axes.set_yscale(scale)
        if counted.total:
            low, high = (float(v) for v in counted.percentile([0.01, 99.99]))
            if np.isfinite(low) and high > low:
                axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
        axes.set_xlabel(_label(image))
        axes.set_ylabel("voxels per bin [%]")
        if counted.phases:
            axes.legend(loc="best", handlelength=1.4)
    return figure


def profiles(image: VoxelImage, *, axes: Sequence[int] = (0, 1, 2), where: Any = None) -> Any:
    """Measure the mean of an image slice by slice, and draw it; of a boolean image, the share of
    True.

    Parameters
    ----------
    image
        Any image of real numbers or booleans.
    axes
        Along which of x, y and z: 0, 1, 2.
    where
        Voxels taken in. All processes of the image must call this together.

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.
    """
    found = [profile(image, axis, where) for axis in axes]
    count = max(1, int(found[0].count.sum())) if found else 1
    mean = float(np.nansum(found[0].mean * found[0].count) / count) if found else None
    share = image.dtype.kind == "b"
    label = f"share of {image.field_name or 'True'} in the slice [%]" if share else f"mean {_label(image)}"
    return draw_profiles(found, image.frame, mean=mean, label=label, factor=100.0 if share else 1.0)


def representative_volume(
    image: VoxelImage, pore_phase: Any = None, *, where: Any = None, limit: float = 0.05, cells: int = 32
) -> Any:
    """Measure the porosity of cubic windows of every size, and draw how it varies from place to
    place: the REV plot.

    Parameters
    ----------
    image, pore_phase, where, limit, cells
        As in `lithax.measure.representative_volume`. All processes of the image must call this
        together.

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.
    """
    found = measure_representative_volume(image, pore_phase, where=where, limit=limit, cells=cells)
    if not found.sizes:
        raise ValueError(
            "where takes in no whole window, not even of the smallest size; choose a larger region, or more cells=."
        )
    return draw_representative_volume(found, image.frame)

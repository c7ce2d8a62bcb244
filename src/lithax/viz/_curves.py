"""Curves of a report: porosity along an axis, against the threshold, against the sample size, grey
level across an edge.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.measure import ProfileResult, RepresentativeVolume
from lithax.viz._figure import ACCENT, FAINT, GRAIN, INK, PORE, TRUTH, drawing
from lithax.viz._unit import unit_symbol

_AXIS_COLORS = (PORE, ACCENT, TRUTH)


def draw_profiles(
    profiles: Sequence[ProfileResult],
    frame: Frame,
    *,
    mean: float | None = None,
    label: str = "porosity of the slice [%]",
    factor: float = 100.0,
) -> Any:
    """Draw the mean of every slice along x, y and z: the porosity, unless another label says
    otherwise.

    Parameters
    ----------
    profiles
        Profiles of an image, for the porosity of a boolean pore image.
    frame
        Where its voxels are.
    mean
        That of the whole, drawn as a line.
    label
        What the means are.
    factor
        By which they are multiplied: 100 for percent.
    """
    with drawing(9.2, 2.6) as figure:
        every = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
        unit = unit_symbol(frame.unit_name)
        for axes, profile in zip(every, profiles, strict=True):
            if mean is not None:
                axes.axhline(factor * mean, color=INK, linewidth=0.8, linestyle=":", label="whole")
            position = frame.axis_coordinates(profile.axis)
            axes.plot(position, factor * profile.mean, color=_AXIS_COLORS[profile.axis], linewidth=1.1)
            axes.set_xlabel(f"{'xyz'[profile.axis]} [{unit}]")
            axes.set_xlim(position[0], position[-1] if len(position) > 1 else position[0] + 1)
        every[0].set_ylabel(label)
    return figure


def draw_sensitivity(
    thresholds: np.ndarray,
    porosity: np.ndarray,
    *,
    used: tuple[float, float],
    band: tuple[float, float],
    levels: tuple[float, float] | None = None,
) -> Any:
    """Draw porosity against threshold.

    Parameters
    ----------
    thresholds, porosity
        The curve [grey level], [-].
    used
        Threshold and porosity of the segmentation.
    band
        The range of thresholds that is shaded.
    levels
        Grey level of pore and grain.
    """
    with drawing(3.5, 3.1) as figure:
        axes = figure.subplots()
        axes.axvspan(*band, color=ACCENT, alpha=0.12, linewidth=0)
        axes.plot(thresholds, 100 * porosity, color=INK, linewidth=1.3)
        axes.plot([used[0]], [100 * used[1]], "o", color=ACCENT, markersize=5)
        for level in levels or ():
            axes.axvline(level, color=FAINT, linewidth=1, zorder=0)
        axes.set_xlim(thresholds[0], thresholds[-1])
        axes.set_ylim(0, max(1.0, min(100.0, 105 * float(np.max(porosity)))))
        axes.set_xlabel("threshold [grey level]")
        axes.set_ylabel("porosity [%]")
        axes.locator_params(axis="x", nbins=5)
    return figure


def draw_edge(
    position: Sequence[float],
    level: Sequence[float],
    fit: tuple[np.ndarray, np.ndarray],
    *,
    pore: float,
    grain: float,
) -> Any:
    """Draw the mean grey level against the distance from the segmented surface.

    Parameters
    ----------
    position, level
        Measured means [voxel], [grey level].
    fit
        The error function fitted to them: distances and grey levels.
    pore, grain
        Grey levels deep inside the two.
    """
    with drawing(3.5, 3.1) as figure:
        axes = figure.subplots()
        for value, color, name in ((pore, PORE, "pore"), (grain, GRAIN, "grain")):
            axes.axhline(value, color=color, linewidth=1, linestyle="--")
            inside = value == grain
            axes.annotate(
                name,
                (0.02 if inside else 0.98, value),
                xycoords=("axes fraction", "data"),
                xytext=(0, -3 if inside else 3),
                textcoords="offset points",
                ha="left" if inside else "right",
                va="top" if inside else "bottom",
                color=color,
            )
        axes.axvline(0, color=FAINT, linewidth=1, zorder=0)
        axes.plot(*fit, color=INK, linewidth=1.1)
        axes.plot(position, level, "o", color=ACCENT, markersize=4)
        axes.set_xlabel("distance from the segmented surface [voxel]")
        axes.set_ylabel("mean grey level")
    return figure


def draw_representative_volume(volume: RepresentativeVolume, frame: Frame | None = None) -> Any:
    """Draw mean and standard deviation of the porosity of sub-cubes against their edge, and the
    relative deviation.

    Sizes with too few sub-cubes to judge by are drawn hollow; dashed, the fall with the square root
    of the volume.

    Parameters
    ----------
    volume
        What `measure.representative_volume` found.
    frame
        Where the voxels are: edges are drawn in its unit if the voxels are cubes, and in voxels
        otherwise.
    """
    factor, unit = 1.0, "voxel"
    if frame is not None and str(frame.voxel_unit):
        lengths = frame.voxel_length
        if max(lengths) - min(lengths) < 1e-9 * max(lengths):
            factor, unit = lengths[0], unit_symbol(str(frame.voxel_unit))
    edges = [factor * s.edge for s in volume.sizes]
    mean, deviation = [s.mean for s in volume.sizes], [s.deviation for s in volume.sizes]
    number, fewest, limit = [s.number for s in volume.sizes], volume.fewest, volume.limit
    amplitude = volume.amplitude * factor**1.5
    reached = None if volume.edge is None else factor * volume.edge
    x, m, s, n = (np.asarray(v, np.float64) for v in (edges, mean, deviation, number))
    enough = n >= fewest
    with drawing(9.2, 3.0) as figure:
        left, right = figure.subplots(1, 2)
        known = np.isfinite(s)
        left.fill_between(x[known], 100 * (m - s)[known], 100 * (m + s)[known], color=PORE, alpha=0.18, linewidth=0)
        left.plot(x, 100 * m, color=PORE, linewidth=1.2)
        left.plot(x[enough], 100 * m[enough], "o", color=PORE, markersize=3.5)
        left.plot(x[~enough], 100 * m[~enough], "o", color=PORE, markersize=3.5, markerfacecolor="white")
        left.set_xscale("log")
        left.set_xlabel(f"edge of the sub-cubes [{unit}]")
        left.set_ylabel("porosity, mean ± std [%]")
        left.set_ylim(bottom=max(0.0, left.get_ylim()[0]))

        with np.errstate(invalid="ignore", divide="ignore"):
            relative = 100 * s / m
        drawn = known & (relative > 0)
        if np.isfinite(amplitude):
            line = np.geomspace(x.min(), x.max(), 50)
            right.plot(
                line, 100 * amplitude * line**-1.5, color=INK, linewidth=1, linestyle="--", label="edge$^{-3/2}$"
            )
        right.axhline(100 * limit, color=ACCENT, linewidth=1, linestyle=":", label=f"{100 * limit:g} %")
        right.plot(
            x[drawn & enough],
            relative[drawn & enough],
            "o",
            color=PORE,
            markersize=4,
            label=f"at least {fewest} sub-cubes",
        )
        few = drawn & ~enough
        if few.any():
            right.plot(x[few], relative[few], "o", color=PORE, markersize=4, markerfacecolor="white", label="fewer")
        if reached is not None:
            right.axvline(reached, color=TRUTH, linewidth=1.2, label=f"representative: {reached:.4g} {unit}")
        right.set_xscale("log")
        right.set_yscale("log")
        right.set_xlabel(f"edge of the sub-cubes [{unit}]")
        right.set_ylabel("std / mean porosity [%]")
        if drawn.any():
            floor = min(relative[drawn].min(), 100 * limit)
            right.set_ylim(floor / 2, 2 * max(relative[drawn].max(), 100 * limit))
        for axes in (left, right):
            axes.set_xlim(0.9 * x.min(), 1.1 * x.max())
            _plain_ticks(axes.xaxis, *axes.get_xlim())
        _plain_ticks(right.yaxis, *right.get_ylim())
        # Beside the axes: lines cross all of them.
        right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3, handlelength=1.6)
    return figure


def _plain_ticks(axis: Any, low: float, high: float) -> None:
    """Label a logarithmic axis at 1, 2 and 5 times the powers of ten, in plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    axis.set_major_locator(FixedLocator([f * p for p in powers for f in (1, 2, 5) if low <= f * p <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))

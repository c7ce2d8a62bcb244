"""Histograms of grey levels, with thresholds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lithax.measure import HistogramResult
from lithax.viz._figure import FAINT, INK, drawing


class Mark(NamedTuple):
    """A vertical line at a value, with a name."""

    value: float
    label: str
    color: str = INK
    style: str = "-"


def draw_histogram(
    levels: HistogramResult,
    *,
    behind: HistogramResult | None = None,
    marks: Sequence[Mark] = (),
    labels: tuple[str, str] = ("filtered", "as scanned"),
    xlabel: str = "grey level",
    bins: int = 200,
) -> Any:
    """Draw a histogram as a line, and another one behind it as an area, with marks.

    Parameters
    ----------
    levels, behind
        Histograms; those with one bin per value are drawn with `bins` bins.
    marks
        Vertical lines; their labels go to the legend.
    labels
        What the two histograms are.
    xlabel
        What the values are.
    bins
        Bins drawn, from the percentile 0.05 to 99.95.
    """
    with drawing(5.6, 3.4) as figure:
        axes = figure.subplots()
        low, high = (levels if behind is None else behind).percentile([0.05, 99.95])
        if behind is not None:
            x, y = _shares(behind, low, high, bins)
            axes.fill_between(x, y, step="mid", color=FAINT, alpha=0.6, linewidth=0, label=labels[1])
        x, y = _shares(levels, low, high, bins)
        axes.plot(x, y, color=INK, linewidth=1.1, label=labels[0])
        for mark in marks:
            axes.axvline(mark.value, color=mark.color, linestyle=mark.style, linewidth=1.3, label=mark.label)
        if high > low:
            axes.set_xlim(low, high)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("voxels per bin [%]")
        figure.legend(loc="outside lower center", ncols=3, handlelength=1.6, columnspacing=1.4)
    return figure


def _shares(levels: HistogramResult, low: float, high: float, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of every bin and the share of the voxels in it [%]."""
    if high > low and np.all(levels.widths == 1):
        # Bins of a whole number of values each, or some would hold one more than their neighbours.
        width = max(1, round((high - low) / bins))
        first = np.floor(low) - 0.5
        edges = first + width * np.arange(int((high - first) / width) + 2)
        levels = levels.rebin(edges)
    return levels.centers, 100 * levels.counts / max(levels.total, 1)

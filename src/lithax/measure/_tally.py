"""Counting bins row by row: the part that all histograms share."""

from typing import Any

import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._measurement import State
from lithax.measure._minimum_maximum import extremes, kept
from lithax.measure._phases import phase_row
from lithax.typing import Array

OUTSIDE = 3
"""Columns after the bins: voxels below, voxels above, NaN."""

LIMIT = 1 << 26
"""Counters that a histogram may have: 256 MiB on a device."""


def check_size(bins: int, phases: Any) -> None:
    """Raise ValueError if the table of counters would be out of proportion."""
    rows = 1 if phases is None else phases.size + 1
    if rows * (bins + OUTSIDE) > LIMIT:
        raise ValueError(
            f"A histogram of {bins} bins for {rows - 1} phases needs {rows * (bins + OUTSIDE)} counters, more than "
            f"{LIMIT}; use fewer bins, or name fewer phases."
        )


def tally(
    x: Array,
    column: Array,
    bins: int,
    valid: Array | None,
    segmentation: Array | None,
    phases: Array | None,
    bounds: bool = True,
) -> State:
    """Count voxels per row (phase, the last row for none of them) and column (bin), with the
    extremes of every row.
    """
    xp = namespace(x)
    width = bins + OUTSIDE
    rows, row = 1, None
    if phases is not None:
        row = phase_row(segmentation, phases)
        rows = phases.shape[0] + 1
        column = column + row * width
    if valid is not None:
        column = xp.where(valid, column, rows * width)
    counts = bincount(column, rows * width + 1)[: rows * width]
    state = {"counts": xp.reshape(counts, (rows, width))}
    if bounds:
        present, _ = kept(x, valid)
        minimum, maximum = extremes(x, present, row, rows)
        state |= {"minimum": xp.reshape(minimum, (rows,)), "maximum": xp.reshape(maximum, (rows,))}
    return state


def finish_tally(state: State, edges: np.ndarray, phases: Any, values: np.ndarray | None = None) -> HistogramResult:
    """Return the histogram of all rows together, with one of each phase."""
    counts = np.asarray(state["counts"], np.int64)
    low = high = None
    if "minimum" in state:
        low, high = np.asarray(state["minimum"]), np.asarray(state["maximum"])

    def result(rows: Any, **more: Any) -> HistogramResult:
        table = counts[rows].sum(axis=0)
        bounds = () if low is None or high is None else (low[rows].min(), high[rows].max())
        return HistogramResult.from_table(edges, table, *bounds, values=values, **more)

    named = [] if phases is None else np.asarray(phases).tolist()
    return result(slice(None), phases={phase: result(slice(i, i + 1)) for i, phase in enumerate(named)})

"""Pore and grain sizes as curves: how much of the volume is no larger than each diameter."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lithax.fields import SizeDistribution
from lithax.viz._figure import ACCENT, FAINT, GRAIN, INK, PORE, TRUTH, drawing
from lithax.viz._unit import unit_symbol


def size_distribution(
    sizes: SizeDistribution | Mapping[str, SizeDistribution], *, by: str = "volume", scale: str = "linear"
) -> Any:
    """Draw the cumulative distribution of sizes, with the diameter below which half of it lies.

    Parameters
    ----------
    sizes
        What `lithax.pore_sizes` or `lithax.grain_sizes` returned, or several by name, in one unit.
    by
        "volume" or "number".
    scale
        Of the diameters: "linear" or "log".

    Returns
    -------
        A figure of matplotlib, without a window; see `encode`.
    """
    if scale not in ("linear", "log"):
        raise ValueError(f"scale={scale!r} must be 'linear' or 'log'.")
    curves = {"": sizes} if isinstance(sizes, SizeDistribution) else dict(sizes)
    units = {s.unit for s in curves.values()}
    if len(units) != 1:
        raise ValueError(f"sizes have the units {sorted(units)}; give one unit, or at least one distribution.")
    if empty := [name for name, s in curves.items() if not len(s.diameters)]:
        raise ValueError(f"sizes{f'[{empty[0]!r}]' if empty[0] else ''} holds no size.")
    with drawing(5.6, 3.2) as figure:
        axes = figure.subplots()
        axes.axhline(50, color=FAINT, linewidth=0.8)
        for k, (name, part) in enumerate(curves.items()):
            color = (PORE, GRAIN, ACCENT, TRUTH, INK)[k % 5]
            share = np.concatenate([[0.0], 100 * part.cumulative(by=by)])
            steps = np.concatenate([part.diameters[:1], part.diameters])
            middle = part.percentile(50, by=by)
            label = f"{name}{': ' if name else ''}half at {middle:.3g}"
            axes.step(steps, share, where="post", color=color, label=label)
            axes.plot([middle], [50], "o", color=color, markersize=4)
        axes.set_xscale(scale)
        axes.set_ylim(0, 102)
        (unit,) = units
        axes.set_xlabel(f"diameter [{unit_symbol(unit)}]" if unit else "diameter")
        axes.set_ylabel(f"share of the {by} [%]")
        axes.legend(loc="best", handlelength=1.4)
    return figure

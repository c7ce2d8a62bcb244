"""Porosities of several methods beside the true one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from lithax.viz._figure import ACCENT, INK, PORE, TRUTH, drawing


class Estimate(NamedTuple):
    """A porosity and where it comes from."""

    label: str
    porosity: float
    uncertainty: float = 0.0
    role: str = "estimate"
    """"truth" or "estimate"."""


def draw_comparison(panels: Sequence[tuple[str, Sequence[Estimate]]], truth: float, tolerance: float) -> Any:
    """Draw estimates as points on a line each, panel beside panel, over a band around the truth.

    Parameters
    ----------
    panels
        A title and its estimates, from top to bottom.
    truth
        The porosity that estimates are compared with [-].
    tolerance
        Half the width of the band [-].
    """
    with drawing(9.2, 2.7) as figure:
        every = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
        for number, (axes, (title, estimates)) in enumerate(zip(every, panels, strict=True)):
            axes.axvspan(100 * (truth - tolerance), 100 * (truth + tolerance), color=TRUTH, alpha=0.13, linewidth=0)
            axes.axvline(100 * truth, color=TRUTH, linewidth=1)
            rows = range(len(estimates) - 1, -1, -1)
            for row, estimate in zip(rows, estimates, strict=True):
                off = abs(estimate.porosity - truth) > tolerance
                color = TRUTH if estimate.role == "truth" else ACCENT if off else PORE
                axes.errorbar(
                    100 * estimate.porosity,
                    row,
                    xerr=100 * estimate.uncertainty or None,
                    fmt="o",
                    color=color,
                    markersize=6,
                    capsize=3,
                )
                axes.annotate(
                    f"{100 * estimate.porosity:.2f}",
                    (100 * (estimate.porosity + estimate.uncertainty), row),
                    xytext=(7, 0),
                    textcoords="offset points",
                    ha="left",
                    va="center",
                    fontsize=8.5,
                    color=INK,
                    bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.0},
                )
            axes.set_yticks(list(rows), [e.label for e in estimates] if number == 0 else [""] * len(estimates))
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(-0.6, len(estimates) - 0.35)
            axes.spines["left"].set_visible(False)
            axes.set_xlabel("porosity [%]")
            axes.set_title(title, loc="left")
            axes.margins(x=0.14)
    return figure

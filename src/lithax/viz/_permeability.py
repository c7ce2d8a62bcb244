"""Permeability against porosity."""

from typing import Any

import numpy as np


def permeability_crossplot(table: Any, laboratory: tuple[float, float] | None = None, axes: Any = None) -> Any:
    """Draw k of sub-volumes against their porosity, k on a logarithmic axis.

    Parameters
    ----------
    table
        What `lithax.solve.subvolumes` returns with ``flow=True``. Cubes that nothing joins are
        drawn at the lower edge.
    laboratory
        Porosity and permeability of a plug, in the unit of the table, drawn as a star.
    axes
        Matplotlib axes to draw in; new ones by default.

    Returns
    -------
        The axes.

    Raises
    ------
    ValueError
        If the table holds no permeabilities.
    """
    if np.isnan(table.permeability).all():
        raise ValueError("table holds no permeabilities; make it with lx.solve.subvolumes(..., flow=True).")
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure().subplots()
    k = table.permeability
    shown = np.isfinite(k) & (k > 0)
    for edge in np.unique(table.edge):
        rows = shown & (table.edge == edge)
        axes.semilogy(table.porosity[rows], k[rows], "o", label=f"{edge} voxels")
    if laboratory is not None:
        axes.semilogy(*laboratory, "*", ms=14, color="k", label="laboratory")
    closed = k == 0
    if closed.any():
        axes.plot(
            table.porosity[closed], np.full(closed.sum(), 0.02), "x", color="0.5", transform=axes.get_xaxis_transform(),
            label="nothing joins the ends",
        )  # fmt: skip
    axes.set(xlabel="porosity [-]", ylabel=f"permeability [{table.permeability_unit}]")
    axes.set_title("Sub-volume trend, not a reservoir law")
    axes.legend()
    return axes

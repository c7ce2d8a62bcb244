"""Properties of sub-volumes against their porosity: permeability; formation factor beside Archie's
law.
"""

from typing import Any

import numpy as np

EXPONENTS = (1.5, 2.0, 2.5)


def formation_factor_crossplot(table: Any, laboratory: tuple[float, float] | None = None, axes: Any = None) -> Any:
    """Draw F of sub-volumes against their porosity, with lines of Archie's law for m = 1.5, 2 and
    2.5.

    Parameters
    ----------
    table
        What `lithax.solve.subvolumes` returns. Cubes that nothing joins are left out.
    laboratory
        Porosity and formation factor of a plug, drawn as a star.
    axes
        Matplotlib axes to draw in; new ones by default.

    Returns
    -------
        The axes.
    """
    factor = table.formation_factor
    shown = np.isfinite(factor) & (table.porosity > 0)
    porosity = table.porosity[shown] if shown.any() else np.asarray([0.1, 0.3])
    line = np.geomspace(porosity.min() * 0.8, min(porosity.max() * 1.25, 1), 30)
    axes = _points(table, factor, shown, axes)
    axes.set_xscale("log")
    for m in EXPONENTS:
        axes.plot(line, line**-m, "-", lw=0.8, color="0.5", label=f"m = {m:g}")
    return _finished(axes, laboratory, "formation factor [-]", "m")


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
    k = table.permeability
    if np.isnan(k).all():
        raise ValueError("table holds no permeabilities; make it with lx.solve.subvolumes(..., flow=True).")
    axes = _points(table, k, np.isfinite(k) & (k > 0), axes)
    closed = k == 0
    if closed.any():
        axes.plot(
            table.porosity[closed], np.full(closed.sum(), 0.02), "x", color="0.5", transform=axes.get_xaxis_transform(),
            label="nothing joins the ends",
        )  # fmt: skip
    return _finished(axes, laboratory, f"permeability [{table.permeability_unit}]", "law")


def _points(table: Any, values: np.ndarray, shown: np.ndarray, axes: Any) -> Any:
    """Draw one set of points for each edge, values on a logarithmic axis."""
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure().subplots()
    for edge in np.unique(table.edge):
        rows = shown & (table.edge == edge)
        axes.semilogy(table.porosity[rows], values[rows], "o", label=f"{edge} voxels")
    return axes


def _finished(axes: Any, laboratory: tuple[float, float] | None, quantity: str, not_a_reservoir: str) -> Any:
    if laboratory is not None:
        axes.plot(*laboratory, "*", ms=14, color="k", label="laboratory")
    axes.set(xlabel="porosity [-]", ylabel=quantity, title=f"Sub-volume trend, not a reservoir {not_a_reservoir}")
    axes.legend()
    return axes

"""Formation factor against porosity, with Archie's law."""

from typing import Any

import numpy as np

EXPONENTS = (1.5, 2.0, 2.5)


def formation_factor_crossplot(table: Any, laboratory: tuple[float, float] | None = None, axes: Any = None) -> Any:
    """Draw F of sub-volumes against their porosity, with lines of Archie's law for m = 1.5, 2 and
    2.5.

    Parameters
    ----------
    table
        What `lithax.solve.subvolumes` returns.
    laboratory
        Porosity and formation factor of a plug, drawn as a star.
    axes
        Matplotlib axes to draw in; new ones by default.

    Returns
    -------
        The axes.
    """
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure().subplots()
    shown = np.isfinite(table.formation_factor) & (table.porosity > 0)
    for edge in np.unique(table.edge):
        rows = shown & (table.edge == edge)
        axes.loglog(table.porosity[rows], table.formation_factor[rows], "o", label=f"{edge} voxels")
    porosity = table.porosity[shown] if shown.any() else np.asarray([0.1, 0.3])
    line = np.geomspace(porosity.min() * 0.8, min(porosity.max() * 1.25, 1), 30)
    for m in EXPONENTS:
        axes.loglog(line, line**-m, "-", lw=0.8, color="0.5", label=f"m = {m:g}")
    if laboratory is not None:
        axes.loglog(*laboratory, "*", ms=14, color="k", label="laboratory")
    axes.set(xlabel="porosity [-]", ylabel="formation factor [-]", title="Sub-volume trend, not a reservoir m")
    axes.legend()
    return axes

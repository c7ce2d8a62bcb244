"""The cross-plot of electron density and effective atomic number, with the points of minerals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lithax.arrays import to_numpy
from lithax.models import Material
from lithax.models import material as catalogue
from lithax.viz._dual_energy_calibration import COLORS
from lithax.viz._figure import INK, drawing

MINERALS = ("quartz", "calcite", "dolomite", "water")


def draw_crossplot(
    electron_density: Any,
    atomic_number: Any,
    *,
    phases: Any = None,
    phase_names: Mapping[int, str] | None = None,
    minerals: Sequence[str | Material] = MINERALS,
    exponent: float = 3.2,
    bins: int = 160,
) -> Any:
    """Draw how many voxels have which electron density and atomic number, and where minerals would
    lie.

    Parameters
    ----------
    electron_density
        ρ_e of the voxels [g/cm³, electron-equivalent], an array of any shape; NaN is left out.
    atomic_number
        Z of the same voxels [-].
    phases
        Phase of the same voxels, whole numbers: each in a colour of its own. None: one cloud.
    phase_names
        Names for the legend, by phase; phases that are not named are left out.
    minerals
        Materials, or names of the catalogue.
    exponent
        At which the minerals' Z_eff is taken: best the n of the calibration, about 3.
    bins
        Along each axis.

    Raises
    ------
    ValueError
        If shapes differ, or no voxel has both values.
    """
    density, number = (np.asarray(to_numpy(v), np.float64).ravel() for v in (electron_density, atomic_number))
    labels = np.zeros(density.shape, np.int64) if phases is None else np.asarray(to_numpy(phases)).ravel()
    if not density.shape == number.shape == labels.shape:
        raise ValueError(
            f"electron_density has {density.size} voxels, atomic_number {number.size} and phases {labels.size}; "
            "give the same voxels."
        )
    good = np.isfinite(density) & np.isfinite(number)
    if not good.any():
        raise ValueError("No voxel has both an electron density and an atomic number; all are NaN.")
    density, number, labels = density[good], number[good], labels[good]
    names = {int(p): f"phase {p}" for p in np.unique(labels)} if phase_names is None else dict(phase_names)
    points = [m if isinstance(m, Material) else catalogue(m) for m in minerals]
    marks = [(m.name, float(m.electron_density), float(m.effective_atomic_number(exponent))) for m in points]

    box = []
    for values, own in ((density, [m[1] for m in marks]), (number, [m[2] for m in marks])):
        low, high = np.percentile(values, [0.2, 99.8])
        low, high = min([low, *own]), max([high, *own])
        margin = 0.06 * (high - low) or 0.5
        box.append((low - margin, high + margin))
    with drawing(5.6, 4.6) as figure:
        axes = figure.subplots()
        for order, (phase, name) in enumerate(names.items()):
            chosen = labels == phase
            counts, x, y = np.histogram2d(density[chosen], number[chosen], bins=bins, range=box)
            _cloud(axes, counts, x, y, COLORS[order % len(COLORS)])
            if phases is not None:
                axes.plot([], [], "s", color=COLORS[order % len(COLORS)], label=f"{name} ({int(chosen.sum())} voxels)")
        for name, x, y in marks:
            axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2)
            axes.annotate(name, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=8.5, color=INK)
        axes.set_xlim(box[0])
        axes.set_ylim(box[1])
        axes.set_xlabel("electron density [g/cm³, electron-equivalent]")
        axes.set_ylabel("effective atomic number")
        if phases is not None:
            axes.legend(loc="best", handlelength=1.0)
    return figure


def _cloud(axes: Any, counts: np.ndarray, x: np.ndarray, y: np.ndarray, color: str) -> None:
    from matplotlib.colors import to_rgb

    if counts.max() == 0:
        return
    strength = np.log1p(counts.T) / np.log1p(counts.max())
    picture = np.empty((*strength.shape, 4))
    picture[..., :3] = to_rgb(color)
    picture[..., 3] = np.where(strength > 0, 0.15 + 0.75 * strength, 0.0)
    extent = (x[0], x[-1], y[0], y[-1])
    axes.imshow(picture, origin="lower", extent=extent, aspect="auto", interpolation="nearest", zorder=1)

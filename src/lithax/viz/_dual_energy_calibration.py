"""Pictures of a dual-energy calibration: distributions, coefficients, implied atomic numbers,
profiles of the standards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.measure import ProfileResult
from lithax.models import Calibration, Coefficients, Gaussian, Material
from lithax.viz._figure import ACCENT, FAINT, GRAIN, INK, PORE, TRUTH, drawing
from lithax.viz._unit import unit_symbol

COLORS = (PORE, ACCENT, TRUTH, GRAIN, "#8e5ea2", "#e0a030", "#4f6d7a", "#c06090")


def draw_distributions(calibration: Calibration, *, unit: str = "") -> Any:
    """Draw the attenuation of empty space and of every standard, one panel per energy.

    Distributions that overlap, have two humps or a foot say that a region holds more than its
    material.

    Parameters
    ----------
    calibration
        What `lx.dect.from_regions` returns.
    unit
        Of the scan, for the axis.
    """
    every = [("air" if s.material is None else s.name, s) for s in (calibration.air, *calibration.standards)]
    names = calibration.energy_names
    with drawing(4.6 * len(names), 3.2) as figure:
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for e, axes in enumerate(panels):
            for number, (name, standard) in enumerate(every):
                distribution = standard.attenuation[e]
                color = COLORS[number % len(COLORS)]
                x, y = _outline(distribution)
                # Each to its own height: narrow and wide ones stay visible side by side.
                axes.fill_between(x, y / y.max(), color=color, alpha=0.25, linewidth=0)
                axes.plot(x, y / y.max(), color=color, linewidth=1.2, label=name if e == 0 else None)
                axes.axvline(float(distribution.mean), color=color, linewidth=0.8, linestyle=":")
            axes.set_ylim(0, 1.08)
            axes.set_yticks([])
            axes.set_xlabel(f"attenuation, {names[e]} energy" + (f" [{unit}]" if unit else ""))
        panels[0].set_ylabel("density, highest = 1")
        figure.legend(loc="outside upper center", ncols=len(every), handlelength=1.4, columnspacing=1.4)
    return figure


def draw_coefficients(coefficients: Coefficients, *, bins: int | None = None) -> Any:
    """Draw how A, B and n are spread over the valid draws, a row of panels per energy.

    Parameters
    ----------
    coefficients
        Draws of a calibration.
    bins
        Of the histograms, from the percentile 0.5 to 99.5; None: more for more draws.
    """
    valid = np.asarray(coefficients.valid)
    if not valid.any():
        raise ValueError(f"None of the {len(coefficients)} draws is valid; there is nothing to draw.")
    with drawing(8.6, 2.3 * coefficients.energies) as figure:
        grid = figure.subplots(coefficients.energies, 3, squeeze=False)
        for e, name in enumerate(coefficients.energy_names):
            for axes, symbol in zip(grid[e], ("A", "B", "n"), strict=True):
                values = np.asarray(getattr(coefficients, symbol))[valid, e]
                _spread(axes, values, COLORS[e % len(COLORS)], bins)
                axes.set_xlabel(f"{symbol}, {name} energy")
                axes.set_yticks([])
        share = 100 * valid.mean()
        figure.suptitle(f"{len(coefficients)} draws, {share:.1f} % valid", fontsize=9.5)
    return figure


def draw_effective_numbers(
    coefficients: Coefficients, materials: Sequence[Material], *, bins: int | None = None
) -> Any:
    """Draw the atomic numbers that the exponents imply for materials, Z_eff = ⟨Zⁿ⟩^(1/n), one panel
    per material.

    A compound has another effective number at every exponent, and where the energies have different
    exponents no single number is true at both; an element has one.

    Parameters
    ----------
    coefficients
        Draws of a calibration.
    materials
        Standards, or any others.
    bins
        Of the histograms.
    """
    valid = np.asarray(coefficients.valid)
    with drawing(2.5 * len(materials) + 0.4, 2.5) as figure:
        panels = figure.subplots(1, len(materials), squeeze=False)[0]
        for axes, stuff in zip(panels, materials, strict=True):
            for e, name in enumerate(coefficients.energy_names):
                numbers = stuff.effective_atomic_number(np.asarray(coefficients.n)[valid, e])
                label = f"{name} energy" if axes is panels[0] else None
                _spread(axes, np.broadcast_to(numbers, (int(valid.sum()),)), COLORS[e % len(COLORS)], bins, label)
            axes.set_title(stuff.name)
            axes.set_xlabel("$Z_{\\mathrm{eff}}$")
            axes.set_yticks([])
        figure.legend(loc="outside upper center", ncols=coefficients.energies, handlelength=1.4)
    return figure


def draw_standard_profiles(
    profiles: Mapping[str, Sequence[ProfileResult]],
    frame: Frame,
    *,
    energy_names: Sequence[str] = ("low", "high"),
    unit: str = "",
) -> Any:
    """Draw the mean attenuation of every standard slice by slice, as its difference from the mean
    of the whole.

    A slope is drift of the tube or the detector; a bend at the ends is cupping or scatter.

    Parameters
    ----------
    profiles
        What `lx.dect.standard_profiles` returns.
    frame
        Where the voxels are, ``image.frame``.
    energy_names
        From low to high.
    unit
        Of the scan, for the axis.
    """
    length = unit_symbol(frame.unit_name)
    with drawing(4.6 * len(energy_names), 3.0) as figure:
        panels = figure.subplots(1, len(energy_names), squeeze=False)[0]
        for e, axes in enumerate(panels):
            axes.axhline(0, color=FAINT, linewidth=1, zorder=0)
            for number, (name, every) in enumerate(profiles.items()):
                profile = every[e]
                used = profile.count > 0
                whole = np.average(profile.mean[used], weights=profile.count[used])
                axes.plot(
                    frame.axis_coordinates(profile.axis)[used],
                    profile.mean[used] - whole,
                    color=COLORS[number % len(COLORS)],
                    linewidth=1.1,
                    label=name if e == 0 else None,
                )
                axes.set_xlabel(f"{'xyz'[profile.axis]} [{length}]")
            axes.set_title(f"{energy_names[e]} energy")
        panels[0].set_ylabel("attenuation less its mean" + (f" [{unit}]" if unit else ""))
        figure.legend(loc="outside upper center", ncols=len(profiles), handlelength=1.4, columnspacing=1.4)
    return figure


def _outline(distribution: Any) -> tuple[np.ndarray, np.ndarray]:
    low, high = (float(v) for v in distribution.quantile(np.asarray([5e-4, 1 - 5e-4])))
    if isinstance(distribution, Gaussian) and low == high:
        low, high = low - 0.5e-6 * (abs(low) + 1e-300), high + 0.5e-6 * (abs(high) + 1e-300)
        return np.asarray([low, low, high, high]), np.asarray([0.0, 1.0, 1.0, 0.0])
    edges = np.linspace(low, high, 81)
    inner = np.linspace(low, high, 80 * 16 + 1)
    density = np.asarray(distribution.density(0.5 * (inner[1:] + inner[:-1]))).reshape(80, 16).mean(axis=1)
    return 0.5 * (edges[1:] + edges[:-1]), density


def _spread(axes: Any, values: np.ndarray, color: str, bins: int | None, label: str | None = None) -> None:
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    if high - low <= 1e-9 * abs(middle):  # a single element: the same number in every draw
        axes.axvline(middle, color=color, linewidth=1.6, label=label)
        return
    bins = int(np.clip(2 * np.cbrt(values.size), 10, 60)) if bins is None else bins
    axes.hist(values, bins=bins, range=(low, high), color=color, alpha=0.45, label=label)
    axes.axvline(middle, color=INK, linewidth=0.9, linestyle=":")
    axes.locator_params(axis="x", nbins=4)

"""Lines of the error budget of a conductivity: the same call on other voxels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.measure import representative_volume
from lithax.solve._conduction_setup import AXES
from lithax.solve._conduction_threshold import threshold_slope
from lithax.solve._conduction_trend import grid_change, resolution_trend, sample_size
from lithax.solve._conductivity import Conductivity
from lithax.solve._domain import Domain, cells_of, check_section, mean_sections
from lithax.solve._medium import Medium, along_any, conducting_on_host
from lithax.solve._source import Source


@dataclass(frozen=True, eq=False)
class OtherVoxels:
    """What a call was about but for its voxels."""

    solve: Callable[..., Conductivity]
    settings: dict[str, Any]
    shape: tuple[int, int, int]
    cells: int
    """Of the sample."""
    spacing: tuple[float, float, float]
    axis: str
    area: float | None
    """Cross-section of the sample to refer to; None for that of the image."""
    fluid: Any
    reservoir: int

    def value(self, voxels: Any, table: Any, mask: Any, factor: float) -> Any:
        """Return the value of voxels `factor` times as long; see `_conduction_trend.Solve`."""
        lengths = tuple(h * factor if n > 1 else h for h, n in zip(self.spacing, self.shape, strict=True))
        if mask is not None and not mask.any():
            return np.nan
        found = self.solve(
            voxels, axis=self.axis, values=None if table is None else dict(enumerate(np.asarray(table).tolist())),
            fluid=self.fluid, where=mask, area=self.area, spacing=lengths,
            reservoir=max(1, round(self.reservoir / factor)) if self.reservoir else 0, **self.settings,
        ).value  # fmt: skip
        if self.area is None:
            return found
        # They cut the sample differently, and what is no whole one of them is left out: no change
        # of the rock.
        shape = voxels.shape[-3:]
        own, other = (
            mean_sections(self.cells, self.shape, self.spacing),
            mean_sections(cells_of(mask, shape), shape, lengths),
        )
        ratios = own / other
        return found * (ratios if self.axis == "all" else ratios[AXES.index(self.axis)])


@dataclass(frozen=True, eq=False)
class SolveAgain:
    """What a call was about, and how to solve for other voxels in its place."""

    solve: Callable[..., Conductivity]
    settings: dict[str, Any]
    source: Source
    medium: Medium
    domain: Domain
    axis: str
    area: float | None
    fluid: Any
    reservoir: int

    def line(self, name: str, result: Conductivity) -> Any:
        """Return a line of the budget by its name; None if nothing joins the ends."""
        medium, mask = self.medium, self.domain.mask
        if not np.any(np.asarray(result.value)):
            return None
        if name == "sample_size":
            pores = along_any(medium, conducting_on_host(medium)) if medium.pore is None else np.asarray(medium.pore)
            if self.fluid is None:
                return None
            volume = pores.size if mask is None else np.count_nonzero(mask)
            return sample_size(representative_volume(pores, where=mask), int(volume), result.cementation_exponent)
        change = {"grid": grid_change, "resolution": resolution_trend}[name]
        others = OtherVoxels(
            self.solve, self.settings, medium.shape, self.domain.count(medium.shape), self.source.spacing, self.axis,
            self.area if self.axis == "all" else self._section(self.axis), self.fluid, self.reservoir,
        )  # fmt: skip
        return change(medium, mask, result.value, others.value)

    def segmentation(
        self, grey: np.ndarray, threshold: float, uncertainty: float, gradient_tolerance: float, result: Conductivity
    ) -> Any:
        """Return the error of the value from the uncertainty of a threshold; NaN where nothing
        joins the ends, though the softened pores do.
        """
        joins = dict(zip(AXES if self.axis == "all" else self.axis, np.ravel(result.value) > 0, strict=True))

        def along(axis: str) -> float:
            if not joins[axis]:
                return np.nan

            def solve(s: np.ndarray) -> tuple[float, np.ndarray]:
                solved = self.solve(
                    s, axis=axis, fluid=1.0, where=self.domain.mask, area=self._section(axis), spacing=self.source.spacing,
                    gradient_tolerance=gradient_tolerance, gradient=True, **self.settings,
                )  # fmt: skip
                return float(solved.value), np.asarray(solved.gradient)

            return abs(threshold_slope(grey, threshold, uncertainty, solve)) * uncertainty

        return np.asarray([along(a) for a in AXES]) if self.axis == "all" else along(self.axis)

    def _section(self, axis: str) -> float | None:
        """Return the area to refer to: where there is a mask that of the sample."""
        if self.domain.mask is None or self.area is not None:
            return self.area
        a, spacing = AXES.index(axis), self.source.spacing
        face = math.prod(h for b, h in enumerate(spacing) if b != a)
        return face * check_section(self.domain, self.medium.shape, a, None, spacing)

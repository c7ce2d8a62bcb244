"""A finished histogram: counts, densities, percentiles."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from lithax.measure._edges import Bins, Bounds, check_bins, check_range, equal_edges

OrderStatistics = Callable[[np.ndarray], np.ndarray]
"""From ranks (0 for the smallest voxel) to the values of these ranks."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HistogramResult:
    """Counts per bin of the voxels taken in, for the whole and for each phase.

    A bin holds its lower edge and not its upper one, the last bin holds both.
    """

    edges: np.ndarray
    """Ascending, one more than there are bins, in the unit of the image (float64)."""
    counts: np.ndarray
    """Voxels per bin (int64)."""
    below: int
    """Voxels below the first edge."""
    above: int
    """Voxels above the last edge."""
    nan: int
    """NaN voxels; they count nowhere else."""
    minimum: int | float
    """Smallest value, also where it lies outside the edges; NaN if there is none."""
    maximum: int | float
    """Largest value, also where it lies outside the edges; NaN if there is none."""
    phases: "dict[int, HistogramResult]" = dataclasses.field(default_factory=dict)
    """The histogram of each phase, over the same edges."""
    levels: tuple[np.ndarray, np.ndarray, np.ndarray] = dataclasses.field(kw_only=True)
    """The finest that is known of the distribution, ascending: (left, right, count), `count` voxels
    lie in [left, right].
    """
    order_statistics: OrderStatistics | None = dataclasses.field(default=None, kw_only=True)
    """Reads the image again for exact percentiles, where that was asked for."""

    @classmethod
    def from_table(
        cls,
        edges: np.ndarray,
        table: np.ndarray,
        minimum: Any = None,
        maximum: Any = None,
        *,
        values: np.ndarray | None = None,
        phases: "dict[int, HistogramResult] | None" = None,
    ) -> Self:
        """Make a result from the counts of the bins, below, above and NaN; `values` if each bin is
        a single value.
        """
        counts, (below, above, nan) = table[:-3], (int(n) for n in table[-3:])
        total = int(counts.sum()) + below + above
        if total == 0:
            minimum = maximum = math.nan
        elif minimum is None and values is not None:
            occupied = np.flatnonzero(counts)
            minimum, maximum = values[occupied[0]].item(), values[occupied[-1]].item()
        else:
            minimum, maximum = np.asarray(minimum).item(), np.asarray(maximum).item()
        if values is not None and below == above == 0:
            occupied = counts > 0
            level = values[occupied]
            return cls(
                edges, counts, 0, 0, nan, minimum, maximum, phases or {}, levels=(level, level, counts[occupied])
            )
        left, right = (edges[:-1], edges[1:]) if values is None else (values, values)
        levels = (
            np.maximum(np.concatenate([[minimum], left, [right[-1]]]), minimum),
            np.minimum(np.concatenate([[left[0]], right, [maximum]]), maximum),
            np.concatenate([[below], counts, [above]]),
        )
        occupied = levels[2] > 0
        levels = (levels[0][occupied], levels[1][occupied], levels[2][occupied])
        return cls(edges, counts, below, above, nan, minimum, maximum, phases or {}, levels=levels)

    @property
    def total(self) -> int:
        """Voxels counted: those below and above the edges included, NaN not."""
        return int(self.counts.sum()) + self.below + self.above

    @property
    def centers(self) -> np.ndarray:
        """Middle of each bin, in the unit of the image."""
        return 0.5 * self.edges[:-1] + 0.5 * self.edges[1:]  # whose sum may overflow

    @property
    def widths(self) -> np.ndarray:
        """Width of each bin, in the unit of the image."""
        return np.diff(self.edges)

    @property
    def pdf(self) -> np.ndarray:
        """Probability density per bin [1/unit]: its integral is the share of the voxels between the
        edges.
        """
        return self.counts / (self.total * self.widths) if self.total else np.full(self.counts.shape, math.nan)

    @property
    def cdf(self) -> np.ndarray:
        """Share of the voxels up to the upper edge of each bin, ``edges[1:]`` [-]."""
        return (
            (self.below + np.cumsum(self.counts)) / self.total if self.total else np.full(self.counts.shape, math.nan)
        )

    def percentile(self, q: Any) -> Any:
        """Return percentiles, in the unit of the image.

        Parameters
        ----------
        q
            Percentage, or percentages, from 0 to 100 [%].

        Returns
        -------
            Floats of the shape of `q`, `numpy.percentile` of the voxels within `percentile_error`:
            exact where every value has a counter of its own (booleans, integers up to 16 bits), or
            where the histogram was made with ``exact=True`` (then this reads the image again);
            otherwise linear within a bin. NaN if no voxel was counted.
        """
        return self._interpolated(q)[0]

    def percentile_error(self, q: Any) -> Any:
        """Return the largest possible error of `percentile`, in the unit of the image: 0 where it
        is exact.
        """
        return self._interpolated(q)[1]

    def rebin(self, bins: Bins = 256, range: Bounds | None = None) -> Self:
        """Return the same distribution over other bins; exact, so it needs a histogram with one bin
        per value.

        Parameters
        ----------
        bins
            Number of equal bins, or ascending edges.
        range
            Lowest and highest edge of equal bins; None takes the extremes, as `numpy.histogram`
            does.

        Raises
        ------
        ValueError
            If a bin of this histogram holds several values.
        """
        bins, bounds = check_bins(bins), check_range(range)
        if isinstance(bins, np.ndarray):
            edges = bins
        else:
            low, high = bounds or ((self.minimum, self.maximum) if self.total else (0, 1))
            edges = equal_edges(bins, low, high)
        return self._over(edges)

    def _over(self, edges: np.ndarray) -> Self:
        left, right, count = self.levels
        if not np.array_equal(left, right):
            raise ValueError(
                "The bins of this histogram hold several values each and cannot be divided; "
                "measure again with the bins wanted."
            )
        cumulated = np.concatenate([[0], np.cumsum(count)])
        start = np.searchsorted(left, edges, side="left")
        start[-1] = np.searchsorted(left, edges[-1], side="right")
        up_to = cumulated[start]
        return dataclasses.replace(
            self,
            edges=edges,
            counts=np.diff(up_to),
            below=int(up_to[0]),
            above=int(cumulated[-1] - up_to[-1]),
            phases={phase: part._over(edges) for phase, part in self.phases.items()},
        )

    def to_pandas(self, quantity: str = "counts") -> Any:
        """Return a `pandas.DataFrame`: a row per bin, a column "full" for the whole and one for
        each phase.

        Parameters
        ----------
        quantity
            "counts" or "pdf", indexed by the centre of the bin, or "cdf", indexed by its upper
            edge.
        """
        if quantity not in ("counts", "pdf", "cdf"):
            raise ValueError(f"quantity={quantity!r} is not in a histogram; use 'counts', 'pdf' or 'cdf'.")
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("to_pandas needs pandas: pip install 'lithax[pandas]'.", name="pandas") from error
        columns = {"full": getattr(self, quantity)}
        columns |= {phase: getattr(part, quantity) for phase, part in self.phases.items()}
        index, name = (self.edges[1:], "edge") if quantity == "cdf" else (self.centers, "center")
        return pandas.DataFrame(columns, index=pandas.Index(index, name=name))

    def __repr__(self) -> str:
        outside = [f"{n} {name}" for name, n in (("below", self.below), ("above", self.above), ("NaN", self.nan)) if n]
        parts = [
            f"{self.counts.size} bins over [{self.edges[0]:g}, {self.edges[-1]:g}]",
            f"{self.total} voxels from {self.minimum:g} to {self.maximum:g}",
            *([", ".join(outside)] if outside else []),
            *([f"phases {', '.join(map(str, self.phases))}"] if 0 < len(self.phases) <= 8 else []),
            *([f"{len(self.phases)} phases"] if len(self.phases) > 8 else []),
        ]
        return f"HistogramResult({'; '.join(parts)})"

    def _interpolated(self, q: Any) -> tuple[Any, Any]:
        q = np.asarray(q, dtype=np.float64)
        if not np.all((q >= 0) & (q <= 100)):
            raise ValueError(f"q={q.tolist()} must lie between 0 and 100 percent.")
        if self.total == 0:
            none = np.full(q.shape, math.nan)[()]
            return none, none
        # The rule of numpy.percentile, method "linear": between the two neighbouring order
        # statistics.
        position = (self.total - 1) * (q / 100)
        lower = np.floor(position).astype(np.int64)
        upper = np.minimum(lower + 1, self.total - 1)
        share = position - lower
        values, errors = self._ranked(np.concatenate([lower.ravel(), upper.ravel()]))
        a, b = values.reshape(2, *q.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            step = np.where(a == b, 0.0, b - a)
            between = np.where(share < 0.5, a + step * share, b - step * (1 - share))
            wide = np.isinf(step) & np.isfinite(a) & np.isfinite(b)
            between = np.where(wide, a * (1 - share) + b * share, between)
            between = np.where(share == 0, a, between)  # which matters beside an infinity
        return between[()], errors.reshape(2, *q.shape).max(axis=0)[()]

    def _ranked(self, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The value at each rank, and how far it may be from the truth.
        left, right, count = self.levels
        cumulated = np.cumsum(count)
        level = np.searchsorted(cumulated, ranks, side="right")
        left, right, count = (np.asarray(part[level], np.float64) for part in (left, right, count))
        exact = (left == right) | (ranks == 0) | (ranks == self.total - 1)
        if self.order_statistics is not None and not np.all(exact):
            return self.order_statistics(ranks), np.zeros(ranks.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            share = (ranks - cumulated[level] + count + 0.5) / count
            values = left + share * (right - left)
            wide = np.isinf(right - left) & np.isfinite(left) & np.isfinite(right)
            values = np.where(wide, left * (1 - share) + right * share, values)
            values = np.where(np.isfinite(values), values, np.where(np.isfinite(left), right, left))
            values = np.where(left == right, left, values)
            values = np.where(ranks == 0, float(self.minimum), values)
            values = np.where(ranks == self.total - 1, float(self.maximum), values)
            errors = np.where(exact, 0.0, np.maximum(values - left, right - values))
        return values, errors

"""Histogram over equal bins or given edges."""

from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import count_not_above, lookup, namespace
from lithax.measure._edges import Bins, Bounds, check_bins, check_range, equal_edges, proven
from lithax.measure._histogram_result import HistogramResult
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, dtype_name, plain
from lithax.measure._phases import Phases, check_phases
from lithax.measure._state import by_pieces, combine_states
from lithax.measure._tally import OUTSIDE, check_size, finish_tally, tally
from lithax.typing import Array


class Histogram(AbstractMeasurement):
    """Counts per bin, with the voxels below, above and NaN apart, and the extremes.

    A bin holds its lower edge and not its upper one; the last bin holds both: the bins of
    `numpy.histogram`, to the voxel. With equal bins float32 images are compared with the edges
    rounded to float32, as NumPy does; everything else in float64 (integers exactly up to 2⁵³).

    Parameters
    ----------
    bins
        Number of equal bins, or their edges in ascending order, in the unit of the image.
    range
        Lowest and highest edge of equal bins.
    phases
        Values of a segmentation, given to `of` as the second block, to count apart.
    """

    exact: ClassVar[bool] = True

    edges: Array
    narrow_edges: Array
    phases: Array | None
    arithmetic: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        bins: Bins,
        range: Bounds | None = None,
        *,
        phases: Phases | None = None,
    ) -> None:
        bins, bounds = check_bins(bins), check_range(range)
        if isinstance(bins, np.ndarray):
            if bounds is not None:
                raise ValueError(f"range={bounds} has no meaning beside given edges; leave it out.")
            # NumPy compares with given edges in float64: float32 will do where it holds the edges
            # exactly.
            self.edges = bins
            with np.errstate(over="ignore"):
                self.arithmetic = tuple(name for name in proven(bins) if np.array_equal(bins.astype(name), bins))
        else:
            if bounds is None:
                raise ValueError(
                    f"range is missing: {bins} equal bins need their lowest and highest edge. "
                    "lx.measure.histogram(image, bins) finds them."
                )
            self.edges = equal_edges(bins, *bounds)
            self.arithmetic = proven(self.edges)
        with np.errstate(over="ignore"):
            self.narrow_edges = self.edges.astype(np.float32)
        self.phases = None if phases is None else check_phases(phases)
        check_size(self.edges.size - 1, self.phases)

    def of(self, image: Array, segmentation: Array | None = None, *, valid: Array | None = None) -> State:
        check_blocks(segmentation, self.phases)
        counters = (self.edges.shape[0] + OUTSIDE) * (1 if self.phases is None else self.phases.shape[0] + 1)
        return by_pieces(self._of_piece, image, segmentation, valid, counters=counters)

    def _of_piece(self, image: Array, segmentation: Array | None, valid: Array | None) -> State:
        x, column = self.columns(image)
        return tally(x, column, self.edges.shape[0] - 1, valid, segmentation, self.phases)

    def columns(self, image: Array) -> tuple[Array, Array]:
        """Return the voxels in the precision in which they are compared, and the bin of each one:
        after the last one those below, above, and NaN.
        """
        x = plain(image)
        if dtype_name(x) not in self.arithmetic:
            x = as_sum(x)
        # Held in both precisions: XLA would otherwise cast the edges again for every voxel.
        edges = self.edges if dtype_name(x) == "float64" else self.narrow_edges
        return x, self._column(x, constant(edges, x.dtype, like=x))

    def _column(self, x: Array, edges: Array) -> Array:
        xp = namespace(x)
        bins = edges.shape[0] - 1
        low, high = edges[0], edges[-1]
        inside = (x >= low) & (x <= high)
        v = xp.where(inside, x, low)
        if dtype_name(x) in self.arithmetic:
            nearest = xp.astype((v - low) * (bins / (high - low)) + 0.5, xp.int32)
            number = nearest - xp.astype(v < lookup(edges, nearest), xp.int32)
        else:
            number = count_not_above(edges, v) - 1
        outside = xp.astype(x > high, xp.int32) + 2 * xp.astype(x != x, xp.int32) + bins
        return xp.where(inside, xp.minimum(number, xp.full_like(number, bins - 1)), outside)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> HistogramResult:
        return finish_tally(state, np.asarray(self.edges), self.phases)


def check_blocks(segmentation: Any, phases: Any) -> None:
    """Raise ValueError unless a segmentation goes with phases, and only then."""
    if (segmentation is None) != (phases is None):
        given, missing = (
            ("a segmentation", "phases=") if phases is None else ("phases", "a segmentation as second block")
        )
        raise ValueError(f"The histogram was given {given}, but not {missing}; give both, or neither.")

"""Exact order statistics: the value at a rank among all voxels, without sorting them.

An array in memory is partitioned. An image is read again, a few times: each pass counts voxels
between a few ten thousand edges and keeps, for every rank, the two edges it falls between, until no
other number lies between them. The edges are equidistant among the *representable* numbers, not
among the real ones, so that float32 takes two passes, and float64 four, whatever the distribution.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.arrays import to_numpy
from lithax.measure._histogram import Histogram
from lithax.measure._histogram_result import OrderStatistics
from lithax.measure._source import Source, as_array

EDGES = 1 << 16
"""Edges of one pass."""


def order_statistics(
    source: Source, minimum: int | float, maximum: int | float, segmentation: Any = None, phase: int | None = None
) -> OrderStatistics:
    """Return the function from ranks to values of the voxels of `source` that are not NaN (and
    belong to a phase).
    """
    if not source.is_image:
        return lambda ranks: _partitioned(source, segmentation, phase, ranks)

    known: dict[int, float] = {}

    def count(edges: np.ndarray) -> tuple[int, np.ndarray]:
        if phase is None:
            result = source.reduce(Histogram(edges))
        else:
            result = source.reduce(Histogram(edges, phases=(phase,)), segmentation).phases[phase]
        return result.below, result.counts

    def read(ranks: np.ndarray) -> np.ndarray:
        missing = sorted(set(ranks.tolist()) - set(known))
        found = bisected(count, missing, minimum, maximum, source.dtype)
        known.update(zip(missing, found, strict=True))
        return np.asarray([known[rank] for rank in ranks.tolist()])

    return read


def _partitioned(source: Source, segmentation: Any, phase: int | None, ranks: np.ndarray) -> np.ndarray:
    values = to_numpy(source.data)
    taken = ~np.isnan(values)
    if source.where is not None:
        taken &= to_numpy(source.where)
    if phase is not None:
        taken &= to_numpy(as_array(segmentation)) == phase
    return np.partition(values[taken], np.unique(ranks))[ranks].astype(np.float64)


def bisected(
    count: Callable[[np.ndarray], tuple[int, np.ndarray]],
    ranks: list[int],
    minimum: int | float,
    maximum: int | float,
    dtype: np.dtype,
    edges: int = EDGES,
) -> list[float]:
    """Return the values at some ranks, from a function that counts the voxels below the first and
    between all edges.

    64-bit integers beyond 2⁵³ are found to the precision of float64. Where voxels are +infinity,
    those of the largest finite number of their type are taken for infinite, too: a histogram has
    both in its last bin.
    """
    whole = dtype.kind != "f" and -_IntegerKeys.last < minimum and maximum < _IntegerKeys.last
    keys = _IntegerKeys() if whole else _FloatKeys(dtype if dtype.kind == "f" else np.dtype(np.float64))
    brackets = dict.fromkeys(ranks, (keys.key(minimum), keys.key(maximum) + 1))
    divisible = set(brackets.values())
    while divisible := {(a, b) for a, b in divisible if b - a > 1}:
        parts = max(2, edges // len(divisible) - 1)
        cuts = np.asarray(sorted({a + (b - a) * part // parts for a, b in divisible for part in range(parts + 1)}))
        cuts = _padded(cuts, edges, keys.first, keys.last)
        values = keys.values(cuts)
        distinct = np.concatenate([[True], values[1:] > values[:-1]])
        cuts, values = cuts[distinct], values[distinct]
        below, counts = count(values)
        cumulated = below + np.concatenate([[0], np.cumsum(counts)])
        for rank, bracket in brackets.items():
            if bracket in divisible:
                at = min(max(int(np.searchsorted(cumulated, rank, side="right")) - 1, 0), len(cuts) - 2)
                brackets[rank] = (int(cuts[at]), int(cuts[at + 1]))
        divisible = set(brackets.values()) - divisible
    found = keys.values(np.asarray([brackets[rank][0] for rank in ranks]))
    return [maximum if value >= keys.largest and math.isinf(maximum) else value for value in found.tolist()]


def _padded(cuts: np.ndarray, edges: int, first: int, last: int) -> np.ndarray:
    # Cuts where no rank is looked for: with as many edges in every pass one compilation serves all.
    missing = max(0, edges - cuts.size)
    above = max(0, min(missing, last - int(cuts[-1])))
    below = max(0, min(missing - above, int(cuts[0]) - first))
    return np.concatenate([np.arange(-below, 0) + cuts[0], cuts, np.arange(1, above + 1) + cuts[-1]], dtype=cuts.dtype)


class _FloatKeys:
    """The numbers of a floating dtype, in order, as consecutive integers.

    Subnormal numbers are left out: some processors take them for zero, and so does this. Infinity
    shares the key of the largest finite number, because the last bin of a histogram holds both its
    edges.
    """

    def __init__(self, dtype: np.dtype) -> None:
        info = np.finfo(dtype)
        self.dtype, self.bits = dtype, np.dtype(f"i{dtype.itemsize}")
        self.skipped = self._pattern(info.smallest_normal) - 1
        self.top = self._pattern(info.max) - self.skipped
        self.largest = float(info.max)
        self.first, self.last = -self.top - 1, self.top + 1

    def _pattern(self, value: Any) -> int:
        return int(np.asarray(value, self.dtype).view(self.bits))

    def key(self, value: int | float) -> int:
        magnitude = max(0, self._pattern(abs(value)) - self.skipped)
        return -magnitude if value < 0 else min(magnitude, self.top)

    def values(self, keys: np.ndarray) -> np.ndarray:
        magnitude = np.where(keys == 0, 0, np.abs(keys) + self.skipped).astype(self.bits)
        return np.where(keys < 0, -1.0, 1.0) * magnitude.view(self.dtype).astype(np.float64)


class _IntegerKeys:
    """Integers are their own keys."""

    largest = math.inf
    first, last = -(2**52), 2**52

    def key(self, value: int | float) -> int:
        return int(value)

    def values(self, keys: np.ndarray) -> np.ndarray:
        return keys.astype(np.float64)

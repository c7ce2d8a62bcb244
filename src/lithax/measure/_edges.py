"""Bin edges: made as NumPy makes them, checked, and the arithmetic that finds a bin proven against
them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Bins = int | np.integer | str | Sequence[Any] | np.ndarray
"""A number of equal bins, their edges in ascending order, or (in some functions) "values"."""

Bounds = Sequence[Any]
"""Two numbers: the lowest and the highest edge."""


def check_bins(bins: Any, name: str = "bins") -> int | np.ndarray:
    """Return `bins` as a number of equal bins, or as ascending edges (float64)."""
    if isinstance(bins, int | np.integer) and not isinstance(bins, bool):
        if bins < 1:
            raise ValueError(f"{name}={bins} must be at least 1.")
        return int(bins)
    if isinstance(bins, str) or not isinstance(bins, Sequence | np.ndarray):
        raise TypeError(f"{name}={bins!r} is neither a number of bins nor a sequence of edges.")
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or edges.size < 2 or not np.all(edges[1:] > edges[:-1]):
        raise ValueError(f"{name} must be at least two edges in strictly ascending order, got {bins!r}.")
    return edges


def check_range(bounds: Any) -> tuple[float, float] | None:
    """Return (lowest edge, highest edge), or None."""
    if bounds is None:
        return None
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"range={bounds!r} must be two numbers: the lowest and the highest edge.") from None
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"range=({low}, {high}) must be two finite numbers in ascending order.")
    return low, high


def equal_edges(bins: int, low: Any, high: Any, dtype: Any = np.float64, *, found: bool = False) -> np.ndarray:
    """Return the edges that `numpy.histogram` gives values of a dtype between `low` and `high`, as
    float64.

    Floats up to 32 bits have their edges rounded to float32; where `low` and `high` are not given
    but `found` among the values, NumPy computes in float32, too. Where low equals high half a unit
    is added on both sides, or neighbouring numbers are the edges where half a unit is lost in
    rounding. A range wider than the largest float is divided in halves.

    Raises
    ------
    ValueError
        If there are too few numbers between `low` and `high` to tell the edges apart.
    """
    dtype = np.dtype(dtype)
    dtype = np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            if found:
                edges = np.histogram_bin_edges(np.asarray([low, high], dtype), bins)
            else:
                edges = np.histogram_bin_edges(np.zeros(1, dtype), bins, (low, high))
        except ValueError:
            edges = np.zeros(2)
        if found and low == high and not np.all(edges[1:] > edges[:-1]):
            edges = _neighbours(dtype.type(low), bins)
        elif np.isfinite(low) and np.isfinite(high) and np.isinf(dtype.type(high) - dtype.type(low)):
            edges = np.linspace(low / 2, high / 2, bins + 1) * 2
    edges = edges.astype(np.float64)
    if not (np.all(np.isfinite(edges)) and np.all(edges[1:] > edges[:-1])):
        raise ValueError(
            f"bins={bins} equal bins between {low} and {high} cannot be told apart in {dtype}; "
            "use fewer bins, a wider range=, or give the edges."
        )
    return edges


def _neighbours(value: Any, bins: int) -> np.ndarray:
    # The distance towards zero: from a power of two outwards numbers lie twice as far apart, and
    # are still met.
    step = np.abs(value - np.nextafter(value, value.dtype.type(0)))
    steps = np.arange(bins + 1).astype(value.dtype)
    edges = value + (steps - bins // 2) * step * 2
    return edges if np.all(np.isfinite(edges)) else value + (steps - (bins if value > 0 else 0)) * step


def proven(edges: np.ndarray) -> tuple[str, ...]:
    """Return the dtypes in which arithmetic finds the edge nearest to any value.

    The bin of a value v is ``k - (v < edges[k])`` with ``k = int((v - low) * bins / (high - low) +
    0.5)``, as long as the computed k is right on both sides of every edge: rounding is monotonic,
    so it is then right everywhere. Where bins are so narrow that rounding gets in the way, or
    unequal, bins are found by a search instead.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return tuple(name for name in ("float32", "float64") if _is_proven(edges.astype(name)))


def _is_proven(edges: np.ndarray) -> bool:
    bins = edges.size - 1
    width = edges[-1] - edges[0]
    if not (np.isfinite(width) and width > bins * np.finfo(edges.dtype).tiny and np.all(edges[1:] > edges[:-1])):
        return False
    with np.errstate(over="ignore"):
        scale = edges.dtype.type(bins) / width
    if not np.isfinite(scale):
        return False
    number = np.arange(edges.size, dtype=np.float64)
    below = np.maximum(np.nextafter(edges, -np.inf, dtype=edges.dtype), edges[0])
    # A quarter of a bin is left for compilers that contract the product and the sum.
    return all(np.all(np.abs((side - edges[0]) * scale - number) < 0.25) for side in (edges, below))

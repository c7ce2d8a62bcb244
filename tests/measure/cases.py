"""The table of measurements: a new one joins by adding a line, and every law is asked of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lithax import measure


@dataclasses.dataclass(frozen=True)
class Case:
    """A measurement and the voxels that it is tried on."""

    name: str
    measurement: measure.AbstractMeasurement
    arrays: Callable[[np.random.Generator, tuple[int, ...]], tuple[np.ndarray, ...]]
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def grey(rng, shape):
    """Two phases with noise."""
    return (rng.normal(100, 20, shape) + 80 * (rng.random(shape) < 0.3)).astype(np.float32)


def labels(rng, shape, dtype=np.uint8):
    return rng.integers(0, 4, shape).astype(dtype)


def floats(rng, shape):
    return (grey(rng, shape),)


def doubles(rng, shape):
    return (grey(rng, shape).astype(np.float64),)


def dirty(rng, shape):
    """NaN and infinities among the voxels."""
    x = grey(rng, shape)
    flat = x.reshape(-1)
    flat[:: max(flat.size // 7, 1)] = np.nan
    flat[1 :: max(flat.size // 5, 1)] = np.inf
    flat[2 :: max(flat.size // 5, 1)] = -np.inf
    return (x,)


def wide(rng, shape):
    return (rng.integers(-(2**30), 2**30, shape).astype(np.int32),)


def words(rng, shape):
    return (rng.integers(0, 2**16, shape).astype(np.uint16),)


def flags(rng, shape):
    return (rng.random(shape) < 0.3,)


def huge_labels(rng, shape):
    return (np.asarray([1, 2**31 + 5, 2**32 - 1], np.uint32)[rng.integers(0, 3, shape)],)


def in_phases(rng, shape):
    return (grey(rng, shape), labels(rng, shape))


def words_in_phases(rng, shape):
    return (*words(rng, shape), rng.random(shape) < 0.5)


def pair(rng, shape):
    return (grey(rng, shape).astype(np.float64), grey(rng, shape).astype(np.float64))


SCALE = {"parameters": 1.5}

CASES = [
    Case("histogram", measure.Histogram(16, (40.0, 200.0)), floats),
    Case("histogram of float64", measure.Histogram(16, (40.0, 200.0)), doubles),
    Case("histogram of dirty floats", measure.Histogram(16, (40.0, 200.0)), dirty),
    Case("histogram over edges", measure.Histogram([60.0, 61.0, 100.0, 190.0]), floats),
    Case("histogram of wide integers", measure.Histogram(16, (-(2.0**30), 2.0**30)), wide),
    Case("histogram per phase", measure.Histogram(16, (40.0, 200.0), phases=(0, 2, 9)), in_phases),
    Case("histogram of many phases", measure.Histogram(4, (40.0, 200.0), phases=range(1, 40)), in_phases),
    Case("values", measure.ValueCounts(0, 2**16 - 1), words),
    Case("values in a range", measure.ValueCounts(2**15, 2**15 + 99), words),
    Case("values of booleans", measure.ValueCounts(0, 1), flags),
    Case("values per phase", measure.ValueCounts(0, 2**16 - 1, phases=(True,)), words_in_phases),
    Case("minimum and maximum", measure.MinimumMaximum(), floats),
    Case("minimum and maximum, NaN propagated", measure.MinimumMaximum(), dirty),
    Case("minimum and maximum, NaN skipped", measure.MinimumMaximum("nan"), dirty),
    Case("minimum and maximum, finite", measure.MinimumMaximum("nonfinite"), dirty),
    Case("minimum and maximum of integers", measure.MinimumMaximum(), wide),
    Case("moments", measure.Moments(), floats),
    Case("moments of integers", measure.Moments(), words),
    Case("mean", measure.Mean(), floats),
    Case("sum", measure.Sum(), floats),
    Case("sum of integers", measure.Sum(), wide),
    Case("count", measure.Count(), words),
    Case("phase fractions", measure.PhaseFractions((0, 1, 9)), lambda rng, shape: (labels(rng, shape),)),
    Case("phase fractions of huge labels", measure.PhaseFractions((1, 2**32 - 1, 2**40)), huge_labels),
    Case("porosity of booleans", measure.Porosity(), flags),
    Case("porosity", measure.Porosity((0, 3)), lambda rng, shape: (labels(rng, shape, np.uint16),)),
    Case("profile along x", measure.Profile(0), floats),
    Case("profile along z", measure.Profile(2), words),
    Case("sums of cells", measure.CellSums(3), dirty),
    Case("voxels of phases in cells", measure.CellSums(2, (0, 3)), lambda rng, shape: (labels(rng, shape),)),
    Case("mean squared error", measure.MeanSquaredError(), pair, {"parameters": None}),
    Case("mean squared error of a model", measure.MeanSquaredError(lambda p, x: p * x), pair, SCALE),
    Case("mean loss", measure.MeanLoss(lambda p, x, y: abs(p * x - y)), pair, SCALE),
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)

"""The smallest and the largest value."""

import dataclasses
import math
from typing import Any, ClassVar, Literal

import equinox as eqx
import numpy as np

from lithax.arrays import maximum_by, minimum_by, namespace, widest_integer
from lithax.measure._measurement import AbstractMeasurement, State, widen
from lithax.measure._numbers import constant, count, is_float, plain, voxels
from lithax.measure._source import Source
from lithax.typing import Array

Skip = Literal["none", "nan", "nonfinite"]
_SKIPS = ("none", "nan", "nonfinite")


@dataclasses.dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of the voxels taken in, in the unit of the image.

    Python integers for integers and booleans; floats otherwise, NaN where no voxel was taken in.
    """

    minimum: float
    maximum: float
    count: int
    """Voxels taken in, those skipped included."""
    skipped: int
    """NaN voxels (and infinite ones, where asked) left out of `minimum` and `maximum`."""


class MinimumMaximum(AbstractMeasurement):
    """Smallest and largest value, in one pass.

    Parameters
    ----------
    skip
        "none": a NaN among the voxels taken in makes both results NaN. "nan": NaN is left out. "nonfinite": infinities
        are left out as well.
    """

    skip: Skip = eqx.field(static=True, default="none")
    context: ClassVar[bool] = False

    def __check_init__(self) -> None:
        if self.skip not in _SKIPS:
            raise ValueError(f"skip={self.skip!r} is not a rule; use one of {', '.join(map(repr, _SKIPS))}.")

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        x = plain(image)
        present, skipped = kept(x, valid, infinities=self.skip != "nonfinite")
        minimum, maximum = extremes(x, present)
        return {
            "minimum": minimum,
            "maximum": maximum,
            "count": voxels(x, valid),
            "skipped": skipped,
        }

    def combine(self, a: State, b: State) -> State:
        return {
            "minimum": np.minimum(a["minimum"], b["minimum"]),
            "maximum": np.maximum(a["maximum"], b["maximum"]),
            "count": widen(a["count"]) + widen(b["count"]),
            "skipped": widen(a["skipped"]) + widen(b["skipped"]),
        }

    def finish(self, state: State) -> Extremes:
        counted, skipped = int(state["count"]), int(state["skipped"])
        if counted == skipped or (skipped and self.skip == "none"):
            return Extremes(math.nan, math.nan, counted, skipped)
        return Extremes(state["minimum"].item(), state["maximum"].item(), counted, skipped)


def minimum_maximum(image: Any, where: Any = None, *, skip: Skip = "none") -> Extremes:
    """Return the smallest and the largest value of an image or array, in its unit.

    Parameters
    ----------
    image
        An image, or an array of any array-API library.
    where
        Voxels taken in: a boolean array for an array; for an image whatever its combinators accept.
    skip
        What NaN does, see `MinimumMaximum`: by default it propagates, as in NumPy.
    """
    return Source(image, where).reduce(MinimumMaximum(skip))


def kept(x: Array, valid: Array | None, *, infinities: bool = True) -> tuple[Array | None, Array]:
    """Return which voxels are taken in and not NaN (None: all), and how many of those taken in are left out by that."""
    xp = namespace(x)
    if not is_float(x):
        return valid, constant(0, widest_integer(xp), like=x)
    number = x == x if infinities else xp.isfinite(x)
    present = number if valid is None else valid & number
    return present, voxels(x, valid) - count(present)


def extremes(x: Array, present: Array | None, row: Array | None = None, rows: int | None = None) -> tuple[Array, Array]:
    """Return the smallest and largest of the voxels present, or one of each for every row.

    Where there is none they are the neutral elements of minimum and maximum: +inf and -inf, or the largest and the
    smallest integer.
    """
    xp = namespace(x)
    top, bottom = neutral(x)
    high = x if present is None else xp.where(present, x, constant(top, x.dtype, like=x))
    low = x if present is None else xp.where(present, x, constant(bottom, x.dtype, like=x))
    if row is not None and rows is not None:
        return minimum_by(row, rows, high, top), maximum_by(row, rows, low, bottom)
    # The leading axis first: XLA turns that into vector instructions, which a reduction over all axes is not.
    return xp.min(xp.min(high, axis=0)), xp.max(xp.max(low, axis=0))


def neutral(x: Array) -> tuple[Any, Any]:
    """Return the neutral elements of minimum and maximum in the dtype of `x`."""
    xp = namespace(x)
    if is_float(x):
        return math.inf, -math.inf
    info = xp.iinfo(x.dtype)
    return int(info.max), int(info.min)

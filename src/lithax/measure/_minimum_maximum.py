"""The smallest and the largest value."""

import dataclasses
import math
from typing import Any, Literal

import equinox as eqx

from lithax.arrays import maximum_by, minimum_by, namespace, widest_integer
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import constant, count, is_float, plain, voxels
from lithax.measure._result import Result
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states, neutral
from lithax.typing import Array

Skip = Literal["none", "nan", "nonfinite"]
_SKIPS = ("none", "nan", "nonfinite")

FEW_ROWS = 8
"""So few rows have their extremes found one after the other."""


@dataclasses.dataclass(frozen=True, eq=False)
class Extremes(Result):
    """Smallest and largest value of the voxels taken in, in the unit of the image.

    Python integers for integers and booleans; floats otherwise, NaN where no voxel was taken in.
    """

    minimum: int | float
    maximum: int | float
    count: int
    """Voxels taken in, those skipped included."""
    skipped: int
    """NaN voxels (and infinite ones, where asked) left out of `minimum` and `maximum`."""


class MinimumMaximum(AbstractMeasurement):
    """Smallest and largest value, in one pass.

    Parameters
    ----------
    skip
        "none": a NaN among the voxels taken in makes both results NaN. "nan": NaN is left out.
        "nonfinite": infinities are left out as well.
    """

    skip: Skip = eqx.field(static=True, default="none")

    def __check_init__(self) -> None:
        if self.skip not in _SKIPS:
            raise ValueError(f"skip={self.skip!r} is not a rule; use one of {', '.join(map(repr, _SKIPS))}.")

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        def of_piece(image: Array, valid: Array | None) -> State:
            x = plain(image)
            present, skipped = kept(x, valid, infinities=self.skip != "nonfinite")
            minimum, maximum = extremes(x, present)
            return {"minimum": minimum, "maximum": maximum, "count": voxels(x, valid), "skipped": skipped}

        return by_pieces(of_piece, image, valid)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> Extremes:
        counted, skipped = int(state["count"]), int(state["skipped"])
        if counted == skipped or (skipped and self.skip == "none"):
            return Extremes(math.nan, math.nan, counted, skipped)
        return Extremes(state["minimum"].item(), state["maximum"].item(), counted, skipped)


@measures_images
def minimum_maximum(image: Any, where: Any = None, *, skip: Skip = "none") -> Extremes:
    """Return the smallest and the largest value of an image or array, in its unit.

    Parameters
    ----------
    image
        An image, or an array of any array-API library.
    where
        Voxels taken in: a boolean array for an array; for an image also a region, an image or a
        `domain`, as for `chunk_reduce`.
    skip
        What NaN does, see `MinimumMaximum`: by default it propagates, as in NumPy.
    """
    return Source(image, where).reduce(MinimumMaximum(skip))


def kept(x: Array, valid: Array | None, *, infinities: bool = True) -> tuple[Array | None, Array]:
    """Return which voxels are taken in and not NaN (None: all), and how many of those taken in are
    left out by that.
    """
    xp = namespace(x)
    if not is_float(x):
        return valid, constant(0, widest_integer(xp), like=x)
    number = x == x if infinities else xp.isfinite(x)
    present = number if valid is None else valid & number
    return present, voxels(x, valid) - count(present)


def extremes(x: Array, present: Array | None, row: Array | None = None, rows: int | None = None) -> tuple[Array, Array]:
    """Return the smallest and largest of the voxels present, or one of each for every row.

    Where there is none they are the neutral elements of minimum and maximum.
    """
    xp = namespace(x)
    top, bottom = (constant(value, x.dtype, like=x) for value in neutral(x.dtype, xp))
    high = x if present is None else xp.where(present, x, top)
    low = x if present is None else xp.where(present, x, bottom)
    if row is None or rows is None:
        return xp.min(high), xp.max(low)
    if rows <= FEW_ROWS:  # vector instructions beat a scatter: 1.4 against 4.5 ns per voxel for four rows
        return (
            xp.stack([xp.min(xp.where(row == i, high, top)) for i in range(rows)]),
            xp.stack([xp.max(xp.where(row == i, low, bottom)) for i in range(rows)]),
        )
    return minimum_by(row, rows, high, top), maximum_by(row, rows, low, bottom)

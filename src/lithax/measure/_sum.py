"""Sums, counts and means."""

from typing import Any

from lithax.arrays import namespace, widest_integer
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, is_float, plain, total, voxels
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.typing import Array


class Count(AbstractMeasurement):
    """Number of voxels taken in."""

    def of(self, image: Array, *others: Array, valid: Array | None = None) -> State:
        return {"count": voxels(image, valid)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> int:
        return int(state["count"])


class Sum(AbstractMeasurement):
    """Sum of the voxels taken in, in the unit of the image.

    Integers and booleans are summed in 64-bit integers, exactly up to 2⁶³ (beyond they wrap, as `numpy.sum` does);
    floats in float64. NaN propagates.
    """

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return by_pieces(lambda image, valid: {"sum": exact_sum(image, valid)}, image, valid)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> int | float:
        return state["sum"].item()


class Mean(AbstractMeasurement):
    """Mean of the voxels taken in, in the unit of the image: NaN if there is none, or if one of them is NaN."""

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return Sum().of(image, valid=valid) | {"count": voxels(image, valid)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> float:
        count = int(state["count"])
        return state["sum"].item() / count if count else float("nan")


def mean(image: Any, where: Any = None) -> float:
    """Return the mean of an image or array over the voxels that `where` takes in, in the unit of the image.

    Integers are summed exactly, floats in float64. For an array `where` is a boolean array, for an image whatever its
    combinators accept.
    """
    return Source(image, where).reduce(Mean())


def exact_sum(x: Array, valid: Array | None) -> Array:
    """Sum floats in float64, integers in 64-bit integers."""
    xp = namespace(x)
    x = plain(x)
    if is_float(x):
        x = as_sum(x)
    elif not xp.isdtype(x.dtype, "unsigned integer"):
        x = xp.astype(x, widest_integer(xp))
    return total(x if valid is None else xp.where(valid, x, constant(0, x.dtype, like=x)))

"""Sums, counts and means."""

from typing import Any

from lithax.measure._exact_sum import combine_sums, finished_mean, finished_sum, join_sums, sum_state
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import voxels
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

    Integers and booleans are summed exactly, to a Python integer of any size (`numpy.sum` wraps at
    64 bits); floats in float64, infinite only where the sum itself leaves float64. NaN propagates.
    XLA computes on a CPU with subnormal numbers flushed to zero: of float32 voxels below 1.2e-38
    the sum over an image, or a JAX array, is 0.
    """

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return by_pieces(sum_state, image, valid, join=join_sums)

    def combine(self, a: State, b: State) -> State:
        return combine_sums(a, b)

    def finish(self, state: State) -> int | float:
        return finished_sum(state)


class Mean(AbstractMeasurement):
    """Mean of the voxels taken in, in the unit of the image: NaN if there is none, or if one of
    them is NaN.

    Integers are summed exactly, whatever the sum (see `Sum`); the mean of finite floats is finite.
    """

    def of(self, image: Array, *, valid: Array | None = None) -> State:
        return Sum().of(image, valid=valid) | {"count": voxels(image, valid)}

    def combine(self, a: State, b: State) -> State:
        return combine_sums(a, b)

    def finish(self, state: State) -> float:
        return finished_mean(state, int(state["count"]))


@measures_images
def mean(image: Any, where: Any = None) -> float:
    """Return the mean of an image or array over the voxels that `where` takes in, in the unit of
    the image.

    Integers are summed exactly, floats in float64. `where` is a boolean array for an array; for an
    image also a region, an image or a `domain`, as for `chunk_reduce`.
    """
    return Source(image, where).reduce(Mean())

"""A few voxels of an image of any size, at places that depend on a seed only."""

from typing import Any, ClassVar

import numpy as np

from lithax.arrays import lookup, namespace, widest_integer
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant
from lithax.measure._state import combine_states
from lithax.typing import Array


class Sample(AbstractMeasurement):
    """The values of one or several images at given voxels, as far as they are taken in.

    Parameters
    ----------
    places
        Voxel indices, shape (number, 3).
    """

    places: Array
    context: ClassVar[bool] = True

    def __init__(self, places: np.ndarray) -> None:
        self.places = np.asarray(places, np.int64)

    def of(self, *images: Array, valid: Array | None = None, block: Any = None) -> State:
        xp = namespace(*images)
        offset = (0, 0, 0) if block is None else block.offset
        shape = images[0].shape
        places = constant(self.places, widest_integer(xp), like=images[0])
        flat: Any = 0
        inside: Any = None
        for axis in range(3):
            at = places[:, axis] - offset[axis]
            within = (at >= 0) & (at < shape[axis])
            inside = within if inside is None else inside & within
            flat = flat * shape[axis] + xp.clip(at, 0, shape[axis] - 1)
        if valid is not None:
            inside = inside & lookup(xp.reshape(valid, (-1,)), flat)
        values = [lookup(xp.reshape(as_sum(image), (-1,)), flat) for image in images]
        zero = constant(0, values[0].dtype, like=images[0])
        taken = xp.astype(inside, values[0].dtype)
        return {"values": xp.stack([xp.where(inside, v, zero) for v in values], axis=-1), "taken": taken}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> np.ndarray:
        values = np.asarray(state["values"])[np.asarray(state["taken"]) > 0]
        return values[np.isfinite(values).all(axis=1)]

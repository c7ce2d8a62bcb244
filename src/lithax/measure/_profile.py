"""Mean and number of voxels slice by slice along an axis."""

import dataclasses
import math
import operator
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import PIECE, bincount, fold_pieces, namespace, widest_integer
from lithax.measure._exact_sum import combine_sums, finished_floats, float_sums
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, dtype_name, sequence
from lithax.measure._source import Source
from lithax.measure._state import identity, join_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True, eq=False)
class ProfileResult:
    """One value per slice across an axis."""

    axis: int
    count: np.ndarray
    """Voxels taken in, per slice (int64)."""
    mean: np.ndarray
    """Mean over them, in the unit of the image (float64); NaN in slices without any."""


class Profile(AbstractMeasurement):
    """Mean and number of voxels per slice across `axis`. NaN propagates to its own slice only.

    Of a boolean image the mean is the fraction of True: the porosity profile of a pore image.

    Parameters
    ----------
    axis
        0, 1 or 2 or "x", "y", "z"; negative numbers count from the last.
    """

    axis: int = eqx.field(static=True)
    context: ClassVar[bool] = True

    def __init__(self, axis: int | str) -> None:
        self.axis = check_axis(axis)

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> State:
        """Summarise one block that begins at ``block.offset`` in an image of ``block.shape``; None:
        the whole image.
        """
        offset, shape = (0, image.shape) if block is None else (block.offset[self.axis], block.shape)
        length = shape[self.axis]
        others = tuple(a for a in range(3) if a != self.axis)
        slices = sequence(image.shape[self.axis], like=image) + offset

        def of_piece(image: Array, valid: Array | None, piece_slices: Array | None) -> State:
            xp = namespace(image)
            x = as_sum(image)
            flags = xp.ones_like(x, dtype=xp.bool) if valid is None else valid
            x = xp.where(flags, x, constant(0, x.dtype, like=x))
            sums = float_sums(x, dtype_name(image), axis=others)
            counts = xp.sum(xp.astype(flags, xp.uint8), axis=others, dtype=widest_integer(xp))
            # Filler slices beyond the image are not valid: they add nothing, wherever they are put.
            at = xp.clip(slices if piece_slices is None else piece_slices, 0, length - 1)
            state = {name: bincount(at, length, values) for name, values in sums.items()}
            return state | {"count": bincount(at, length, counts)}

        rows = max(1, PIECE // math.prod(image.shape[1:]))
        moving = slices if self.axis == 0 else None  # the pieces are cut along the first axis
        return fold_pieces(of_piece, join_states, identity, image, valid, moving, size=rows)

    def combine(self, a: State, b: State) -> State:
        return combine_sums(a, b)

    def finish(self, state: State) -> ProfileResult:
        count = np.asarray(state["count"], np.int64)
        mean = finished_floats(state, np.maximum(count, 1))
        return ProfileResult(self.axis, count, np.where(count > 0, mean, np.nan))


@measures_images
def profile(image: Any, axis: int | str, where: Any = None) -> ProfileResult:
    """Return mean and number of voxels of an image or array for every slice across `axis`.

    Parameters
    ----------
    image
        An image, or a three-dimensional array of any array-API library.
    axis
        0, 1, 2 or "x", "y", "z".
    where
        Voxels taken in: a boolean array for an array; for an image also a region, an image or a
        `domain`, as for `chunk_reduce`.
    """
    return Source(image, where).reduce(Profile(axis))


def check_axis(axis: Any) -> int:
    """Return the axis as 0, 1 or 2; "x", "y" and "z" are understood."""
    if isinstance(axis, str) and axis in ("x", "y", "z"):
        return "xyz".index(axis)
    try:
        number = operator.index(axis)  # pyright: ignore[reportArgumentType] (TypeError is caught)
    except TypeError:
        number = None
    if number is None or isinstance(axis, bool) or not -3 <= number < 3:
        raise ValueError(f"axis={axis!r} is not an axis of an image; use 0, 1, 2 or 'x', 'y', 'z'.")
    return number % 3

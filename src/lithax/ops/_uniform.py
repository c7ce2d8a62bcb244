"""The mean over a box."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Inexact, Shaped

from lithax.arrays import as_real
from lithax.grid import Halo
from lithax.ops._folded import fold_box, folded_radii, folding
from lithax.ops._masked import normalised, weighted
from lithax.ops._separable import along_axes, shifted, windows
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import trim, window_halo, window_size
from lithax.typing import Array


def uniform_halo(size: Any = None, radius: Any = None, fold: Any = None) -> Halo:
    """Return the halo of a box, folded onto the rows of an image or not."""
    return folded_radii(window_halo(size, radius), fold)


def _box_sum(x: Array, sizes: tuple[int, int, int], fold: Any = None) -> Array:
    if fold is not None:
        rows = [fold_box(size, *row) for size, row in zip(sizes, fold, strict=True)]
        # Along an axis of one voxel the whole box may fall on it: no neighbour to add, but a
        # weight.
        x = x * math.prod(row[0] for row in rows if len(row) == 1)
        return along_axes(x, [len(row) for row in rows], lambda v, axis: _weighted_sum(v, rows[axis], axis))
    return along_axes(trim(x, sizes), sizes, lambda v, axis: windows(v, sizes[axis], axis, operator.add))


def _weighted_sum(x: Array, weights: Sequence[float], axis: int) -> Array:
    length = x.shape[axis] - len(weights) + 1
    return functools.reduce(operator.add, (shifted(x, axis, k, length) * w for k, w in enumerate(weights)))


def _unit(sizes: tuple[int, int, int]) -> float:
    """Return a power of two, which changes no digit, in whose units the sum over a box is no larger
    than its voxels.
    """
    return 2.0 ** -math.ceil(math.log2(math.prod(sizes)))


def _uniform_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None, fold: Any = None
) -> Inexact[Any, "_ _ _"]:
    sizes = window_size(size, radius)
    unit = _unit(sizes)
    x, weight = weighted(as_real(block) * unit, valid)
    return normalised(_box_sum(x, sizes, fold), _box_sum(weight, sizes, fold)) / unit


@voxel_op(
    halo=uniform_halo,
    static=("size", "radius"),
    masked=_uniform_masked,
    fit=folding(uniform_halo),
    lengths={"size": "window", "radius": "reach"},
)
def uniform(
    block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None, fold: Any = None
) -> Inexact[Any, "_ _ _"]:
    """Average over a box; `scipy.ndimage.uniform_filter`.

    Integers and booleans are averaged as floats. NaN and infinity reach the voxels whose box
    contains them, and no others (scipy's running sum carries them along the row).

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one
        voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local mean, in the unit of `block`. Masked: the mean of the voxels taken in, NaN where
        the box holds none.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign.
    """
    sizes = window_size(size, radius)
    unit = _unit(sizes)
    x = as_real(block) * unit
    return _box_sum(x, sizes, fold) / (unit * math.prod(sizes))

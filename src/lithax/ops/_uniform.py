"""The mean over a box."""

import operator
from typing import Any

from jaxtyping import Bool, Inexact, Shaped

from lithax.arrays import as_real
from lithax.ops._masked import normalised, weighted
from lithax.ops._separable import along_axes, windows
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import trim, window_halo, window_size
from lithax.typing import Array


def _box_sum(x: Array, sizes: tuple[int, int, int]) -> Array:
    return along_axes(trim(x, sizes), sizes, lambda v, axis: windows(v, sizes[axis], axis, operator.add))


def _uniform_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, size: Any = None, radius: Any = None
) -> Inexact[Any, "_ _ _"]:
    sizes = window_size(size, radius)
    x, weight = weighted(as_real(block), valid)
    return normalised(_box_sum(x, sizes), _box_sum(weight, sizes))


@voxel_op(halo=window_halo, static=("size", "radius"), masked=_uniform_masked)
def uniform(block: Shaped[Any, "x y z"], *, size: Any = None, radius: Any = None) -> Inexact[Any, "_ _ _"]:
    """Average over a box; `scipy.ndimage.uniform_filter`.

    Integers and booleans are averaged as floats. NaN and infinity reach the voxels whose box contains them, and no others
    (scipy's running sum carries them along the row).

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by half the box.
    size
        Edge of the box [voxel], one or three, one per axis; 3 by default. An even box holds one voxel more on the lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The local mean, in the unit of `block`. Masked: the mean of the voxels taken in, NaN where the box holds none.

    Raises
    ------
    ValueError
        If `size` and `radius` are both given, or one is not a whole number of the right sign.
    """
    sizes = window_size(size, radius)
    x = as_real(block)
    return _box_sum(x, sizes) / float(sizes[0] * sizes[1] * sizes[2])

"""The median of a neighbourhood, by a selection network."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import namespace
from lithax.grid import Halo, as_halo
from lithax.ops._extremum import larger, largest_value, smaller
from lithax.ops._masked import where_present
from lithax.ops._selection import select
from lithax.ops._separable import shifted
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

FOOTPRINTS = ("cube", "cross", "ball")
MOST_VOXELS = 125
"""The largest neighbourhood; the network for 7**3 values has four times the comparators and takes long to compile."""


def _offsets(radii: Halo, footprint: str) -> list[tuple[int, ...]]:
    inside = {
        "cube": lambda d: True,
        "cross": lambda d: sum(v != 0 for v in d) <= 1,
        "ball": lambda d: sum((v / r) ** 2 for v, r in zip(d, radii, strict=True) if r) <= 1.0 + 1e-9,
    }[footprint]
    return [d for d in product(*(range(-r, r + 1) for r in radii)) if inside(d)]


def median_halo(radius: Any = 1, footprint: str = "cube") -> Halo:
    """Return the radius per axis, having checked that there is a network for the neighbourhood."""
    radii = as_halo(radius, "radius")
    if footprint not in FOOTPRINTS:
        raise ValueError(f"footprint={footprint!r} is not known; use one of {', '.join(map(repr, FOOTPRINTS))}.")
    if math.prod(2 * r + 1 for r in radii) > 4096 or len(_offsets(radii, footprint)) > MOST_VOXELS:
        raise ValueError(
            f"radius={radius!r} with footprint={footprint!r} takes the median of more than {MOST_VOXELS} voxels; use at most "
            f"radius=2 (or footprint='ball' with radius=3, 'cross' up to 20), or apply a smaller median twice."
        )
    return radii


def _neighbours(block: Array, radii: Halo, footprint: str) -> Iterator[Array]:
    core = [n - 2 * r for n, r in zip(block.shape, radii, strict=True)]
    for offset in _offsets(radii, footprint):
        x = block
        for axis in range(3):
            x = shifted(x, axis, radii[axis] + offset[axis], core[axis])
        yield x


def _median_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, radius: Any = 1, footprint: str = "cube"
) -> Shaped[Any, "_ _ _"]:
    # Voxels left out sort to the upper end, and the middle of the others is picked by their number.
    xp, dtype = namespace(block), block.dtype
    radii = median_halo(radius, footprint)
    block = xp.where(valid, block, xp.full_like(block, largest_value(xp, dtype)))
    flags = list(_neighbours(xp.astype(valid, xp.int8), radii, footprint))
    count = flags[0]
    for flag in flags[1:]:
        count = count + flag
    ranks = range(len(flags) // 2 + 1)
    ordered = select(list(_neighbours(block, radii, footprint)), ranks, smaller(xp, dtype), larger(xp, dtype))
    middle = ordered[0]
    for rank in ranks[1:]:
        middle = xp.where(count > 2 * rank, ordered[rank], middle)
    if xp.isdtype(dtype, "real floating"):
        upper = ordered[0]
        for rank in ranks[1:]:
            upper = xp.where(count >= 2 * rank, ordered[rank], upper)
        middle = 0.5 * middle + 0.5 * upper
    return where_present(count > 0, middle)


@voxel_op(halo=median_halo, static=("radius", "footprint"), masked=_median_masked)
def median(block: Shaped[Any, "x y z"], *, radius: Any = 1, footprint: str = "cube") -> Shaped[Any, "_ _ _"]:
    """Take the median of a neighbourhood; `scipy.ndimage.median_filter`.

    The dtype is kept. NaN reaches every voxel whose neighbourhood contains it.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by `radius`.
    radius
        Radius of the neighbourhood [voxel], one or three, one per axis (0: not along this axis).
    footprint
        "cube": all voxels within `radius` along every axis. "cross": those along the axes only (7 for radius 1).
        "ball": those within the Euclidean radius. At most 125 voxels.

    Returns
    -------
        The local median, in the unit of `block`. Masked: the median of the voxels taken in; for an even number of them the mean of
        the two middle ones as in NumPy, but the lower of the two for integers and booleans. Where there is none, NaN, or 0
        and False where there is no NaN.

    Raises
    ------
    ValueError
        If the footprint is not known, or holds more than 125 voxels.
    TypeError
        If `block` is complex.

    References
    ----------
    Batcher, Sorting networks and their applications, AFIPS Spring Joint Computer Conference (1968).
    doi:10.1145/1468075.1468121
    """
    xp = namespace(block)
    values = list(_neighbours(block, median_halo(radius, footprint), footprint))
    return select(values, (len(values) // 2,), smaller(xp, block.dtype), larger(xp, block.dtype))[0]

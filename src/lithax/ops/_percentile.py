"""Percentiles and ranks of a neighbourhood."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from lithax.arrays import is_jax, lookup, namespace
from lithax.ops._extremum import larger, on_ordered, smaller, without
from lithax.ops._masked import where_present
from lithax.ops._neighbourhood import Neighbourhood, neighbourhood_halo, neighbourhood_offsets
from lithax.ops._parameters import is_number
from lithax.ops._ranked import NETWORK, nan_spread, selected, value_of_rank, with_slope
from lithax.ops._selection_network import select
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def percentile_rank(percentile: Any, count: int) -> int:
    """Return the position among `count` sorted values, as scipy.ndimage counts it.

    Raises
    ------
    ValueError
        If `percentile` is not a number from -100 to 100 (negative ones count from the top).
    """
    if not (is_number(percentile) and -100 <= percentile <= 100):
        raise ValueError(
            f"percentile={percentile!r} must be a number from 0 to 100, or from -100 on, counted from the top."
        )
    share = percentile + 100 if percentile < 0 else percentile
    return max(count - 1, 0) if share == 100 else int(float(count) * share / 100.0)


def _percentile_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    percentile: Any,
    size: Any = None,
    radius: Any = None,
    footprint: str = "cube",
) -> Shaped[Any, "_ _ _"]:
    # Voxels left out sort to the upper end; the rank among the others depends on how many there
    # are.
    xp = namespace(block)
    offsets = neighbourhood_offsets(size, radius, footprint)
    hood = Neighbourhood(block, offsets, neighbourhood_halo(size, radius, footprint))
    count = hood.count(valid)
    table = np.asarray([percentile_rank(percentile, m) for m in range(len(offsets) + 1)], np.int32)
    rank = lookup(_constant(table, count), count)

    def run(x: Array) -> Array:
        if len(offsets) <= NETWORK:
            most = int(table.max())
            ordered = select(hood.parts(x), range(most + 1), smaller, larger)
            found = ordered[0]
            for k in range(1, most + 1):
                found = xp.where(rank == k, ordered[k], found)
        else:
            found = selected(x, rank, hood)
        return nan_spread(found, x, hood)

    return where_present(count > 0, with_slope(block, lambda x: run(without(x, valid, smaller)), hood, valid))


def _constant(table: np.ndarray, like: Array) -> Array:
    xp = namespace(like)
    if is_jax(like) or isinstance(like, np.ndarray):
        return xp.asarray(table)
    return xp.asarray(table, device=like.device)


@voxel_op(
    halo=neighbourhood_halo,
    static=("percentile", "size", "radius", "footprint"),
    masked=_percentile_masked,
    lengths={"size": "window", "radius": "reach"},
)
def percentile(
    block: Shaped[Any, "x y z"], *, percentile: Any, size: Any = None, radius: Any = None, footprint: str = "cube"
) -> Shaped[Any, "_ _ _"]:
    """Take a percentile of a neighbourhood; `scipy.ndimage.percentile_filter`.

    One of the values is taken, never a mean of two, and the dtype is kept. NaN reaches every voxel
    whose neighbourhood contains it. The derivative is that of the voxel taken.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by half the window.
    percentile
        From 0 (the smallest value) to 100 [%]; negative numbers count from the top, as in scipy.
    size
        Edge of a box [voxel], one or three, one per axis; 3 by default. An even box holds one voxel
        more on the lower side.
    radius
        Radius of the neighbourhood instead [voxel], one or three, one per axis.
    footprint
        "cube": all voxels within `radius` along every axis. "cross": those along the axes only.
        "ball": those within the Euclidean radius. At most 4096 voxels.

    Returns
    -------
        The local percentile, in the unit of `block`. Masked: among the voxels taken in; where there
        is none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError
        If `percentile` is out of range, the footprint is not known, or holds more than 4096 voxels.
    TypeError
        If `block` is complex.

    References
    ----------
    Up to 64 voxels: Batcher, Sorting networks and their applications, AFIPS Spring Joint Computer
    Conference (1968). doi:10.1145/1468075.1468121
    """
    offsets = neighbourhood_offsets(size, radius, footprint)
    hood = Neighbourhood(block, offsets, neighbourhood_halo(size, radius, footprint))
    return on_ordered(block, partial(value_of_rank, rank=percentile_rank(percentile, len(offsets)), hood=hood))


@voxel_op(
    halo=neighbourhood_halo,
    static=("rank", "size", "radius", "footprint"),
    lengths={"size": "window", "radius": "reach"},
)
def rank(
    block: Shaped[Any, "x y z"], *, rank: int, size: Any = None, radius: Any = None, footprint: str = "cube"
) -> Shaped[Any, "_ _ _"]:
    """Take the value of a given rank in a neighbourhood; `scipy.ndimage.rank_filter`.

    The dtype is kept, NaN reaches every voxel whose neighbourhood contains it, and the derivative
    is that of the voxel taken. There is no masked form, since with fewer voxels a rank is another
    share of them: `percentile` has one.

    Parameters
    ----------
    block
        Any ordered field, one value per voxel; padded by half the window.
    rank
        0 for the smallest value, 1 for the next; -1 for the largest.
    size, radius, footprint
        The neighbourhood, as in `percentile`.

    Raises
    ------
    ValueError
        If the neighbourhood holds no value of this rank, or is not well described.
    TypeError
        If `block` is complex.
    """
    offsets = neighbourhood_offsets(size, radius, footprint)
    count = len(offsets)
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or not -count <= rank < count:
        raise ValueError(
            f"rank={rank!r} must be an integer from {-count} to {count - 1}: the window holds {count} voxels."
        )
    hood = Neighbourhood(block, offsets, neighbourhood_halo(size, radius, footprint))
    return on_ordered(block, partial(value_of_rank, rank=int(rank) % count, hood=hood))

"""The median of a neighbourhood."""

from functools import partial
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import namespace
from lithax.grid import Halo
from lithax.ops._extremum import larger, on_ordered, smaller, without
from lithax.ops._masked import where_present
from lithax.ops._neighbourhood import Neighbourhood, neighbourhood_halo, neighbourhood_offsets
from lithax.ops._ranked import NETWORK, nan_spread, selected, value_of_rank, with_slope
from lithax.ops._selection_network import select
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def median_halo(radius: Any = 1, footprint: str = "cube") -> Halo:
    """Return the radius per axis, having checked the neighbourhood."""
    return neighbourhood_halo(None, radius, footprint)


def _hood(block: Array, radius: Any, footprint: str) -> Neighbourhood:
    return Neighbourhood(block, neighbourhood_offsets(None, radius, footprint), median_halo(radius, footprint))


def _median_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, radius: Any = 1, footprint: str = "cube"
) -> Shaped[Any, "_ _ _"]:
    # Voxels left out sort to the upper end, and the middle of the others is picked by their number.
    xp = namespace(block)
    hood = _hood(block, radius, footprint)
    count = hood.count(valid)
    floating = xp.isdtype(block.dtype, "real floating")
    last = xp.where(count > 0, count - 1, xp.zeros_like(count))

    def middle(x: Array) -> Any:
        x = without(x, valid, smaller)
        if len(hood.offsets) > NETWORK:
            lower = selected(x, last // 2, hood)
            return (
                (nan_spread(lower, x, hood), nan_spread(selected(x, count // 2, hood), x, hood)) if floating else lower
            )
        ranks = range(len(hood.offsets) // 2 + 1)
        ordered = select(hood.parts(x), ranks, smaller, larger)
        lower = upper = ordered[0]
        for rank in ranks[1:]:
            lower = xp.where(count > 2 * rank, ordered[rank], lower)
            upper = xp.where(count >= 2 * rank, ordered[rank], upper)
        return (lower, upper) if floating else lower

    found = with_slope(block, middle, hood, valid)
    if floating:
        found = 0.5 * found[0] + 0.5 * found[1]
    return where_present(count > 0, found)


@voxel_op(halo=median_halo, static=("radius", "footprint"), masked=_median_masked, lengths={"radius": "reach"})
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
        "cube": all voxels within `radius` along every axis. "cross": those along the axes only (7
        for radius 1). "ball": those within the Euclidean radius. At most 4096 voxels.

    Returns
    -------
        The local median, in the unit of `block`. Masked: the median of the voxels taken in; for an
        even number of them the mean of the two middle ones as in NumPy, but the lower of the two
        for integers and booleans. Where there is none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError
        If the footprint is not known, or holds more than 4096 voxels.
    TypeError
        If `block` is complex.

    References
    ----------
    Up to 64 voxels: Batcher, Sorting networks and their applications, AFIPS Spring Joint Computer
    Conference (1968). doi:10.1145/1468075.1468121
    """
    hood = _hood(block, radius, footprint)
    return on_ordered(block, partial(value_of_rank, rank=len(hood.offsets) // 2, hood=hood))

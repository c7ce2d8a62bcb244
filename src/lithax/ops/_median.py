"""The median of a neighbourhood, by a selection network."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import namespace, with_derivative
from lithax.grid import Halo, as_halo
from lithax.ops._extremum import larger, on_ordered, smaller, without
from lithax.ops._masked import where_present
from lithax.ops._selection_network import select
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


def _slope(block: Array, change: Array, results: Sequence[Array], valid: Array | None, neighbours: Any) -> list[Array]:
    # The median is one of its neighbours, and moves with it; equal ones share. Following hundreds of comparators instead
    # gives the same and takes minutes to compile.
    xp = namespace(block)
    slopes = []
    flags = None if valid is None else list(neighbours(valid))
    for result in results:
        total, count = xp.zeros_like(result), xp.zeros_like(result)
        for k, (value, step) in enumerate(zip(neighbours(block), neighbours(change), strict=True)):
            chosen = value == result if flags is None else (value == result) & flags[k]
            total = total + xp.where(chosen, step, xp.zeros_like(step))
            count = count + xp.astype(chosen, result.dtype)
        slopes.append(total / xp.where(count > 0, count, xp.ones_like(count)))
    return slopes


def _median_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, radius: Any = 1, footprint: str = "cube"
) -> Shaped[Any, "_ _ _"]:
    # Voxels left out sort to the upper end, and the middle of the others is picked by their number.
    xp = namespace(block)
    neighbours = partial(_neighbours, radii=median_halo(radius, footprint), footprint=footprint)
    flags = list(neighbours(xp.astype(valid, xp.int8)))
    count = flags[0]
    for flag in flags[1:]:
        count = count + flag
    ranks = range(len(flags) // 2 + 1)

    def middle(block: Array) -> tuple[Array, Array]:
        ordered = select(list(neighbours(block)), ranks, smaller, larger)
        lower = upper = ordered[0]
        for rank in ranks[1:]:
            lower = xp.where(count > 2 * rank, ordered[rank], lower)
            upper = xp.where(count >= 2 * rank, ordered[rank], upper)
        return lower, upper

    def rule(arguments: tuple, tangents: tuple) -> tuple[Any, Any]:
        (x,), (change,) = arguments, tangents
        results = middle(x)
        return results, tuple(_slope(x, change, results, valid, neighbours))

    def run(block: Array) -> Array:
        block = without(block, valid, smaller)
        if not xp.isdtype(block.dtype, "real floating"):
            return middle(block)[0]
        lower, upper = with_derivative(middle, rule)(block)
        return 0.5 * lower + 0.5 * upper

    return where_present(count > 0, on_ordered(block, run))


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
    neighbours = partial(_neighbours, radii=median_halo(radius, footprint), footprint=footprint)

    def middle(block: Array) -> Array:
        values = list(neighbours(block))
        return select(values, (len(values) // 2,), smaller, larger)[0]

    def rule(arguments: tuple, tangents: tuple) -> tuple[Any, Any]:
        (x,), (change,) = arguments, tangents
        result = middle(x)
        return result, _slope(x, change, (result,), None, neighbours)[0]

    floating = xp.isdtype(block.dtype, "real floating")
    return on_ordered(block, with_derivative(middle, rule) if floating else middle)

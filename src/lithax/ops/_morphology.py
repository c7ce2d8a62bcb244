"""Erosion and dilation by a digital ball or by the nearest neighbours, and what is made of the
two.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Bool, Shaped

from lithax.arrays import fence
from lithax.grid import Halo
from lithax.ops._chain import Chain, chain
from lithax.ops._compound import compound
from lithax.ops._extremum import Combine, larger, on_ordered, smaller, without
from lithax.ops._masked import where_present
from lithax.ops._parameters import is_number
from lithax.ops._separable import along_axes, shifted, windows
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

LARGEST_RADIUS = 12
"""Beyond it the unrolled neighbourhood takes many seconds to compile; thresholding a distance map
is the way.
"""

FENCED = 64
"""Rods per compiled loop; with hundreds the compiler gives up on vector instructions, and a loop is
twenty times slower.
"""


def _runs(connectivity: Any, radius: Any) -> dict[tuple[int, int], int]:
    """Return the element as rods along z: for each (x, y) offset, how far it reaches to both
    sides.
    """
    if connectivity is not None and radius is not None:
        raise ValueError(
            f"connectivity={connectivity!r} and radius={radius!r} both set the structuring element; give one of them."
        )
    if radius is None:
        reach = 1 if connectivity is None else connectivity
        if reach not in (1, 2, 3):
            raise ValueError(f"connectivity={connectivity!r} must be 1 (6 neighbours), 2 (18) or 3 (26).")
        left = {(i, j): reach - abs(i) - abs(j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        return {at: min(1, rest) for at, rest in left.items() if rest >= 0}
    radii = tuple(radius) if isinstance(radius, tuple | list) else (radius,) * 3
    if len(radii) != 3 or not all(is_number(r) and 0 <= r <= LARGEST_RADIUS for r in radii):
        raise ValueError(
            f"radius={radius!r} must be a number of voxels from 0 to {LARGEST_RADIUS}, or three, one per axis; for a larger "
            f"ball compare a distance map with the radius, or apply two smaller ones (their sum is nearly a ball)."
        )
    x, y, z = (math.floor(r) for r in radii)
    offsets = ((i, j) for i in range(-x, x + 1) for j in range(-y, y + 1))
    left = {(i, j): 1.0 + 1e-9 - _square(i, radii[0]) - _square(j, radii[1]) for i, j in offsets}
    return {at: min(z, math.floor(radii[2] * math.sqrt(rest) + 1e-9)) for at, rest in left.items() if rest >= 0}


def _square(offset: int, radius: Any) -> float:
    return (offset / radius) ** 2 if offset else 0.0


def _reach(runs: dict[tuple[int, int], int]) -> Halo:
    return max(i for i, _ in runs), max(j for _, j in runs), max(runs.values())


def element_halo(connectivity: Any = None, radius: Any = None) -> Halo:
    """Return the halo of a structuring element."""
    return _reach(_runs(connectivity, radius))


def _combined(block: Array, runs: dict[tuple[int, int], int], combine: Combine) -> Array:
    reach = _reach(runs)
    core = [n - 2 * r for n, r in zip(block.shape, reach, strict=True)]
    box = tuple(2 * r + 1 for r in reach)
    if len(set(runs.values())) == 1 and len(runs) == box[0] * box[1]:
        return along_axes(block, box, lambda v, axis: windows(v, box[axis], axis, combine))
    many = len(runs) > 1.5 * FENCED
    rods = {
        half: windows(shifted(block, 2, reach[2] - half, core[2] + 2 * half), 2 * half + 1, 2, combine)
        for half in sorted(set(runs.values()))
    }
    if many:
        rods = {half: fence(rod) for half, rod in rods.items()}
    total = None
    for count, ((i, j), half) in enumerate(runs.items()):
        if many and count and count % FENCED == 0:
            total = fence(total)
        part = shifted(shifted(rods[half], 1, reach[1] + j, core[1]), 0, reach[0] + i, core[0])
        total = part if total is None else combine(total, part)
    return total


def _masked(combine: Combine) -> Callable[..., Array]:
    """Return the form for selections of the filter that combines values so."""

    def masked(
        block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, connectivity: Any = None, radius: Any = None
    ) -> Shaped[Any, "_ _ _"]:
        runs = _runs(connectivity, radius)
        present = _combined(valid, runs, larger)
        return where_present(present, on_ordered(block, lambda x: _combined(without(x, valid, combine), runs, combine)))

    return masked


@voxel_op(halo=element_halo, static=("connectivity", "radius"), masked=_masked(smaller), lengths={"radius": "width"})
def erosion(block: Shaped[Any, "x y z"], *, connectivity: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Erode: True where the whole structuring element is True; `scipy.ndimage.binary_erosion`.

    A field of numbers is eroded to the smallest value in the element, `scipy.ndimage.grey_erosion`.
    The dtype is kept; NaN reaches every voxel whose element contains it. scipy's ``border_value``
    is ``boundary="constant"`` with `boundary_value`; the default here continues the image beyond
    its faces.

    Parameters
    ----------
    block
        One phase as booleans, or any ordered field; padded by the radius of the element.
    connectivity
        Element of the voxel and its neighbours across faces (1, the default), edges too (2),
        corners too (3).
    radius
        Element of the voxels whose centres lie within this distance [voxel] instead; need not be
        whole. Three, one per axis, make an ellipsoid: a length such as "10 um" is a ball also where
        voxels are not cubes.

    Returns
    -------
        The eroded field, in the unit of `block`. Masked: over the voxels taken in; where the
        element holds none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError
        If both or an unknown element is given, or one larger than 12 voxels.
    TypeError
        If `block` is complex.
    """
    runs = _runs(connectivity, radius)
    return on_ordered(block, lambda x: _combined(x, runs, smaller))


@voxel_op(halo=element_halo, static=("connectivity", "radius"), masked=_masked(larger), lengths={"radius": "width"})
def dilation(block: Shaped[Any, "x y z"], *, connectivity: Any = None, radius: Any = None) -> Shaped[Any, "_ _ _"]:
    """Dilate: True where any voxel of the structuring element is True;
    `scipy.ndimage.binary_dilation`.

    A field of numbers is dilated to the largest value in the element,
    `scipy.ndimage.grey_dilation`. The dtype is kept; NaN reaches every voxel whose element contains
    it. scipy's ``border_value`` is ``boundary="constant"`` with `boundary_value`; the default here
    continues the image beyond its faces.

    Parameters
    ----------
    block, connectivity, radius
        As for `erosion`.

    Returns
    -------
        The dilated field, in the unit of `block`. Masked: over the voxels taken in; where the
        element holds none, NaN, or 0 and False where there is no NaN.

    Raises
    ------
    ValueError, TypeError
        As for `erosion`.
    """
    runs = _runs(connectivity, radius)
    return on_ordered(block, lambda x: _combined(x, runs, larger))


@compound
def opening(
    *, connectivity: Any = None, radius: Any = None, boundary: str = "reflect", boundary_value: Any = 0
) -> Chain:
    """Erode, then dilate: removes what is thinner than the structuring element;
    `scipy.ndimage.binary_opening`, `grey_opening`.

    Parameters
    ----------
    connectivity, radius
        The structuring element, as in `erosion`.
    boundary, boundary_value
        What lies outside the image, for both steps.
    """
    rules = {
        "connectivity": connectivity,
        "radius": radius,
        "boundary": boundary,
        "boundary_value": boundary_value,
    }
    return chain(partial(erosion, **rules), partial(dilation, **rules))


@compound
def closing(
    *, connectivity: Any = None, radius: Any = None, boundary: str = "reflect", boundary_value: Any = 0
) -> Chain:
    """Dilate, then erode: fills what is thinner than the structuring element;
    `scipy.ndimage.binary_closing`, `grey_closing`.

    Parameters
    ----------
    connectivity, radius
        The structuring element, as in `erosion`.
    boundary, boundary_value
        What lies outside the image, for both steps.
    """
    rules = {
        "connectivity": connectivity,
        "radius": radius,
        "boundary": boundary,
        "boundary_value": boundary_value,
    }
    return chain(partial(dilation, **rules), partial(erosion, **rules))

"""Filters wider than the image, folded onto it.

Continued by a boundary rule, a row of n voxels repeats itself ("reflect" after 2n, "mirror" after
2n - 2, "wrap" after n), or is one value from the face on ("nearest", "constant"). So weights that
are a period apart meet the same voxel and add up, and all weights from the n-th neighbour on meet
the same value. What is left reaches n voxels at most, and gives the same result up to rounding: the
cost of a filter is bounded by the image and not by its width.
"""

from collections.abc import Callable, Sequence
from typing import Any

from lithax.grid import Halo

Fold = tuple[tuple[int, str], tuple[int, str], tuple[int, str]]
"""Length of the image along each axis, and the boundary rule."""


def folded_radius(radius: int, size: int, boundary: str) -> int:
    """Return how far a filter reaches that is folded onto `size` voxels."""
    if boundary in ("nearest", "constant"):
        return min(radius, size)
    return min(radius, period(size, boundary) // 2)


def period(size: int, boundary: str) -> int:
    """Return after how many voxels a row repeats itself."""
    return {"reflect": 2 * size, "mirror": max(2 * size - 2, 1), "wrap": size}[boundary]


def fold(weights: Sequence[Any], size: int, boundary: str, odd: bool = False) -> list[Any]:
    """Return the weights of the centre and the neighbours outwards, folded; symmetric or (`odd`)
    antisymmetric.
    """
    radius = len(weights) - 1
    reach = folded_radius(radius, size, boundary)
    if reach == radius:
        return list(weights)
    if boundary in ("nearest", "constant"):
        return [*weights[:reach], sum(weights[reach + 1 :], weights[reach])]
    length = period(size, boundary)

    def at(place: int) -> Any:
        # All weights at place + q * length, on both sides of the centre.
        upper = [w for w in weights[place % length :: length]]
        lower = [w for w in weights[-place % length :: length]]
        if place % length == 0:
            lower = lower[1:]  # the centre itself is on neither side
        total = sum(upper[1:], upper[0]) if upper else 0.0
        for w in lower:
            total = total - w if odd else total + w
        return total

    folded = [at(k) for k in range(reach + 1)]
    if odd:
        folded[0] = 0.0 * folded[0]
    if length % 2 == 0:  # the voxel half a period away is met from both sides
        folded[reach] = 0.5 * folded[reach]
    return folded


def fold_box(size: int, length: int, boundary: str) -> list[float]:
    """Return the weights of a box of `size` voxels on a row of `length`, folded, from the lowest
    neighbour to the highest.

    An even box holds one voxel more on the lower side. The weights are numbers of voxels, halves
    where a voxel is met from both sides.
    """
    below, above = size // 2, size - 1 - size // 2
    reach = folded_radius(below, length, boundary)
    places = range(-reach, reach + 1)
    if boundary in ("nearest", "constant"):
        inner = [1.0] * (2 * reach - 1)
        return [1.0 + below - reach, *inner, max(1.0 + above - reach, 0.0)] if reach else [1.0]
    turn = period(length, boundary)
    counts = [float((above - k) // turn - -((below + k) // turn) + 1) for k in places]
    if turn % 2 == 0 and reach == turn // 2:
        counts[0], counts[-1] = 0.5 * counts[0], 0.5 * counts[-1]
    return counts


def wider_than(shape: Sequence[int], radii: Halo) -> bool:
    """Whether a filter reaches further than the image along an axis."""
    return any(r > n for r, n in zip(radii, shape, strict=True))


def folding(radii_of: Callable[..., Halo]) -> Callable[..., dict[str, Any] | None]:
    """Return what adds ``fold=`` to the parameters of a filter that is wider than the image; see
    `VoxelOp.fit`.
    """

    def fit(shape: Sequence[int], boundary: str, **parameters: Any) -> dict[str, Any] | None:
        rows = tuple((n, boundary) for n in shape)
        return {"fold": rows} if wider_than(shape, radii_of(**parameters)) else None

    return fit


def folded_radii(radii: Halo, fold: Fold | None) -> Halo:
    """Return how far a filter reaches along each axis, folded or not."""
    if fold is None:
        return radii
    x, y, z = (folded_radius(r, *row) for r, row in zip(radii, fold, strict=True))
    return x, y, z

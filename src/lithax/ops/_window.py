"""Box-shaped neighbourhoods, given by their size or by their radius."""

from collections.abc import Sequence
from typing import Any

from lithax.grid import Halo, as_halo
from lithax.typing import Array


def window_size(size: Any = None, radius: Any = None) -> Halo:
    """Return the voxels per axis of a window given by `size` or by `radius` [voxel]; 3 when neither
    is given.

    Raises
    ------
    ValueError
        If both are given, or one is not a whole number (or three, one per axis) of the right sign.
    """
    if size is not None and radius is not None:
        raise ValueError(f"size={size!r} and radius={radius!r} both set the window; give one (size = 2 * radius + 1).")
    if radius is not None:
        x, y, z = as_halo(radius, "radius")
        return 2 * x + 1, 2 * y + 1, 2 * z + 1
    sizes = as_halo(3 if size is None else size, "size")
    if min(sizes) < 1:
        raise ValueError(f"size={size!r} must be at least 1 voxel along every axis; size=1 leaves the axis as it is.")
    return sizes


def window_halo(size: Any = None, radius: Any = None) -> Halo:
    """Return the halo of a window; an even one reaches one voxel less on the upper side, as in
    scipy.ndimage.
    """
    x, y, z = window_size(size, radius)
    return x // 2, y // 2, z // 2


def clipped_window(shape: Sequence[int], boundary: str, size: Any = None, radius: Any = None) -> dict[str, Any] | None:
    """Return a window that holds the same values of an image of this shape: further out than its
    length there are no others.
    """
    sizes = window_size(size, radius)
    if not any(s // 2 > n for s, n in zip(sizes, shape, strict=True)):
        return None
    return {"size": tuple(2 * n + 1 if s // 2 > n else s for s, n in zip(sizes, shape, strict=True)), "radius": None}


def trim(block: Array, sizes: Halo) -> Array:
    """Leave out the last voxel along the axes whose window is even: its halo is one wider than the
    upper side needs.
    """
    return block[
        tuple(slice(0, n - 1) if size % 2 == 0 else slice(None) for n, size in zip(block.shape, sizes, strict=True))
    ]


def odd_size(size: Any, name: str) -> Halo:
    """Return the voxels per axis of a window that has a middle voxel.

    Raises
    ------
    ValueError
        If an edge is even or not a positive whole number.
    """
    sizes = as_halo(size, name)
    if min(sizes) < 1 or any(n % 2 == 0 for n in sizes):
        nearest = 2 * (min(sizes) // 2) + 1
        raise ValueError(
            f"{name}={size!r} must be an odd number of voxels, such as {max(nearest, 3)}: the window has a middle voxel."
        )
    return sizes

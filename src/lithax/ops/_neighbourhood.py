"""Neighbourhoods of a voxel, box, cross or ball, and folds over the neighbours."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from lithax.arrays import fold_taps, namespace, neighbour_starts
from lithax.grid import Halo, Index, as_halo, triple
from lithax.ops._window import window_size
from lithax.typing import Array

FOOTPRINTS = ("cube", "cross", "ball")

MOST = 4096
"""Neighbours at most: a ball of radius 9, a cube of radius 7."""

Offsets = Sequence[Index]


def neighbourhood_offsets(size: Any, radius: Any, footprint: str) -> Offsets:
    """Return the neighbours of a voxel [voxel], having checked that they are well described."""
    if footprint not in FOOTPRINTS:
        raise ValueError(f"footprint={footprint!r} is not known; use one of {', '.join(map(repr, FOOTPRINTS))}.")
    if size is not None and footprint != "cube":
        raise ValueError(f"size={size!r} is that of a box; for footprint={footprint!r} give radius=.")
    sizes = window_size(size, radius)
    if math.prod(sizes) > 4 * MOST:
        _refuse(size, radius, footprint)
    radii = as_halo(1 if radius is None else radius, "radius")
    inside = {
        "cube": lambda d: True,
        "cross": lambda d: sum(v != 0 for v in d) <= 1,
        "ball": lambda d: sum((v / r) ** 2 for v, r in zip(d, radii, strict=True) if r) <= 1.0 + 1e-9,
    }[footprint]
    found = [triple(d) for d in product(*(range(-(n // 2), n - n // 2) for n in sizes)) if inside(d)]
    if len(found) > MOST:
        _refuse(size, radius, footprint)
    return found


def _refuse(size: Any, radius: Any, footprint: str) -> None:
    raise ValueError(
        f"size={size!r}, radius={radius!r} with footprint={footprint!r} takes in more than {MOST} voxels; use a smaller "
        f"window, or coarsen the image first."
    )


def neighbourhood_halo(size: Any = None, radius: Any = None, footprint: str = "cube") -> Halo:
    """Return how far the neighbourhood reaches along each axis."""
    neighbourhood_offsets(size, radius, footprint)
    x, y, z = window_size(size, radius)
    return x // 2, y // 2, z // 2


class Neighbourhood:
    """The neighbours of every voxel in the core of a padded block, on any library."""

    def __init__(self, block: Array, offsets: Offsets, halo: Halo) -> None:
        self.offsets, self.halo = offsets, halo
        self.core = [n - 2 * h for n, h in zip(block.shape, halo, strict=True)]
        self.starts = neighbour_starts(offsets, halo)

    def parts(self, x: Array) -> list[Array]:
        """Return a slice of `x` for each neighbour."""
        return [x[tuple(slice(s, s + n) for s, n in zip(at, self.core, strict=True))] for at in self.starts]

    def fold(self, body: Callable, state: Any, *arrays: Array) -> Any:
        """Run ``state = body(state, parts)`` for each neighbour; see `lithax.arrays.fold_taps`."""
        return fold_taps(body, state, arrays, self.starts, self.core)

    def any(self, flags: Array) -> Array:
        """Whether the flag of any neighbour is True."""
        xp = namespace(flags)
        return self.fold(lambda s, p: s | p[0], xp.zeros_like(self.parts(flags)[0]), flags)

    def count(self, flags: Array) -> Array:
        """Return how many neighbours' flags are True."""
        xp = namespace(flags)
        flags = xp.astype(flags, xp.int32)
        return self.fold(lambda s, p: s + p[0], xp.zeros_like(self.parts(flags)[0]), flags)

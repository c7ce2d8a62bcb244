"""Air around a plug that was taken for pore: what is said of it, and how it is recognised."""

import itertools
from collections.abc import Collection, Mapping

import numpy as np

from lithax.grid import Index
from lithax.runtime import AbstractWorld

AIR = (
    "the pore space fills all four edges of the image along the axis, and may be the air around a plug; pass "
    "where=lx.regions.Cylinder(...) to leave it out"
)

AXES = ("x", "y", "z")
FEWEST = 8
"""Voxels along the shortest axis from which on such edges say something."""


def air_notes(
    axes: Collection[int],
    sides: str,
    pieces: Mapping[Index, np.ndarray],
    shape: Index,
    world: AbstractWorld | None = None,
) -> list[str]:
    """Say along which axes the pores of an image may be the air around a plug.

    Parameters
    ----------
    axes
        Along which was solved; where there are several, the note names those it is about.
    sides
        Where they are "periodic" the image repeats itself, and is no plug.
    pieces, shape, world
        As for `fills_edges`; of an image without a region.
    """
    found = [AXES[a] for a in axes if sides != "periodic" and fills_edges(pieces, shape, a, world)]
    return named_air(found, len(axes) > 1)


def named_air(axes: Collection[str], several: bool) -> list[str]:
    """Return the note on air along the axes where it was found, by name if there were `several`."""
    return [f"{', '.join(axes)}: {AIR}" if several else AIR] if axes else []


def fills_edges(
    pieces: Mapping[Index, np.ndarray], shape: Index, axis: int, world: AbstractWorld | None = None
) -> bool:
    """Tell whether pores fill all four edges of an image along an axis, and not the whole of it.

    Parameters
    ----------
    pieces
        True in pores, by where each piece begins; of the whole image, or this process's.
    shape
        Of the image.
    axis
        Along which its edges are looked at.
    world
        The processes that hold the other pieces; all of them call.
    """
    if min(shape) < FEWEST:
        return False
    across = [a for a in range(3) if a != axis]
    filled, full = True, True
    for start, pores in pieces.items():
        full &= bool(pores.all())
        for ends in itertools.product((0, -1), repeat=2):
            there = {a: (shape[a] - 1) * -end - start[a] for a, end in zip(across, ends, strict=True)}
            if all(0 <= place < pores.shape[a] for a, place in there.items()):
                filled &= bool(pores[tuple(there.get(a, slice(None)) for a in range(3))].all())
    if world is not None:
        found = world.gather((filled, full))
        filled, full = all(one for one, _ in found), all(one for _, one in found)
    return filled and not full

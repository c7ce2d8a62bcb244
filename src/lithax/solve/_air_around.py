"""Air around a plug that was taken for pore: what is said of it, and how it is recognised."""

import itertools
from collections.abc import Collection, Mapping

import numpy as np

from lithax.grid import Index
from lithax.runtime import AbstractWorld
from lithax.solve._conduction_setup import AXES

AIR = (
    "the pore space fills all four edges of the image along the axis, and may be the air around a plug; pass "
    "where=lx.regions.Cylinder(...) to leave it out"
)

FEWEST = 8
"""Voxels along the shortest axis from which on such edges say something."""


def air_notes(
    axes: Collection[int],
    sides: str,
    pieces: Mapping[Index, np.ndarray],
    shape: Index,
    world: AbstractWorld | None = None,
    *,
    named: bool,
) -> list[str]:
    """Say along which axes the pores of an image may be the air around a plug.

    Parameters
    ----------
    axes
        Along which was solved.
    sides
        Where they are "periodic" the image repeats itself, and is no plug.
    pieces, shape, world
        As for `fills_edges`; of an image without a region.
    named
        Whether the note names the axes that it is about.
    """
    found = [AXES[a] for a in axes if sides != "periodic" and fills_edges(pieces, shape, a, world)]
    return air_along(found, named)


def air_along(axes: Collection[str], named: bool) -> list[str]:
    """Return the note on air along the axes where it was found."""
    return [f"{', '.join(axes)}: {AIR}" if named else AIR] if axes else []


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

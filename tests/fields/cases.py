"""Images that tell a wrong join from a right one, and the grids on which every algorithm is tried."""

from collections.abc import Iterator

import numpy as np
import pytest

SHAPE = (6, 5, 7)

SINGLE = {"chunks": 1}
"""Every voxel a chunk: 210 blocks a pass, so only labels and distances, by which all others go, are tried on it."""

GRIDS = [
    {"chunks": (1, 5, 1)},
    {"chunks": (3, 4, 5)},
    {"chunks": (2, 8, 1)},
    {"chunks": (6, 1, 3)},
    {"chunks": (2, 2, 2), "shards": (4, 6, 4)},
    {"chunks": 64},
]
EVERY_GRID = [
    pytest.param(grid, marks=[pytest.mark.slow] * (k in (0, 2, 3)), id=str(grid)) for k, grid in enumerate(GRIDS)
]
"""For tests that take one grid after the other: ragged chunks, shards and one chunk; chunks thin along other axes are slow."""


def images(shape: tuple[int, int, int] = SHAPE) -> list[tuple[str, np.ndarray]]:
    """Return boolean images and their names."""
    return list(_images(shape))


def _images(shape: tuple[int, int, int]) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(7)
    x, y, z = np.indices(shape)
    for density in (0.05, 0.3, 0.6, 0.9):
        yield f"noise {density}", rng.random(shape) < density
    yield "empty", np.zeros(shape, bool)
    yield "full", np.ones(shape, bool)
    one = np.zeros(shape, bool)
    one[-1, 2, -1] = True
    yield "one voxel", one
    yield "all but one", ~one
    yield "checkerboard", (x + y + z) % 2 == 0
    # One pore that winds through every block: along z, a step in y at alternating ends, a step in x.
    serpentine = (y % 2 == 0) & (x % 2 == 0)
    serpentine |= (x % 2 == 0) & (y % 2 == 1) & (z == np.where(y // 2 % 2 == 0, shape[2] - 1, 0))
    serpentine |= (x % 2 == 1) & (y == np.where(x // 2 % 2 == 0, shape[1] - 1 - (shape[1] + 1) % 2, 0)) & (z == 0)
    yield "serpentine", serpentine
    # Teeth that only the last layer joins.
    yield "comb", (y % 2 == 0) | (x == shape[0] - 1)
    corners = np.zeros(shape, bool)
    corners[2, 3, 4] = corners[3, 4, 5] = corners[3, 3, 4] = corners[1, 4, 3] = True
    yield "corners", corners
    sheet = np.zeros(shape, bool)
    sheet[4] = True
    yield "sheet", sheet

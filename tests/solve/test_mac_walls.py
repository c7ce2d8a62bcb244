"""Walls on the staggered grid: rows counted by a loop, and layers looked at a few at a time."""

import numpy as np
import pytest

from lithax.solve import _mac_walls
from lithax.solve._flow_medium import walls_of
from lithax.solve._mac_walls import HostLines, run_lengths


def run_of(row, place, boundary):
    """Length of the run that a flag stands in, by walking both ways; None where it has no end."""
    image = row if boundary == "periodic" else np.concatenate([row, row[::-1]])
    if boundary == "wall":
        image = np.concatenate([row, [False]])
    if image.all():
        return None
    return 1 + sum(
        next(k for k in range(len(image)) if not image[(place + step * (k + 1)) % len(image)]) for step in (-1, 1)
    )


@pytest.mark.parametrize("boundary", ["wall", "mirror", "periodic"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_runs_are_those_of_a_walk_along_each_row(rng, axis, boundary):
    flags = rng.random((6, 5, 7)) < 0.7
    found = run_lengths(HostLines(flags.shape, flags.shape), flags, axis, boundary)
    rows, lengths = np.moveaxis(flags, axis, -1), np.moveaxis(found, axis, -1)
    for at in np.ndindex(rows.shape):
        expected = (run_of(rows[at[:2]], at[2], boundary) or 4096) if rows[at] else 0
        assert lengths[at] == expected, (at, rows[at[:2]])


@pytest.mark.parametrize("ends", ["pressure", "periodic"])
def test_layers_looked_at_apart_have_the_walls_of_the_whole(rng, ends, monkeypatch):
    rock = rng.random((9, 5, 6)) < 0.75
    rock[-1] &= ends == "periodic"
    lines, boundaries = HostLines(rock.shape, (9 - (ends == "pressure"), 5, 6)), (ends, "mirror", "periodic")
    whole = walls_of(lines, rock, boundaries, "accurate", (1.0, 2.0, 0.5), np.float32)
    monkeypatch.setattr(_mac_walls, "_LAYERS", 2)
    monkeypatch.setattr(_mac_walls, "_AT_ONCE", 1)
    for one, other in zip(
        whole, walls_of(lines, rock, boundaries, "accurate", (1.0, 2.0, 0.5), np.float32), strict=True
    ):
        np.testing.assert_array_equal(one, other)

"""Sizes: known balls and slits, cut grains weighted, images as arrays."""

import numpy as np
import pytest

import lithax as lx

from .cases import EVERY_GRID, SHAPE


@pytest.mark.parametrize("grid", EVERY_GRID[1:])
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(0)
    pore = rng.random(SHAPE) < 0.8
    expected = lx.pore_sizes(pore)
    found = lx.pore_sizes(lx.from_array(pore, **grid), progress=False)
    np.testing.assert_array_equal(found.diameters, expected.diameters)
    np.testing.assert_array_equal(found.volume, expected.volume)
    labels = rng.integers(0, 9, SHAPE).astype("u2")
    own, other = lx.fields.label_table(labels), lx.fields.label_table(lx.from_array(labels, **grid), progress=False)
    for name in ("sizes", "first", "lower", "upper", "touches"):
        np.testing.assert_array_equal(getattr(own, name), getattr(other, name))
    components, table = lx.label(pore, table=True)
    again = lx.fields.label_table(components)
    for name in ("sizes", "first", "lower", "upper", "touches"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))


def test_pores_of_two_sizes():
    pore = np.zeros((20, 8, 8), bool)
    pore[1:4] = pore[6:11] = True
    sizes = lx.pore_sizes(pore, spacing=2.0)
    assert sizes.diameters.tolist() == [6.0, 10.0]
    np.testing.assert_allclose(sizes.volume, [3 / 8, 5 / 8])
    assert (sizes.d10, sizes.d50, sizes.d90) == (6.0, 10.0, 10.0)
    assert sizes.percentile(37.5) == 6.0
    assert sizes.to_pandas()["volume_cumulative"].iloc[-1] == pytest.approx(1)


def test_grains_that_the_image_cuts_are_weighted():
    """Cubes of two sizes dropped on a line of positions: those that lie inside, weighted, give the true numbers."""
    n, small, large = 24, 3, 12
    counts = {small: 0.0, large: 0.0}
    for size in (small, large):  # one of each at every position, also outside: the true numbers are equal
        for at in range(-size + 1, n):
            labels = np.zeros((n, 40, 40), "u1")
            labels[max(at, 0) : at + size, 14 : 14 + size, 14 : 14 + size] = 1
            inside = lx.grain_sizes(labels)
            if len(inside.diameters):
                table = lx.fields.label_table(labels)
                extent = (table.upper - table.lower)[0].astype(float)
                weight = np.prod((np.array(labels.shape) - 2) / (np.array(labels.shape) - 1 - extent))
                counts[size] += weight * np.prod((np.array([40, 40]) - 1 - extent[1:]) / 38)
    assert counts[small] == pytest.approx(counts[large])
    assert counts[small] == pytest.approx(n - 2)


def test_grains_of_known_volume():
    labels = np.zeros((30, 30, 30), "u1")
    labels[2:6, 2:6, 2:6] = 1
    labels[10:20, 10:20, 10:20] = 2
    labels[25:, 25:, 25:] = 3
    sizes = lx.grain_sizes(labels, spacing=2.0)
    np.testing.assert_allclose(sizes.diameters, (6 * np.array([64, 1000]) * 8 / np.pi) ** (1 / 3))
    assert sizes.left_out == 1
    assert sizes.number[0] < sizes.number[1]  # the larger one was less likely to lie inside
    assert sizes.percentile(50, by="number") == sizes.diameters[1]
    with pytest.raises(ValueError, match="by='mass'"):
        sizes.percentile(50, by="mass")

"""Cores are found where there are some, and nowhere else."""

import numpy as np
import pytest

from lithax.images import chunk_reduce, from_array
from lithax.measure import CellSums
from lithax.report._region_of_interest import CELLS, border_air, find_core, largest_cylinder

SHAPE = (72, 80, 64)


def cells(image, count=CELLS):
    return chunk_reduce(CellSums.dividing(image.shape, count), image)


def core_image(axis, rng, center=(37.0, 42.0, 30.0), radius=24.0, ends=None):
    """A porous core of grey level 200 with pores of 60 in air of 50, with noise."""
    grid = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    across = [a for a in range(3) if a != axis]
    inside = sum((grid[a] - center[a]) ** 2 for a in across) <= radius**2
    if ends is not None:
        inside &= (grid[axis] >= ends[0]) & (grid[axis] < ends[1])
    grey = np.where(inside, np.where(rng.random(SHAPE) < 0.25, 60, 200), 50) + rng.normal(0, 15, SHAPE)
    return from_array(grey.astype("f4"), voxel_length=2.0, voxel_origin=(100.0, 0.0, -5.0), voxel_unit="um")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_core_is_found_along_any_axis(axis, rng):
    image = core_image(axis, rng)
    found = find_core(cells(image), image.frame)
    assert found.axis == axis
    assert found.agreement > 0.95
    # Within a voxel of the truth; the radius is drawn in by a cell of one voxel.
    center = [o + 2.0 * c for o, c in zip(image.voxel_origin, (37.0, 42.0, 30.0), strict=True)]
    for a in range(3):
        if a != axis:
            assert found.region.point[a] == pytest.approx(center[a], abs=2.0)
    assert 2.0 * (24 - 3) < found.radius < 2.0 * 24
    assert found.length == pytest.approx(2.0 * SHAPE[axis])


def test_air_at_the_ends_is_cut_off(rng):
    image = core_image(2, rng, ends=(10, 50))
    found = find_core(cells(image), image.frame)
    assert found.length == pytest.approx(2.0 * 38, abs=4.0)
    assert float(found.region.point[2]) == pytest.approx(-5.0 + 2.0 * 29.5, abs=2.0)


def test_a_rock_without_air_has_no_core(rng):
    smooth = rng.normal(size=SHAPE)
    for axis in range(3):
        smooth = np.cumsum(smooth, axis) / 10
    assert find_core(cells(from_array(smooth)), from_array(smooth).frame) is None
    noise = from_array(rng.normal(size=SHAPE))
    assert find_core(cells(noise), noise.frame) is None


def test_a_square_sample_is_no_core(rng):
    grey = np.full(SHAPE, 50.0)
    grey[12:60, 14:66, :] = 200
    image = from_array(grey)
    assert find_core(cells(image), image.frame) is None


def test_a_thin_image_has_no_core():
    image = from_array(np.ones((40, 40, 3), "u1"))
    assert find_core(cells(image), image.frame) is None


def test_the_largest_cylinder_touches_the_faces():
    image = from_array(np.zeros((10, 20, 30), "u1"), voxel_length=(2.0, 1.0, 1.0), voxel_origin=(5.0, 0.0, 0.0))
    cylinder = largest_cylinder(image.frame)
    assert float(cylinder.radius) == 10.0
    assert float(cylinder.length) == 30.0
    np.testing.assert_allclose(np.asarray(cylinder.point), (14.0, 9.5, 14.5))


def test_air_around_a_core_is_noticed(rng):
    grid = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    outside = (grid[0] - 36) ** 2 + (grid[1] - 40) ** 2 > 30**2
    assert border_air(cells(from_array(outside | (rng.random(SHAPE) < 0.3)), 32)) == 1.0
    assert border_air(cells(from_array(rng.random(SHAPE) < 0.3), 32)) < 0.4

"""Local thickness: against one distance map per radius, known slits and balls, images against arrays."""

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import GRIDS, SHAPE, images


def by_radius(pore):
    """The definition: for each size, what lies within it of a voxel around which a ball of that size fits."""
    squared = np.rint(ndimage.distance_transform_edt(pore) ** 2)
    out = np.zeros(pore.shape)
    for size in np.unique(squared[squared > 0]):
        out[np.rint(ndimage.distance_transform_edt(squared < size) ** 2) < size] = size
    return np.where(out > 0, 2 * np.sqrt(out) - 1, 0).astype("f4")


def test_arrays_follow_the_definition():
    rng = np.random.default_rng(0)
    for density in (0.9, 0.98, 0.995):
        for _ in range(8):
            pore = rng.random(rng.integers(2, 20, 3)) < density
            pore.flat[0] = False
            np.testing.assert_array_equal(lx.local_thickness(pore), by_radius(pore))


def test_slits_and_balls_have_their_diameter():
    for h in (1, 3, 5, 9):
        pore = np.zeros((20, 15, 15), bool)
        pore[4 : 4 + h] = True
        assert np.all(lx.local_thickness(pore)[pore] == h)
    even = np.zeros((20, 15, 15), bool)
    even[4:8] = True
    assert np.all(lx.local_thickness(even)[even] == 3)
    x, y, z = np.indices((31, 31, 31)) - 15
    ball = x**2 + y**2 + z**2 < 11**2
    assert lx.local_thickness(ball).max() == pytest.approx(21)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(1)
    for k, (name, pore) in enumerate(images()[3::3]):
        where = rng.random(SHAPE) < 0.9 if k % 2 else None
        options = {"bins": (1, 1.5, 3)} if k == 2 else {"spacing": 2.5}
        expected = lx.local_thickness(pore, where=where, **options)
        found = lx.local_thickness(lx.from_array(pore, **grid), where=where, progress=False, **options)
        np.testing.assert_array_equal(found[...], expected, err_msg=name)


def test_blocks_smaller_than_the_balls():
    rng = np.random.default_rng(2)
    pore = rng.random((17, 18, 19)) < 0.998
    image = lx.from_array(pore, chunks=4, voxel_length=3.0, voxel_unit="um")
    found = lx.local_thickness(image, spacing="image", progress=False)
    np.testing.assert_array_equal(found[...], lx.local_thickness(pore, spacing=3.0))
    assert found.field_unit == "um"


def test_wrong_arguments_are_named():
    pore = np.ones((3, 3, 3), bool)
    with pytest.raises(ValueError, match="bins="):
        lx.local_thickness(pore, bins=(3, 2))
    with pytest.raises(ValueError, match="not that of cubes"):
        lx.local_thickness(pore, spacing=(1, 1, 2))
    assert np.all(np.isinf(lx.local_thickness(pore)))
    assert "5 passes" in lx.plan(lx.local_thickness, lx.zeros((32, 32, 32), bool, chunks=8)).function

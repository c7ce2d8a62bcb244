"""Local thickness: against one distance map per radius, known slits and balls, images against arrays."""

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import EVERY_GRID, SHAPE, images


def by_definition(pore):
    """Every ball, on a lattice of centres twice as fine as the voxels, drawn one by one."""
    fine = np.ones([2 * n - 1 for n in pore.shape], bool)
    for at in np.ndindex(fine.shape):
        around = np.ix_(*([k // 2] if k % 2 == 0 else [k // 2, k // 2 + 1] for k in at))
        fine[at] = pore[around].any()
    squared = np.rint(ndimage.distance_transform_edt(fine) ** 2).astype(int)
    out, voxels = np.zeros(pore.shape, int), np.argwhere(pore)
    for centre in np.argwhere(squared):
        size = squared[tuple(centre)]
        covered = tuple(voxels[((2 * voxels - centre) ** 2).sum(axis=1) < size].T)
        out[covered] = np.maximum(out[covered], size)
    return np.where(pore, np.sqrt(out) - 1, 0).astype("f4")


def test_arrays_follow_the_definition():
    rng = np.random.default_rng(0)
    for density in (0.8, 0.98, 0.995):
        for _ in range(4):
            pore = rng.random(rng.integers(1, 10, 3)) < density
            pore.flat[0] = False
            np.testing.assert_array_equal(lx.local_thickness(pore), by_definition(pore))


def test_slits_tubes_and_balls_have_their_diameter():
    for h in (1, 2, 3, 4, 7, 8):
        slit, tube = np.zeros((13, 12, 9), bool), np.zeros((13, 12, 9), bool)
        slit[4 : 4 + h] = True
        tube[4 : 4 + h, 3 : 3 + h] = True
        assert np.all(lx.local_thickness(slit)[slit] == h)
        # The ball that reaches into an edge of a tube is smaller; in the middle all have its width.
        assert lx.local_thickness(tube).max() == h
        assert lx.local_thickness(tube)[4 + h // 2, 3 + h // 2, 4] == h
    x, y, z = np.indices((32, 32, 32))
    for centre in (15, 15.5):
        ball = (x - centre) ** 2 + (y - centre) ** 2 + (z - centre) ** 2 < 11**2
        # Up to half-way to the first centre outside, which lies on the sphere or a little beyond.
        assert 21 <= lx.local_thickness(ball).max() < 21.2


def test_walls_at_the_faces_of_the_image():
    pore = np.ones((6, 5, 4), bool)
    closed = lx.local_thickness(pore, outside="background")
    assert closed.max() == 4
    np.testing.assert_array_equal(closed, lx.local_thickness(np.pad(pore, 1))[1:-1, 1:-1, 1:-1])
    image = lx.from_array(pore, chunks=3)
    np.testing.assert_array_equal(lx.local_thickness(image, outside="background", progress=False)[...], closed)


@pytest.mark.parametrize("grid", EVERY_GRID)
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(1)
    # Blocks of one voxel, each with its own balls, are many.
    for k, (name, pore) in enumerate(images()[3::3][: 1 if 1 in np.atleast_1d(grid["chunks"]) else None]):
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
    for bins in ((3, 2), "few", (1j, 2), 3):
        with pytest.raises(ValueError, match="bins="):
            lx.local_thickness(pore, bins=bins)
    for function in (lx.local_thickness, lx.distance, lx.drainage, lx.label):
        with pytest.raises(ValueError, match="no voxel"):
            function(pore[:0])
    with pytest.raises(ValueError, match=r"phases=1\.5"):
        lx.local_thickness(pore, phases=1.5)
    for function in (lx.local_thickness, lx.distance):
        with pytest.raises(ValueError, match=r"spacing=.*positive"):
            function(pore, spacing=1j)
    with pytest.raises(TypeError, match="world is a int"):
        lx.local_thickness(lx.from_array(pore, chunks=2), world=3, progress=False)
    with pytest.raises(ValueError, match="not that of cubes"):
        lx.local_thickness(pore, spacing=(1, 1, 2))
    assert np.all(np.isinf(lx.local_thickness(pore)))
    assert "5 passes" in lx.plan(lx.local_thickness, lx.zeros((32, 32, 32), bool, chunks=8)).function


def test_tiles_and_threads_smaller_than_the_image(monkeypatch):
    monkeypatch.setattr("lithax.arrays._half_lattice.TILE", 40)
    monkeypatch.setattr("lithax.arrays._balls.TILE", 100)
    monkeypatch.setattr("lithax.fields._thickness._AT_ONCE", 1)
    rng = np.random.default_rng(3)
    for shape in ((60, 4, 5), (3, 9, 20), (1, 1, 30)):
        pore = rng.random(shape) < 0.95
        pore.flat[-1] = False
        np.testing.assert_array_equal(lx.local_thickness(pore), by_definition(pore))

"""Reconstruction: against scikit-image, images against arrays, paths through every block."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import reconstruction

import lithax as lx

from .cases import EVERY_GRID, SHAPE, images


def fields(kind, rng):
    mask = rng.integers(0, 6, SHAPE) if kind != "float" else rng.random(SHAPE)
    marker = np.where(rng.random(SHAPE) < 0.05, mask, 0 if kind != "float" else 0.0)
    return marker.astype({"uint8": "u1", "float": "f4", "int": "i4"}[kind]), mask.astype(
        {"uint8": "u1", "float": "f4", "int": "i4"}[kind]
    )


@pytest.mark.parametrize("kind", ["uint8", "float", "int"])
@pytest.mark.parametrize("connectivity", [6, 26])
def test_arrays_are_as_in_scikit_image(kind, connectivity):
    footprint = ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3)
    for seed in range(6):
        marker, mask = fields(kind, np.random.default_rng(seed))
        up = lx.reconstruct(marker, mask, connectivity=connectivity)
        np.testing.assert_array_equal(up, reconstruction(marker, mask, footprint=footprint))
        assert up.dtype == mask.dtype
        high = np.maximum(marker, mask) + (1 if kind != "float" else np.float32(1))
        high = np.where(marker > 0, mask, high).astype(mask.dtype)
        down = lx.reconstruct(high, mask, method="erosion", connectivity=connectivity)
        np.testing.assert_array_equal(down, reconstruction(high, mask, method="erosion", footprint=footprint))


@pytest.mark.parametrize("grid", EVERY_GRID)
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(3)
    for kind, options in (("uint8", {}), ("float", {"connectivity": 26}), ("int", {"where": rng.random(SHAPE) < 0.8})):
        marker, mask = fields(kind, rng)
        expected = lx.reconstruct(marker, mask, **options)
        pair = lx.from_array(marker, **grid), lx.from_array(mask, **grid)
        np.testing.assert_array_equal(lx.reconstruct(*pair, progress=False, **options)[...], expected)


def test_a_path_through_every_block():
    mask = dict(images())["serpentine"]
    marker = np.zeros_like(mask)
    marker[0, 0, 0] = True
    expected = lx.reconstruct(marker, mask)
    assert expected.sum() > mask.sum() // 2
    found = lx.reconstruct(lx.from_array(marker, chunks=2), lx.from_array(mask, chunks=2), progress=False)
    np.testing.assert_array_equal(found[...], expected)


def test_wrong_arguments_are_named():
    one = np.ones((3, 3, 3))
    with pytest.raises(ValueError, match="method='up'"):
        lx.reconstruct(one, one, method="up")
    with pytest.raises(ValueError, match="they must agree"):
        lx.reconstruct(one, np.ones((3, 3, 4)))
    with pytest.raises(ValueError, match="NaN"):
        lx.reconstruct(one, one * np.nan)
    assert "3 passes" in lx.plan(lx.reconstruct, *[lx.zeros((32, 32, 32), "f4", chunks=8)] * 2).function

"""Regions as boolean images."""

import numpy as np
import pytest

import lithax as lx


def image(**options):
    return lx.zeros((9, 7, 5), "u1", voxel_length=(0.5, 1, 2), voxel_origin=(1, 0, -2), voxel_unit="mm", **options)


def distance_from(target, center):
    """Distances by NumPy from the coordinates that the image itself gives, in float64."""
    x, y, z = target.index_to_coordinate(*np.indices(target.shape))
    return np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2)


@pytest.mark.parametrize("chunks", [9, 4, (1, 7, 2)])
def test_inside_is_contains_at_voxel_centres(chunks):
    target = image(chunks=chunks)
    center = (3.0, 3.0, 2.0)
    region = lx.regions.Sphere(center, 2.0)
    found = lx.regions.inside(target, region)
    expected = distance_from(target, center) <= 2.0
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(found[...], expected)
    assert found.dtype == bool
    assert found.frame == target.frame
    # A centre at the distance of the radius counts as inside, and so not as outside.
    assert found[tuple(target.coordinate_to_index(3.0, 5.0, 2.0))]
    np.testing.assert_array_equal(lx.regions.mask(target, region)[...], ~expected)


def test_stored_where_asked_for(tmp_path):
    region = lx.regions.HalfSpace((2, 0, 0), (1, 0, 0))
    lx.regions.mask(image(), region, tmp_path / "mask.zarr")
    stored = lx.open(tmp_path / "mask.zarr")
    np.testing.assert_array_equal(stored[...], np.broadcast_to(np.arange(9)[:, None, None] > 2, (9, 7, 5)))


def test_what_is_no_image_or_no_region():
    with pytest.raises(TypeError, match="image is a ndarray; give an image"):
        lx.regions.inside(np.zeros((3, 3, 3)), lx.regions.Sphere((0, 0, 0), 1.0))
    with pytest.raises(TypeError, match="region is a tuple; give a region"):
        lx.regions.inside(image(), (0, 0, 0))

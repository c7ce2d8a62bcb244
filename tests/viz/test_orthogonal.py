"""Slices of images."""

import numpy as np
import pytest

from lithax.images import from_array, pyramid
from lithax.regions import Sphere
from lithax.viz import cut, orthogonal, slice_pixels


@pytest.fixture
def image(rng):
    values = rng.integers(0, 255, (12, 10, 8)).astype("u1")
    return from_array(values, chunks=5, voxel_length=(1.0, 2.0, 4.0), voxel_origin=(10.0, 0.0, 0.0), voxel_unit="um")


def test_slices_go_through_the_point(image):
    xy, xz, yz = cut(image, (3, 4, 5))
    values = image[:]
    np.testing.assert_array_equal(xy.values, values[:, :, 5])
    np.testing.assert_array_equal(xz.values, values[:, 4, :])
    np.testing.assert_array_equal(yz.values, values[3, :, :])
    assert [s.position for s in (xy, xz, yz)] == [20.0, 8.0, 13.0]
    assert xy.extent == (9.5, 21.5, -1.0, 19.0)
    assert yz.extent == (-1.0, 19.0, -2.0, 30.0)


def test_the_middle_is_the_default(image):
    np.testing.assert_array_equal(cut(image)[0].values, image[:, :, 4])


def test_large_slices_are_thinned_out():
    image = from_array(np.zeros((1700, 30, 4), "u1"))
    xy, _, yz = cut(image)
    assert xy.values.shape == (850, 15)  # every second voxel: about 800 pixels
    assert yz.values.shape == (30, 4)


def test_a_coarser_level_is_read_where_it_is_sharp_enough(monkeypatch, rng):
    """Of 32³ voxels in about 8 pixels: the level of 8³, and not one voxel of the others."""
    monkeypatch.setattr("lithax.viz._orthogonal.PIXELS", 8)
    place = {"voxel_length": 2.0, "voxel_origin": (5.0, 0.0, 0.0), "voxel_unit": "um", "chunks": 8}
    rock = from_array(rng.integers(0, 255, (32, 32, 32)).astype("u1"), **place)
    pores = from_array(np.asarray(rock) < 100, **place)
    for image in (rock, pores):
        pyramid(image, smallest=8, progress=False)
    coarse, dark = rock.levels[-1][:], pores.levels[-1][:]
    for image in (rock, pores):
        monkeypatch.setattr(image.stored, "read_chunk", None)
    xy, xz, yz = cut(rock, (9, 14, 25), overlay=pores)
    np.testing.assert_array_equal(xy.values, coarse[:, :, 6])
    np.testing.assert_array_equal(xz.values, coarse[:, 3, :])
    np.testing.assert_array_equal(yz.values, coarse[2, :, :])
    np.testing.assert_array_equal(yz.overlay, dark[2, :, :])
    assert xy.extent == (4.0, 68.0, -1.0, 63.0)
    assert xy.position == 50.0


def test_overlay_and_region_come_along(image):
    dark = from_array(image[:] < 100, voxel_length=image.voxel_length, voxel_origin=image.voxel_origin, voxel_unit="um")
    region = Sphere((15.5, 9.0, 14.0), 6.0)
    xy, _, _ = cut(image, overlay=dark, region=region)
    np.testing.assert_array_equal(xy.overlay, image[:, :, 4] < 100)
    x, y = np.meshgrid(10.0 + np.arange(12), 2.0 * np.arange(10), indexing="ij")
    np.testing.assert_array_equal(xy.shaded, ~np.asarray(region.contains(x, y, 16.0)))
    plain, blue = slice_pixels(xy, 0, 255), slice_pixels(xy, 0, 255, (0, 0, 255), 0.5)
    assert plain.shape == (10, 12, 3)  # y upwards, x across
    changed = (plain != blue).any(axis=-1)
    np.testing.assert_array_equal(changed.T, xy.overlay & changed.T)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_figure_has_a_panel_per_slice(image, rows):
    overlay = None if rows == 1 else from_array(image[:] < 100)
    figure = orthogonal(image, overlay=overlay)
    assert len(figure.axes) == 3 * rows
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words.count("2 µm") >= rows or all("µm" in w for w in words)
    assert figure.axes[0].get_title() == "xy at z = 16 µm"
    assert figure.axes[0].get_xlabel() == "x →"


def test_points_and_overlays_that_do_not_fit(image):
    with pytest.raises(IndexError, match=r"point=\(12, 0, 0\) is not a voxel"):
        cut(image, (12, 0, 0))
    with pytest.raises(ValueError, match=r"overlay has shape \(3, 3, 3\)"):
        cut(image, overlay=from_array(np.zeros((3, 3, 3), bool)))

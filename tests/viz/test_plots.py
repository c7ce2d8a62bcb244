"""Plots of images in one line, and two images side by side."""

import numpy as np
import pytest

import lithax as lx
from lithax.viz import encode, histogram, profiles, representative_volume, side_by_side


@pytest.fixture
def values(rng):
    return rng.integers(0, 1000, (12, 10, 8)).astype("u2")


@pytest.fixture
def rock(values):
    return lx.from_array(values, voxel_length=2.0, voxel_unit="um", field_name="attenuation", field_unit="1/um")


def test_a_histogram_shows_all_voxels_and_each_phase(rock, values):
    phases = (1 + (values > 300)).astype("u1")
    figure = histogram(rock, segmentation=phases, phase_names={1: "pore"}, colors={1: "red"}, bins=20)
    (axes,) = figure.axes
    lines = {patch.get_label(): patch for patch in axes.patches if patch.get_label()}
    assert list(lines) == ["pore", "phase 2", "all voxels"]
    assert lines["pore"].get_data().values.sum() == pytest.approx(100 * (values <= 300).mean())
    assert lines["all voxels"].get_data().values.sum() == pytest.approx(100)
    assert lines["pore"].get_edgecolor()[:3] == (1, 0, 0)
    assert axes.get_xlabel() == "attenuation [1/µm]"
    assert encode(figure).startswith(b"<?xml")
    assert histogram(rock, scale="log").axes[0].get_yscale() == "log"
    with pytest.raises(ValueError, match="scale='sqrt' must be 'linear' or 'log'"):
        histogram(rock, scale="sqrt")


def test_a_profile_is_the_mean_of_every_slice(rock, values):
    figure = profiles(rock, axes=(0, 2))
    first, second = figure.axes
    np.testing.assert_allclose(first.lines[-1].get_ydata(), values.mean((1, 2)))
    np.testing.assert_allclose(second.lines[-1].get_ydata(), values.mean((0, 1)))
    np.testing.assert_allclose(first.lines[-1].get_xdata(), 2.0 * np.arange(12))
    np.testing.assert_allclose(first.lines[0].get_ydata(), values.mean())
    assert first.get_ylabel() == "mean attenuation [1/µm]"


def test_a_profile_of_a_boolean_image_is_in_percent(values):
    pores = lx.from_array(values < 300, field_name="pore")
    (axes,) = profiles(pores, axes=[1]).axes
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), 100 * (values < 300).mean((0, 2)))
    assert axes.get_ylabel() == "share of pore in the slice [%]"


def test_two_images_have_the_same_colours_and_a_difference(rock, values):
    brighter = lx.from_array(values + np.uint16(50), voxel_length=2.0, voxel_unit="um")
    figure = side_by_side(rock, brighter, plane="zy", titles=("before", "after"), reference_voxel=(3, 0, 0))
    first, second, difference, *_ = figure.axes
    assert first.get_title(loc="left") == "before, zy at x = 6 µm"
    assert second.get_title(loc="left") == "after"
    np.testing.assert_array_equal(difference.images[0].get_array(), np.full((10, 8), 50.0))
    a, b = (np.asarray(axes.images[0].get_array())[..., 0].astype(int) for axes in (first, second))
    assert (b >= a).all()
    assert (b > a).any()
    assert len(side_by_side(rock, brighter, difference=False).axes) == 3


def test_images_of_other_places_are_not_compared(rock, values):
    with pytest.raises(ValueError, match="second is not on the grid of first: its voxel_unit"):
        side_by_side(rock, lx.from_array(values))
    with pytest.raises(ValueError, match=r"its shape \(3, 10, 8\)"):
        side_by_side(rock, lx.from_array(values[:3], voxel_length=2.0, voxel_unit="um"))
    with pytest.raises(ValueError, match="plane='yx' must be"):
        side_by_side(rock, rock, plane="yx")


def test_porosity_against_the_size_of_the_window(rng):
    pores = rng.random((32, 32, 32)) < 0.4
    place = {"chunks": 16, "voxel_length": 2.0, "voxel_unit": "um"}
    figure = representative_volume(lx.from_array(pores, **place), cells=16)
    left, right = figure.axes
    windows = pores.reshape(16, 2, 16, 2, 16, 2).mean((1, 3, 5))
    assert left.lines[0].get_xdata()[0] == 4.0  # µm
    assert left.lines[0].get_ydata()[0] == pytest.approx(100 * windows.mean())
    spread = next(line for line in right.lines if line.get_label() == "at least 8 sub-cubes")
    assert spread.get_ydata()[0] == pytest.approx(100 * windows.std(ddof=1) / windows.mean())
    assert left.get_xlabel() == "edge of the sub-cubes [µm]"
    labels = lx.from_array(np.where(pores, 5, 6).astype("u1"), **place)
    assert encode(representative_volume(labels, 5, cells=16)) == encode(figure)
    with pytest.raises(ValueError, match="where takes in no whole window"):
        representative_volume(labels, 5, where=lx.regions.Sphere((10.0, 10.0, 10.0), 1.0), cells=16)


def test_sizes_are_drawn_in_their_unit():
    pore = np.zeros((9, 9, 9), bool)
    pore[1:4], pore[5:6] = True, True
    sizes = lx.pore_sizes(pore)
    figure = lx.viz.size_distribution({"pores": sizes}, by="volume")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "diameter [voxel]"
    curve = axes.lines[1].get_xydata()
    # A quarter of the pores is one voxel wide, the others three.
    np.testing.assert_allclose(curve, [[1, 0], [1, 25], [3, 100]])
    with pytest.raises(ValueError, match="scale="):
        lx.viz.size_distribution(sizes, scale="cubic")
    with pytest.raises(ValueError, match="units"):
        lx.viz.size_distribution({"a": sizes, "b": lx.pore_sizes(pore, spacing=2.0)})

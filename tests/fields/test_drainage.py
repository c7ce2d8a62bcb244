"""Drainage: against one labelling and dilation per radius, tubes of known pressure, images against arrays."""

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import EVERY_GRID, SHAPE


def by_steps(pore, entry, trapping):
    """The definition, one size of ball after the other."""
    squared = np.rint(ndimage.distance_transform_edt(pore) ** 2)
    inlet, outlet = np.zeros(pore.shape, bool), np.zeros(pore.shape, bool)
    if entry == "all":
        for axis in range(3):
            for side in (0, -1):
                inlet[tuple(side if a == axis else slice(None) for a in range(3))] = True
    else:
        inlet[
            tuple((0 if entry[1] == "-" else -1) if a == "xyz".index(entry[0]) else slice(None) for a in range(3))
        ] = True
        outlet[
            tuple((-1 if entry[1] == "-" else 0) if a == "xyz".index(entry[0]) else slice(None) for a in range(3))
        ] = True
    filled, trapped = np.zeros(pore.shape), np.zeros(pore.shape, bool)
    for size in np.unique(squared[squared > 0])[::-1]:
        labels, _ = ndimage.label(squared >= size)
        centres = np.isin(labels, np.unique(labels[inlet & (labels > 0)])) & (labels > 0)
        ball = np.rint(ndimage.distance_transform_edt(~centres) ** 2) < size if centres.any() else centres
        filled[ball & (filled == 0) & pore & ~trapped] = size
        if trapping:
            wet, _ = ndimage.label(pore & (filled == 0))
            trapped |= (wet > 0) & ~np.isin(wet, np.unique(wet[outlet & (wet > 0)]))
    return np.where(filled > 0, 2 * np.sqrt(filled) - 1, 0).astype("f4")


@pytest.mark.parametrize(
    ("entry", "trapping"), [("all", False), ("x-", False), ("z+", False), ("y-", True), ("z-", True)]
)
def test_arrays_follow_the_definition(entry, trapping):
    rng = np.random.default_rng(1)
    for density in (0.7, 0.9, 0.98):
        for _ in range(5):
            pore = rng.random((9, 10, 11)) < density
            pore[4, 5, 5] = False
            found = lx.drainage(pore, entry=entry, trapping=trapping)
            np.testing.assert_array_equal(found.entry_diameter, by_steps(pore, entry, trapping))
            filled = found.entry_diameter[pore]
            steps = np.array([np.mean(filled >= d) for d in found.diameters])
            np.testing.assert_allclose(found.saturation, steps)


@pytest.mark.parametrize("grid", EVERY_GRID)
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(4)
    shape = (
        (4, 3, 5) if "shards" in grid or 1 in np.atleast_1d(grid["chunks"]) else SHAPE
    )  # tens of passes over every chunk
    pore, where = rng.random(shape) < 0.85, rng.random(shape) < 0.9
    for options in ({"preset": "mercury", "where": where}, {"preset": "porous_plate", "entry": "x-"}):
        expected = lx.drainage(pore, **options)
        found = lx.drainage(lx.from_array(pore, **grid), progress=False, **options)
        np.testing.assert_array_equal(found.entry_diameter[...], expected.entry_diameter)
        np.testing.assert_array_equal(found.diameters, expected.diameters)
        np.testing.assert_array_equal(found.saturation, expected.saturation)
        assert found.breakthrough_diameter == expected.breakthrough_diameter


def test_a_finished_drainage_is_read_again(tmp_path):
    pore = np.random.default_rng(4).random(SHAPE) < 0.85
    image = lx.from_array(pore, chunks=3, store=tmp_path / "pore.zarr")
    first = lx.drainage(image, entry="x-", store=tmp_path / "d.zarr", progress=False)
    again = lx.drainage(image, entry="x-", store=tmp_path / "d.zarr", progress=False, resume=True)
    np.testing.assert_array_equal(first.saturation, again.saturation)
    np.testing.assert_array_equal(first.diameters, again.diameters)
    assert first.breakthrough_diameter == again.breakthrough_diameter


def test_pressures_of_a_tube():
    """A tube of 5 voxels of 2 um with mercury: 4 * 0.48 * cos(140 deg) / 10 um (Washburn)."""
    pore = np.zeros((9, 9, 12), bool)
    pore[2:7, 2:7] = True
    found = lx.drainage(pore, preset="mercury", entry="z-", spacing=2.0, unit="um")
    assert found.breakthrough_diameter == (0.0, 0.0, 10.0)
    expected = 4 * 0.48 * abs(np.cos(np.radians(140))) / 10e-6
    assert found.pressure_of(10.0) == pytest.approx(expected)
    assert found.pressure_of(10.0, "psi") == pytest.approx(expected / 6894.757293168)
    assert found.largest_pressure("MPa") == pytest.approx(5e-6 * expected)
    assert found.j_function(1e-12, 0.25)[0] == pytest.approx(4 / 10e-6 * 2e-6)
    assert np.all(found.state(10.0) == (found.entry_diameter >= 10))
    image = lx.from_array(pore, chunks=5, voxel_length=2.0, voxel_unit="um")
    own = lx.drainage(image, entry="z-", progress=False)
    assert own.largest_pressure() == pytest.approx(found.largest_pressure())
    np.testing.assert_array_equal(own.state(5)[...], found.state(10.0))
    with pytest.raises(ValueError, match="no pressure"):
        lx.drainage(pore).capillary_pressure()


def test_a_unit_goes_with_the_number_that_it_is_of():
    pore = np.ones((4, 4, 4), bool)
    with pytest.raises(ValueError, match="unit='um' is the unit of spacing=, which is missing"):
        lx.drainage(pore, unit="um")
    image = lx.from_array(pore, voxel_length=2.0, voxel_unit="um")
    with pytest.raises(ValueError, match="unit='mm' contradicts the voxel length of the image, which is in 'um'"):
        lx.drainage(image, spacing="image", unit="mm")
    with pytest.raises(ValueError, match="unit='s' is no unit of length"):
        lx.drainage(pore, spacing=2.0, unit="s")


def test_without_background_every_ball_passes():
    full = np.ones((5, 4, 3), bool)
    for pore in (full, lx.from_array(full, chunks=2)):
        found = lx.drainage(pore, **({} if pore is full else {"progress": False}))
        assert found.breakthrough_diameter == (np.inf, np.inf, np.inf)
        assert np.all(np.asarray(found.entry_diameter[...]) == np.inf)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "air"}, "preset='air'"),
        ({"entry": "top"}, "entry='top'"),
        ({"trapping": True}, "no face is left"),
        ({"trapping": "yes", "entry": "x-"}, "trapping='yes'"),
        ({"contact_angle": 200}, "contact_angle=200"),
        ({"surface_tension": 0}, "surface_tension=0"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        lx.drainage(np.ones((3, 3, 3), bool), **options)
    assert "passes" in lx.plan(lx.drainage, lx.zeros((32, 32, 32), bool, chunks=8)).function

"""Extrema and hysteresis: against scikit-image, images against arrays."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import local_maxima, local_minima, reconstruction

import lithax as lx

from .cases import EVERY_GRID, SHAPE


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_regional_extrema_are_as_in_scikit_image(dtype, connectivity):
    rank = {6: 1, 18: 2, 26: 3}[connectivity]
    for seed in range(6):
        values = np.random.default_rng(seed).integers(0, 5, SHAPE).astype(dtype)
        if dtype != "u1":
            values -= 2
        found = lx.regional_maxima(values, connectivity=connectivity)
        np.testing.assert_array_equal(found, local_maxima(values, connectivity=rank))
        found = lx.regional_minima(values, connectivity=connectivity)
        np.testing.assert_array_equal(found, local_minima(values, connectivity=rank))


def test_extrema_of_a_height():
    structure = ndimage.generate_binary_structure(3, 1)
    for seed in range(6):
        values = np.random.default_rng(seed).integers(3, 12, SHAPE).astype("i4")
        filled = reconstruction(values - 3, values, footprint=structure)
        np.testing.assert_array_equal(lx.h_maxima(values, 3), local_maxima(filled, connectivity=1))
        np.testing.assert_array_equal(lx.h_minima(-values, 3), local_maxima(filled, connectivity=1))
    small = np.array([1, 5, 3, 200, 255], "u1").reshape(1, 1, -1)
    assert lx.h_maxima(small, 3)[0, 0].tolist() == [False, False, False, False, True]
    # The 5 rises by 2 above its saddle: by more than 1, and not by more than 2.
    assert lx.h_maxima(small, 2)[0, 0].tolist() == [False, False, False, False, True]
    assert lx.h_maxima(small, 1)[0, 0].tolist() == [False, True, False, False, True]


def test_hysteresis_is_as_in_scikit_image():
    for seed in range(6):
        values = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 1)
        expected = apply_hysteresis_threshold(values, 0.0, 0.2)
        np.testing.assert_array_equal(lx.hysteresis(values, 0.0, 0.2), expected)


@pytest.mark.parametrize("grid", EVERY_GRID)
def test_images_give_what_arrays_give(grid):
    rng = np.random.default_rng(3)
    values, where = rng.integers(0, 6, SHAPE).astype("u1"), rng.random(SHAPE) < 0.8
    image = lx.from_array(values, **grid)
    for function, numbers, options in (
        (lx.regional_maxima, (), {"connectivity": 26}),
        (lx.regional_minima, (), {"where": where}),
        (lx.h_maxima, (2,), {"where": where}),
        (lx.h_minima, (3,), {"connectivity": 18}),
        (lx.hysteresis, (1, 4), {"where": where}),
    ):
        expected = function(values, *numbers, **options)
        found = function(image, *numbers, progress=False, **options)
        np.testing.assert_array_equal(found[...], expected, err_msg=function.__name__)


def test_wrong_arguments_are_named():
    one = np.ones((3, 3, 3), "u1")
    for call, message in (
        (lambda: lx.h_maxima(one, 0), "height=0"),
        (lambda: lx.h_maxima(one, 1.5), "must be whole"),
        (lambda: lx.hysteresis(one, 3, 2), "ascending"),
        (lambda: lx.regional_maxima(one.astype("i8")), "at most 32 bits"),
        (lambda: lx.regional_maxima(one * np.nan), "NaN"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()
    image = lx.zeros((32, 32, 32), "f4", chunks=8)
    assert "4 passes" in lx.plan(lx.h_maxima, image, 1.0).function
    assert "2 passes" in lx.plan(lx.hysteresis, image, 1.0, 2.0).function

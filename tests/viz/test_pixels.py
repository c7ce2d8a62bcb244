"""From voxels to colours."""

import numpy as np
import pytest

from lithax.viz import blend, grey_pixels, round_length, unit_symbol


def test_grey_levels_run_from_black_to_white():
    pixels = grey_pixels(np.array([[0.0, 5.0, 10.0, -3.0, 20.0, np.nan]]), 0, 10)
    assert pixels.dtype == np.uint8
    assert pixels[0].tolist() == [[v] * 3 for v in (0, 128, 255, 0, 255, 255)]


def test_one_value_is_middle_grey():
    assert (grey_pixels(np.full((2, 3), 7), 7, 7) == 128).all()


def test_booleans_are_black_and_white():
    assert grey_pixels(np.array([[True, False]]), 0, 1)[0, :, 0].tolist() == [255, 0]


def test_a_colour_is_laid_over_where_it_belongs():
    pixels = np.full((1, 3, 3), 100, np.uint8)
    where = np.array([[True, False, True]])
    mixed = blend(pixels, where, (0, 200, 100), 0.25)
    assert mixed[0].tolist() == [[75, 125, 100], [100, 100, 100], [75, 125, 100]]
    assert (blend(pixels, where, (0, 0, 0), 0) == pixels).all()
    with pytest.raises(ValueError, match=r"alpha=1\.5 must lie between"):
        blend(pixels, where, (0, 0, 0), 1.5)


@pytest.mark.parametrize("width", [1e-6, 0.7, 1.0, 99.0, 110.0, 1400.0, 3.3e7])
def test_the_scale_bar_has_a_round_length(width):
    length = round_length(width)
    assert 0.16 * width <= length <= 0.4 * width + 1e-12 * width
    digits = length / 10 ** np.floor(np.log10(length) + 1e-9)
    assert min(abs(digits - d) for d in (1, 2, 5)) < 1e-9


def test_no_width_has_no_scale_bar():
    with pytest.raises(ValueError, match="width=0 must be positive"):
        round_length(0)


@pytest.mark.parametrize(("unit", "symbol"), [("um", "µm"), ("1/um", "1/µm"), ("mm", "mm"), ("", ""), ("u.a.", "u.a.")])
def test_units_look_as_people_write_them(unit, symbol):
    assert unit_symbol(unit) == symbol

"""Frames: coordinates, indices, and what they refuse."""

import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from lithax.geometry import Frame, UnknownUnit, length_factor

FRAME = Frame((4, 5, 6), (0.5, 2.0, 3.0), (10.0, -1.0, 0.0), "um")


def test_defaults():
    frame = Frame((2, 3, 4))
    assert frame.voxel_length == (1.0, 1.0, 1.0)
    assert frame.voxel_origin == (0.0, 0.0, 0.0)
    assert frame.voxel_unit == ""
    assert (frame.nx, frame.ny, frame.nz, frame.ndim) == (2, 3, 4, 3)


def test_scalars_stand_for_three_axes():
    assert Frame((2, 3, 4), 2, 1).voxel_length == (2.0, 2.0, 2.0)
    assert Frame((2, 3, 4), np.float32(2), 1).voxel_origin == (1.0, 1.0, 1.0)


def test_the_table_of_api():
    assert FRAME.dimensions == (2.0, 10.0, 18.0)
    assert FRAME.bounding_box == ((10.0, -1.0, 0.0), (11.5, 7.0, 15.0))
    assert FRAME.extent == ((9.75, -2.0, -1.5), (11.75, 8.0, 16.5))
    assert (FRAME.hx, FRAME.hy, FRAME.hz, FRAME.ox, FRAME.oy, FRAME.oz) == (0.5, 2.0, 3.0, 10.0, -1.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"shape": (2, 3)}, ValueError, "shape=.*three positive integers"),
        ({"shape": (2, 0, 3)}, ValueError, "shape=.*positive"),
        ({"shape": (2, 2.5, 3)}, TypeError, "shape=.*three integers"),
        ({"shape": 7}, TypeError, "shape=7"),
        ({"voxel_length": 0}, ValueError, "voxel_length=0 must be positive"),
        ({"voxel_length": (1, -1, 1)}, ValueError, "voxel_length=.*positive"),
        ({"voxel_length": (1, np.nan, 1)}, ValueError, "voxel_length=.*finite"),
        ({"voxel_length": (1, 1)}, ValueError, "voxel_length=.*three numbers"),
        ({"voxel_length": "long"}, TypeError, "voxel_length='long'"),
        ({"voxel_origin": (0, np.inf, 0)}, ValueError, "voxel_origin=.*finite"),
        ({"voxel_unit": "kg"}, ValueError, "voxel_unit='kg' is no unit of length"),
        ({"voxel_unit": "u.a."}, ValueError, "voxel_unit='u.a.' is no unit of length"),
        ({"voxel_unit": 3}, TypeError, "voxel_unit=3 must be the name"),
    ],
)
def test_refuses(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Frame(**{"shape": (2, 2, 2)} | arguments)


@pytest.mark.parametrize(
    "unit", ["m", "um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "inch", "parsec", "", None]
)
def test_accepts_lengths(unit):
    assert Frame((1, 1, 1), voxel_unit=unit).voxel_unit == (unit or "")


def test_common_units_do_not_import_pint():
    code = (
        "import sys; from lithax.geometry import Frame; Frame((1, 1, 1), voxel_unit='um').to('mm');"
        "assert 'pint' not in sys.modules; Frame((1, 1, 1), voxel_unit='parsec'); assert 'pint' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_common_units_agree_with_pint():
    from lithax.geometry import _unit

    for name in _unit._COMMON:
        assert float(_unit._metres(name)) == pytest.approx(_unit._pint_metres(name), rel=1e-14), name  # rounding


def test_unknown_unit_from_a_store_is_text_with_one_warning():
    with pytest.warns(UserWarning, match="voxel_unit='u.a.' is not a length") as caught:
        frame = Frame.from_store((2, 2, 2), voxel_unit="u.a.")
    assert len(caught) == 1
    assert frame.voxel_unit == "u.a."
    assert isinstance(frame.voxel_unit, UnknownUnit)
    assert not frame.unit_known
    assert frame.replace(voxel_length=2).voxel_unit == "u.a."  # passed on without a second warning
    assert frame.sub((slice(0, 1),) * 3).rescaled(1).same_grid(frame.sub((slice(0, 1),) * 3))
    with pytest.raises(ValueError, match=r"'u\.a\.' is not a length that pint understands"):
        frame.to("mm")
    assert Frame.from_store((2, 2, 2), voxel_unit="cm").unit_known


def test_conversion():
    frame = FRAME.to("mm")
    np.testing.assert_allclose(frame.voxel_length, np.multiply(FRAME.voxel_length, 1e-3), rtol=1e-15)  # one rounding
    assert frame.voxel_unit == "mm"
    assert frame.same_grid(FRAME)
    assert length_factor("inch", "cm") == 2.54
    assert length_factor("um", "nm") == 1000.0
    with pytest.raises(ValueError, match="source unit '' has no length"):
        Frame((1, 1, 1)).to("m")
    with pytest.raises(ValueError, match="unit='kg'"):
        FRAME.to("kg")


def test_index_to_coordinate():
    assert FRAME.index_to_coordinate(0, 0, 0) == (10.0, -1.0, 0.0)
    assert FRAME.index_to_coordinate(-1, 0.5, 7) == (9.5, 0.0, 21.0)  # not wrapped, fractional, beyond the last
    x, y, z = FRAME.index_to_coordinate(np.arange(4), np.arange(5), np.arange(6)[:, None])
    assert x.dtype == np.float64
    assert z.shape == (6, 1)
    np.testing.assert_array_equal(y, FRAME.axis_coordinates("y"))


def test_axis_coordinates_do_not_depend_on_the_block():
    frame = Frame((1000, 3, 3), (0.1, 1, 1), (0.7, 0, 0))
    whole = frame.axis_coordinates(0)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole[333:777], frame.axis_coordinates(0, 333, 777))
    assert frame.axis_coordinates(0, -2, 0).tolist() == [0.7 - 2 * 0.1, 0.7 - 0.1]
    np.testing.assert_array_equal(frame.coordinates((slice(5, 9), slice(None), slice(0, 1)))[0][:, 0, 0], whole[5:9])
    with pytest.raises(ValueError, match="axis='t' must be"):
        frame.axis_coordinates("t")
    with pytest.raises(ValueError, match="axis=-1 must be"):
        frame.axis_coordinates(-1)


def test_points_on_faces_belong_to_the_upper_voxel_and_the_last_face_to_the_last():
    frame = Frame((3, 3, 3))
    assert frame.coordinate_to_index(0.5, 1.5, -0.5) == (1, 2, 0)
    assert frame.coordinate_to_index(2.5, 2.5, 2.5) == (2, 2, 2)
    assert frame.coordinate_to_index(2.5, 3.5, -0.6, outside="keep") == (2, 4, -1)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1, 1])
def test_outside(axis, side):
    point = list(FRAME.voxel_origin)
    point[axis] = FRAME.extent[(side + 1) // 2][axis] + side * 0.6 * FRAME.voxel_length[axis]
    with pytest.raises(ValueError, match="must lie within the extent"):
        FRAME.coordinate_to_index(*point)
    assert FRAME.coordinate_to_index(*point, outside="none") is None
    inside = [0, 0, 0]
    inside[axis] = 0 if side < 0 else FRAME.shape[axis] - 1
    assert FRAME.coordinate_to_index(*point, outside="clip") == tuple(inside)
    kept = [0, 0, 0]
    kept[axis] = -1 if side < 0 else FRAME.shape[axis]
    assert FRAME.coordinate_to_index(*point, outside="keep") == tuple(kept)


def test_one_voxel_beyond_is_outside_on_every_axis():
    """An earlier tool accepted index n along y and z."""
    for axis in range(3):
        point = list(FRAME.voxel_origin)
        point[axis] += FRAME.shape[axis] * FRAME.voxel_length[axis]
        assert FRAME.coordinate_to_index(*point, outside="none") is None


def test_arrays_of_points():
    x = np.array([9.0, 10.0, 11.4])
    i, j, k = FRAME.coordinate_to_index(x, 0.0, 3.0, outside="keep")
    assert i.dtype == np.int64
    assert i.tolist() == [-2, 0, 3]
    assert j.tolist() == [1, 1, 1]
    assert k.tolist() == [1, 1, 1]
    masked, _, _ = FRAME.coordinate_to_index(x, 0.0, 3.0, outside="none")
    assert masked.mask.tolist() == [True, False, False]


def test_points_that_have_no_index():
    with pytest.raises(ValueError, match="x holds NaN"):
        FRAME.coordinate_to_index(np.nan, 0, 0, outside="clip")
    with pytest.raises(ValueError, match=r"y=.*too far away"):
        FRAME.coordinate_to_index(10.0, 1e300, 0, outside="keep")
    assert FRAME.coordinate_to_index(10.0, np.inf, -np.inf, outside="clip") == (0, 4, 0)
    with pytest.raises(ValueError, match="outside='drop' must be"):
        FRAME.coordinate_to_index(0, 0, 0, outside="drop")


lengths = st.floats(1e-3, 1e3)
origins = st.floats(-1e6, 1e6)


@hypothesis.given(st.tuples(*[st.integers(1, 50)] * 3), st.tuples(*[lengths] * 3), st.tuples(*[origins] * 3), st.data())
def test_every_voxel_finds_itself(shape, voxel_length, voxel_origin, data):
    frame = Frame(shape, voxel_length, voxel_origin)
    index = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    assert frame.coordinate_to_index(*frame.index_to_coordinate(*index)) == index
    for corner, expected in zip(frame.extent, ((0, 0, 0), tuple(n - 1 for n in shape)), strict=True):
        assert frame.coordinate_to_index(*corner) == expected


def test_same_grid():
    frame = Frame((100, 100, 100), 0.1, 5.0, "um")
    assert frame.same_grid(Frame((100, 100, 100), 0.1 + 1e-10, 5.0 - 1e-8, "\N{MICRO SIGN}m"))
    assert "voxel_origin along y" in frame.difference(frame.replace(voxel_origin=(5, 5.01, 5)))
    # a relative difference of 1e-7 adds up to 1e-5 voxels over 100
    assert "voxel_length along x" in frame.difference(frame.replace(voxel_length=0.1 * (1 + 1e-7)))
    assert "shape" in frame.difference(Frame((100, 100, 99), 0.1, 5.0, "um"))
    assert "voxel_unit" in frame.difference(frame.replace(voxel_unit=""))
    assert frame.same_grid(frame.replace(voxel_origin=5.001), tolerance=0.1)


def test_rescaled_keeps_the_outer_faces():
    frame = Frame((4, 6, 8), (1, 2, 3), (10, 20, 30), "mm")
    for scale in (2, (2, 3, 4), 0.5, (1, 2, 1 / 3)):
        new = frame.rescaled(scale)
        np.testing.assert_allclose(new.extent, frame.extent, rtol=1e-14)  # rounding
    assert frame.rescaled(2).shape == (2, 3, 4)
    assert frame.rescaled((1, 1, 1 / 3)).shape == (4, 6, 24)
    with pytest.raises(ValueError, match="scale=3 must divide the shape"):
        frame.rescaled(3)
    with pytest.raises(ValueError, match="scale=-1 must be positive"):
        frame.rescaled(-1)
    odd = frame.rescaled(3, shape=(2, 2, 3))
    np.testing.assert_allclose(odd.extent[0], frame.extent[0], rtol=1e-14)


def test_sub_is_where_the_voxels_are():
    box = (slice(1, 3), slice(None), slice(1, None, 2))
    part = FRAME.sub(box)
    for axis in range(3):
        np.testing.assert_array_equal(part.axis_coordinates(axis), FRAME.axis_coordinates(axis)[box[axis]])
    with pytest.raises(ValueError, match="at least one voxel"):
        FRAME.sub((slice(3, 3), slice(None), slice(None)))
    with pytest.raises(ValueError, match="positive step"):
        FRAME.sub((slice(None, None, -1), slice(None), slice(None)))


def test_immutable_and_hashable():
    with pytest.raises(AttributeError):
        FRAME.shape = (1, 1, 1)
    assert Frame([4, 5, 6], [0.5, 2, 3], [10, -1, 0], "um") == FRAME
    assert hash(FRAME) == hash(FRAME.replace())
    assert FRAME.replace(voxel_unit="mm") != FRAME

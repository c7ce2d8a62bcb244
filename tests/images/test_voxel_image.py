"""The handle: indexed like a NumPy array, and telling where its voxels are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lithax as lx

SHAPE = (5, 6, 7)
VALUES = np.arange(5 * 6 * 7, dtype="i4").reshape(SHAPE)


@pytest.fixture
def image():
    made = lx.create(SHAPE, "i4", chunks=(2, 4, 3), voxel_length=(1, 2, 3), voxel_origin=(10, 20, 30), voxel_unit="um")
    made[...] = VALUES
    return made


INDEX = hnp.basic_indices(SHAPE, allow_newaxis=False, allow_ellipsis=True)


@settings(max_examples=30)
@given(INDEX, st.sampled_from([None, (4, 4, 6)]))
def test_reading_is_numpy(index, shards):
    image = lx.from_array(VALUES, chunks=(2, 4, 3), shards=shards)
    got, expected = image[index], VALUES[index]
    np.testing.assert_array_equal(got, expected)
    assert np.shape(got) == np.shape(expected)
    assert got.dtype == expected.dtype


@settings(max_examples=30)
@given(st.data(), st.sampled_from([None, (4, 4, 6)]))
def test_writing_is_numpy(data, shards):
    index = data.draw(INDEX)
    image, expected = lx.from_array(VALUES, chunks=(2, 4, 3), shards=shards), VALUES.copy()
    target = expected[index].shape
    # NumPy refuses an array, even of one element, for a single element.
    shapes = [target, (), (1,) * len(target), (1, 1, *target)] if target else [()]
    shape = data.draw(st.sampled_from(shapes))
    values = np.arange(1000, 1000 + np.prod(shape, dtype=int)).reshape(shape)
    image[index] = values
    expected[index] = values
    np.testing.assert_array_equal(image[...], expected)


def test_what_reading_returns_may_be_changed(image):
    for index in (..., np.s_[0:2, 0:4, 0:3], np.s_[::2]):
        image[index][...] = 0
    np.testing.assert_array_equal(image[...], VALUES)


def test_indices_that_are_arrays(image):
    mask = VALUES % 3 == 0
    some = np.array([0, 2, -1])
    for index in (mask, (some, some, some), ([1, 2], [3, 4], [5, 6]), (some, slice(1, 3)), ([0, 1],), (1, some, 2)):
        np.testing.assert_array_equal(image[index], VALUES[index])
    np.testing.assert_array_equal(image[lx.from_array(mask)], VALUES[mask])


def test_assigning_to_arrays_of_indices(image):
    expected = VALUES.copy()
    mask = expected % 3 == 0
    some = np.array([0, 2, -1])
    for index, values in ((mask, -1), (mask, -np.arange(mask.sum())), ((some, some, some), [1, 2, 3])):
        image[index] = values
        expected[index] = values
        np.testing.assert_array_equal(image[...], expected)
    image[some, 1:3] = expected[some, 1:3] = 1
    np.testing.assert_array_equal(image[...], expected)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ((5, 0, 0), "index 5 is out of range along x, which has 5 voxels"),
        ((0, 0, -8), "index -8 is out of range along z"),
        ((0, 0, 0, 0), "has 4 indices"),
        ((..., ...), "one ellipsis"),
        ((None,), "an image has three axes"),
        (([9], [0], [0]), "out of range along x"),
    ],
)
def test_indices_that_are_none(image, index, message):
    with pytest.raises(IndexError, match=message):
        image[index]


@pytest.mark.parametrize(
    ("dtype", "values", "error", "message"),
    [
        ("u1", 256, OverflowError, r"values hold 256, which does not fit the image's uint8 \(0 to 255\)"),
        ("u1", -1, OverflowError, "values hold -1"),
        ("u1", 2**70, OverflowError, "do not fit"),
        ("i2", np.array([0, 40000]), OverflowError, "values hold 40000"),
        ("bool", 2, OverflowError, "values hold 2"),
        ("u1", 1.5, TypeError, r"values of type float64 cannot be assigned to an image of uint8 .* astype\('uint8'\)"),
        ("f4", 1j, TypeError, "complex128 cannot be assigned to an image of float32"),
        ("f4", "one", TypeError, "give numbers"),
        ("f4", None, TypeError, "give numbers"),
    ],
)
def test_values_that_do_not_fit(dtype, values, error, message):
    image = lx.create((2, 2, 2), dtype)
    with pytest.raises(error, match=message):
        image[0, 0] = values
    assert (image[...] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("u1", 255),
        ("u1", np.int64(7)),
        ("u1", np.arange(2)),
        ("bool", 1),
        ("bool", np.array([0, 1], "u1")),
        ("f4", 7),
        ("f4", 1e-3),
        ("f4", np.float64(0.1)),
        ("c8", 1.5),
        ("i8", True),
    ],
)
def test_values_that_fit(dtype, values):
    image = lx.create((2, 2, 2), dtype)
    image[0, 0] = values
    expected = np.zeros((2, 2, 2), dtype)
    expected[0, 0] = values
    np.testing.assert_array_equal(image[...], expected)


def test_values_of_the_wrong_shape(image):
    with pytest.raises(ValueError, match="broadcast"):
        image[0] = np.zeros((3, 3), "i4")


def test_a_read_only_image(tmp_path, image):
    image.copy(tmp_path / "a")
    shown = lx.open(tmp_path / "a", mode="r")
    assert shown.read_only
    np.testing.assert_array_equal(shown[...], VALUES)
    with pytest.raises(PermissionError, match=r"is read-only; open it with mode='r\+'"):
        shown[0] = 0
    with pytest.raises(PermissionError, match="is read-only"):
        shown.update(field_name="x")


def test_as_an_array(image):
    np.testing.assert_array_equal(np.asarray(image), VALUES)
    assert np.asarray(image, dtype="f8").dtype == np.float64
    assert np.asarray(image + 1).sum() == VALUES.sum() + VALUES.size
    with pytest.raises(TypeError, match="ufunc"):  # np.float32(3) < image is an expression for it
        np.add(image, 1)
    with pytest.raises(ValueError, match="copy=False is not possible"):
        np.asarray(image, copy=False)
    assert len(image) == 5


def test_what_it_says_of_itself(image):
    assert (image.shape, image.ndim, image.size, image.dtype) == (SHAPE, 3, 210, np.dtype("i4"))
    assert (image.nx, image.ny, image.nz) == SHAPE
    assert (image.hx, image.hy, image.hz) == image.voxel_length == (1, 2, 3)
    assert (image.ox, image.oy, image.oz) == image.voxel_origin == (10, 20, 30)
    assert (image.chunks, image.shards, image.nchunks, image.nbytes) == ((2, 4, 3), None, 18, 840)
    assert image.voxel_unit == "um"
    assert image.dimensions == (5, 12, 21)
    assert image.bounding_box == ((10, 20, 30), (14, 30, 48))
    assert image.extent == ((9.5, 19, 28.5), (14.5, 31, 49.5))
    assert image.index_to_coordinate(1, 1, 1) == (11, 22, 33)
    assert image.coordinate_to_index(11.4, 22, 33) == (1, 1, 1)
    with pytest.raises(ValueError, match="outside='clip'"):
        image.coordinate_to_index(0, 0, 0)
    assert image.coordinate_to_index(0, 0, 0, outside="clip") == (0, 0, 0)
    assert "(5, 6, 7) int32, voxel 1 × 2 × 3 um, chunks=(2, 4, 3)" in repr(image)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("unit", ["chunk", "shard"])
def test_chunk_slices_tile_the_image(order, unit):
    image = lx.from_array(VALUES, chunks=(2, 3, 4), shards=(4, 3, 4))
    count = 3 * 2 * 2 if unit == "chunk" else 2 * 2 * 2
    seen = np.zeros(SHAPE, int)
    for n in range(count):
        seen[image.chunk_slices(n, unit=unit, order=order)] += 1
    assert (seen == 1).all()
    second = image.chunk_slices(1, unit=unit, order=order)
    assert [s.start > 0 for s in second] == ([False, False, True] if order == "C" else [True, False, False])
    assert image.chunk_slices(-1, unit=unit, order=order) == image.chunk_slices(count - 1, unit=unit, order=order)
    with pytest.raises(IndexError, match=f"the image has {count} {unit}s"):
        image.chunk_slices(count, unit=unit, order=order)
    with pytest.raises(ValueError, match="order='K'"):
        image.chunk_slices(0, order="K")
    with pytest.raises(ValueError, match="unit='block'"):
        image.chunk_slices(0, unit="block")


def test_a_unit_given_with_a_length_is_that_of_the_origin_too():
    image = lx.zeros((4, 4, 4), "u1", voxel_length=(1, 2, 3), voxel_origin=(10, 20, -30), voxel_unit="um")
    image.update(voxel_length=(0.001, 0.002, 0.004), voxel_unit="mm")
    np.testing.assert_allclose(image.voxel_origin, (0.01, 0.02, -0.03), rtol=1e-15)  # a product of two floats
    image.update(voxel_origin=0, voxel_unit="um")
    np.testing.assert_allclose(image.voxel_length, (1, 2, 4), rtol=1e-15)
    image.update(voxel_unit="mm")  # alone it only says what the numbers mean
    np.testing.assert_allclose(image.voxel_length, (1, 2, 4), rtol=1e-15)
    unitless = lx.zeros((4, 4, 4), "u1", voxel_origin=(0, 3, 0))
    with pytest.raises(
        ValueError, match=r"voxel_unit='um' with voxel_length= alone leaves voxel_origin=.*give voxel_origin="
    ):
        unitless.update(voxel_length=2.5, voxel_unit="um")
    assert unitless.voxel_unit == ""
    unitless.update(voxel_length=2.5, voxel_origin=(0, 7.5, 0), voxel_unit="um")
    assert lx.zeros((2, 2, 2), "u1").update(voxel_length=2.5, voxel_unit="um").voxel_origin == (0, 0, 0)


def test_updates_survive_reopening(tmp_path):
    image = lx.create(SHAPE, "u1", store=tmp_path / "a")
    assert image.update(voxel_length=2, voxel_unit="mm", field_name="CT", field_unit="HU", description="a") is image
    image.update(voxel_origin=(1, 2, 3))
    for shown in (image, lx.open(tmp_path / "a")):
        assert shown.voxel_length == (2, 2, 2)
        assert shown.voxel_origin == (1, 2, 3)
        assert (shown.voxel_unit, shown.field_name, shown.field_unit, shown.description) == ("mm", "CT", "HU", "a")
        assert shown.frame.voxel_length == (2, 2, 2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hx": 1}, TypeError, r"hx cannot be updated; what can is field_name, .* image\.attrs"),
        ({"field_name": 1}, TypeError, "field_name=1 must be text"),
        ({"voxel_length": 0}, ValueError, "voxel_length=0 must be positive"),
        ({"voxel_origin": (1, 2)}, ValueError, "voxel_origin"),
        ({"voxel_unit": "second"}, ValueError, "voxel_unit='second' is no unit of length"),
    ],
)
def test_a_wrong_update_changes_nothing(image, changes, error, message):
    before = image.metadata
    with pytest.raises(error, match=message):
        image.update(description="new", **changes)
    assert image.stored.reload_metadata() == before


def test_free_metadata(tmp_path, image):
    made = image.copy(tmp_path / "a")
    made.attrs["well"] = {"depth": 1200.5}
    assert lx.open(tmp_path / "a").attrs["well"] == {"depth": 1200.5}
    assert dict(made.attrs) == {"well": {"depth": 1200.5}}


def test_an_unknown_unit_in_a_store_is_kept_with_one_warning(tmp_path):
    lx.create(SHAPE, "u1", store=tmp_path / "a").stored.update_metadata(voxel_unit="u.a.")
    with pytest.warns(UserWarning, match=r"'u\.a\.' is not a length") as warned:
        image = lx.open(tmp_path / "a")
    assert len(warned) == 1
    image.update(field_name="CT")  # a warning would be an error here
    assert image.voxel_unit == "u.a."
    with pytest.raises(ValueError, match=r"'u\.a\.' is not a length"):
        image.frame.to("mm")


def test_measurements_are_handed_on(image, monkeypatch):
    from lithax.images import _reduce

    calls = []
    monkeypatch.setattr(_reduce, "chunk_reduce", lambda *a, **k: calls.append((a, k)) or 5)
    assert image.reduce("measure", "other", where="where", workers=2) == 5
    assert calls == [(("measure", image, "other"), {"where": "where", "workers": 2})]

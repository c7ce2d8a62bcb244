"""New images: of one value, or filled from an array of any library."""

import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

import lithax as lx
from lithax.errors import IncompleteImageError, ProcessFailure
from lithax.testing import on_threads

SHAPE = (5, 6, 7)
VALUES = np.arange(5 * 6 * 7, dtype="i4").reshape(SHAPE)
CODECS = {
    "auto": "auto",
    "none": None,
    "zstd": [ZstdCodec()],
    "gzip": [GzipCodec(level=1)],
    "blosc": [BloscCodec(cname="zstd")],
}


@settings(max_examples=20)
@given(st.data())
def test_a_round_trip_through_any_layout(tmp_path_factory, data):
    """Written by lithax, read by NumPy's rules through lithax and through zarr-python, after reopening."""
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    chunks = data.draw(st.just("auto") | st.integers(1, 9) | st.tuples(*[st.integers(1, 5)] * 3))
    shards = None
    if isinstance(chunks, tuple):
        shards = data.draw(st.none() | st.just(tuple(2 * c for c in chunks)))
    dtype = data.draw(st.sampled_from(["bool", "u1", "i2", ">u4", "i8", "f2", ">f4", "f8", "c8", "c16"]))
    place = tmp_path_factory.mktemp("store") / "image"
    values = (np.random.default_rng(0).random(shape) * 5).astype(dtype)
    image = lx.create(
        shape,
        dtype,
        chunks,
        place,
        shards=shards,
        order=data.draw(st.sampled_from("CF")),
        compressors=CODECS[data.draw(st.sampled_from(sorted(CODECS)))],
        fill_value=data.draw(st.sampled_from([None, 1])),
    )
    image[...] = values
    again = lx.open(place)
    assert again.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(again[...], values)
    np.testing.assert_array_equal(zarr.open_array(place, mode="r")[...], values)


def test_the_defaults():
    image = lx.create(SHAPE, "f4")
    assert (image.dtype, image.chunks, image.shards) == (np.dtype("f4"), SHAPE, None)
    assert (image.voxel_origin, image.voxel_length, image.voxel_unit) == ((0, 0, 0), (1, 1, 1), "")
    assert (image.field_name, image.field_unit, image.description) == ("", "", "")
    assert (image[...] == 0).all()
    assert image.stored.in_memory
    assert image.metadata.state == "complete"


def test_a_chunked_image():
    """The idea that a new user must see first: 6³ voxels as 3³ chunks of 2³."""
    image = lx.create((6, 6, 6), "u1", chunks=2)
    assert (image.chunks, image.nchunks) == ((2, 2, 2), 27)
    assert image.chunk_slices(0) == (slice(0, 2), slice(0, 2), slice(0, 2))


def test_images_of_one_value_take_no_space(tmp_path):
    for name, image, value in (
        ("a", lx.zeros(SHAPE, "u1", store=tmp_path / "a"), 0),
        ("b", lx.ones(SHAPE, "f4", store=tmp_path / "b"), 1),
        ("c", lx.full(SHAPE, "i2", -3, store=tmp_path / "c"), -3),
        ("d", lx.full(SHAPE, "f8", math.nan, store=tmp_path / "d"), math.nan),
        ("e", lx.empty(SHAPE, "bool", store=tmp_path / "e"), False),
    ):
        np.testing.assert_array_equal(image[...], np.full(SHAPE, value))
        assert [p.name for p in (tmp_path / name).iterdir()] == ["zarr.json"]
        np.testing.assert_array_equal(lx.open(tmp_path / name)[...], np.full(SHAPE, value))


def test_images_like_another():
    image = lx.create(
        SHAPE,
        "u2",
        chunks=2,
        shards=4,
        field_name="CT",
        field_unit="HU",
        description="a",
        voxel_length=2,
        voxel_unit="um",
    )
    for like, value in (
        (lx.empty_like, 0),
        (lx.zeros_like, 0),
        (lx.ones_like, 1),
        (lambda i, **k: lx.full_like(i, 7, **k), 7),
    ):
        made = like(image)
        assert (made.shape, made.dtype, made.chunks, made.shards) == (SHAPE, image.dtype, image.chunks, image.shards)
        assert made.metadata == image.metadata
        assert (made[...] == value).all()
        other = like(image, dtype="f4", chunks=3, field_name="mask", shape=(9, 9, 9))
        assert (other.dtype, other.chunks, other.shards, other.field_name) == (np.dtype("f4"), (3, 3, 3), None, "mask")
        assert (other.shape, other.voxel_unit) == ((9, 9, 9), "um")
    assert lx.ones_like(VALUES).dtype == VALUES.dtype
    with pytest.raises(TypeError, match="array is a list; it must have a shape and a dtype"):
        lx.zeros_like([1, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (4, 4)}, ValueError, r"shape=\(4, 4\) must be three positive integers"),
        ({"shape": (4, 4, 0)}, ValueError, "shape="),
        ({"shape": (4, 4, 2.5)}, TypeError, "shape="),
        ({"dtype": "S3"}, TypeError, "dtype='S3' must be boolean"),
        ({"chunks": (3, 3, 3), "shards": (6, 6, 7)}, ValueError, "3 does not divide 7 along z; use chunks='auto'"),
        ({"voxel_length": (1, 1, -1)}, ValueError, "voxel_length=.* must be positive"),
        ({"voxel_origin": "here"}, TypeError, "voxel_origin="),
        ({"voxel_unit": "second"}, ValueError, "voxel_unit='second' is no unit of length"),
        ({"field_name": 3}, TypeError, "field_name=3 must be text"),
        ({"description": None}, TypeError, "description=None must be text"),
        ({"colour": "red"}, TypeError, "colour= is not an option of an image"),
        ({"fill_value": -1}, ValueError, "fill_value=-1 cannot be held"),
        ({"path": "../x"}, ValueError, "path="),
        ({"storage_options": {}}, TypeError, "storage_options"),
        ({"chunks": "tiny"}, ValueError, "chunks='tiny'"),
    ],
)
def test_a_wrong_argument_leaves_nothing(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        lx.create(**{"shape": SHAPE, "dtype": "u1", "store": tmp_path / "deep" / "a", **arguments})
    assert not list(tmp_path.iterdir())


def test_an_existing_image_stays(tmp_path):
    lx.from_array(VALUES, store=tmp_path / "a")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        lx.create(SHAPE, "u1", store=tmp_path / "a")
    np.testing.assert_array_equal(lx.open(tmp_path / "a")[...], VALUES)
    assert (lx.create(SHAPE, "u1", store=tmp_path / "a", overwrite=True)[...] == 0).all()


def numpy_array(values):
    return values


def jax_array(values):
    return pytest.importorskip("jax.numpy").asarray(values)


def torch_array(values):
    return pytest.importorskip("torch", reason="pip install torch").from_numpy(values.copy())


def strict_array(values):
    return pytest.importorskip("array_api_strict").asarray(values)


def dask_array(values):
    return pytest.importorskip("dask.array", reason="pip install dask").from_array(values, chunks=(2, 5, 3))


def xarray_array(values):
    return pytest.importorskip("xarray", reason="pip install xarray").DataArray(values, dims=("x", "y", "z"))


def zarr_array(values):
    return zarr.array(values, chunks=(3, 3, 3))


def image(values):
    return lx.from_array(values, chunks=(5, 2, 2))


def sliceable(values):
    class Sliceable:
        shape, dtype = values.shape, values.dtype

        def __getitem__(self, box):
            return values[box]

    return Sliceable()


LIBRARIES = [numpy_array, jax_array, torch_array, strict_array, dask_array, xarray_array, zarr_array, image, sliceable]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shards", [None, (4, 4, 4)])
def test_arrays_of_any_library(library, shards):
    made = lx.from_array(library(VALUES), (2, 2, 2), shards=shards, description="a")
    np.testing.assert_array_equal(made[...], VALUES)
    assert (made.dtype, made.chunks, made.shards, made.description) == (VALUES.dtype, (2, 2, 2), shards, "a")
    assert made.metadata.state == "complete"
    assert made.metadata.run is None


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda f: f.__name__)
def test_arrays_of_another_type(library):
    assert lx.from_array(library(VALUES), 2, dtype="f8").dtype == np.float64
    np.testing.assert_array_equal(lx.from_array(library(VALUES), 2, dtype="u1")[...], VALUES)
    with pytest.raises(OverflowError, match="values hold 209, which does not fit the image's int8"):
        lx.from_array(library(VALUES), SHAPE, dtype="i1")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">i4", "<f2", "?"])
def test_arrays_of_other_layouts(order, dtype):
    values = np.asarray(VALUES % 7, dtype=dtype, order=order)
    made = lx.from_array(values[::-1, :, ::2], 3)
    np.testing.assert_array_equal(made[...], values[::-1, :, ::2])
    assert made.dtype.isnative


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([1, 2], TypeError, "array is a list; it must have a shape and a dtype"),
        (np.zeros((4, 4)), ValueError, r"shape \(4, 4\); an image has three axes.*array\[:, :, None\]"),
        (np.zeros((4, 4, 4), "S2"), TypeError, "dtype="),
        (np.zeros((4, 0, 4)), ValueError, "shape="),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, error, message):
    with pytest.raises(error, match=message):
        lx.from_array(array, store=tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_failure_half_way_leaves_nothing(tmp_path):
    class Failing:
        shape, dtype = SHAPE, np.dtype("u1")

        def __getitem__(self, box):
            if box[0].start:
                raise OSError("the tape is torn")
            return np.ones([s.stop - s.start for s in box], "u1")

    with pytest.raises(OSError, match="the tape is torn"):
        lx.from_array(Failing(), 2, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    lx.from_array(VALUES, store=tmp_path / "a")
    with pytest.raises(OSError, match="the tape is torn"):
        lx.from_array(Failing(), 2, tmp_path / "a", overwrite=True)
    np.testing.assert_array_equal(lx.open(tmp_path / "a")[...], VALUES)


def test_an_image_that_is_being_filled_calls_itself_unfinished(tmp_path):
    seen = []

    class Curious:
        shape, dtype = SHAPE, np.dtype("u1")

        def __getitem__(self, box):
            with pytest.raises(
                IncompleteImageError, match=r"Repeat the from_array\(\) that made it, with overwrite=True"
            ):
                lx.open(tmp_path / "a")
            seen.append(lx.open(tmp_path / "a", incomplete=True).metadata.state)
            return np.ones([s.stop - s.start for s in box], "u1")

    lx.from_array(Curious(), 3, tmp_path / "a")
    assert set(seen) == {"writing"}
    assert lx.open(tmp_path / "a").metadata.state == "complete"


def test_memory_is_bounded_by_the_pieces_that_are_read():
    """The array is 2¹⁰ times larger than what any one request asks for."""
    asked = []

    class Large:
        shape, dtype = (256, 256, 256), np.dtype("u1")

        def __getitem__(self, box):
            size = tuple(s.stop - s.start for s in box)
            asked.append(math.prod(size))
            return np.zeros(size, "u1")

    lx.from_array(Large(), 32, shards=128)
    lx.from_array(Large(), 64)
    assert max(asked) == 64**3
    assert sum(asked) == 2 * 256**3


def test_processes_share_the_work(tmp_path):
    asked = {0: [], 1: []}

    def work(world):
        class Array:
            shape, dtype = SHAPE, VALUES.dtype

            def __getitem__(self, box):
                asked[world.index].append(tuple(s.start for s in box))
                return VALUES[box]

        image = lx.from_array(Array(), 2, tmp_path / "a", world=world)
        copy = image.copy(tmp_path / "b", chunks=3)
        copy.update(field_name="CT")
        return image.content_hash(), copy.content_hash(), copy.field_name

    one, two = on_threads(2, work)
    assert one == two
    assert len(asked[0]) == len(asked[1]) == 18
    assert not set(asked[0]) & set(asked[1])
    assert one[0] == one[1] == lx.from_array(VALUES).content_hash()
    for name in "ab":
        np.testing.assert_array_equal(lx.open(tmp_path / name)[...], VALUES)
    assert lx.open(tmp_path / "b").field_name == "CT"


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_of_one_process_is_everyones(tmp_path, failing):
    def work(world):
        class Failing:
            shape, dtype = SHAPE, np.dtype("u1")

            def __getitem__(self, box):
                if world.index == failing:
                    raise OSError("the tape is torn")
                return np.ones([s.stop - s.start for s in box], "u1")

        return lx.from_array(Failing(), 2, tmp_path / "a", world=world)

    results = on_threads(2, work)
    assert isinstance(results[failing], OSError)
    assert isinstance(results[1 - failing], ProcessFailure)
    assert "the tape is torn" in str(results[1 - failing])
    assert not list(tmp_path.iterdir())


def test_what_the_first_process_refuses_all_refuse(tmp_path):
    lx.zeros(SHAPE, "u1", store=tmp_path / "a")
    first, second = on_threads(2, lambda world: lx.zeros(SHAPE, "u1", store=tmp_path / "a", world=world))
    assert isinstance(first, FileExistsError)
    assert isinstance(second, FileExistsError)
    for result in on_threads(2, lambda world: lx.zeros(SHAPE, "u1", world=world)):
        assert "store=memory is the memory of one process, and 2 work together" in str(result)


def test_dask_blocks_are_computed_once():
    dask = pytest.importorskip("dask.array", reason="pip install dask")
    count = []

    def block(block_info=None):
        shape = block_info[None]["chunk-shape"]
        count.append(shape)
        return np.ones(shape, "u1")

    array = dask.map_blocks(block, chunks=((4, 4), (8,), (8,)), dtype="u1", meta=np.zeros((0, 0, 0), "u1"))
    assert (lx.from_array(array, 3)[...] == 1).all()
    assert len(count) == 2


def test_geometry_of_xarray():
    xarray = pytest.importorskip("xarray", reason="pip install xarray")
    x = xarray.Variable("x", 10 + 0.1 * np.arange(5), {"units": "mm"})
    y = xarray.Variable("y", np.linspace(0, 1, 6, dtype="f4"), {"units": "mm"})
    array = xarray.DataArray(
        VALUES.transpose(2, 1, 0), dims=("z", "y", "x"), coords={"x": x, "y": y}, name="CT", attrs={"units": "HU"}
    )
    made = lx.from_array(array, description="a", voxel_unit="cm")
    np.testing.assert_array_equal(made[...], VALUES)
    # Steps are recovered from decimals, and along y from 32-bit floats.
    np.testing.assert_allclose(made.voxel_length, (0.1, 0.2, 1), rtol=1e-6)
    assert made.voxel_origin == (10, 0, 0)
    assert (made.field_name, made.field_unit, made.description, made.voxel_unit) == ("CT", "HU", "a", "cm")
    with pytest.raises(ValueError, match="coordinates along x that do not rise evenly"):
        lx.from_array(array.assign_coords(x=[0, 1, 2, 3, 5]))
    with pytest.raises(ValueError, match="do not rise evenly"):
        lx.from_array(array.assign_coords(x=[4, 3, 2, 1, 0]))
    with pytest.raises(ValueError, match=r"coordinates of .* along x; drop them"):
        lx.from_array(array.assign_coords(x=list("abcde")))
    lazy = array.chunk({"x": 2})
    np.testing.assert_array_equal(lx.from_array(lazy)[...], VALUES)

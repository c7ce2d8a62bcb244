"""Chunks and units: the same bytes that zarr-python writes and reads, for every codec, shape and thread."""

import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from lithax.errors import MetadataError
from lithax.grid import BlockSink, BlockSource
from lithax.storage import StoredArray

COMPRESSORS = {
    "none": None,
    "lz4": [BloscCodec(cname="lz4", shuffle="bitshuffle")],
    "zstd": [ZstdCodec()],
    "gzip": [GzipCodec(level=1)],
    "several": [BloscCodec(cname="lz4", clevel=1), Crc32cCodec()],
    "zlib": [BloscCodec(cname="zlib", clevel=1)],
}
DTYPES = ["bool", "u1", "i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16"]
FULL = (slice(0, 7), slice(0, 6), slice(0, 5))


def make(
    store=None,
    shape=(7, 6, 5),
    dtype="u2",
    chunks=(3, 2, 4),
    shards=None,
    compressors="lz4",
    fill=0,
    endian="little",
    **kw,
):
    serializer = BytesCodec(endian=endian) if np.dtype(dtype).itemsize > 1 else BytesCodec()
    zarray = zarr.create_array(
        MemoryStore() if store is None else store,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=COMPRESSORS[compressors],
        filters=kw.pop("filters", []),
        serializer=serializer,
        fill_value=fill,
        **kw,
    )
    return StoredArray(zarray)


def values_of(rng, shape, dtype):
    return rng.integers(0, 3, shape).astype(dtype)


@st.composite
def layouts(draw):
    """A small array of any layout, and whether one of its chunks is left at the fill value."""
    shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
    chunks = tuple(draw(st.integers(1, 5)) for _ in range(3))
    shards = draw(st.none() | st.tuples(*[st.integers(1, 3)] * 3))
    shards = None if shards is None else tuple(c * n for c, n in zip(chunks, shards, strict=True))
    filters = draw(st.sampled_from([[], [TransposeCodec(order=(2, 0, 1))]]))
    location = {} if shards is None else {"index_location": draw(st.sampled_from(["start", "end"]))}
    return {
        "shape": shape,
        "chunks": chunks,
        "shards": None if shards is None else {"shape": shards, **location},
        "dtype": draw(st.sampled_from(DTYPES)),
        "compressors": draw(st.sampled_from(sorted(COMPRESSORS))),
        "endian": draw(st.sampled_from(["little", "big"])),
        "filters": filters,
        "fill": draw(st.sampled_from([0, 1])),
    }


@st.composite
def boxes(draw, shape):
    box = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        box.append(slice(start, draw(st.integers(start, n))))
    return tuple(box)


@settings(max_examples=25)
@given(st.data())
def test_what_zarr_wrote_is_read_and_what_we_wrote_zarr_reads(data):
    layout = data.draw(layouts())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    array = make(**layout)
    expected = values_of(rng, array.shape, array.dtype)
    array.zarray[...] = expected

    box = data.draw(boxes(array.shape))
    np.testing.assert_array_equal(array.read(box), expected[box])
    np.testing.assert_array_equal(array.read_parallel(box, workers=2), expected[box])
    for index in array.grid:
        np.testing.assert_array_equal(array.read_chunk(index), expected[array.grid.box(index)])

    new = values_of(rng, tuple(s.stop - s.start for s in box), array.dtype)
    array.write(box, new, workers=data.draw(st.integers(1, 2)))
    expected[box] = new
    np.testing.assert_array_equal(array.zarray[...], expected)
    assert array.read(box).dtype == array.dtype


@settings(max_examples=25)
@given(st.data())
def test_a_unit_assembled_from_chunks_is_the_array(data):
    layout = data.draw(layouts())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    array = make(**layout)
    expected = values_of(rng, array.shape, array.dtype)
    expected[array.grid.box((0, 0, 0))] = array.fill_value
    for unit in array.unit_grid:
        chunks = {i: array.encode_chunk(i, expected[array.grid.box(i)]) for i in array.chunks_of(unit)}
        array.write_unit(unit, array.assemble_unit(unit, chunks))
    assert array.encode_chunk((0, 0, 0), expected[array.grid.box((0, 0, 0))]) is None
    np.testing.assert_array_equal(array.zarray[...], expected)


@settings(max_examples=25)
@given(st.data())
def test_selections_with_steps(data):
    array = make(shape=(9, 8, 7), chunks=(3, 4, 2), shards=data.draw(st.sampled_from([None, (6, 4, 4)])))
    expected = np.arange(9 * 8 * 7, dtype="u2").reshape(9, 8, 7)
    array.zarray[...] = expected
    ranges = tuple(range(n)[data.draw(st.slices(n))] for n in array.shape)
    index = np.ix_(*ranges)
    np.testing.assert_array_equal(array.read_selection(ranges), expected[index])
    array.write_selection(ranges, np.asarray(9, "u2"))
    expected[index] = 9
    np.testing.assert_array_equal(array.zarray[...], expected)


@pytest.mark.parametrize("shards", [None, (6, 4, 4)])
def test_the_protocols_of_the_combinators(shards):
    array = make(shards=shards)
    assert isinstance(array, BlockSource)
    assert isinstance(array, BlockSink)
    assert array.unit == (shards or (3, 2, 4))
    assert array.nchunks == 3 * 3 * 2
    assert array.unit_of((2, 2, 1)) == ((1, 1, 1) if shards else (2, 2, 1))
    assert list(array.chunks_of((1, 1, 1))) == ([(2, 2, 1)] if shards else [(1, 1, 1)])


@pytest.mark.parametrize("kind", ["memory", "local", "other"])
def test_keys_and_stored_bytes(kind, tmp_path):
    stores = {
        "memory": MemoryStore,
        "local": lambda: LocalStore(tmp_path),
        "other": lambda: WrapperStore(MemoryStore()),
    }
    array = make(stores[kind](), name="group/image")
    assert array.path == "group/image"
    assert array.unit_key((0, 1, 0)) == "group/image/c/0/1/0"
    assert array.read_unit((0, 1, 0)) is None
    payload = array.encode_chunk((0, 1, 0), np.ones((3, 2, 4), "u2"))
    array.write_unit((0, 1, 0), payload)
    assert array.read_unit((0, 1, 0)) == payload
    assert array.digest(payload) == array.digest(bytes(payload)) != array.digest(payload[:-1])
    assert array.digest(None) == "empty"
    assert (array.directory == tmp_path / "group/image") if kind == "local" else (array.directory is None)
    array.write_unit((0, 1, 0), None)
    assert array.read_unit((0, 1, 0)) is None
    array.write_unit((0, 1, 0), None)  # removing what is not there is no error
    assert (array.read(FULL) == 0).all()


@pytest.mark.parametrize("kind", ["memory", "local", "other"])
def test_objects_beside_the_chunks(kind, tmp_path):
    stores = {
        "memory": MemoryStore,
        "local": lambda: LocalStore(tmp_path),
        "other": lambda: WrapperStore(MemoryStore()),
    }
    array = make(stores[kind](), name="image")
    assert array.list_objects("journal") == []
    assert array.read_object("journal/1") is None
    array.write_object("journal/1", b"one")
    array.write_object("journal/2", b"")
    assert array.list_objects("journal") == ["1", "2"]
    assert array.read_object("journal/1") == b"one"
    array.delete_object("journal/1")
    array.delete_object("journal/1")
    assert array.list_objects("journal") == ["2"]


def test_the_fill_value_is_compared_bit_for_bit():
    nan = make(dtype="f4", fill=np.nan)
    whole = np.full(nan.chunks, np.nan, "f4")
    assert nan.encode_chunk((0, 0, 0), whole) is None
    whole[-1, -1, -1] = 0
    assert nan.encode_chunk((0, 0, 0), whole) is not None
    zero = make(dtype="f8", fill=0.0)
    assert zero.encode_chunk((0, 0, 0), np.zeros(zero.chunks)) is None
    assert zero.encode_chunk((0, 0, 0), -np.zeros(zero.chunks)) is not None
    complex_fill = make(dtype="c16", fill=1 + 2j)
    assert complex_fill.encode_chunk((0, 0, 0), np.full(zero.chunks, 1 + 2j)) is None
    assert complex_fill.encode_chunk((0, 0, 0), np.full(zero.chunks, 2 + 1j)) is not None


def test_negative_zero_survives():
    array = make(dtype="f4")
    array.write(FULL, np.full((7, 6, 5), -0.0, "f4"))
    assert np.signbit(array.read(FULL)).all()


def test_cropped_and_padded_chunks_give_the_same_bytes(rng):
    array = make()
    values = np.zeros((3, 2, 4), "u2")
    values[:1, :, :1] = rng.integers(1, 9, (1, 2, 1))
    assert array.encode_chunk((2, 0, 1), values[:1, :, :1]) == array.encode_chunk((2, 0, 1), values)


def test_many_threads_change_the_same_chunks():
    array = make(shape=(16, 16, 16), chunks=(8, 8, 8), shards=(16, 16, 16))
    planes = list(range(16))

    def change(plane):
        array.write((slice(plane, plane + 1), slice(0, 16), slice(0, 16)), np.full((1, 16, 16), plane, "u2"))

    threads = [threading.Thread(target=change, args=(plane,)) for plane in planes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = array.read(tuple(slice(0, 16) for _ in range(3)))
    assert [set(values[plane].ravel()) for plane in planes] == [{plane} for plane in planes]


def test_only_the_chunks_that_change_are_written(tmp_path):
    array = make(tmp_path)
    array.write(FULL, np.ones((7, 6, 5), "u2"))
    before = {path: path.stat().st_mtime_ns for path in Path(tmp_path, "c").rglob("*") if path.is_file()}
    array.write((slice(0, 1), slice(0, 1), slice(0, 1)), np.full((1, 1, 1), 5, "u2"))
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {tmp_path / "c/0/0/0"}


def test_a_chunk_that_becomes_the_fill_value_is_removed(tmp_path):
    array = make(tmp_path, shards=(6, 4, 4))
    array.write(FULL, np.ones((7, 6, 5), "u2"))
    assert (tmp_path / "c/0/0/0").exists()
    array.write((slice(0, 6), slice(0, 4), slice(0, 4)), np.zeros((6, 4, 4), "u2"))
    assert not (tmp_path / "c/0/0/0").exists()
    np.testing.assert_array_equal(array.zarray[:6, :4, :4], 0)


@pytest.mark.parametrize("compressors", ["none", "lz4", "zstd", "several"])
@pytest.mark.parametrize("shards", [None, (6, 4, 4)])
def test_a_truncated_object_is_named(tmp_path, compressors, shards):
    array = make(tmp_path, compressors=compressors, shards=shards)
    array.write(FULL, np.arange(210, dtype="u2").reshape(7, 6, 5))
    file = tmp_path / "c/0/0/0"
    for length in (0, 3, file.stat().st_size - 3):
        data = file.read_bytes()
        file.write_bytes(data[:length])
        with pytest.raises(OSError, match=r"'c/0/0/0' of the image at .* cannot be decoded.*damaged or was cut off"):
            array.read(FULL)
        file.write_bytes(data)


def test_a_failing_write_leaves_the_old_object(tmp_path, monkeypatch):
    array = make(tmp_path)
    array.write(FULL, np.ones((7, 6, 5), "u2"))

    def full_disk(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        array.write(FULL, np.full((7, 6, 5), 2, "u2"))
    monkeypatch.undo()
    assert (array.read(FULL) == 1).all()
    assert not list(tmp_path.rglob("*.partial"))


def test_what_a_killed_writer_left_is_removed(tmp_path):
    array = make(tmp_path)
    array.write(FULL, np.ones((7, 6, 5), "u2"))
    (tmp_path / "c/0/0/0.123-4.partial").write_bytes(b"half")
    assert array.remove_partials() == 1
    assert (array.read(FULL) == 1).all()


def test_an_image_that_was_removed_is_not_read_as_empty(tmp_path):
    array = make(tmp_path / "image")
    (tmp_path / "image/zarr.json").unlink()
    with pytest.raises(FileNotFoundError, match="no longer there"):
        array.read(FULL)


def test_read_only(tmp_path):
    array = StoredArray(make(tmp_path).zarray, read_only=True)
    for write in (
        lambda: array.write(FULL, np.ones((7, 6, 5), "u2")),
        lambda: array.write_unit((0, 0, 0), None),
        lambda: array.update_metadata(field_name="x"),
        lambda: array.attrs.update(a=1),
        lambda: array.write_object("a", b""),
    ):
        with pytest.raises(PermissionError, match="is read-only"):
            write()


def test_values_of_another_type_or_shape_are_refused():
    array = make()
    with pytest.raises(TypeError, match="are float64; the image is uint16"):
        array.encode_chunk((0, 0, 0), np.zeros((3, 2, 4)))
    with pytest.raises(ValueError, match=r"have shape \(1, 1, 1\); a chunk has \(3, 2, 4\), of which \(3, 2, 4\)"):
        array.encode_chunk((0, 0, 0), np.zeros((1, 1, 1), "u2"))
    with pytest.raises(TypeError, match="values are float64"):
        array.write(FULL, np.zeros((7, 6, 5)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (4, 4), "chunks": (2, 2)}, "2 dimensions; an image has three"),
        ({"shape": (4, 0, 4), "chunks": (2, 2, 2)}, "holds no voxel"),
        ({"shape": (4, 4, 4), "dtype": "S4", "chunks": (2, 2, 2)}, "an image holds numbers or booleans"),
        ({"shape": (4, 4, 4), "chunks": (2, 2, 2), "zarr_format": 2}, "is a Zarr v2 array"),
    ],
)
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_arrays_that_are_no_images(arguments, message):
    zarray = zarr.create_array(MemoryStore(), **{"dtype": "u1", **arguments})
    with pytest.raises(MetadataError, match=message):
        StoredArray(zarray)


def test_shards_within_shards(rng):
    inner = ShardingCodec(chunk_shape=(2, 2, 2), codecs=[BytesCodec(), ZstdCodec()])
    zarray = zarr.create_array(
        MemoryStore(),
        shape=(8, 8, 8),
        dtype="u2",
        chunks=(4, 4, 4),
        shards=(8, 8, 8),
        serializer=inner,
        compressors=None,
    )
    expected = rng.integers(0, 9, (8, 8, 8)).astype("u2")
    zarray[...] = expected
    array = StoredArray(zarray)
    box = (slice(1, 8), slice(0, 3), slice(2, 7))
    np.testing.assert_array_equal(array.read(box), expected[box])
    array.write(box, expected[box] + np.uint16(1))
    expected[box] += 1
    np.testing.assert_array_equal(zarray[...], expected)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_codecs_that_only_know_the_event_loop(rng):
    from zarr.codecs.numcodecs import Delta

    array = make(filters=[Delta(dtype="<u2")], compressors="zstd")
    expected = rng.integers(0, 9, (7, 6, 5)).astype("u2")
    array.write(FULL, expected)
    np.testing.assert_array_equal(array.read(FULL), expected)
    np.testing.assert_array_equal(array.zarray[...], expected)


def test_how_much_is_stored(tmp_path):
    memory = make(compressors="none")
    memory.write(FULL, np.ones((7, 6, 5), "u2"))
    assert memory.stored_bytes >= 2 * 3 * 3 * 2 * 24  # 18 chunks of 24 voxels
    assert make(tmp_path).stored_bytes == (tmp_path / "zarr.json").stat().st_size
    assert make(WrapperStore(MemoryStore())).stored_bytes is None

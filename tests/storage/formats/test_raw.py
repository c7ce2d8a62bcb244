"""Raw files against numpy.tofile and numpy.fromfile."""

import gzip
import itertools
import threading

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from lithax.grid import BlockSource
from lithax.storage.formats import RawSink, RawSource, raw_dtype
from lithax.storage.formats._transpose import copy_reversed

SHAPE = (7, 5, 6)
KINDS = ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]
WHOLE = (slice(0, 7), slice(0, 5), slice(0, 6))


def voxels(rng, dtype, shape=SHAPE):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
    values = rng.normal(size=shape)
    if dtype.kind == "c":
        values = values + 1j * rng.normal(size=shape)
    return values.astype(dtype)


def write_raw(path, values, dtype, order, header=b""):
    with path.open("wb") as file:
        file.write(header)
        file.write(values.astype(dtype).tobytes(order=order))
    return path


@pytest.mark.parametrize("order", "FC")
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("kind", KINDS)
def test_reads_every_kind_of_number(tmp_path, rng, kind, byteorder, order):
    values = voxels(rng, kind)
    file = write_raw(tmp_path / "rock.raw", values, byteorder + kind, order, header=b"12345")
    with RawSource(file, SHAPE, byteorder + kind, offset=5, order=order) as source:
        assert isinstance(source, BlockSource)
        assert source.dtype == np.dtype(kind)
        assert source.dtype.isnative
        found = source.read(WHOLE)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(
            source.read_chunk((0, 0, 2) if order == "F" else (2, 0, 0)),
            values[:, :, 2:3] if order == "F" else values[2:3],
        )


@pytest.mark.parametrize("order", "FC")
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("kind", KINDS)
def test_writes_every_kind_of_number(tmp_path, rng, kind, byteorder, order):
    values = voxels(rng, kind)
    with RawSink(tmp_path / "rock.raw", SHAPE, byteorder + kind, order=order) as sink:
        for i, j in itertools.product((0, 3), (0, 4)):
            box = (slice(i, i + 3 if i == 0 else 7), slice(j, j + 4 if j == 0 else 5), slice(0, 6))
            sink.write(box, values[box])
    stored = np.fromfile(tmp_path / "rock.raw", byteorder + kind).reshape(SHAPE, order=order)
    np.testing.assert_array_equal(stored, values)
    assert [p.name for p in tmp_path.iterdir()] == ["rock.raw"]


spans = st.integers(0, 40).flatmap(lambda a: st.integers(a + 1, 41).map(lambda b: slice(a, b)))


@hypothesis.given(box=st.tuples(spans, spans, spans), order=st.sampled_from("FC"))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_reads_and_writes_any_box(tmp_path_factory, box, order):
    shape = (41, 41, 41)
    values = np.arange(41**3, dtype="u4").reshape(shape)
    folder = tmp_path_factory.mktemp("boxes")
    file = write_raw(folder / "rock.raw", values, ">u4", order)
    with RawSource(file, shape, ">u4", order=order) as source:
        np.testing.assert_array_equal(source.read(box), values[box])
        source_row_cost = source.read_stored(box)
    assert source_row_cost.shape == tuple(s.stop - s.start for s in (box[::-1] if order == "F" else box))
    with RawSink(folder / "copy.raw", shape, ">u4", order=order) as sink:
        sink.write((slice(0, 41),) * 3, np.zeros(shape, "u4"))
        sink.write(box, values[box])
    expected = np.zeros(shape, "u4")
    expected[box] = values[box]
    np.testing.assert_array_equal(np.fromfile(folder / "copy.raw", ">u4").reshape(shape, order=order), expected)


def test_reads_rows_one_by_one_where_that_is_cheaper(tmp_path, monkeypatch, rng):
    values = voxels(rng, "u2", (30, 4, 5))
    file = write_raw(tmp_path / "rock.raw", values, "<u2", "F")
    box = (slice(3, 5), slice(1, 3), slice(2, 5))
    with RawSource(file, (30, 4, 5), "<u2") as source:
        for cost in (0, 1 << 20):
            monkeypatch.setattr("lithax.storage.formats._raw_source._ROW_COST", cost)
            np.testing.assert_array_equal(source.read(box), values[box])


@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 1, 2), (2, 3, 300), (129, 2, 257)])
def test_copy_reversed(rng, shape):
    source = rng.integers(0, 1000, size=shape).astype(">u2")
    target = np.empty(shape[::-1], "u4")
    copy_reversed(source, target)
    np.testing.assert_array_equal(target, source.T)


def test_many_threads_read_at_once(tmp_path, rng):
    values = voxels(rng, "f4", (16, 17, 18))
    file = write_raw(tmp_path / "rock.raw", values, "<f4", "F")
    wrong = []
    with RawSource(file, values.shape, "<f4") as source:

        def work(first):
            for _ in range(50):
                box = (slice(first, first + 4), slice(1, 9), slice(2, 17))
                if not np.array_equal(source.read(box), values[box]):
                    wrong.append(first)

        threads = [threading.Thread(target=work, args=(n,)) for n in (0, 4, 8, 12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_booleans_are_all_but_zero(tmp_path):
    np.array([0, 1, 2, 255], "u1").tofile(tmp_path / "mask.raw")
    with RawSource(tmp_path / "mask.raw", (4, 1, 1), bool) as source:
        found = source.read((slice(0, 4), slice(0, 1), slice(0, 1)))
    assert found.view("u1").ravel().tolist() == [0, 1, 1, 1]


def test_compressed(tmp_path, rng):
    values = voxels(rng, "u2")
    with gzip.open(tmp_path / "rock.raw.gz", "wb") as file:
        file.write(b"head" + values.astype("<u2").tobytes(order="F"))
    with RawSource(tmp_path / "rock.raw.gz", SHAPE, "<u2", offset=4) as source:
        np.testing.assert_array_equal(source.read(WHOLE), values)
    with pytest.raises(ValueError, match="too short: it has 424 bytes"):
        RawSource(tmp_path / "rock.raw.gz", SHAPE, "<u2", offset=5)
    with pytest.raises(ValueError, match="too long: it has at least 424 bytes"):
        RawSource(tmp_path / "rock.raw.gz", SHAPE, "<u2", offset=3)
    whole = (tmp_path / "rock.raw.gz").read_bytes()
    (tmp_path / "cut.raw.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole gzip file"):
        RawSource(tmp_path / "cut.raw.gz", SHAPE, "<u2", offset=4)
    (tmp_path / "plain.raw.gz").write_bytes(bytes(424))
    with pytest.raises(ValueError, match="not a whole gzip file"):
        RawSource(tmp_path / "plain.raw.gz", SHAPE, "<u2", offset=4)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"shape": (7, 5, 7)}, ValueError, r"too short: it has 420 bytes, but shape=\(7, 5, 7\).*need 490"),
        ({"offset": 1}, ValueError, "too short.*offset=1 need 421"),
        ({"shape": (7, 5, 5)}, ValueError, "too long.*need 350.*offset="),
        ({"dtype": "f4"}, ValueError, "too short"),
        ({"shape": (7, 5)}, ValueError, "shape=.*three positive integers"),
        ({"shape": (7, 5, 0)}, ValueError, "shape=.*three positive integers"),
        ({"offset": -2}, ValueError, "offset=-2 must not be negative"),
        ({"order": "A"}, ValueError, "order='A' must be 'F'"),
        ({"dtype": "U3"}, TypeError, "dtype='U3' must be a boolean"),
        ({"dtype": "nonsense"}, TypeError, "dtype='nonsense' is not a NumPy data type"),
        ({"dtype": [("a", "u1")]}, TypeError, "dtype=.*must be a boolean"),
        ({"dtype": "<i16"}, TypeError, "dtype='<i16' is a 128-bit integer"),
        ({"dtype": "u16"}, TypeError, "dtype='u16' is a 128-bit integer"),
        ({"dtype": "uint128"}, TypeError, "dtype='uint128' is a 128-bit integer"),
        ({"dtype": np.longdouble}, TypeError, "extended precision.*astype"),
        ({"dtype": np.clongdouble}, TypeError, "extended precision.*astype"),
        ({"file": "none.raw"}, FileNotFoundError, "does not exist"),
        ({"file": "."}, IsADirectoryError, "is a directory"),
    ],
)
def test_refuses_to_read(tmp_path, change, kind, message):
    np.zeros(SHAPE, "<u2").tofile(tmp_path / "rock.raw")
    good = {"file": "rock.raw", "shape": SHAPE, "dtype": "<u2"} | change
    with pytest.raises(kind, match=message):
        RawSource(tmp_path / good.pop("file"), **good)


def test_a_file_that_shrinks_is_an_error(tmp_path):
    np.zeros(SHAPE, "<u2").tofile(tmp_path / "rock.raw")
    with RawSource(tmp_path / "rock.raw", SHAPE, "<u2") as source:
        with (tmp_path / "rock.raw").open("r+b") as file:
            file.truncate(100)
        with pytest.raises(OSError, match="has become shorter"):
            source.read(WHOLE)


def test_extended_precision_as_the_same_bytes_is_what_the_message_says():
    with pytest.raises(TypeError) as error:
        raw_dtype("f16") if hasattr(np, "float128") else raw_dtype(np.longdouble)
    assert "astype('f8')" in str(error.value)


def test_a_failed_export_leaves_nothing(tmp_path):
    (tmp_path / "rock.raw").write_bytes(b"old")

    def fail():
        with RawSink(tmp_path / "rock.raw", SHAPE, "u1", overwrite=True) as sink:
            sink.write(WHOLE, np.zeros(SHAPE, "u1"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["rock.raw"]
    assert (tmp_path / "rock.raw").read_bytes() == b"old"


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    from lithax.storage.formats._positional_file import PositionalFile

    def full(self, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PositionalFile, "reserve", full)
    with pytest.raises(OSError, match="No space"):
        RawSink(tmp_path / "rock.raw", SHAPE, "u1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"file": "old.raw"}, FileExistsError, "pass overwrite=True"),
        ({"file": "."}, IsADirectoryError, "is a directory"),
        ({"file": "rock.raw.GZ"}, ValueError, r"must not end with \.gz"),
        ({"order": "K"}, ValueError, "order='K'"),
        ({"dtype": "M8[s]"}, TypeError, r"dtype='M8\[s\]'"),
    ],
)
def test_refuses_to_write(tmp_path, change, kind, message):
    (tmp_path / "old.raw").write_bytes(b"")
    good = {"file": "rock.raw", "shape": SHAPE, "dtype": "u1"} | change
    with pytest.raises(kind, match=message):
        RawSink(tmp_path / good.pop("file"), **good)
    assert [p.name for p in tmp_path.iterdir()] == ["old.raw"]


def test_values_must_fit_their_box(tmp_path):
    with (
        RawSink(tmp_path / "rock.raw", SHAPE, "u1") as sink,
        pytest.raises(ValueError, match="their room in the file has"),
    ):
        sink.write(WHOLE, np.zeros((2, 2, 2)))

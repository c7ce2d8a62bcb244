"""Stores that are damaged, or made to harm: each opens as what it says, or is one MetadataError that names it."""

import contextlib
import copy
import gzip
import json
import os
import random
import signal
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

import lithax as lx
from lithax.errors import IncompleteImageError, MetadataError
from lithax.geometry import validate_unit

SEED = int(os.environ.get("LITHAX_FUZZ_SEED", "20261129"))
MUTATIONS = int(os.environ.get("LITHAX_FUZZ", "3000"))


@contextlib.contextmanager
def within(seconds):
    """Fail instead of hanging."""

    def late(*_):
        raise AssertionError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def store(tmp_path):
    lx.from_array(
        np.arange(60, dtype="u2").reshape(3, 4, 5),
        chunks=2,
        store=tmp_path / "rock.zarr",
        voxel_unit="um",
        voxel_length=2.5,
    )
    return tmp_path / "rock.zarr"


def changed(store, work):
    document = json.loads((store / "zarr.json").read_text())
    work(document)
    (store / "zarr.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "unit",
    [
        "9**9**9**9",
        "9**9**9**9 m",
        "m**9**9**9**9",
        "(" * 1000,
        "m" * 10**6,
        "2**2**40 um",
        "1e999999999 m",
        "m*" * 500,
    ],
)
def test_a_unit_is_never_evaluated(store, unit):
    changed(store, lambda document: document["attributes"]["lithax"].update(voxel_unit=unit))
    with within(10):
        with pytest.warns(UserWarning, match="not a length that pint understands"):
            image = lx.open(store)
        assert image.voxel_unit == unit
        with pytest.raises(ValueError, match="is no unit of length"):
            lx.zeros((2, 2, 2), "u1", voxel_unit=unit)


def test_units_are_names_and_small_powers():
    for unit in ("um", "µm", "μm", "Å", "survey_foot", "m**2/m", "mm^2 / mm", "", "angstrom", "light_year"):
        assert validate_unit(unit) == unit
    for unit in ("px", "pixel", "pixels", "voxel", "pix", "sec", "10 um", "um+um", "kg", "m**2"):
        with pytest.raises(ValueError, match="is no unit of length"):
            validate_unit(unit)


DAMAGE = {
    "chunks of no voxel": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[0, 2, 2]),
    "negative chunks": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[-2, 2, 2]),
    "chunks of text": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape="222"),
    "two chunk lengths": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[2, 2]),
    "huge chunks": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[10**400, 2, 2]),
    "no chunk grid": lambda d: d.pop("chunk_grid"),
    "negative shape": lambda d: d.update(shape=[-3, 4, 5]),
    "a shape of 10**400": lambda d: d.update(shape=[10**400, 4, 5]),
    "a shape of floats": lambda d: d.update(shape=[3.5, 4, 5]),
    "a shape of nothing": lambda d: d.update(shape=[0, 4, 5]),
    "no shape": lambda d: d.pop("shape"),
    "attributes in a list": lambda d: d.update(attributes=[1, 2]),
    "attributes of text": lambda d: d.update(attributes="lithax"),
    "metadata in a list": lambda d: d["attributes"].update(lithax=[1]),
    "a length of 10**400": lambda d: d["attributes"]["lithax"].update(voxel_length=[10**400, 1, 1]),
    "an endless length": lambda d: d["attributes"]["lithax"].update(voxel_length=[float("inf"), 1, 1]),
    "a length of text": lambda d: d["attributes"]["lithax"].update(voxel_length=["1", 1, 1]),
    "no length": lambda d: d["attributes"]["lithax"].update(voxel_length=[0, 1, 1]),
    "an origin of NaN": lambda d: d["attributes"]["lithax"].update(voxel_origin=[float("nan"), 0, 0]),
    "a unit of numbers": lambda d: d["attributes"]["lithax"].update(voxel_unit=5),
    "a schema of text": lambda d: d["attributes"]["lithax"].update(schema="1"),
    "a state in a list": lambda d: d["attributes"]["lithax"].update(state=[]),
    "an unknown type": lambda d: d.update(data_type="float7"),
    "a type of numbers": lambda d: d.update(data_type=7),
    "codecs of text": lambda d: d.update(codecs="bytes"),
    "no codecs": lambda d: d.update(codecs=[]),
    "an unknown codec": lambda d: d.update(codecs=[{"name": "magic"}]),
    "another node": lambda d: d.update(node_type="tree"),
    "another format": lambda d: d.update(zarr_format=7),
    "a format in a list": lambda d: d.update(zarr_format=[3]),
    "a key encoding of text": lambda d: d.update(chunk_key_encoding="a"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_error(store, name):
    changed(store, DAMAGE[name])
    with within(20):
        for opened in (lambda: lx.open(store), lambda: lx.open(str(store), mode="r")):
            with pytest.raises(MetadataError, match=r"rock\.zarr") as found:
                opened()
            assert len(str(found.value)) < 1000
        assert not lx.verify(store, progress=False)


@pytest.mark.parametrize(
    "text", ["[" * 200_000 + "]" * 200_000, '{"a":' * 200_000, "", "{}", "[]", "null", "\xff", "{"]
)
def test_documents_that_are_none(store, text):
    (store / "zarr.json").write_bytes(text.encode("latin-1"))
    with within(20), pytest.raises(MetadataError, match=r"rock\.zarr"):
        lx.open(store)


def test_a_deep_document_inside_the_metadata(store):
    deep = "[" * 50_000 + "]" * 50_000
    text = (store / "zarr.json").read_text().replace('"run": null', f'"run": {deep}')
    (store / "zarr.json").write_text(text)
    with within(20), pytest.raises(MetadataError, match=r"rock\.zarr is not valid JSON \(it is nested too deeply\)"):
        lx.open(store)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system exist on POSIX")
def test_pipes_and_directories_in_place_of_files(store):
    held = (store / "zarr.json").read_bytes()
    (store / "zarr.json").unlink()
    os.mkfifo(store / "zarr.json")
    with within(10), pytest.raises(MetadataError, match="is a pipe or a device, not a file"):
        lx.open(store)
    (store / "zarr.json").unlink()
    (store / "zarr.json").mkdir()
    with pytest.raises(MetadataError, match="is a directory, not a file"):
        lx.open(store)
    (store / "zarr.json").rmdir()
    (store / "zarr.json").write_bytes(held)
    os.mkfifo(store.parent / "pipe.zarr")
    with within(10), pytest.raises(MetadataError, match="is a pipe or a device, not a Zarr store"):
        lx.open(store.parent / "pipe.zarr")
    chunk = store / "c" / "0" / "0" / "0"
    chunk.unlink()
    os.mkfifo(chunk)
    with within(10), pytest.raises(OSError, match="pipe or a device"):
        lx.open(store)[...]
    assert not lx.verify(store, progress=False)


def zstd_of_zeros(count):
    """A frame that does not say how much it holds: blocks of 128 KiB, each one byte that is repeated (RFC 8878)."""
    blocks = [((1 << 17) << 3 | 1 << 1 | (n == count - 1)).to_bytes(3, "little") + b"\0" for n in range(count)]
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


ZEROS = bytes(1 << 26)
BOMBS = {
    "gzip": ({"name": "gzip", "configuration": {"level": 9}}, lambda: gzip.compress(ZEROS)),
    "zstd": (
        {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
        lambda: bytes(numcodecs.Zstd().encode(ZEROS)),
    ),
    "zstd of unknown size": (
        {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
        lambda: zstd_of_zeros(512),
    ),
    "blosc": (
        {
            "name": "blosc",
            "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 2, "blocksize": 0},
        },
        lambda: bytes(numcodecs.Blosc().encode(ZEROS)),
    ),
    "zlib": ({"name": "numcodecs.zlib", "configuration": {"level": 9}}, lambda: zlib.compress(ZEROS)),
    "bz2": ({"name": "numcodecs.bz2", "configuration": {"level": 9}}, lambda: bytes(numcodecs.BZ2().encode(ZEROS))),
    "lz4": (
        {"name": "numcodecs.lz4", "configuration": {"acceleration": 1}},
        lambda: bytes(numcodecs.LZ4().encode(ZEROS)),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
def test_a_chunk_decodes_to_no_more_than_it_should(store, name, nested):
    codec, make = BOMBS[name]
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if nested:
        codecs.append({"name": "gzip", "configuration": {"level": 1}})
    changed(store, lambda document: document.update(codecs=[*codecs, codec]))
    (store / "c" / "0" / "0" / "0").write_bytes(make())
    image = lx.open(store)
    tracemalloc.start()
    try:
        with within(20), pytest.raises(OSError, match="cannot be decoded"):
            image[...]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20  # 64 MiB would have come out
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("shards", [None, (2, 4, 4)])
def test_what_the_bounded_codecs_read_is_what_zarr_wrote(tmp_path, shards):
    from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
    from zarr.codecs.numcodecs import BZ2, LZ4, LZMA, Zlib

    values = np.random.default_rng(1).integers(0, 9, (3, 5, 4)).astype("u2")
    chains = [
        [GzipCodec(level=1)],
        [ZstdCodec(level=1)],
        [ZstdCodec(level=1, checksum=True), Crc32cCodec()],
        [BloscCodec(cname="zlib"), GzipCodec(level=1)],
        [GzipCodec(level=1), ZstdCodec()],
        [Zlib(level=1)],
        [BZ2(level=1)],
        [LZMA(preset=1)],
        [LZ4(acceleration=1)],
    ]
    for n, compressors in enumerate(chains):
        array = zarr.create_array(
            tmp_path / f"{n}.zarr",
            shape=(3, 5, 4),
            chunks=(2, 2, 2),
            shards=shards,
            dtype="u2",
            compressors=compressors,
        )
        array[...] = values
        np.testing.assert_array_equal(lx.open(tmp_path / f"{n}.zarr")[...], values)


def mutated(document, rng):
    """Damage one place of a document, in one of many ways."""
    document = copy.deepcopy(document)
    places = []

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(document)
    values = [
        None, True, False, 0, -1, 1, 2, 3, 7, 10**20, 10**400, -(10**400), 0.5, 1e308, float("inf"), float("nan"), "", "x",
        "9**9**9**9", "\0", "é" * 300, [], {}, [[]], [0, 0, 0], [1, 2, 3], [1e999, 1, 1], {"name": "x"}, {"name": None},
        "complete", "writing", "array", "group", "uint8", "float64", "bool", "complex64", "gzip", "regular", "/", ".",
    ]  # fmt: skip
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        node, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.65:
            node[key] = copy.deepcopy(rng.choice(values))
        elif isinstance(node, dict):
            if kind < 0.85:
                node.pop(key, None)
            else:
                node[f"{key}x"] = node.get(key)
        elif key < len(node):
            node.insert(key, copy.deepcopy(rng.choice(values)))
    return json.dumps(document).encode()


def torn(data, rng):
    """Flip, drop, repeat or insert bytes."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + rng.choice([1, 3, 50])]
        elif kind == 2:
            data[at:at] = data[at : at + rng.choice([1, 10])]
        else:
            data[at:at] = bytes(rng.randrange(256) for _ in range(3))
        if not data:
            return b""
    return bytes(data)


def documents(tmp_path):
    """Documents of several kinds, with the objects that belong to them."""
    plain, sharded = {}, {}
    lx.from_array(np.arange(60, dtype="u2").reshape(3, 4, 5), chunks=2, store=plain, voxel_unit="um", voxel_length=2.5)
    lx.from_array(np.ones((4, 4, 4), "f4"), chunks=2, shards=4, store=sharded, voxel_unit="mm")
    return plain, sharded


def test_damaged_documents_by_the_thousand(tmp_path):
    """Every mutation opens as an image that can be described and read, or is a MetadataError."""
    rng = random.Random(SEED)
    print(f"seed {SEED}, {MUTATIONS} mutations")
    originals = documents(tmp_path)
    opened = refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown units, unstable codecs
        for number in range(MUTATIONS):
            objects = dict(rng.choice(originals))
            raw = objects["zarr.json"].to_bytes()
            damaged = mutated(json.loads(raw), rng) if rng.random() < 0.7 else torn(raw, rng)
            objects["zarr.json"] = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(damaged)
            with within(20):
                try:
                    image = lx.open(objects)
                except (MetadataError, IncompleteImageError):
                    refused += 1
                    continue
                except Exception as error:
                    raise AssertionError(f"mutation {number} of seed {SEED}: {type(error)}: {damaged!r}") from error
                opened += 1
                assert np.isfinite(image.bounding_box).all(), damaged
                repr(image)
                try:
                    assert np.asarray(image[:1, :1, :1]).dtype == image.dtype
                except (OSError, MemoryError):  # chunks that do not fit what is said now
                    pass
                except Exception as error:
                    raise AssertionError(f"mutation {number} of seed {SEED}, read: {damaged!r}") from error
    assert opened > MUTATIONS / 20  # some damage does no harm: the test would see nothing if all were refused
    assert refused > MUTATIONS / 4


def test_the_store_is_left_alone_by_opening(store):
    before = {path: path.read_bytes() for path in sorted(Path(store).rglob("*")) if path.is_file()}
    lx.open(store)[...]
    assert before == {path: path.read_bytes() for path in sorted(Path(store).rglob("*")) if path.is_file()}


def test_a_damaged_journal_line_costs_only_its_unit(tmp_path):
    """A run that was cut off; its journal is damaged in a thousand ways; what is left of it is true of the store."""
    from lithax.storage import locate, open_array
    from lithax.storage._journal import recorded_digests

    rng = random.Random(SEED)
    image = lx.from_array(np.arange(64, dtype="u2").reshape(4, 4, 4), chunks=2, store=tmp_path / "in.zarr")
    calls = []

    def stops(block):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return block + 1

    with pytest.raises(KeyboardInterrupt):
        lx.chunk_map(
            stops,
            image,
            store=tmp_path / "out.zarr",
            backend="numpy",
            workers=1,
            resume_key="a",
            halo=0,
            progress=False,
        )
    folder = tmp_path / "out.zarr" / ".lithax"
    (journal,) = sorted(folder.glob("journal*"))
    lines = journal.read_bytes()
    stored = open_array(locate(tmp_path / "out.zarr"), read_only=True)
    true = recorded_digests(stored)
    assert true
    for number in range(1000):
        parts = lines.splitlines()
        at = rng.randrange(len(parts))
        if rng.random() < 0.5:
            parts[at] = mutated(json.loads(parts[at]), rng)
        else:
            parts[at] = torn(parts[at], rng)
        journal.write_bytes(b"\n".join(parts) + b"\n")
        found = recorded_digests(stored)
        unharmed = [entry for n, line in enumerate(lines.splitlines()) if n != at for entry in [json.loads(line)]]
        for entry in unharmed:
            unit = tuple(entry["unit"]) if "unit" in entry else None
            if unit is not None and unit in found:
                assert isinstance(found[unit], str), number
        # Whatever the damaged line says now, no other unit was lost.
        assert {tuple(e["unit"]) for e in unharmed if "unit" in e} <= found.keys(), number
    journal.write_bytes(b"[" * 100_000 + b"\n" + b"\xff\n{}\n[1]\n" + lines)
    assert recorded_digests(stored) == true

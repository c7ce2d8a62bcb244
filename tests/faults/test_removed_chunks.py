"""Chunks that are removed, replaced or damaged, during a run and after it: noticed, named, and made again."""

import shutil
import threading
import uuid

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

import lithax as lx
from lithax.errors import IncompleteImageError, ResumeError
from lithax.testing import assert_same_bits

SHAPE, CHUNK = (12, 8, 8), (4, 4, 4)
OPTIONS = {"backend": "numpy", "resume_key": "double", "progress": False, "workers": 1}
SHARDS = [None, (4, 8, 8)]
IDS = ["chunks", "shards"]


@pytest.fixture
def x(rng):
    return rng.integers(1, 60_000, SHAPE).astype("u2")


def units(store):
    return sorted(p for p in (store / "c").rglob("*") if p.is_file())


def damage(path):
    """Change one byte of the compressed voxels, so that they can still be decoded, with the times set back."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


HARMS = {
    "removed": lambda path: path.unlink(),
    "replaced": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"),
    "emptied": lambda path: path.write_bytes(b""),
    "all removed": lambda path: shutil.rmtree(next(p for p in path.parents if p.name == "c")),
}


def spoiling(store, harm, at):
    """A function that harms a stored chunk of the output when it comes to its n-th block."""
    seen = [0]

    def double(v):
        if v.shape == CHUNK:
            seen[0] += 1
            if seen[0] == at:
                harm(units(store)[0])
        return v * 2

    return double


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
@pytest.mark.parametrize("shards", SHARDS, ids=IDS)
def test_during_the_run(x, tmp_path, harm, shards):
    image = lx.from_array(x // 4, chunks=4)
    store = tmp_path / "out.zarr"
    options = OPTIONS | {"store": store, "chunks": 4, "shards": shards}
    with pytest.raises(
        IncompleteImageError, match=r"'c/0/0/0'.* were removed or changed .* while the run.*resume=True"
    ):
        lx.chunk_map(spoiling(store, harm, 10), image, **options)
    with pytest.raises(IncompleteImageError, match="was cut off"):
        lx.open(store)
    out = lx.chunk_map(lambda v: v * 2, image, resume=True, **options)
    assert_same_bits(np.asarray(out), x // 4 * 2)
    assert lx.verify(store, progress=False)


@pytest.mark.parametrize("store", [MemoryStore, lambda: f"memory://{uuid.uuid4().hex}/a"], ids=["memory", "url"])
def test_during_the_run_elsewhere(x, store):
    store = store()
    image = lx.from_array(x // 4, chunks=4)
    seen = [0]

    def double(v):
        if v.shape == CHUNK:
            seen[0] += 1
            if seen[0] == 9:
                lx.open(store, incomplete=True).stored.delete_object("c/0/0/1")
        return v * 2

    with pytest.raises(IncompleteImageError, match=r"'c/0/0/1' of the image .* were removed"):
        lx.chunk_map(double, image, store=store, **OPTIONS)
    out = lx.chunk_map(double, image, store=store, resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), x // 4 * 2)


def test_in_place(x, tmp_path):
    store = tmp_path / "image.zarr"
    image = lx.from_array(x // 4, chunks=4, store=store)
    with pytest.raises(IncompleteImageError, match="removed or changed"):
        lx.chunk_map(spoiling(store, HARMS["removed"], 10), image, out=image, **OPTIONS)
    # What was there is neither the old nor the new chunk: it cannot be made again from itself, and is not made up.
    with pytest.raises(ResumeError, match="neither as before nor as after"):
        lx.chunk_map(lambda v: v * 2, image, out=image, resume=True, **OPTIONS)


@pytest.mark.parametrize("made_by", ["from_array", "import", "chunk_map", "copy", "another grid", "handle", "mask"])
@pytest.mark.parametrize("harm", ["removed", "damaged"])
@pytest.mark.parametrize("shards", SHARDS, ids=IDS)
def test_afterwards(x, tmp_path, made_by, harm, shards):
    store, options = tmp_path / "a.zarr", {"chunks": 4, "shards": shards}
    source = lx.from_array(x, chunks=4, shards=shards, store=tmp_path / "source.zarr")
    if made_by == "from_array":
        lx.from_array(x, store=store, **options)
    elif made_by == "import":
        source.export_raw(tmp_path / "a.raw")
        lx.import_raw(tmp_path / "a.raw", store=store, **options)
    elif made_by == "chunk_map":
        lx.chunk_map(lambda v: v, source, store=store, progress=False, **options)
    elif made_by == "copy":
        source.copy(store)
    elif made_by == "another grid":
        lx.from_array(x, chunks=3).copy(store, **options)
    else:
        image = lx.zeros(SHAPE, "u2", store=store, **options)
        image[... if made_by == "handle" else np.ones(SHAPE, bool)] = x.reshape(-1) if made_by == "mask" else x
    assert lx.verify(store, progress=False).sound
    assert_same_bits(lx.open(store, check=True)[...], x)
    last = units(store)[-1]
    name = last.relative_to(store).as_posix()
    (damage if harm == "damaged" else HARMS["removed"])(last)
    found = lx.verify(store, progress=False)
    said = "is missing: " if harm == "removed" else "holds other bytes than were written there"
    assert name in found.defects[0]
    assert said in found.defects[0]
    image = lx.open(store, check=True)
    assert_same_bits(image[:4], x[:4])
    for read in (lambda: image[8:], lambda: image[11, 7, 7], lambda: lx.measure.mean(image), lambda: image.copy()):
        with pytest.raises(OSError, match="is missing" if harm == "removed" else "is not what was written there"):
            read()
    if harm == "removed":  # also where nothing is compared
        plain = lx.open(store)
        for read in (
            lambda: plain[8:], lambda: plain[11, 7, 7], lambda: lx.measure.mean(plain), lambda: plain.copy(),
            lambda: plain.copy(chunks=3),
        ):  # fmt: skip
            with pytest.raises(OSError, match=r"is missing: \d+ bytes were written there"):
                read()
        with pytest.raises(OSError, match="is missing"):
            plain[11, 7, 7] = 1  # the rest of the chunk would be made up
        plain[8:] = x[8:]  # written again as a whole
        assert_same_bits(lx.open(store, check=True)[...], x)
        assert lx.verify(store, progress=False)


@pytest.mark.parametrize("store", [MemoryStore, lambda: f"memory://{uuid.uuid4().hex}/a"], ids=["memory", "url"])
def test_afterwards_elsewhere(x, store):
    store = store()
    lx.from_array(x, chunks=4, store=store)
    image = lx.open(store)
    image[0, 0, 0] = 9
    x[0, 0, 0] = 9
    image[4:8, :4, :4] = 0
    x[4:8, :4, :4] = 0
    assert lx.verify(store, progress=False)
    assert_same_bits(lx.open(store, check=True)[...], x)
    image.stored.delete_object("c/2/1/1")
    (defect,) = lx.verify(store, progress=False).defects
    assert "'c/2/1/1' is missing" in defect
    with pytest.raises(OSError, match="is missing"):
        lx.open(store)[...]
    image[8:] = x[8:]
    data = bytearray(image.stored.read_object("c/2/1/1"))
    data[-1] ^= 1
    image.stored.write_object("c/2/1/1", bytes(data))
    (defect,) = lx.verify(store, progress=False).defects
    assert "holds other bytes" in defect
    with pytest.raises(OSError, match="is not what was written"):
        lx.open(store, check=True)[...]
    assert lx.open(store)[...].shape == SHAPE


def test_a_finished_output_that_lost_a_chunk_is_not_handed_out(x, tmp_path):
    image = lx.from_array(x // 4, chunks=4)
    options = OPTIONS | {"store": tmp_path / "out.zarr", "resume": True}
    lx.chunk_map(lambda v: v * 2, image, **options)
    units(tmp_path / "out.zarr")[3].unlink()
    with pytest.raises(ResumeError, match=r"has lost some of what was written there.*overwrite=True"):
        lx.chunk_map(lambda v: v * 2, image, **options)
    out = lx.chunk_map(lambda v: v * 2, image, overwrite=True, **(options | {"resume": False}))
    assert lx.verify(out, progress=False)


def test_chunks_that_hold_the_fill_value(tmp_path):
    image = lx.zeros(SHAPE, "u2", chunks=4, store=tmp_path / "a.zarr")
    assert lx.verify(image, progress=False)
    image[:4] = 5
    image[:4, :4] = 0
    assert not (tmp_path / "a.zarr/c/0/0/0").exists()
    assert lx.verify(image, progress=False)
    assert lx.open(tmp_path / "a.zarr", check=True)[...].sum() == 5 * 4 * 4 * 8


def test_what_another_program_wrote(x, tmp_path):
    store = tmp_path / "a.zarr"
    image = lx.from_array(x, chunks=4, store=store)
    image.content_hash()
    image.zarray[4:8] = 0  # chunks that are removed
    image.zarray[0, 0, 0] = 7
    found = lx.verify(store, progress=False)
    assert len(found.defects) == 5
    assert all("another program" in d or "is missing" in d for d in found.defects)
    assert lx.verify(store, record=True, progress=False)
    x[4:8], x[0, 0, 0] = 0, 7
    assert_same_bits(lx.open(store, check=True)[...], x)
    found = lx.verify(store, progress=False)
    assert found.sound
    assert found.compared == found.chunks


def test_a_store_without_a_record(x, tmp_path):
    """Of another program, or made before there was one."""
    zarr.create_array(tmp_path / "other.zarr", data=x, chunks=CHUNK)
    lx.from_array(x, chunks=4, store=tmp_path / "old.zarr")
    shutil.rmtree(tmp_path / "old.zarr/.lithax")
    for name in ("other", "old"):
        store = tmp_path / f"{name}.zarr"
        assert_same_bits(lx.open(store, check=True)[...], x)
        found = lx.verify(store, progress=False)
        assert found.sound
        assert "nothing was recorded to compare the chunks with" in str(found)
        lx.open(store)[0, 0, 0] = x[0, 0, 0]
        assert lx.verify(store, progress=False).sound
        assert lx.verify(store, record=True, progress=False).sound
        assert lx.verify(store, progress=False).compared == 3 * 2 * 2
        units(store)[0].unlink()
        assert not lx.verify(store, progress=False)


@pytest.mark.parametrize("what", ["cut off", "rubbish", "of another image", "empty"])
def test_a_ledger_that_is_damaged_says_nothing(x, tmp_path, what):
    store = tmp_path / "a.zarr"
    image = lx.from_array(x, chunks=4, store=store)
    ledger = store / ".lithax/ledger"
    if what == "of another image":
        lx.from_array(x, chunks=4, store=tmp_path / "b.zarr")
        shutil.copy(tmp_path / "b.zarr/.lithax/ledger", ledger)
    else:
        ledger.write_bytes({"cut off": ledger.read_bytes()[:31], "rubbish": bytes(range(256)) * 9, "empty": b""}[what])
    found = lx.verify(store, progress=False)
    assert found.sound
    assert found.compared == 0
    image[0] = 3
    x[0] = 3
    assert_same_bits(lx.open(store, check=True)[...], x)


def test_killed_while_a_handle_wrote(x, tmp_path, monkeypatch):
    """The record says that the chunk was being written, not that it is wrong."""
    from lithax.storage._objects import DirectoryObjects

    image = lx.from_array(x, chunks=4, store=tmp_path / "a.zarr")
    write = DirectoryObjects._write

    def killed(self, path, payload):
        status = write(self, path, payload)
        if "/c/" in path:
            raise KeyboardInterrupt
        return status

    monkeypatch.setattr(DirectoryObjects, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        image[0, 0, 0] = 5
    monkeypatch.undo()
    x[0, 0, 0] = 5
    assert_same_bits(lx.open(tmp_path / "a.zarr", check=True)[...], x)
    (defect,) = lx.verify(image, progress=False).defects
    assert "'c/0/0/0' was being written when a process was killed" in defect
    image[0, 0, 0] = 5
    assert lx.verify(image, progress=False)


def test_reading_while_others_write(x, tmp_path):
    """No reader takes what is being written for damage."""
    store = tmp_path / "a.zarr"
    image = lx.from_array(x, chunks=4, store=store)
    stop, errors = threading.Event(), []

    def read(check):
        other = lx.open(store, check=check)
        while not stop.is_set():
            try:
                other[...]
            except OSError as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=read, args=(check,)) for check in (False, True)]
    for thread in threads:
        thread.start()
    for n in range(60):
        image[...] = x * (n % 3)  # also nothing at all
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_checksum_codec(x, tmp_path):
    store = tmp_path / "a.zarr"
    lx.from_array(x, chunks=4, store=store, compressors=[BloscCodec(cname="lz4"), Crc32cCodec()])
    assert_same_bits(zarr.open_array(store, mode="r")[...], x)
    lx.chunk_map(lambda v: v, lx.open(store), store=tmp_path / "b.zarr", progress=False)
    shutil.rmtree(store / ".lithax")
    damage(units(store)[0])
    with pytest.raises(OSError, match="cannot be decoded"):
        lx.open(store)[...]
    assert "cannot be decoded" in lx.verify(store, progress=False).defects[0]

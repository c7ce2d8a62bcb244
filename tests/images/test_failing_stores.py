"""Stores that fail in mid-run, and runs on stores that are no directories: the input is intact, the output resumable."""

import shutil
import subprocess
import uuid

import numpy as np
import pytest
from zarr.storage import MemoryStore, WrapperStore

import lithax as lx
from lithax.errors import IncompleteImageError, LockedError, ResumeError
from lithax.testing import assert_same_bits

SHAPE, CHUNKS = (12, 10, 8), (4, 5, 4)
UNITS = 3 * 2 * 2


class FailingStore(WrapperStore):
    """A store whose chunks cannot be set any more after a while."""

    def __init__(self, store, left=10**9):
        super().__init__(store)
        self.left = left
        self.written = []

    async def set(self, key, value):
        if "/c/" in f"/{key}":
            if self.left <= 0:
                raise OSError(28, "No space left on device")
            self.left -= 1
            self.written.append(key)
        await super().set(key, value)


@pytest.fixture
def x(rng):
    return rng.random(SHAPE).astype("f4") + 1


def double(v):
    return v * 2


OPTIONS = {"backend": "numpy", "resume_key": "double", "progress": False, "workers": 6}


def test_a_store_that_fails_in_mid_run(x):
    store = FailingStore(MemoryStore(), left=5)
    image = lx.from_array(x, chunks=CHUNKS)
    with pytest.raises(OSError, match="No space left on device") as raised:
        lx.chunk_map(double, image, store=store, **OPTIONS)
    assert "resume=True to go on, or with overwrite=True" in "".join(raised.value.__notes__)
    assert_same_bits(np.asarray(image), x)
    with pytest.raises(IncompleteImageError, match="was cut off while it was written"):
        lx.open(store)
    first = list(store.written)
    store.left = 10**9
    out = lx.chunk_map(double, image, store=store, resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), x * 2)
    assert sorted(store.written) == sorted({*first, *store.written})  # none was written twice
    assert_same_bits(np.asarray(lx.open(store)), x * 2)
    assert not [name for name in store._store._store_dict if ".lithax/journal" in name or ".lithax/lock" in name]


def test_a_store_that_fails_in_a_change_in_place(x):
    store = FailingStore(MemoryStore())
    image = lx.from_array(x, chunks=CHUNKS, store=store)
    store.left, store.written = 5, []
    with pytest.raises(OSError, match="No space left on device"):
        image.apply("add", 1, backend="numpy", workers=6, progress=False)
    changed = np.asarray(lx.open(store, incomplete=True)) != x
    assert 0 < changed.mean() < 1
    store.left = 10**9
    with pytest.raises(IncompleteImageError, match="repeat that call with resume=True"):
        image.apply("add", 1, backend="numpy")
    with pytest.raises(ResumeError, match="arrays: "):
        image.apply("add", 2, backend="numpy", resume=True)
    image.apply("add", 1, backend="numpy", resume=True, workers=6, progress=False)
    assert_same_bits(np.asarray(lx.open(store)), x + np.float32(1))
    assert len(store.written) == UNITS


def test_a_store_that_fails_before_anything_is_written(x):
    class Broken(FailingStore):
        async def set(self, key, value):
            raise OSError("no route to host")

    store = Broken(MemoryStore())
    with pytest.raises(OSError, match="no route to host"):
        lx.chunk_map(double, lx.from_array(x, chunks=CHUNKS), store=store, **OPTIONS)
    assert not store._store._store_dict


def test_a_read_that_fails_in_mid_run(x, tmp_path):
    class Unreadable(FailingStore):
        async def get(self, key, prototype, byte_range=None):
            if "c/2/1/" in key and self.left == 0:
                raise OSError("connection reset")
            return await super().get(key, prototype, byte_range)

    store = Unreadable(MemoryStore())
    image = lx.from_array(x, chunks=CHUNKS, store=store)
    store.left = 0
    with pytest.raises(OSError, match="connection reset"):
        lx.chunk_map(double, image, store=tmp_path / "out.zarr", **OPTIONS)
    store.left = 1
    out = lx.chunk_map(double, image, store=tmp_path / "out.zarr", resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), x * 2)


def half_way(fail):
    calls = [0]

    def function(v):
        calls[0] += 1
        if fail[0] and calls[0] == 9:
            raise ZeroDivisionError("half way")
        return v * 2

    return function


def test_a_url(x):
    """Journal and lock beside a remote image, which cannot append and has no processes."""
    url = f"memory://{uuid.uuid4().hex}/out.zarr"
    image = lx.from_array(x, chunks=CHUNKS, shards=(8, 5, 8))
    fail = [True]
    function = half_way(fail)
    with pytest.raises(ZeroDivisionError):
        lx.chunk_map(function, image, store=url, **OPTIONS)
    with pytest.raises(IncompleteImageError, match="was cut off"):
        lx.open(url)
    with pytest.raises(ResumeError, match="computation: "):
        lx.chunk_map(function, image, store=url, resume=True, **(OPTIONS | {"resume_key": "triple"}))
    stored = lx.open(url, incomplete=True).stored
    stored.write_object(".lithax/lock", b'{"host": "elsewhere", "pid": 1, "since": "now", "started": 0}')
    with pytest.raises(LockedError, match="on another machine"):
        lx.chunk_map(function, image, store=url, resume=True, **OPTIONS)
    stored.delete_object(".lithax/lock")
    fail[0] = False
    out = lx.chunk_map(function, image, store=url, resume=True, **OPTIONS)
    assert_same_bits(np.asarray(lx.open(url)), x * 2)
    assert out.stored.list_objects(".lithax") == ["ledger"]
    out += 1
    assert_same_bits(np.asarray(lx.open(url)), x * 2 + 1)


def test_in_place_at_a_url(x):
    url = f"memory://{uuid.uuid4().hex}/image.zarr"
    image = lx.from_array(x, chunks=CHUNKS, store=url)
    fail = [True]
    for resume in (False, True):
        fail[0] = True
        function = half_way(fail)
        with pytest.raises(ZeroDivisionError):
            lx.chunk_map(function, image, out=image, resume=resume, **(OPTIONS | {"workers": 2 - resume}))
    fail[0] = False
    lx.chunk_map(function, image, out=image, resume=True, **OPTIONS)
    assert_same_bits(np.asarray(lx.open(url)), x * 2)


@pytest.fixture
def tiny_disk(tmp_path):
    """A real disk of 256 KiB, where the system lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True)
    if not done or done.returncode:
        pytest.skip("mounting a small disk needs rights that this user has not: run as root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(x, rng, tiny_disk):
    noise = rng.random((64, 32, 32))  # 512 KiB that no codec makes smaller
    image = lx.from_array(noise, chunks=16)
    store = tiny_disk / "out.zarr"
    with pytest.raises(OSError, match="No space left on device"):
        lx.chunk_map(lambda v: v * 1.1, image, store=store, **OPTIONS)
    with pytest.raises(IncompleteImageError, match="was cut off"):
        lx.open(store)
    assert_same_bits(np.asarray(image), noise)
    subprocess.run(["mount", "-o", "remount,size=4m", tiny_disk], check=True)
    out = lx.chunk_map(lambda v: v * 1.1, image, store=store, resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), noise * 1.1)
    assert not list(store.rglob("*.partial"))


def test_a_disk_without_room_for_anything(x, tiny_disk):
    (tiny_disk / "filler").write_bytes(bytes(256 * 1024))
    with pytest.raises(OSError, match="No space left on device"):
        lx.chunk_map(double, lx.from_array(x, chunks=CHUNKS), store=tiny_disk / "out.zarr", **OPTIONS)
    assert [p.name for p in tiny_disk.iterdir()] == ["filler"]

"""A disk that is full, a quota, a missing permission: the message names the file and the way out, and nothing is half-written."""

import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

import lithax as lx
from lithax.testing import assert_same_bits


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
    subprocess.run(["umount", "--lazy", folder], check=True)


def write_chunk_map(image, store):
    lx.chunk_map(lambda v: v * 1.1, image, store=store / "out.zarr", progress=False)


def write_copy(image, store):
    image.copy(store / "out.zarr")


def write_array(image, store):
    lx.from_array(np.asarray(image), chunks=16, store=store / "out.zarr")


def write_raw(image, store):
    image.export_raw(store / "out.raw")


def write_npy(image, store):
    image.export(store / "out.npy")


def write_tiff(image, store):
    image.export(store / "out.tif")


WRITES = [write_chunk_map, write_copy, write_array, write_raw, write_npy, write_tiff]


@pytest.mark.parametrize("write", WRITES, ids=lambda f: f.__name__)
def test_a_full_disk(tiny_disk, rng, write):
    noise = rng.random((64, 32, 32), dtype="f4" if write is write_tiff else "f8") + 1  # no codec makes it smaller
    if write is write_tiff:
        noise = np.concatenate([noise, noise])
    image = lx.from_array(noise, chunks=16)
    with pytest.raises(
        OSError, match=r"No space left on device .*the disk is full: free some space.*'.*/disk/out"
    ) as raised:
        write(image, tiny_disk)
    assert raised.value.errno == errno.ENOSPC
    assert str(tiny_disk / "out") in raised.value.filename
    if write is not write_chunk_map:
        assert not list(tiny_disk.rglob("*.partial"))
        assert list(tiny_disk.iterdir()) == []
        return
    subprocess.run(["mount", "-o", "remount,size=4m", tiny_disk], check=True)
    out = lx.chunk_map(lambda v: v * 1.1, image, store=tiny_disk / "out.zarr", progress=False, resume=True)
    np.testing.assert_allclose(np.asarray(out), noise * 1.1, rtol=1e-15)
    assert lx.verify(out, progress=False)


def test_a_handle_on_a_full_disk(tiny_disk, rng):
    """Each chunk holds what it held or what was assigned, and the record says which."""
    image = lx.zeros((64, 32, 32), "f8", chunks=16, store=tiny_disk / "out.zarr")
    noise = rng.random((64, 32, 32))
    with pytest.raises(OSError, match="the disk is full"):
        image[...] = noise
    held = lx.open(tiny_disk / "out.zarr", check=True)[...]
    for box in (image.chunk_slices(n) for n in range(image.nchunks)):
        assert (held[box] == noise[box]).all() or (held[box] == 0).all()
    assert 0 < np.count_nonzero(held) < held.size
    assert lx.verify(tiny_disk / "out.zarr", progress=False)


def test_a_read_only_file_system(tiny_disk, rng):
    image = lx.from_array(rng.random((8, 8, 8)), chunks=4)
    image.copy(tiny_disk / "a.zarr")
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    for write in (write_chunk_map, write_copy, write_raw, write_npy):
        with pytest.raises(OSError, match=r"mounted read-only: write elsewhere.*'.*/disk"):
            write(image, tiny_disk)
    with pytest.raises(OSError, match="read-only"):
        lx.open(tiny_disk / "a.zarr")[0, 0, 0] = 1
    assert_same_bits(lx.open(tiny_disk / "a.zarr", check=True)[...], np.asarray(image))


OTHER_USER = """
import os, sys
import numpy as np
import lithax as lx

os.chdir("/")
folder = sys.argv[1]
image = lx.from_array(np.ones((8, 8, 8), "f4"), chunks=4)
lx.chunk_map(lambda v: v, image, progress=False, backend="numpy")  # what is imported later can no longer be read
os.seteuid(65534)
for write in (
    lambda: image.copy(folder + "/new.zarr"),
    lambda: lx.chunk_map(lambda v: v, image, store=folder + "/new.zarr", progress=False, backend="numpy"),
    lambda: image.export_raw(folder + "/new.raw"),
):
    try:
        write()
    except PermissionError as error:
        assert "this user may not write there: change the permissions, or write elsewhere" in str(error), error
        assert folder + "/new" in str(error) or folder in str(error), error
    else:
        raise AssertionError(write)
try:
    lx.open(folder + "/a.zarr")[0, 0, 0] = 2
except PermissionError as error:
    assert "this user may not write there" in str(error), error  # opened by the real user, who may
else:
    raise AssertionError
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user: run as root")
def test_another_user(forked):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        lx.ones((8, 8, 8), "u1", chunks=4, store=folder / "a.zarr")
        (folder / "program.py").write_text(OTHER_USER)
        status, errors = forked(folder / "program.py", folder)
        assert status == 0, errors


def test_a_quota(tmp_path, monkeypatch):
    """No quota can be had for a test: the error is that of the system call."""
    image = lx.from_array(np.ones((8, 8, 8)), chunks=4)
    write = os.write

    def full(descriptor, data):
        if len(data) > 100 and bytes(data[:1]) != b"{":
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"Disk quota exceeded .*the quota is used up: .*out\.zarr/c/0/0/0'"):
        image.copy(tmp_path / "out.zarr", compressors=None)
    assert list(tmp_path.iterdir()) == []

"""A run is not finished, and its finished output not handed out again, when an input holds something else than it did."""

import os
import shutil
import uuid

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, WrapperStore

import lithax as lx
from lithax.errors import ResumeError
from lithax.testing import assert_same_bits

SHAPE = (12, 10, 8)
OPTIONS = {"backend": "numpy", "resume_key": "double", "progress": False, "workers": 1}


@pytest.fixture
def x(rng):
    return rng.integers(1, 1000, SHAPE).astype("f4")


class Interrupted(Exception):
    pass


def doubling(fail=None):
    """A function that fails at its n-th real block."""
    seen = [0]

    def double(v):
        seen[0] += v.shape[0] > 2
        if fail is not None and seen[0] > fail:
            raise Interrupted
        return v * 2

    return double


def run(image, store, *, stop=None, **more):
    return lx.chunk_map(doubling(stop), image, store=store, **(OPTIONS | more))


def half(image, store, **more):
    with pytest.raises(Interrupted):
        run(image, store, stop=6, resume=True, **more)


def by_handle(path, new):
    lx.open(path)[...] = new


def one_voxel(path, new):
    image = lx.open(path)
    image[0, 0, 0] = image[0, 0, 0] + 1


def by_mask(path, new):
    lx.open(path)[new > 500] = 7


def by_overwriting(path, new):
    lx.from_array(new, chunks=4, store=path, overwrite=True)


def by_zarr(path, new):
    zarr.open_array(path, mode="r+")[...] = new


def by_file(path, new):
    """Other bytes of the same length, at once, with the time of the file set back."""
    chunk = path / "c/2/1/1"
    before = chunk.stat()
    chunk.write_bytes(bytes(b ^ 1 for b in chunk.read_bytes()))
    os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_removing(path, new):
    (path / "c/2/1/1").unlink()


def by_fill_value(path, new):
    lx.full(SHAPE, "f4", 3, chunks=4, store=path, overwrite=True)


def by_arithmetic(path, new):
    image = lx.open(path)
    image += 1


CHANGES = [
    by_handle, one_voxel, by_mask, by_overwriting, by_zarr, by_file, by_removing, by_fill_value, by_arithmetic,
]  # fmt: skip


@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_input_that_was_changed(x, rng, tmp_path, change, finished):
    image = lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    if finished:
        run(image, tmp_path / "out.zarr", resume=True)
    else:
        half(image, tmp_path / "out.zarr")
    new = rng.integers(1, 1000, SHAPE).astype("f4")
    change(tmp_path / "in.zarr", new)
    before = {p: p.read_bytes() for p in (tmp_path / "out.zarr").rglob("*") if p.is_file()}
    image = lx.open(tmp_path / "in.zarr")
    with pytest.raises(ResumeError, match=r"image 0 \(.*in\.zarr\) has changed since.*overwrite=True"):
        run(image, tmp_path / "out.zarr", resume=True)
    assert {p: p.read_bytes() for p in (tmp_path / "out.zarr").rglob("*") if p.is_file()} == before
    if change is by_removing:
        return
    if change is not by_file:  # which is no longer of the codec
        out = run(image, tmp_path / "out.zarr", resume=True, overwrite=True)
        assert_same_bits(np.asarray(out), np.asarray(image) * 2)


@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize("how", ["copied", "touched", "same voxels", "attributes", "untouched"])
def test_an_input_that_holds_the_same(x, tmp_path, how, finished):
    """Another time of the files, as after rsync or a restored backup, is no change of the voxels."""
    path = tmp_path / "in.zarr"
    image = lx.from_array(x, chunks=4, store=path)
    if finished:
        run(image, tmp_path / "out.zarr", resume=True)
    else:
        half(image, tmp_path / "out.zarr")
    if how == "copied":
        shutil.copytree(path, tmp_path / "copy")
        shutil.rmtree(path)
        (tmp_path / "copy").rename(path)
    elif how == "touched":
        for file in path.rglob("*"):
            os.utime(file, ns=(1, 1))
    elif how == "same voxels":
        lx.open(path)[...] = x
    elif how == "attributes":
        lx.open(path).update(description="seen since").attrs["a"] = 1
    out = run(lx.open(path), tmp_path / "out.zarr", resume=True)
    assert_same_bits(np.asarray(out), x * 2)


def test_a_copied_input_is_read_once(x, tmp_path, monkeypatch):
    path = tmp_path / "in.zarr"
    image = lx.from_array(x, chunks=4, store=path)
    run(image, tmp_path / "out.zarr", resume=True)
    for file in (path / "c").rglob("*"):
        os.utime(file, ns=(1, 1))
    from lithax.storage import StoredArray

    read, seen = StoredArray.read_unit, []
    monkeypatch.setattr(StoredArray, "read_unit", lambda self, unit: seen.append(unit) or read(self, unit))
    for expected in (3 * 3 * 2, 0):  # what was found right is noted
        seen.clear()
        run(lx.open(path), tmp_path / "out.zarr", resume=True)
        assert len(seen) == expected


def test_an_array_of_another_program(x, rng, tmp_path):
    """Without digests the files themselves are what is compared."""
    path = tmp_path / "in.zarr"
    array = zarr.create_array(path, data=x, chunks=(4, 4, 4))
    half(lx.open(path), tmp_path / "a.zarr")
    run(lx.open(path), tmp_path / "b.zarr", resume=True)
    out = run(lx.open(path), tmp_path / "a.zarr", resume=True)
    assert_same_bits(np.asarray(out), x * 2)
    array[0, 0, 0] = 5
    for name in "ab":
        with pytest.raises(ResumeError, match=r"in\.zarr\) has changed since"):
            run(lx.open(path), tmp_path / f"{name}.zarr", resume=True)


@pytest.mark.parametrize("version", [2, 3])
def test_an_array_that_zarr_reads_for_us(x, tmp_path, version):
    path = tmp_path / "in.zarr"
    names = {"dimension_names": ("z", "y", "x")} if version == 3 else {}
    array = zarr.create_array(path, data=x, chunks=(4, 4, 4), zarr_format=version, **names)
    run(lx.open(path), tmp_path / "out.zarr", resume=True)
    run(lx.open(path), tmp_path / "out.zarr", resume=True)
    array.attrs["seen"] = True
    run(lx.open(path), tmp_path / "out.zarr", resume=True)
    array[0, 0, 0] = 5
    with pytest.raises(ResumeError, match="has changed since"):
        run(lx.open(path), tmp_path / "out.zarr", resume=True)


def test_a_file_of_another_format(x, tmp_path):
    np.save(tmp_path / "in.npy", x)
    half(lx.open(tmp_path / "in.npy"), tmp_path / "out.zarr", chunks=4)
    out = run(lx.open(tmp_path / "in.npy"), tmp_path / "out.zarr", resume=True, chunks=4)
    assert_same_bits(np.asarray(out), x * 2)
    np.save(tmp_path / "in.npy", x + 1)
    with pytest.raises(ResumeError, match=r"in\.npy\) has changed since"):
        run(lx.open(tmp_path / "in.npy"), tmp_path / "out.zarr", resume=True, chunks=4)


def test_crops_and_expressions(x, tmp_path):
    """What they are made of is compared."""
    image = lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    other = lx.from_array(x, chunks=4, store=tmp_path / "other.zarr")
    for n, make in enumerate((lambda: image.crop((slice(2, 8), slice(None), slice(None))), lambda: image + other)):
        run(make(), tmp_path / f"{n}.zarr", resume=True)
        run(make(), tmp_path / f"{n}.zarr", resume=True)
    image[3, 3, 3] += 1
    with pytest.raises(ResumeError, match=r"in\.zarr\) has changed since"):
        run(image.crop((slice(2, 8), slice(None), slice(None))), tmp_path / "0.zarr", resume=True)
    image[3, 3, 3] -= 1
    other[3, 3, 3] += 1
    with pytest.raises(ResumeError, match=r"other\.zarr\) has changed since"):
        run(image + other, tmp_path / "1.zarr", resume=True)


STORES = {
    "memory": MemoryStore,
    "dictionary": dict,
    "wrapped": lambda: WrapperStore(MemoryStore()),
    "url": lambda: f"memory://{uuid.uuid4().hex}/in.zarr",
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_inputs_elsewhere(x, tmp_path, make):
    store = make()
    image = lx.from_array(x, chunks=4, store=store)
    half(image, tmp_path / "a.zarr")
    run(image, tmp_path / "b.zarr", resume=True)
    run(lx.open(store), tmp_path / "b.zarr", resume=True)
    image[3, 3, 3] = 0
    for name in "ab":
        with pytest.raises(ResumeError, match=r"image 0 .*has changed since"):
            run(lx.open(store), tmp_path / f"{name}.zarr", resume=True)
    image[3, 3, 3] = x[3, 3, 3]
    out = run(lx.open(store), tmp_path / "a.zarr", resume=True)
    assert_same_bits(np.asarray(out), x * 2)


def test_plain_arrays(x, tmp_path):
    half(x, tmp_path / "out.zarr", chunks=4)
    with pytest.raises(ResumeError, match=r"image 0 \(an array\) has changed since"):
        run(x + 1, tmp_path / "out.zarr", resume=True, chunks=4)
    out = run(x.copy(), tmp_path / "out.zarr", resume=True, chunks=4)
    assert_same_bits(np.asarray(out), x * 2)
    with pytest.raises(ResumeError, match=r"has changed since"):
        run(np.asfortranarray(x)[::-1], tmp_path / "out.zarr", resume=True, chunks=4)


def test_what_cannot_be_known_is_not_the_same(x, tmp_path):
    class Unknown(WrapperStore):
        """A store of a kind that lithax does not know."""

        def __init__(self, store):
            super().__init__(store)
            self._inner, self._store = store, _Opaque(store)

    class _Opaque:
        def __init__(self, store):
            self._inner = store

        def __getattr__(self, name):
            return getattr(self._inner, name)

    image = lx.from_array(x, chunks=4, store=Unknown(MemoryStore()))
    half(image, tmp_path / "out.zarr")
    with pytest.raises(ResumeError, match=r"whether image 0 .* still holds what it held cannot be known"):
        run(image, tmp_path / "out.zarr", resume=True)
    out = run(image, tmp_path / "out.zarr", resume="force")
    assert_same_bits(np.asarray(out), x * 2)


def test_the_images_of_a_selection(x, tmp_path):
    mask = lx.from_array(x > 500, chunks=4, store=tmp_path / "mask.zarr")
    image = lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    options = {"where": mask, "fill_value": 0}
    run(image, tmp_path / "out.zarr", resume=True, **options)
    run(image, tmp_path / "out.zarr", resume=True, **options)
    mask[0, 0, 0] = not mask[0, 0, 0]
    with pytest.raises(ResumeError, match=r"image 0 of where= \(.*mask\.zarr\) has changed since"):
        run(image, tmp_path / "out.zarr", resume=True, **options)


def test_a_content_hash_that_another_program_left_stale(x, tmp_path):
    image = lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    image.content_hash()
    half(image, tmp_path / "out.zarr", hash_inputs=True)
    image.zarray[...] = x + 1
    assert lx.open(tmp_path / "in.zarr").metadata.content_hash is not None
    with pytest.raises(ResumeError, match="has changed since"):
        run(lx.open(tmp_path / "in.zarr"), tmp_path / "out.zarr", resume=True, hash_inputs=True)


def test_an_input_that_is_written_while_it_is_read(x, tmp_path):
    image = lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    other, seen = lx.open(tmp_path / "in.zarr"), []

    def double(v):
        seen.append(v)
        if len(seen) == 8:
            other[...] = x + 1
        return v * 2

    with pytest.raises(lx.errors.IncompleteImageError, match=r"in\.zarr\) was written to while it was read"):
        lx.chunk_map(double, image, store=tmp_path / "out.zarr", **OPTIONS)
    assert lx.open(tmp_path / "out.zarr", incomplete=True).metadata.state == "writing"


PROGRAM = """
import os, signal, sys
import numpy as np
import lithax as lx

blocks = 0

def double(v):
    global blocks
    blocks += v.shape[0] > 2
    if len(sys.argv) > 2 and blocks > 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return v * 2

image = lx.open(sys.argv[1] + "/in.zarr")
lx.chunk_map(double, image, store=sys.argv[1] + "/out.zarr", backend="numpy", resume_key="double", resume=True,
             progress=False, workers=1)
"""


def test_a_script_that_is_killed_and_run_again(x, tmp_path, forked):
    lx.from_array(x, chunks=4, store=tmp_path / "in.zarr")
    (tmp_path / "program.py").write_text(PROGRAM)

    def script(*more):
        return forked(tmp_path / "program.py", tmp_path, *more)

    assert script("kill")[0] == -9
    lx.open(tmp_path / "in.zarr")[...] = x + 1
    status, errors = script()
    assert status == 1
    assert "in.zarr) has changed since" in errors
    lx.open(tmp_path / "in.zarr")[...] = x
    assert script()[0] == 0
    assert_same_bits(np.asarray(lx.open(tmp_path / "out.zarr")), x * 2)

"""Handles that are older than the image in their place, and handles that write at the same time."""

import threading

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import lithax as lx
from lithax.errors import IncompleteImageError, LockedError, StaleHandleError
from lithax.storage._place_locks import local_locks, locks_of
from lithax.testing import assert_same_bits

SHAPE = (8, 8, 8)


def by_type(store):
    lx.full(SHAPE, "f8", 2, chunks=4, store=store, overwrite=True)


def by_chunks(store):
    lx.full(SHAPE, "u1", 2, chunks=2, store=store, overwrite=True)


def by_shards(store):
    lx.full(SHAPE, "u1", 2, chunks=2, shards=4, store=store, overwrite=True)


def by_codec(store):
    lx.full(SHAPE, "u1", 2, chunks=4, store=store, overwrite=True, compressors=None)


def by_the_same_form(store):
    lx.full(SHAPE, "u1", 0, chunks=4, store=store, overwrite=True)


def by_zarr(store):
    zarr.create_array(store, shape=SHAPE, dtype="u2", chunks=(4, 4, 4), overwrite=True)[...] = 2


def by_resizing(store):
    zarr.open_array(store).resize((8, 8, 12))


def by_rockverse_like_attributes(store):
    array = zarr.create_array(store, shape=SHAPE, dtype="u1", chunks=(4, 4, 4), overwrite=True)
    array.attrs["_ROCKVERSE_DATATYPE"] = "VoxelImage"


def assign(image):
    image[...] = 9


def assign_voxel(image):
    image[1, 2, 3] = 9


def assign_mask(image):
    image[np.ones(SHAPE, bool)] = 9


def assign_points(image):
    image[np.array([1]), np.array([2]), np.array([3])] = 9


def update(image):
    image.update(description="mine")


def attribute(image):
    image.attrs["mine"] = 1


def content_hash(image):
    image.content_hash()


def chunk_map(image):
    lx.chunk_map(lambda v: v + 1, image, out=image, progress=False)


def arithmetic(image):
    image += 1


def fill(image):
    image.fill(3)


WRITES = [
    assign,
    assign_voxel,
    assign_mask,
    assign_points,
    update,
    attribute,
    content_hash,
    arithmetic,
    chunk_map,
    fill,
]
REPLACED = [
    by_type, by_chunks, by_shards, by_codec, by_the_same_form, by_zarr, by_resizing, by_rockverse_like_attributes,
]  # fmt: skip


def everything(store):
    found = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    return {p: data for p, data in found.items() if ".lithax" not in p.parts}


@pytest.mark.parametrize("write", WRITES, ids=lambda f: f.__name__)
def test_a_handle_on_an_image_that_was_replaced(tmp_path, write):
    old = lx.zeros(SHAPE, "u1", chunks=4, store=tmp_path / "a.zarr")
    by_type(tmp_path / "a.zarr")
    before = everything(tmp_path / "a.zarr")
    with pytest.raises(StaleHandleError, match=r"was replaced after this handle .*float64.*reopen it"):
        write(old)
    assert everything(tmp_path / "a.zarr") == before
    assert not (tmp_path / "a.zarr/.lithax/lock").exists()


@pytest.mark.parametrize("replace", REPLACED, ids=lambda f: f.__name__)
def test_whatever_it_was_replaced_by(tmp_path, replace):
    old = lx.zeros(SHAPE, "u1", chunks=4, store=tmp_path / "a.zarr")
    replace(tmp_path / "a.zarr")
    before = everything(tmp_path / "a.zarr")
    for write in (assign, assign_mask, attribute, arithmetic):
        with pytest.raises(StaleHandleError, match="was replaced"):
            write(old)
    assert everything(tmp_path / "a.zarr") == before


@pytest.mark.parametrize("make", [dict, MemoryStore, lambda: "memory://stale/a.zarr"], ids=["dict", "memory", "url"])
def test_in_other_stores(make):
    store = make()
    old = lx.zeros(SHAPE, "u1", chunks=4, store=store, overwrite=True)
    lx.full(SHAPE, "f8", 2, chunks=4, store=store, overwrite=True)
    with pytest.raises(StaleHandleError, match="was replaced"):
        old[...] = 9
    assert_same_bits(np.asarray(lx.open(store)), np.full(SHAPE, 2.0))


def test_an_image_without_a_creation_id(tmp_path):
    """Of another program, or made before there were ids: by its form."""
    zarr.create_array(tmp_path / "a.zarr", shape=SHAPE, dtype="u1", chunks=(4, 4, 4))
    image = lx.open(tmp_path / "a.zarr")
    image[0, 0, 0] = 1
    image.attrs["a"] = 1
    image[1, 1, 1] = 1
    zarr.create_array(tmp_path / "a.zarr", shape=SHAPE, dtype="u1", chunks=(8, 4, 4), overwrite=True)
    with pytest.raises(StaleHandleError, match="was replaced"):
        image[0, 0, 0] = 1


@pytest.mark.parametrize("kind", ["planes", "mask", "points"])
@pytest.mark.parametrize("place", ["memory", "local"])
def test_two_threads_in_one_shard(tmp_path, place, kind):
    store = {} if place == "memory" else tmp_path / "a.zarr"
    lx.zeros((32, 8, 8), "u2", chunks=4, shards=(32, 8, 8), store=store)
    handles = [lx.open(store) for _ in range(4)]
    start = threading.Barrier(4)

    def write(n):
        start.wait()
        for plane in range(n, 32, 4):
            if kind == "planes":
                handles[n][plane] = plane + 1
            elif kind == "mask":
                mask = np.zeros((32, 8, 8), bool)
                mask[plane] = True
                handles[n][mask] = plane + 1
            else:
                j, k = np.meshgrid(np.arange(8), np.arange(8))
                handles[n][np.full_like(j, plane), j, k] = plane + 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = np.broadcast_to(np.arange(1, 33, dtype="u2")[:, None, None], (32, 8, 8))
    assert_same_bits(np.asarray(lx.open(store)), np.ascontiguousarray(expected))
    if place == "local":
        assert lx.verify(store, progress=False)


WRITERS = """
import os, sys
import numpy as np
import lithax as lx

folder, count = sys.argv[1], 4
children = []
for n in range(count):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            image = lx.open(folder + "/a.zarr")
            for plane in range(n, 24, count):
                if plane % 3 == 0:
                    image[plane] = plane + 1
                elif plane % 3 == 1:
                    mask = np.zeros(image.shape, bool)
                    mask[plane] = True
                    image[mask] = plane + 1
                else:
                    j, k = np.meshgrid(np.arange(8), np.arange(8))
                    image[np.full_like(j, plane), j, k] = plane + 1
                image.attrs[f"plane {plane}"] = plane
            image.update(**{("field_name", "field_unit", "description", "voxel_unit")[n]: ("a", "b", "c", "mm")[n]})
            status = 0
        finally:
            os._exit(status)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * count
"""


def test_several_processes_in_one_shard(tmp_path, forked):
    lx.zeros((24, 8, 8), "u2", chunks=4, shards=(24, 8, 8), store=tmp_path / "a.zarr")
    (tmp_path / "program.py").write_text(WRITERS)
    status, errors = forked(tmp_path / "program.py", tmp_path)
    assert status == 0, errors
    image = lx.open(tmp_path / "a.zarr")
    assert_same_bits(image[:, 0, 0], np.arange(1, 25, dtype="u2"))
    assert (image[...] == image[:, :1, :1]).all()
    assert dict(image.attrs) == {f"plane {n}": n for n in range(24)}
    assert (image.field_name, image.field_unit, image.description, image.voxel_unit) == ("a", "b", "c", "mm")
    assert lx.verify(image, progress=False)


@pytest.mark.parametrize("place", ["memory", "local", "url"])
def test_a_handle_does_not_write_into_a_run(tmp_path, place):
    store = {"memory": {}, "local": tmp_path / "a.zarr", "url": f"memory://{tmp_path.name}/run.zarr"}[place]
    image = lx.ones(SHAPE, "u2", chunks=4, store=store)
    other, refused = lx.open(store), []

    def block(v):
        if v.shape == (4, 4, 4):
            for write in (assign, assign_mask, arithmetic):
                with pytest.raises(LockedError, match="is being written by"):
                    write(other)
                refused.append(write)
            other.attrs["during"] = True  # what is no voxel may change
        return v + 1

    lx.chunk_map(block, image, out=image, backend="numpy", progress=False)
    assert len(refused) >= 3 * 8
    assert_same_bits(np.asarray(lx.open(store)), np.full(SHAPE, 2, "u2"))
    assert lx.open(store).attrs["during"] is True
    other[0, 0, 0] = 7  # afterwards it may
    assert lx.open(store)[0, 0, 0] == 7


def test_a_handle_does_not_write_into_an_unfinished_image(tmp_path):
    image = lx.ones(SHAPE, "u2", chunks=4, store=tmp_path / "a.zarr")
    other = lx.open(tmp_path / "a.zarr")

    def fail(v):
        if v.shape == (4, 4, 4):
            raise ZeroDivisionError
        return v + 1

    with pytest.raises(ZeroDivisionError):
        lx.chunk_map(fail, image, out=image, backend="numpy", resume_key="a", progress=False)
    with pytest.raises(IncompleteImageError, match="resume=True before this part is changed"):
        other[0, 0, 0] = 7


def test_one_lock_for_one_place(tmp_path):
    lx.zeros(SHAPE, "u1", store=tmp_path / "a.zarr")
    (tmp_path / "link").symlink_to(tmp_path / "a.zarr")
    a, b = (lx.open(tmp_path / name).stored for name in ("a.zarr", "link"))
    assert a.locks is b.locks
    memory = {}
    c, d = lx.zeros(SHAPE, "u1", store=memory), lx.open(MemoryStore(memory))
    assert c.stored.locks is d.stored.locks
    assert c.stored.locks is not lx.zeros(SHAPE, "u1").stored.locks
    assert locks_of(c.store, "other", "") is not c.stored.locks


def test_the_files_that_are_locked_stay(tmp_path):
    image = lx.zeros(SHAPE, "u1", chunks=4, store=tmp_path / "a.zarr")
    image[...] = 1
    folder = tmp_path / "a.zarr/.lithax/locks"
    before = {p.name: p.stat().st_ino for p in folder.iterdir()}
    assert "run" in before
    image += 1
    lx.chunk_map(lambda v: v, image, out=image, progress=False)
    after = {p.name: p.stat().st_ino for p in folder.iterdir()}
    assert {name: after[name] for name in before} == before


def test_where_locks_are_refused(tmp_path, monkeypatch):
    import fcntl

    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    image = lx.zeros(SHAPE, "u1", chunks=4, store=tmp_path / "a.zarr")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(RuntimeWarning, match=r"refuses locks \(No locks available\).*several processes") as seen:
        image[0, 0, 0] = 1
    assert len(seen) == 1
    image[0, 0, 1] = 1  # said once
    assert image[0, 0, :2].tolist() == [1, 1]


def test_where_locks_reach_one_machine():
    mounts = (
        "/dev/sda1 / ext4 rw 0 0\nserver:/home /home nfs4 rw,vers=4.2 0 0\nserver:/old /home/old nfs rw,nolock 0 0\n"
        "mgs:/fs /lustre lustre rw,localflock 0 0\nmgs:/g /lustre/good lustre rw,flock 0 0\n"
    )
    assert local_locks("/home/me", mounts) is None
    assert "nfs mount /home/old (nolock)" in local_locks("/home/old/a.zarr", mounts)
    assert "lustre mount /lustre (localflock)" in local_locks("/lustre/a.zarr", mounts)
    assert local_locks("/lustre/good/a.zarr", mounts) is None
    assert local_locks("/tmp", mounts) is None


def test_assignment_is_that_of_numpy(rng):
    """Masks and lists of indices are written by lithax itself."""
    for shards in (None, (8, 4, 4)):
        image = lx.from_array(rng.integers(0, 9, (9, 7, 5)).astype("i4"), chunks=(4, 2, 2), shards=shards)
        expected = np.asarray(image)
        mask = rng.random(expected.shape) < 0.3
        for selection, values in (
            (mask, 5),
            (mask, np.arange(mask.sum())),
            (np.zeros_like(mask), 3),
            (np.nonzero(mask), np.arange(mask.sum()) + 7),
            (([-1, 0, 8], [0, -7, 6], [4, -5, 0]), [1, 2, 3]),
            ((np.array([[0, 1], [2, 3]]), np.array([[1], [2]]), np.array(0)), [[1, 2], [3, 4]]),
            ((np.array([], int),) * 3, 1),
        ):
            image[selection] = values
            expected[selection] = values
            np.testing.assert_array_equal(np.asarray(image), expected)

"""What `store` may be, and what is said where nothing, or something else, is there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ZipStore

from lithax.errors import MetadataError
from lithax.storage import create_array, creating, locate, open_array

ARRAY = {"shape": (4, 4, 4), "dtype": np.dtype("u1"), "chunks": (2, 2, 2)}


def test_what_a_store_may_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(locate(None).store, MemoryStore)
    for store in ("a.zarr", Path("a.zarr"), f"file://{tmp_path}/a.zarr", tmp_path / "b" / ".." / "a.zarr"):
        place = locate(store)
        assert isinstance(place.store, LocalStore)
        assert place.directory == tmp_path / "a.zarr"
    assert isinstance(locate("memory://x").store, FsspecStore)
    own = MemoryStore()
    assert locate(own).store is own
    group = zarr.create_group(own, path="g")
    assert (locate(group).store, locate(group, "/a//b/").path) == (own, "g/a/b")
    assert isinstance(locate({}).store, MemoryStore)
    assert not list(tmp_path.iterdir())


def test_the_home_directory():
    assert locate("~/image.zarr").directory == Path.home().resolve() / "image.zarr"


@pytest.mark.parametrize(
    ("store", "path", "error", "message"),
    [
        (np.zeros((2, 2, 2)), None, TypeError, "store is an array of type ndarray; lx.from_array makes an image of it"),
        (3, None, TypeError, "store=3 must be a path, a URL, a Zarr store, or None"),
        ("", None, ValueError, "store='' must not be empty"),
        ("nonsense://x", None, ValueError, "unknown protocol 'nonsense'"),
        ("a", 3, TypeError, "path=3 must be text"),
        ("a", "../b", ValueError, r"path='\.\./b' must not contain"),
    ],
)
def test_what_it_may_not_be(store, path, error, message):
    with pytest.raises(error, match=message):
        locate(store, path)


def test_options_for_a_file_system_need_a_url(tmp_path):
    with pytest.raises(TypeError, match=r"storage_options=.* is for URLs"):
        locate(tmp_path, storage_options={"anon": True})


def test_a_missing_package_is_named(monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(FsspecStore, "from_url", missing)
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(ImportError, match=r"Install s3fs .*pip install 'lithax\[io\]'"):
        locate("s3://bucket/image")


@pytest.mark.parametrize("store", ["missing", "memory://missing"])
def test_opening_what_is_not_there_leaves_nothing(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"store={store} does not exist"):
        open_array(locate(store))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_array(locate(store, "a/b"))
    assert not list(tmp_path.iterdir())


def test_opening_something_else(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(MetadataError, match=r"is a file, not a Zarr store; lx\.open reads files of other formats"):
        open_array(locate(tmp_path / "file"))
    with pytest.raises(MetadataError, match="is a folder, but neither a Zarr store"):
        open_array(locate(tmp_path))
    create_array(locate(tmp_path / "g", "one"), **ARRAY)
    create_array(locate(tmp_path / "g", "sub/two"), **ARRAY)
    with pytest.raises(MetadataError, match="is a group, not an image; pass path= to open one of 'one', 'sub'"):
        open_array(locate(tmp_path / "g"))
    with pytest.raises(FileNotFoundError, match=r"path='tow' does not exist .* holds 'one', 'sub'"):
        open_array(locate(tmp_path / "g", "tow"))


def test_a_place_that_is_taken(tmp_path):
    place = locate(tmp_path / "image")
    create_array(place, **ARRAY)
    with pytest.raises(FileExistsError, match="holds an image already; pass overwrite=True"):
        create_array(place, **ARRAY)
    with pytest.raises(ValueError, match="path='in/it' lies inside the array"):
        create_array(locate(tmp_path / "image", "in/it"), **ARRAY)
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(FileExistsError, match="is a file, not a Zarr store"):
        create_array(locate(tmp_path / "file"), overwrite=True, **ARRAY)
    with pytest.raises(FileExistsError, match="is a file, not a Zarr store"):
        create_array(locate(tmp_path / "file" / "below"), overwrite=True, **ARRAY)
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_overwriting_never_removes_what_is_no_image(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"abc")
    with pytest.raises(FileExistsError, match="holds something else"):
        create_array(locate(tmp_path / "photos"), overwrite=True, **ARRAY)
    create_array(locate(tmp_path / "group", "image"), **ARRAY)
    with pytest.raises(FileExistsError, match="is a group holding 'image'; pass path="):
        create_array(locate(tmp_path / "group"), overwrite=True, **ARRAY)
    assert (tmp_path / "photos/one.jpg").exists()
    assert (tmp_path / "group/image/zarr.json").exists()


def test_overwriting_removes_the_old_chunks(tmp_path):
    place = locate(tmp_path / "image")
    box = tuple(slice(0, 4) for _ in range(3))
    create_array(place, **ARRAY).write(box, np.ones((4, 4, 4), "u1"))
    new = create_array(place, overwrite=True, **ARRAY)
    assert (new.read(box) == 0).all()
    assert [p.name for p in tmp_path.iterdir()] == ["image"]


def test_what_a_killed_run_had_set_aside_is_removed_by_the_next(tmp_path):
    place = locate(tmp_path / "image")
    create_array(place, **ARRAY)
    (tmp_path / "image").rename(tmp_path / ".image.0123.replaced")
    (tmp_path / ".other.0123.replaced").mkdir()
    create_array(place, **ARRAY)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.0123.replaced", "image"]


@pytest.mark.parametrize("store", [None, "memory://overwrite"])
def test_overwriting_elsewhere(store):
    place = locate(store, "a")
    box = tuple(slice(0, 4) for _ in range(3))
    create_array(place, **ARRAY).write(box, np.ones((4, 4, 4), "u1"))
    other = create_array(locate(place.store, "b"), **ARRAY)
    other.write(box, np.ones((4, 4, 4), "u1"))
    new = create_array(place, overwrite=True, **ARRAY)
    assert (new.read(box) == 0).all()
    assert (other.read(box) == 1).all()
    assert locate(place.store).children() == ["a", "b"]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_failure_while_filling_leaves_things_as_they_were(tmp_path, where, existing):
    place = locate(tmp_path / "deep/er/store", "a/b") if where == "local" else locate(None, "a/b")
    box = tuple(slice(0, 4) for _ in range(3))
    if existing:
        create_array(place, **ARRAY).write(box, np.ones((4, 4, 4), "u1"))

    def fail_half_way():
        with creating(place, overwrite=True, **ARRAY) as array:
            array.write(box, np.full((4, 4, 4), 2, "u1"))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    if existing and where == "local":
        assert (open_array(place).read(box) == 1).all()
    elif not existing:
        assert place.objects.children("") == []
        assert not list(tmp_path.iterdir())


def test_an_empty_directory_of_the_user_stays(tmp_path):
    with pytest.raises(RuntimeError), creating(locate(tmp_path), **ARRAY):
        raise RuntimeError
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_groups_on_the_way_are_made(tmp_path):
    create_array(locate(tmp_path / "s", "a/b/c"), **ARRAY)
    group = zarr.open_group(tmp_path / "s", mode="r")
    assert group["a/b/c"].shape == (4, 4, 4)


def test_a_read_only_store(tmp_path):
    with pytest.raises(PermissionError, match="is read-only; an image cannot be made there"):
        create_array(locate(tmp_path / "a", read_only=True), **ARRAY)
    create_array(locate(tmp_path / "a"), **ARRAY)
    assert open_array(locate(tmp_path / "a"), read_only=True).read_only


@pytest.mark.skipif(
    not hasattr(__import__("os"), "getuid") or __import__("os").getuid() == 0, reason="root may write anywhere"
)
def test_a_directory_that_may_not_be_written_to(tmp_path):
    create_array(locate(tmp_path / "a"), **ARRAY)
    (tmp_path / "a").chmod(0o500)
    assert open_array(locate(tmp_path / "a")).read_only


def test_a_zip_file(tmp_path):
    array = create_array(locate(tmp_path / "a"), **ARRAY)
    box = tuple(slice(0, 4) for _ in range(3))
    array.write(box, np.ones((4, 4, 4), "u1"))
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a")
    zipped = open_array(locate(tmp_path / "a.zip"))
    assert isinstance(zipped.store, ZipStore)
    assert zipped.read_only
    assert (zipped.read_parallel(box, workers=2) == 1).all()
    zipped.store.close()


def test_the_same_place_is_known_as_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    array = create_array(locate("s", "a"), **ARRAY)
    assert locate(tmp_path / "s", "a").holds(array)
    assert locate("s/a").holds(array)
    assert not locate("s", "b").holds(array)
    memory = create_array(locate(None), **ARRAY)
    assert locate(memory.store).holds(memory)
    assert not locate(None).holds(memory)
    assert not locate("s", "a").holds(memory)

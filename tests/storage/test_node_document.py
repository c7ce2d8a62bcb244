"""Changes of metadata: whole, at once, and seen by every handle."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

from lithax.errors import MetadataError
from lithax.storage import Metadata, StoredArray, create_array, locate, open_array


@pytest.fixture
def array(tmp_path):
    return create_array(locate(tmp_path / "image"), shape=(4, 4, 4), dtype=np.dtype("u1"), chunks=(2, 2, 2))


def test_updates_survive_reopening(array):
    array.update_metadata(field_name="porosity", voxel_length=(1, 2, 3))
    array.attrs["sample"] = {"depth": 1200}
    again = open_array(locate(array.directory))
    assert again.metadata == array.metadata == Metadata(field_name="porosity", voxel_length=(1, 2, 3))
    assert dict(again.attrs) == {"sample": {"depth": 1200}}
    assert again.zarray.attrs["sample"] == {"depth": 1200}
    assert array.zarray.attrs["sample"] == {"depth": 1200}


def test_two_handles_do_not_undo_each_other(array):
    other = open_array(locate(array.directory))
    array.update_metadata(field_name="a")
    other.update_metadata(field_unit="b")
    other.attrs["c"] = 1
    array.attrs["d"] = 2
    fresh = open_array(locate(array.directory))
    assert (fresh.metadata.field_name, fresh.metadata.field_unit) == ("a", "b")
    assert dict(fresh.attrs) == {"c": 1, "d": 2}
    assert array.metadata.field_unit == ""
    assert array.reload_metadata().field_unit == "b"


def test_readers_see_old_or_new_but_never_half(array):
    """A reader in another thread parses the document again and again while it is replaced."""
    path = array.directory / "zarr.json"
    stop, seen, failures = threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                seen.add(len(json.loads(path.read_text())["attributes"]["lithax"]["description"]))
            except ValueError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for length in [10, 100_000] * 20:
        array.update_metadata(description="x" * length)
    stop.set()
    reader.join()
    assert not failures
    assert seen <= {0, 10, 100_000}


def test_attributes_are_a_mapping(array):
    array.attrs.update(a=1, b=[1, 2])
    assert sorted(array.attrs) == ["a", "b"]
    assert len(array.attrs) == 2
    del array.attrs["a"]
    assert dict(array.attrs) == {"b": [1, 2]}
    assert repr(array.attrs) == "{'b': [1, 2]}"
    value = array.attrs["b"]
    value.append(3)
    assert array.attrs["b"] == [1, 2]  # what was read is a copy
    with pytest.raises(KeyError):
        del array.attrs["a"]


def test_attributes_that_cannot_be(array):
    with pytest.raises(KeyError, match=r"change it with image\.update"):
        array.attrs["lithax"] = 1
    with pytest.raises(TypeError, match="must be text"):
        array.attrs[1] = 1
    with pytest.raises(TypeError, match="values that JSON can hold"):
        array.attrs["a"] = object()
    with pytest.raises(TypeError, match="values that JSON can hold"):
        array.update_metadata(provenance={"f": object()})
    assert open_array(locate(array.directory)).metadata == Metadata()


def test_a_wrong_update_changes_nothing(array):
    with pytest.raises(MetadataError, match="voxel_length"):
        array.update_metadata(voxel_length=(0, 0, 0))
    assert array.reload_metadata() == Metadata()


def test_the_content_hash_is_dropped_even_if_another_handle_stored_it(array):
    other = open_array(locate(array.directory))
    other.update_metadata(content_hash="abc")
    array.drop_content_hash()
    assert other.reload_metadata().content_hash is None


def test_a_damaged_document(array):
    (array.directory / "zarr.json").write_text('{"zarr_format": 3, "node')
    with pytest.raises(MetadataError, match=r"zarr\.json of .* is not valid JSON"):
        open_array(locate(array.directory))
    (array.directory / "zarr.json").write_text("[]")
    with pytest.raises(MetadataError, match="must hold a JSON mapping"):
        open_array(locate(array.directory))


def test_metadata_of_an_array_of_another_program_is_added_to_it():
    zarray = zarr.create_array(MemoryStore(), shape=(4, 4, 4), dtype="u1", chunks=(2, 2, 2), attributes={"a": 1})
    array = StoredArray(zarray)
    array.update_metadata(field_name="CT")
    assert StoredArray(zarr.open_array(zarray.store)).metadata.field_name == "CT"
    assert dict(array.attrs) == {"a": 1}


def test_a_stray_partial_file_is_not_left(array, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        array.update_metadata(field_name="x")
    monkeypatch.undo()
    assert sorted(p.name for p in array.directory.iterdir()) in (["zarr.json"], [".lithax", "zarr.json"])
    assert isinstance(array.store, LocalStore)

"""Opening what is there, and saying clearly what is not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import lithax as lx
from lithax.errors import IncompleteImageError, MetadataError

VALUES = np.arange(4 * 5 * 6, dtype="u2").reshape(4, 5, 6)
ROCKVERSE = Path(__file__).parent.parent / "storage/data/rockverse_image"


def test_an_image_and_its_group(tmp_path):
    made = lx.from_array(VALUES, store=tmp_path / "s", path="a/b", voxel_length=2, voxel_unit="um", field_name="CT")
    for store, path in ((tmp_path / "s", "a/b"), (str(tmp_path / "s" / "a"), "b"), (f"file://{tmp_path}/s/a/b", None)):
        image = lx.open(store, path=path)
        np.testing.assert_array_equal(image[...], VALUES)
        assert image.metadata == made.metadata
        assert not image.read_only
    assert lx.open(made.store, path=made.path).field_name == "CT"
    assert lx.open(made.zarray).field_name == "CT"


def test_an_image_of_rockverse(tmp_path):
    image = lx.open(ROCKVERSE, mode="r")
    assert (image.hx, image.hy, image.hz) == (0.5, 0.25, 2)
    assert image[1, 2, 3] == 123
    assert "RockVerse" in repr(image)
    assert image.index_to_coordinate(0, 0, 0) == (1, 2, 3)
    copy = image.copy(tmp_path / "copy")
    assert copy.metadata == image.metadata
    assert dict(copy.attrs) == {}
    shutil.copytree(ROCKVERSE, tmp_path / "image")
    own = lx.open(tmp_path / "image")
    own[0] = 0
    own.update(voxel_length=(3, 3, 3))
    assert lx.open(tmp_path / "image").hx == 3


def test_a_plain_array_becomes_an_image(tmp_path):
    zarr.create_array(tmp_path / "a", data=VALUES, chunks=(2, 2, 2), attributes={"scanner": "A"})
    image = lx.open(tmp_path / "a")
    assert (image.voxel_length, image.voxel_unit) == ((1, 1, 1), "")
    assert dict(image.attrs) == {"scanner": "A"}
    image.update(voxel_unit="um")
    image[0, 0, 0] = 9
    again = lx.open(tmp_path / "a")
    assert (again.voxel_unit, again[0, 0, 0]) == ("um", 9)
    assert dict(again.attrs) == {"scanner": "A"}


def test_an_array_that_can_only_be_read(tmp_path):
    zarray = zarr.create_array(tmp_path / "a", shape=VALUES.shape, dtype="u2", chunks=(2, 2, 2), zarr_format=2)
    zarray[...] = VALUES
    zarray.attrs["scanner"] = "A"
    image = lx.open(tmp_path / "a")
    assert image.read_only
    np.testing.assert_array_equal(image[::2, 1], VALUES[::2, 1])
    np.testing.assert_array_equal(image[[0, 1], 2], VALUES[[0, 1], 2])
    np.testing.assert_array_equal(image[VALUES > 50], VALUES[VALUES > 50])
    assert dict(image.attrs) == {"scanner": "A"}
    for change in (
        lambda: image.__setitem__(0, 0),
        lambda: image.update(field_name="a"),
        lambda: image.attrs.update(a=1),
    ):
        with pytest.raises(PermissionError, match=r"lithax reads but does not write; copy\(\)"):
            change()
    copy = image.copy(tmp_path / "b")
    np.testing.assert_array_equal(lx.open(tmp_path / "b")[...], VALUES)
    assert copy.content_hash() == image.content_hash()


def test_axes_that_are_turned_are_said(tmp_path):
    zarr.create_array(tmp_path / "a", data=VALUES, chunks=(2, 2, 2), dimension_names=("z", "y", "x"))
    image = lx.open(tmp_path / "a")
    np.testing.assert_array_equal(image[1:3, :, ::-1], VALUES.T[1:3, :, ::-1])
    assert "(Zarr, stored z, y, x)" in repr(image)
    assert "(Zarr, stored z, y, x)" in image._repr_html_()


def test_what_is_not_there_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="store=missing does not exist"):
        lx.open("missing")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["w", "a", "rw", None])
def test_modes(tmp_path, mode):
    with pytest.raises(ValueError, match=r"mode=.* must be 'r' \(read only\) or 'r\+'"):
        lx.open(tmp_path, mode=mode)


def test_memory_holds_nothing():
    with pytest.raises(TypeError, match="store=None is new memory, which holds no image"):
        lx.open(None)


def test_an_unfinished_image(tmp_path):
    image = lx.from_array(VALUES, store=tmp_path / "a")
    image.stored.update_metadata(state="writing", run={"computation": "abc"})
    with pytest.raises(IncompleteImageError, match="with resume=True, or open it with incomplete=True"):
        lx.open(tmp_path / "a")
    shown = lx.open(tmp_path / "a", incomplete=True)
    np.testing.assert_array_equal(shown[...], VALUES)
    assert "writing" in repr(shown)


def test_a_newer_schema(tmp_path):
    image = lx.from_array(VALUES, store=tmp_path / "a")
    image.zarray.update_attributes({"lithax": {**image.metadata.to_json(), "schema": 7}})
    with pytest.raises(MetadataError, match=r"has metadata of schema 7; lithax .* Open it with a newer lithax"):
        lx.open(tmp_path / "a")

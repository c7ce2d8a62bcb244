"""Pyramids: the levels are means of the image, lie where it lies, and are OME-Zarr to other programs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr
from ome_zarr_models.v05 import Image as OmeImage

import lithax as lx
from lithax.chunked import MapJob, _block_layout
from lithax.errors import IncompleteImageError
from lithax.images._outputs import Output
from lithax.images._prepare_map import prepare_map

PLACE = {"voxel_length": (1.0, 1.0, 1.5), "voxel_origin": (5.0, -6.0, 7.0), "voxel_unit": "um"}


@pytest.fixture
def image(tmp_path, rng):
    values = rng.integers(0, 60_000, (22, 20, 9)).astype("u2")
    return lx.from_array(values, store=tmp_path / "rock.zarr", chunks=8, field_name="grey", **PLACE)


def coarser(values):
    """The mean of boxes, halves upwards, in another way: sums of float64 after padding to whole boxes."""
    padded = np.pad(values, [(0, n % 2) for n in values.shape], mode="edge").astype("f8")
    x, y, z = (n // 2 for n in padded.shape)
    return np.floor(padded.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5)) + 0.5).astype(values.dtype)


def same_place(a, b):
    assert a.frame.same_grid(b.frame)
    assert a.voxel_unit == b.voxel_unit


@pytest.mark.parametrize("beside", [True, False])
def test_levels_are_means_of_the_image(image, tmp_path, beside):
    made = lx.pyramid(image, *([] if beside else [tmp_path / "rock.ome.zarr"]), smallest=6, progress=False)
    expected = [coarser(image[:])]
    expected.append(coarser(expected[0]))
    assert [level.shape for level in made.levels] == [(11, 10, 5), (6, 5, 3)]
    for level, values in zip(made.levels, expected, strict=True):
        np.testing.assert_array_equal(level[:], values)
        assert (level.dtype, level.field_name, level.voxel_unit) == (image.dtype, "grey", "um")
    half, quarter = made.levels
    # The outer faces at the low end stay; so do those at the other where the number of voxels is even.
    for level in (half, quarter):
        np.testing.assert_allclose(level.extent[0], image.extent[0], rtol=1e-12)
    np.testing.assert_allclose(half.extent[1][:2], image.extent[1][:2], rtol=1e-12)
    assert (half.voxel_length, half.voxel_origin) == ((2.0, 2.0, 3.0), (5.5, -5.5, 7.75))
    again = lx.open(tmp_path / ("rock.zarr" if beside else "rock.ome.zarr"))
    np.testing.assert_array_equal(again[:], image[:])
    same_place(again, image)
    assert [level.shape for level in again.levels] == [half.shape, quarter.shape]
    assert [level.shape for level in half.levels] == [quarter.shape]  # a level knows those below it


def test_voxels_become_more_cubic(rng):
    image = lx.from_array(rng.random((8, 8, 8), "f4"), voxel_length=(1, 1, 3))
    shapes = [level.shape for level in lx.pyramid(image, smallest=1, progress=False).levels]
    assert shapes == [(4, 4, 8), (2, 2, 4), (1, 1, 2), (1, 1, 1)]
    assert image.levels[1].voxel_length == (4, 4, 6)


@pytest.mark.parametrize("shape", [(32, 32, 32), (22, 20, 10)])
def test_blocks_are_put_together_from_parts(shape, rng, monkeypatch):
    monkeypatch.setattr(_block_layout, "BLOCK_VOXELS", 8**3)
    values = rng.integers(0, 60_000, shape).astype("u2")
    image = lx.from_array(values, chunks=8)
    operation = lx.ops.coarsen("mean")
    # Nothing is read beyond whole boxes, so a part is made of one chunk.
    request = prepare_map("test", operation, (image,), {}, output=Output(chunks=8)).request
    assert (request.core, request.block_shapes) == ((4, 4, 4), ((8, 8, 8),))
    np.testing.assert_array_equal(lx.chunk_map(operation, image, chunks=8, progress=False)[:], coarser(values))


@pytest.mark.parametrize("beside", [True, False])
def test_other_programs_read_it(image, tmp_path, beside):
    group = tmp_path / "rock.zarr/levels" if beside else tmp_path / "rock.ome.zarr"
    made = lx.pyramid(image, None if beside else group, smallest=6, progress=False)
    levels = made.levels if beside else (made, *made.levels)
    # Two independent validators.
    yaozarrs.validate_zarr_store(str(group))
    assert OmeImage.from_zarr(zarr.open_group(group, mode="r")).attributes.ome.version == "0.5"
    # Zarr itself sees axes z, y, x, in the arrays as in the group.
    opened = zarr.open_group(group, mode="r")
    entry = opened.attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in entry["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in entry["axes"]} == {"micrometer"}
    for number, level in enumerate(levels):
        array = opened[entry["datasets"][number]["path"]]
        assert array.metadata.dimension_names == ("z", "y", "x")
        np.testing.assert_array_equal(array[:], level[:].transpose(2, 1, 0))
        scale, translation = entry["datasets"][number]["coordinateTransformations"]
        assert tuple(scale["scale"]) == level.voxel_length[::-1]
        assert tuple(translation["translation"]) == level.voxel_origin[::-1]


@pytest.mark.parametrize("beside", [True, False])
def test_levels_have_the_chunks_and_shards_asked_for(image, tmp_path, beside):
    group = tmp_path / "rock.zarr/levels" if beside else tmp_path / "rock.ome.zarr"
    plain = lx.pyramid(image, tmp_path / "plain", smallest=3, progress=False)
    made = lx.pyramid(image, None if beside else group, smallest=3, chunks=4, shards=8, progress=False)
    levels = made.levels if beside else (made, *made.levels)
    layouts = {(22, 20, 9): (4, 4, 4, 8, 8, 8), (11, 10, 5): (4, 4, 4, 8, 8, 8)}
    layouts |= {(6, 5, 3): (4, 4, 3, 8, 8, 3), (3, 3, 2): (3, 3, 2, 3, 3, 2)}
    assert [(*level.chunks, *level.shards) for level in levels] == [layouts[level.shape] for level in levels]
    for level, other in zip(levels[::-1], (plain, *plain.levels)[::-1], strict=False):
        np.testing.assert_array_equal(level[:], other[:])
    files = [path for path in (group / "0/c").glob("**/*") if path.is_file()]
    assert len(files) == (4 if beside else 18)  # one for each shard
    yaozarrs.validate_zarr_store(str(group))
    assert OmeImage.from_zarr(zarr.open_group(group, mode="r")).attributes.ome.version == "0.5"
    np.testing.assert_array_equal(zarr.open_group(group, mode="r")["0"][:], levels[0][:].transpose(2, 1, 0))
    copy = levels[0].copy(tmp_path / "copy")
    assert (copy.chunks, copy.shards) == (levels[0].chunks, levels[0].shards)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "copy", mode="r")[:], levels[0][:])
    assert all(level.shards is None for level in (plain, *plain.levels))
    with pytest.raises(ValueError, match=r"chunks=\(3, 3, 3\) must divide shards=\(8, 8, 8\)"):
        lx.pyramid(image, tmp_path / "other", chunks=3, shards=8)
    assert not (tmp_path / "other").exists()


def test_a_copy_of_a_pyramid_does_not_replace_the_pyramid(image, tmp_path):
    group = tmp_path / "rock.ome.zarr"
    lx.pyramid(image, group, smallest=6, progress=False)
    with pytest.raises(ValueError, match="holds one of the inputs, which would be removed; write elsewhere"):
        lx.pyramid(lx.open(group), group, overwrite=True, progress=False)
    assert lx.verify(group).sound
    np.testing.assert_array_equal(lx.open(group)[:], image[:])


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_what_is_made_of_a_level_does_not_replace_the_image_above_it(image, tmp_path, kind):
    store = tmp_path / "above.zarr" if kind == "folder" else f"memory://{tmp_path.name}.zarr"
    lx.pyramid(image.copy(store), smallest=6, progress=False)
    level = lx.open(store).levels[0]
    with pytest.raises(ValueError, match="holds the image itself"):
        level.copy(store, overwrite=True)
    with pytest.raises(ValueError, match="holds one of the inputs; for a change in place"):
        lx.chunk_map(lx.ops.threshold, level, value=9, store=store, overwrite=True, progress=False)
    with pytest.raises(ValueError, match="holds one of the inputs"):
        lx.distance(level > 9, store=store, overwrite=True, progress=False)
    np.testing.assert_array_equal(lx.open(store)[:], image[:])
    assert len(lx.open(store).levels) == 2


def test_without_our_own_metadata_it_reads_the_same(image, tmp_path):
    lx.pyramid(image, tmp_path / "rock.ome.zarr", smallest=6, progress=False)
    for path in (tmp_path / "rock.ome.zarr").glob("**/zarr.json"):
        document = json.loads(path.read_text())
        document["attributes"].pop("lithax", None)
        path.write_text(json.dumps(document))
    foreign = lx.open(tmp_path / "rock.ome.zarr")
    assert "OME-Zarr, stored z, y, x" in repr(foreign)
    np.testing.assert_array_equal(foreign[:], image[:])
    assert foreign.frame.same_grid(image.frame)
    assert [level.shape for level in foreign.levels] == [(11, 10, 5), (6, 5, 3)]
    assert [level.voxel_length for level in foreign.levels] == [(2, 2, 3), (4, 4, 6)]  # a level knows its group
    with pytest.raises(PermissionError, match="pass store="):
        lx.pyramid(foreign)


def test_a_store_in_memory_and_units_that_ome_zarr_does_not_name():
    image = lx.zeros((4, 4, 4), "f4", voxel_length=2, voxel_unit="thou")
    assert [level.shape for level in lx.pyramid(image, smallest=1, progress=False).levels] == [(2, 2, 2), (1, 1, 1)]
    store = {}
    made = lx.pyramid(image, store, smallest=2, progress=False)
    assert made.levels[0].voxel_length == (4, 4, 4)
    entry = zarr.open_group(zarr.storage.MemoryStore(store), mode="r").attrs["ome"]["multiscales"][0]
    assert entry["axes"][0]["unit"] == "micrometer"
    # A thou is 25.4 um.
    np.testing.assert_allclose(entry["datasets"][0]["coordinateTransformations"][0]["scale"], 50.8)


@pytest.mark.parametrize(
    ("values", "method"),
    [
        (np.zeros((4, 4, 4), bool), "mode"),
        (np.arange(64, dtype="u4").reshape(4, 4, 4), "mode"),
        (np.arange(64, dtype="u1").reshape(4, 4, 4), "mean"),
        (np.arange(64, dtype="u1").reshape(4, 4, 4) % 5, "mode"),
        (np.zeros((4, 4, 4), "f8"), "mean"),
    ],
)
def test_the_method_suits_the_image(values, method, tmp_path):
    lx.pyramid(lx.from_array(values), tmp_path / "p", smallest=2, progress=False)
    entry = json.loads((tmp_path / "p/zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert entry["type"] == method


def test_levels_are_forgotten_when_the_image_changes(image, tmp_path):
    lx.pyramid(image, smallest=6, progress=False)
    made = lx.pyramid(image, tmp_path / "p", smallest=6, progress=False)
    assert len(lx.open(tmp_path / "rock.zarr").levels) == len(made.levels) == 2
    image.content_hash()  # reading changes nothing
    assert len(image.levels) == 2
    image[3, 4, 5] = 1
    assert image.levels == lx.open(tmp_path / "rock.zarr").levels == ()
    made += 1
    assert lx.open(tmp_path / "p").levels == ()
    with pytest.raises(FileExistsError, match="holds a pyramid already"):
        lx.pyramid(image, smallest=6, progress=False)
    lx.pyramid(image, smallest=6, overwrite=True, progress=False)
    np.testing.assert_array_equal(image.levels[0][:], coarser(image[:]))


@pytest.mark.parametrize("beside", [True, False])
def test_what_was_cut_off_is_finished(image, tmp_path, monkeypatch, beside):
    store = [] if beside else [tmp_path / "p"]
    real, calls = MapJob.run, []

    def fails_later(job):
        calls.append(job)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(job)

    with monkeypatch.context() as patched:
        patched.setattr(MapJob, "run", fails_later)
        with pytest.raises(KeyboardInterrupt):
            lx.pyramid(image, *store, smallest=6, progress=False)
    assert image.levels == ()
    with pytest.raises(IncompleteImageError, match="pass resume=True"):
        lx.pyramid(image, *store, smallest=6, progress=False)
    with pytest.raises(IncompleteImageError, match="with the method, smallest=, chunks= and shards= of then"):
        lx.pyramid(image, *store, smallest=3, resume=True, progress=False)
    monkeypatch.setattr(MapJob, "run", lambda job: calls.append(job) or real(job))
    calls.clear()
    made = lx.pyramid(image, *store, smallest=6, resume=True, progress=False)
    assert len(calls) == 1  # the first level was there
    np.testing.assert_array_equal(made.levels[1][:], coarser(coarser(image[:])))


def test_nothing_else_is_overwritten(image, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/text").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        lx.pyramid(image, tmp_path / "notes", overwrite=True)
    with pytest.raises(FileExistsError, match="holds an image already"):
        lx.pyramid(image, tmp_path / "rock.zarr")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["notes", "rock.zarr"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"smallest": 0}, ValueError, "smallest=0 must be a positive number"),
        ({"method": "max"}, ValueError, "method='max' must be one of"),
        ({"path": "a"}, ValueError, "path='a' is a path in store="),
    ],
)
def test_what_cannot_be(image, arguments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        lx.pyramid(image, **arguments)
    with pytest.raises(TypeError, match="image is a ndarray"):
        lx.pyramid(image[:], **arguments)
    assert image.levels == ()


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (64, 1, 64), (65, 2, 3)])
@pytest.mark.parametrize("beside", [True, False])
def test_small_images_leave_nothing_that_is_not_sound(shape, beside, tmp_path):
    image = lx.from_array(np.ones(shape, "u1"), store=tmp_path / "small.zarr")
    made = lx.pyramid(image, None if beside else tmp_path / "group.ome.zarr")
    assert len(made.levels) == (max(shape) > 64) + 0
    for place in (image, made, *([] if beside else [tmp_path / "group.ome.zarr"])):
        assert lx.verify(place, progress=False)
    assert sorted(p.name for p in (tmp_path / "small.zarr").iterdir() if not p.name.startswith(".")) == (
        ["c", "levels", "zarr.json"] if beside and max(shape) > 64 else ["c", "zarr.json"]
    )
    assert [level.shape for level in lx.pyramid(image, overwrite=True).levels] == [
        tuple(-(-n // 2) if n > 1 else 1 for n in shape) for _ in range(max(shape) > 64)
    ]


def test_levels_that_are_no_longer_needed_are_removed_only_if_asked(tmp_path):
    image = lx.from_array(np.ones((20, 20, 20), "u1"), store=tmp_path / "a.zarr")
    lx.pyramid(image, smallest=10)
    with pytest.raises(FileExistsError, match="now none is needed; pass overwrite=True"):
        lx.pyramid(image)
    assert lx.pyramid(image, overwrite=True).levels == ()
    assert lx.verify(image, progress=False)
    assert not (tmp_path / "a.zarr" / "levels").exists()


@pytest.mark.parametrize("beside", [True, False])
def test_a_refused_call_leaves_nothing(tmp_path, beside):
    image = lx.from_array(np.ones((70, 70, 70), "u1"), store=tmp_path / "a.zarr")
    with pytest.raises((ValueError, MemoryError)):
        lx.pyramid(image, None if beside else tmp_path / "b.ome.zarr", memory_limit=1000)
    assert lx.verify(image, progress=False)
    assert not (tmp_path / "b.ome.zarr" / "zarr.json").exists()
    assert lx.pyramid(image, None if beside else tmp_path / "b.ome.zarr").levels

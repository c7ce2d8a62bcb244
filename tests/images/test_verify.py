"""A store that is damaged in every way that a disk, a crash and another program damage it."""

import json
import shutil

import numpy as np
import pytest
import zarr

import lithax as lx


@pytest.fixture(params=[None, 8], ids=["chunks", "shards"])
def image(request, tmp_path, rng):
    values = rng.integers(0, 60_000, (10, 9, 8)).astype("u2")
    options = {"chunks": 4, "shards": request.param, "voxel_unit": "um"}
    return lx.from_array(values, store=tmp_path / "rock.zarr", **options)


def objects(tmp_path):
    return sorted(path for path in (tmp_path / "rock.zarr/c").rglob("*") if path.is_file())


def test_a_sound_image(image, tmp_path):
    found = lx.verify(tmp_path / "rock.zarr", progress=False)
    assert found
    count = len(objects(tmp_path))
    assert (found.images, found.chunks, found.empty, found.hashes, found.compared) == (1, count, 0, 0, count)
    assert "every chunk was compared with the digest" in str(found)
    image.content_hash()
    lx.pyramid(image, smallest=3, progress=False)
    found = lx.verify(image, progress=False)
    assert found.sound
    assert (found.images, found.hashes) == (3, 1)
    assert "no defects" in str(found)


def test_every_damaged_chunk_is_named(image, tmp_path):
    first, *_, last = objects(tmp_path)
    first.write_bytes(first.read_bytes()[:-7])
    last.write_bytes(b"")
    found = lx.verify(tmp_path / "rock.zarr", progress=False)
    assert not found
    for path in (first, last):
        name = path.relative_to(tmp_path / "rock.zarr").as_posix()
        assert any(name in defect and "cannot be decoded" in defect for defect in found.defects)
    assert len(found.defects) >= 2


def test_a_lost_chunk_of_which_nothing_was_recorded_shows_in_the_hash(image, tmp_path):
    digest = image.content_hash()
    shutil.rmtree(tmp_path / "rock.zarr/.lithax")
    objects(tmp_path)[-1].unlink()
    found = lx.verify(tmp_path / "rock.zarr", progress=False)
    assert (found.empty, found.compared, len(found.defects)) == (1, 0, 1)
    assert digest[:16] in found.defects[0]
    assert "nothing was recorded to compare the chunks with" in str(found)
    assert lx.verify(tmp_path / "rock.zarr", content=False, progress=False).sound


def test_what_does_not_belong_there(image, tmp_path):
    folder = tmp_path / "rock.zarr/c/9/9"
    folder.mkdir(parents=True)
    (folder / "9").write_bytes(b"abc")
    (tmp_path / "rock.zarr/c/0/0/0.12-3.partial").write_bytes(b"")
    defects = lx.verify(tmp_path / "rock.zarr", progress=False).defects
    assert len(defects) == 2
    assert any("'c/9/9/9' lies outside the grid" in defect for defect in defects)
    assert any("half-written" in defect for defect in defects)


def test_an_unfinished_image_and_what_its_journal_says(image, tmp_path):
    image.stored.update_metadata(state="writing")
    unit = (0, 0, 0)
    lines = [{"journal": 1, "identity": {}}, {"unit": unit, "digest": "wrong"}]
    (tmp_path / "rock.zarr/.lithax/journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    defects = lx.verify(tmp_path / "rock.zarr", progress=False).defects
    assert any("cut off" in defect for defect in defects)
    assert any("'c/0/0/0' is not what the run that wrote it recorded" in defect for defect in defects)


def test_damaged_metadata(image, tmp_path):
    path = tmp_path / "rock.zarr/zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["lithax"]["voxel_length"] = [1, 2]
    path.write_text(json.dumps(document))
    (defect,) = lx.verify(tmp_path / "rock.zarr", progress=False).defects
    assert "'voxel_length' (=[1, 2])" in defect
    path.write_text("{")
    (defect,) = lx.verify(tmp_path / "rock.zarr", progress=False).defects
    assert "not valid JSON" in defect


def test_the_levels_of_a_pyramid(image, tmp_path):
    lx.pyramid(image, tmp_path / "p", smallest=3, progress=False)
    assert lx.verify(tmp_path / "p", progress=False).images == 3
    stored = sorted(path for path in (tmp_path / "p/2/0/c").rglob("*") if path.is_file())[0]
    stored.write_bytes(b"abc")
    lx.open(tmp_path / "p", path="1").update(voxel_origin=(9, 0.5, 0.5))
    defects = lx.verify(tmp_path / "p", progress=False).defects
    assert any(defect.startswith("level 2: ") and "cannot be decoded" in defect for defect in defects)
    assert any(defect.startswith("level 1: it begins at x") for defect in defects)
    lx.pyramid(image, smallest=3, progress=False)
    image[0, 0, 0] = 1
    (defect,) = lx.verify(image, progress=False).defects
    assert "changed after its levels were made" in defect


def test_images_of_other_programs(tmp_path):
    values = np.arange(60, dtype="u1").reshape(3, 4, 5)
    zarr.create_array(tmp_path / "a", data=values, chunks=(2, 2, 2), dimension_names=("z", "y", "x"))
    assert lx.verify(tmp_path / "a", progress=False).sound
    (tmp_path / "a/c/1/1/0").write_bytes(b"?")
    (defect,) = lx.verify(tmp_path / "a", progress=False).defects
    assert "c/1/1/0" in defect
    with pytest.raises(FileNotFoundError, match="does not exist"):
        lx.verify(tmp_path / "nothing")

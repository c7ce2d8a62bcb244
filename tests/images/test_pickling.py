"""Images travel to other processes by store, path and mode; in memory with their voxels; secrets stay."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from zarr.storage import LoggingStore, WrapperStore, ZipStore

import lithax as lx


@pytest.fixture
def values(rng):
    return rng.integers(0, 60_000, (6, 5, 4)).astype("u2")


KNOWN = {"voxel_length": (2.5, 1, 2), "voxel_origin": (1, 2, 3), "voxel_unit": "um", "field_name": "grey"}


def there_and_back(image):
    return pickle.loads(pickle.dumps(image))


def same(a, b):
    np.testing.assert_array_equal(a[...], b[...])
    assert (a.dtype, a.shape, a.chunks, a.shards) == (b.dtype, b.shape, b.chunks, b.shards)
    assert {name: getattr(a, name) for name in KNOWN} == {name: getattr(b, name) for name in KNOWN}


@pytest.mark.parametrize("path", [None, "group/scan"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_an_image_on_disk_is_another_handle(values, tmp_path, mode, path):
    lx.from_array(values, store=tmp_path / "a.zarr", path=path, chunks=3, **KNOWN)
    image = lx.open(tmp_path / "a.zarr", path=path, mode=mode)
    for made in (there_and_back(image), copy.deepcopy(image), copy.copy(image)):
        same(made, image)
        assert made is not image
        assert made.read_only == (mode == "r")
        assert made.path == image.path
        if mode == "r+":
            made[0, 0, 0] = 7
            assert image[0, 0, 0] == 7
            made.update(voxel_length=9)
            assert lx.open(tmp_path / "a.zarr", path=path).voxel_length == (9, 9, 9)
            made.update(voxel_length=KNOWN["voxel_length"])


def test_a_relative_path_means_the_same_elsewhere(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(lx.from_array(values, store="a.zarr"))
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(data)[...], values)


def test_an_image_in_memory_travels_with_its_voxels(values):
    store = {}
    lx.from_array(values + 1, store=store, path="other", chunks=2)
    image = lx.from_array(values, store=store, path="mine", chunks=2, **KNOWN)
    image.attrs["sample"] = "B7"
    for made in (there_and_back(image), copy.deepcopy(image)):
        same(made, image)
        assert made.attrs["sample"] == "B7"
        made[0, 0, 0] = 7
        assert image[0, 0, 0] == values[0, 0, 0]  # two images now
    assert len(pickle.dumps(image)) < 2 * len(pickle.dumps(lx.from_array(values, chunks=2)))  # not the other one, too
    copy.copy(image)[0, 0, 0] = 7
    assert image[0, 0, 0] == 7


def test_expressions_and_crops_travel_with_what_they_are_made_of(values, tmp_path):
    scan = lx.from_array(values, store=tmp_path / "a.zarr", chunks=3, **KNOWN)
    other = lx.from_array(values[::-1].copy(), **{**KNOWN, "field_name": "b"})
    made = [
        scan <= 30_000,
        ((scan + other) / 2 > 10_000) & ~(scan == other),
        lx.where(scan > other, scan, 0),
        scan.astype("f4") * 0.5,
        abs(scan.astype("i4") - other),
        scan.crop(np.s_[1:4, :, 2:]),
        (scan * 2).crop(np.s_[1:4]),
        scan + values,
    ]
    for expression in made:
        for again in (there_and_back(expression), copy.deepcopy(expression), copy.copy(expression)):
            same(again, expression)
    again = there_and_back(made[0])
    scan[0, 0, 0] = 1  # still a view
    assert again[0, 0, 0]
    assert type(again) is type(made[0])


def test_files_of_other_formats(values, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 1, 0), photometric="minisblack")
    values.tofile(tmp_path / "a.raw")
    for image in (
        lx.open(tmp_path / "a.tif", voxel_length=2),
        lx.open(tmp_path / "a.raw", shape=(6, 5, 4), dtype="u2", order="C", voxel_unit="mm"),
    ):
        for made in (there_and_back(image), copy.deepcopy(image)):
            same(made, image)
            np.testing.assert_array_equal(made[...], values)


def test_stores_of_other_programs(values, tmp_path):
    plain = zarr.create_array(tmp_path / "b.zarr", shape=(4, 5, 6), chunks=(2, 2, 2), dtype="u2", dimension_names="zyx")
    plain[...] = values.transpose(2, 1, 0)
    old = zarr.create_array(tmp_path / "c.zarr", shape=(6, 5, 4), chunks=(2, 2, 2), dtype="u2", zarr_format=2)
    old[...] = values
    for name in ("b.zarr", "c.zarr"):
        np.testing.assert_array_equal(there_and_back(lx.open(tmp_path / name))[...], values)
    with ZipStore(tmp_path / "d.zip", mode="w") as store:
        zarr.create_array(store, data=values, chunks=(2, 2, 2))
    np.testing.assert_array_equal(there_and_back(lx.open(tmp_path / "d.zip"))[...], values)


def test_a_url_without_secrets(values, tmp_path):
    lx.from_array(values, store=tmp_path / "a.zarr")
    image = lx.open(f"local://{tmp_path}/a.zarr")
    again = there_and_back(image)
    np.testing.assert_array_equal(again[...], values)
    again[0, 0, 0] = 7
    assert image[0, 0, 0] == 7


def test_wrapped_stores_and_credentials_stay(values, tmp_path):
    local = zarr.storage.LocalStore(tmp_path / "a.zarr")
    lx.from_array(values, store=local)
    secret = fsspec.filesystem("local", key="hunter2", skip_instance_cache=True, asynchronous=False)
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    remote = zarr.storage.FsspecStore(AsyncFileSystemWrapper(secret, asynchronous=True), path=str(tmp_path / "a.zarr"))
    for store, word in ((LoggingStore(local), "LoggingStore"), (WrapperStore(local), "WrapperStore"), (remote, "key")):
        image = lx.open(store, mode="r")
        with pytest.raises(TypeError, match=f"cannot be pickled: .*{word}") as refused:
            pickle.dumps(image)
        assert "hunter2" not in str(refused.value)
        np.testing.assert_array_equal(copy.deepcopy(image)[...], values)  # in this process: a second handle
    image = lx.from_array(values, store="memory://pickled.zarr")
    with pytest.raises(TypeError, match="in the memory of this process"):
        pickle.dumps(image)
    fsspec.filesystem("memory").rm("/pickled.zarr", recursive=True)


def test_in_other_processes(values, tmp_path):
    """What joblib and dask do: images go to a pool of processes, results come back."""
    image = lx.from_array(values, store=tmp_path / "a.zarr", **KNOWN)
    held = lx.from_array(values)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(lx.measure.mean, [image, held, image > 5, image.crop(np.s_[:2])]))
    exact = [values.mean(dtype="f8"), values.mean(dtype="f8"), (values > 5).mean(), values[:2].mean(dtype="f8")]
    assert found == pytest.approx(exact, rel=1e-15)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_a_fork_after_jax_is_said_instead_of_hanging():
    """The first child is forked before JAX was used, and measures; the second one after."""
    program = textwrap.dedent("""
        import os, sys, warnings
        import numpy as np
        import lithax as lx
        warnings.simplefilter("ignore")
        image = lx.from_array(np.ones((4, 4, 4), "u1"))
        for used in (False, True):
            if used:
                lx.measure.mean(image)
            child = os.fork()
            if child == 0:
                try:
                    assert image[0, 0, 0] == 1  # reading is possible
                    print("found", lx.measure.mean(image), flush=True)
                except RuntimeError as error:
                    print("refused", error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    unused, used = done.stdout.split("\n", 1)
    assert unused == "found 1.0", done.stderr
    assert used.startswith("refused"), done.stderr
    assert "was forked from one that had used JAX" in used
    assert "'spawn'" in used

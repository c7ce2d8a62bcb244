"""Stores, arrays and sizes at the edge of what images are made for: refused by name, or right."""

import warnings
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

import lithax as lx

LARGEST = {"f4": float(np.finfo("f4").max), "f8": float(np.finfo("f8").max)}


def test_a_zip_store_is_read_but_not_written(tmp_path):
    values = np.arange(24, dtype="u2").reshape(2, 3, 4)
    image = lx.from_array(values)
    with ZipStore(tmp_path / "a.zip", mode="w") as store:
        for make in (
            lambda: lx.zeros((2, 3, 4), "u1", store=store),
            lambda: lx.from_array(values, store=store, path="scan"),
            lambda: image.copy(store),
            lambda: lx.chunk_map(lambda v: v + 1, image, store=store, progress=False),
        ):
            with pytest.raises(ValueError, match="is a ZipStore, whose objects can be neither replaced nor removed"):
                make()
        zarr.create_array(store, data=values)
    image = lx.open(tmp_path / "a.zip")
    np.testing.assert_array_equal(image[...], values)
    with ZipStore(tmp_path / "a.zip", mode="a") as store:
        image = lx.open(store)
        with pytest.raises(PermissionError, match="read-only"):
            image[0, 0, 0] = 1
        with pytest.raises(PermissionError, match="read-only"):
            image.update(voxel_length=2)
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist().count("zarr.json") == 1


def test_masks_are_not_lost():
    masked = np.ma.masked_greater(np.arange(24.0).reshape(2, 3, 4), 20)
    image = lx.zeros((2, 3, 4), "f8")
    calls = {
        "from_array": lambda: lx.from_array(masked),
        "assignment": lambda: image.__setitem__(..., masked),
        "chunk_map": lambda: lx.chunk_map(lambda a, b: a + b, image, masked, progress=False),
        "operator": lambda: image + masked,
        "gaussian": lambda: lx.ops.gaussian(masked, sigma=1.0),
        "mean": lambda: lx.measure.mean(masked),
        "histogram": lambda: lx.measure.histogram(masked),
        "where": lambda: lx.measure.mean(image, where=np.ma.masked_array(np.ones((2, 3, 4), bool), masked.mask)),
        "include": lambda: lx.measure.mean(
            image, where=lx.domain(include=np.ma.masked_array(np.ones((2, 3, 4), bool), masked.mask))
        ),
    }
    for call in calls.values():
        with pytest.raises(TypeError, match="masked elements, whose mask would be lost"):
            call()
    np.testing.assert_array_equal(image[...], 0)
    whole = np.ma.masked_array(np.ones((2, 3, 4)), False)  # of which nothing is masked
    assert lx.measure.mean(lx.from_array(whole)) == 1
    image[...] = masked.filled(-1)
    assert lx.measure.mean(image, where=lx.domain(exclude=masked.mask)) == 10


@pytest.mark.parametrize("chunks", ["auto", 1000, 25_000])
def test_an_empty_image_of_any_size_is_shown(chunks, monkeypatch):
    """What is not stored takes no memory and no time: only the pixels that are shown are made."""
    image = lx.zeros((50_000, 50_000, 50_000), "f8", chunks=chunks)
    largest = []
    full = np.full
    monkeypatch.setattr(np, "full", lambda shape, *a, **k: largest.append(np.prod(shape)) or full(shape, *a, **k))
    assert "50 000" in image._repr_html_() or "50000" in image._repr_html_()
    assert image[25_000, ::5000, 3].tolist() == [0.0] * 10
    assert max(largest, default=0) < 1 << 20


def test_chunks_that_are_not_stored_read_like_others():
    image = lx.full((5, 6, 7), "u2", 9, chunks=4)
    image[0, 0, 0] = 1
    values = np.full((5, 6, 7), 9, "u2")
    values[0, 0, 0] = 1
    np.testing.assert_array_equal(image[...], values)
    found = image[4:, 4:, 4:]
    found[0, 0, 0] = 3  # a new array, that may be changed
    assert image[4, 4, 4] == 9
    assert image.content_hash() == lx.from_array(values).content_hash()
    np.testing.assert_array_equal(lx.chunk_map(lambda v: v + 1, image, progress=False)[...], values + 1)
    np.testing.assert_array_equal(image.copy(chunks=3)[...], values)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sign", [1, -1])
def test_means_of_the_largest_floats_are_finite(dtype, sign):
    values = np.full((6, 6, 6), sign * LARGEST[dtype], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in (lx.ops.coarsen("mean"), lx.ops.coarsen("mean", (3, 1, 2)), lx.ops.uniform):
            np.testing.assert_allclose(method(values), values.flat[0], rtol=1e-6)
            found = lx.chunk_map(method, lx.from_array(values, chunks=4), progress=False)[...]
            np.testing.assert_allclose(found, values.flat[0], rtol=1e-6)
        valid = np.zeros(values.shape, bool)
        valid[::2] = True
        np.testing.assert_allclose(lx.ops.uniform(values, valid=valid), values.flat[0], rtol=1e-6)
        mixed = values.copy()
        mixed[::2] *= -1
        np.testing.assert_allclose(lx.ops.coarsen("mean")(mixed), 0, atol=LARGEST[dtype] * 1e-6)
    level = lx.pyramid(lx.from_array(values), smallest=3).levels[0]
    np.testing.assert_allclose(level[...], values.flat[0], rtol=1e-6)


def test_lengths_in_pixels_are_no_lengths():
    for unit in ("px", "pixel", "Pixels", "voxel", "dots"):
        with pytest.raises(ValueError, match="it counts picture elements"):
            lx.zeros((2, 2, 2), "u1", voxel_unit=unit)

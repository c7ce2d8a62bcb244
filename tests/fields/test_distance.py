"""Distances: arrays against scipy, images against arrays in every bit, on grids of every kind."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import EVERY_GRID, GRIDS, SHAPE, SINGLE, images


@pytest.mark.parametrize("pore", [p for _, p in images()], ids=[n for n, _ in images()])
def test_arrays_are_as_in_scipy(pore):
    found = lx.distance(pore)
    assert found.dtype == np.float32
    if pore.all():
        assert np.all(np.isinf(found))
        return
    np.testing.assert_array_equal(found, ndimage.distance_transform_edt(pore).astype("f4"))
    np.testing.assert_array_equal(lx.distance(pore, squared=True), np.rint(ndimage.distance_transform_edt(pore) ** 2))
    taxi = ndimage.distance_transform_cdt(pore, "taxicab")
    np.testing.assert_array_equal(lx.distance(pore, metric="cityblock"), taxi)
    np.testing.assert_array_equal(
        lx.distance(pore, metric="chessboard"), ndimage.distance_transform_cdt(pore, "chessboard")
    )
    spacing = (1.0, 0.5, 2.5)
    expected = ndimage.distance_transform_edt(pore, sampling=spacing)
    np.testing.assert_allclose(lx.distance(pore, spacing=spacing), expected, rtol=1e-6)  # rounded once, to float32


OPTIONS = [
    {},
    {"squared": True},
    {"metric": "cityblock"},
    {"metric": "chessboard", "spacing": (2, 1, 3)},
    {"spacing": (1.0, 0.5, 2.5)},
    {"spacing": (1.0, np.sqrt(2), np.pi)},
    {"outside": "background"},
    {"signed": True},
    {"nearest": True},
    {"to": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_images_give_what_arrays_give(options):
    for k, (name, pore) in enumerate(images()[:: 1 if not options else 3]):
        grid = GRIDS[k % len(GRIDS)]
        expected = lx.distance(pore.view("u1"), **options)
        found = lx.distance(lx.from_array(pore.view("u1"), **grid), **options, progress=False)
        pairs = zip(found, expected, strict=True) if options.get("nearest") else [(found, expected)]
        for image, array in pairs:
            np.testing.assert_array_equal(image[...], array, err_msg=f"{name} {grid}")
            assert image.dtype == array.dtype


@pytest.mark.parametrize("grid", [SINGLE, *EVERY_GRID], ids=str)
def test_voxels_left_out_are_neither_phase_nor_background(grid):
    rng = np.random.default_rng(4)
    pore, where = rng.random(SHAPE) < 0.8, rng.random(SHAPE) < 0.6
    where[:3] = False
    sources = ~pore & where
    expected = np.where(where, ndimage.distance_transform_edt(~sources), 0).astype("f4")
    np.testing.assert_array_equal(lx.distance(pore, where=where), expected)
    found = lx.distance(lx.from_array(pore, **grid), where=where, progress=False)
    np.testing.assert_array_equal(found[...], expected)


def test_signed_and_mirrored():
    pore = np.random.default_rng(2).random(SHAPE) < 0.5
    both = ndimage.distance_transform_edt(pore) - ndimage.distance_transform_edt(~pore)
    np.testing.assert_array_equal(lx.distance(pore, signed=True), both.astype("f4"))
    np.testing.assert_array_equal(lx.distance(pore, outside="mirror"), lx.distance(pore))
    mirrored = np.pad(pore, [(n, n) for n in SHAPE], "symmetric")
    inner = tuple(slice(n, 2 * n) for n in SHAPE)
    np.testing.assert_array_equal(lx.distance(mirrored)[inner], lx.distance(pore))


def test_other_libraries_get_their_own_arrays():
    pore = np.random.default_rng(2).random(SHAPE) < 0.5
    found = lx.distance(jnp.asarray(pore))
    assert isinstance(found, type(jnp.zeros(1)))
    np.testing.assert_array_equal(np.asarray(found), lx.distance(pore))


def test_geometry_and_units(tmp_path):
    pore = np.random.default_rng(2).random(SHAPE) < 0.5
    image = lx.from_array(pore, chunks=4, voxel_length=(2.0, 2.0, 5.0), voxel_unit="um")
    found = lx.distance(image, spacing="image", store=tmp_path / "d.zarr", progress=False)
    assert found.field_unit == "um"
    assert found.voxel_length == (2.0, 2.0, 5.0)
    expected = ndimage.distance_transform_edt(pore, sampling=(2, 2, 5))
    np.testing.assert_allclose(found[...], expected, rtol=1e-6)  # rounded once, to float32
    again = lx.open(tmp_path / "d.zarr")
    assert again.metadata.provenance["function"] == "distance"
    assert not (tmp_path / "d.zarr" / "scratch").exists()
    assert "stage" not in again.metadata.extra
    assert lx.distance(image, spacing="image", store=tmp_path / "d.zarr", progress=False, resume=True).shape == SHAPE
    with pytest.raises(FileExistsError, match="overwrite=True"):
        lx.distance(image, store=tmp_path / "d.zarr", progress=False)


def test_two_results_in_two_stores(tmp_path):
    pore = np.random.default_rng(2).random(SHAPE) < 0.5
    stores = tmp_path / "d.zarr", tmp_path / "n.zarr"
    lx.distance(lx.from_array(pore, chunks=3), nearest=True, store=stores, progress=False)
    for store, expected in zip(stores, lx.distance(pore, nearest=True), strict=True):
        np.testing.assert_array_equal(lx.open(store)[...], expected)


def test_the_plan_counts_three_passes():
    image = lx.zeros((64, 64, 64), bool, chunks=16)
    plan = lx.plan(lx.distance, image)
    assert "3 passes" in plan.function
    assert plan.bytes_written == 64**3 * (4 + 4 + 4)
    assert plan.memory > 64**3 * 4
    with pytest.raises(MemoryError, match="memory_limit"):
        lx.distance(image, memory_limit="1 MiB")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "manhattan"}, "metric='manhattan' must be one of"),
        ({"outside": "wrap"}, "outside='wrap' must be one of"),
        ({"spacing": (1, 0, 1)}, "spacing="),
        ({"spacing": "image"}, "spacing='image'"),
        ({"metric": "cityblock", "squared": True}, "metric='cityblock'"),
        ({"to": 1, "signed": True}, "to=1"),
        ({"nearest": True, "outside": "background"}, "nearest=True"),
        ({"store": "somewhere"}, "store= is for images"),
        ({"stor": "somewhere"}, "unexpected keyword 'stor'"),
        ({"where": np.ones((2, 2, 2))}, "where has dtype"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        lx.distance(np.ones((3, 3, 3), bool), **options)
    with pytest.raises(TypeError, match="dtype float64"):
        lx.distance(np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="three axes"):
        lx.distance(np.ones((3, 3), bool))

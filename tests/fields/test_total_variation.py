"""Total variation in passes: the same as all iterations on the array, on every grid, and what a pass leaves behind."""

from functools import partial

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.errors import IncompleteImageError
from lithax.storage import StoredArray

WEIGHT, ITERATIONS = 0.2, 5
SHAPE = (9, 7, 8)
CHUNKS = [(3, 4, 5), (9, 2, 3), 64]


@pytest.fixture
def grey(rng):
    return rng.random(SHAPE).astype(np.float32)


def smooth(values, **options):
    return lx.total_variation(values, weight=WEIGHT, iterations=ITERATIONS, **options)


@pytest.fixture
def in_passes(monkeypatch):
    """As if the image did not fit into memory."""
    monkeypatch.setattr("lithax.fields._total_variation._in_memory", lambda *_: None)


def test_any_number_of_slabs_gives_the_same_as_passes(rng, monkeypatch):
    values, some = rng.random((70, 5, 6)).astype(np.float32), rng.random((70, 5, 6)) < 0.8
    image, where = lx.from_array(values, chunks=8), lx.from_array(some, chunks=8)
    monkeypatch.setattr("lithax.fields._dual_slabs.available_cores", lambda: 4)
    for options in ({}, {"where": where}):
        call = partial(lx.total_variation, image, weight=WEIGHT, iterations=11, progress=False, **options)
        found = [call(workers=workers)[...] for workers in (1, 2, 4)]
        with monkeypatch.context() as patch:
            patch.setattr("lithax.fields._total_variation._in_memory", lambda *_: None)
            passes = call()[...]
        np.testing.assert_array_equal(found[1], found[0])
        np.testing.assert_array_equal(found[2], found[0])
        np.testing.assert_allclose(found[0], passes, atol=5e-7)


def test_what_fits_is_smoothed_in_memory():
    image = lx.zeros((64, 64, 64), "f4", chunks=32)
    fits = lx.plan(lx.total_variation, image, iterations=50, memory_limit="1 GiB")
    assert "in 1 passes: smooth in slabs" in fits.function
    assert fits.bytes_read == image.nbytes
    assert "iterate (24 times)" in lx.plan(lx.total_variation, image, iterations=50, memory_limit="10 MiB").function


def test_every_grid_gives_the_same_as_the_array(grey, rng, in_passes):
    whole = smooth(grey)
    restoration = pytest.importorskip("skimage.restoration", reason="scikit-image is not installed")
    expected = restoration.denoise_tv_chambolle(grey.astype(float), weight=WEIGHT, eps=0, max_num_iter=ITERATIONS)
    np.testing.assert_allclose(whole, expected, atol=1e-6)  # float32, a few sums per iteration
    compiled = jax.jit(partial(lx.ops.total_variation, weight=WEIGHT, iterations=ITERATIONS))(grey)
    some = rng.random(SHAPE) < 0.7
    masked = smooth(grey, where=some)
    assert np.array_equal(np.isnan(masked), ~some)
    hidden = np.where(some, grey, np.nan)
    for chunks in CHUNKS:
        image = lx.from_array(grey, chunks=chunks)
        np.testing.assert_allclose(smooth(image, progress=False)[...], compiled, atol=5e-7, err_msg=str(chunks))
        found = smooth(lx.from_array(hidden, chunks=chunks), where=lx.from_array(some, chunks=chunks), progress=False)
        np.testing.assert_allclose(found[...], masked, atol=1e-6, err_msg=str(chunks))


def test_the_plan_shows_passes_and_halo_and_one_dual_field_at_a_time(tmp_path, in_passes):
    image = lx.zeros((256, 140, 140), "f4", chunks=140)  # a block of 140 takes ten iterations
    plan = lx.plan(lx.total_variation, image, iterations=45, store=tmp_path / "out")
    assert "in 5 passes: iterate (4 times), smooth" in plan.function
    assert plan.halos[0] == (10, 10, 10)
    voxels, padded = 256 * 140 * 140, 160**3
    assert plan.bytes_written == 4 * voxels * (4 * 3 + 1)
    last = 2 * (150**3) * 4 * 4  # the last pass does the five that are left
    assert plan.bytes_read == 2 * padded * 4 + 3 * 2 * padded * 4 * 4 + last
    one = lx.plan(lx.total_variation, lx.zeros((64, 64, 64), "f4", chunks=64), iterations=300)
    assert "in 1 passes" in one.function
    assert one.halos == ((1, 1, 1),)
    # In memory: the result, and the dual fields before and after a pass.
    held = lx.plan(lx.total_variation, image, iterations=45).memory - plan.memory
    assert held == 4 * voxels * (1 + 2 * 3)


def test_what_was_cut_off_goes_on_and_spent_fields_are_gone(grey, tmp_path, monkeypatch, in_passes):
    image = lx.from_array(grey, chunks=5, store=tmp_path / "grey.zarr")
    options = {"store": tmp_path / "out.zarr", "progress": False, "workers": 1}
    whole = StoredArray.write_unit
    count = 0

    def failing(self, *unit):
        nonlocal count
        count += 1
        if count > 3 * 24 + 5:
            raise OSError("the disk is gone")
        whole(self, *unit)

    with monkeypatch.context() as patch:
        patch.setattr(StoredArray, "write_unit", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            smooth(image, **options)
    scratch = tmp_path / "out.zarr" / "scratch"
    stored = {place.name for place in scratch.iterdir() if (place / "c").exists()}
    assert stored == {"3-0", "3-1", "3-2", "4-0", "4-1", "4-2"}
    again = 0

    def counting(self, *unit):
        nonlocal again
        again += 1
        whole(self, *unit)

    monkeypatch.setattr(StoredArray, "write_unit", counting)
    found = smooth(image, resume=True, **options)
    assert again == 4 * 24 + 8 - (3 * 24 + 5)  # what was written is not written again
    np.testing.assert_array_equal(found[...], smooth(lx.from_array(grey, chunks=5), progress=False)[...])
    assert not scratch.exists()


def test_a_pass_is_not_done_with_what_is_gone(grey, tmp_path):
    """Two passes read what the first one wrote, and the algorithm says that only one does."""

    def twice(whole):
        steps = {"weight": WEIGHT, "steps": 1}
        dual = lx.ops.total_variation_dual
        first = yield lx.passes.OperationPass("first", dual, whole.images, steps, scratch=True)
        second = (*whole.images, *first)
        yield lx.passes.OperationPass("second", dual, second, steps, scratch=True, spends=first)
        yield lx.passes.OperationPass("last", dual, second, steps)

    image = lx.from_array(grey, chunks=5)
    stores = tuple(tmp_path / name for name in "abc")
    with pytest.raises(IncompleteImageError, match=r"'last' of twice .* is gone, .* overwrite=True"):
        lx.run_passes(twice, image, store=stores, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0}, "weight=0 must be positive"),
        ({"weight": float("nan")}, "weight=nan must be positive"),
        ({"iterations": 0}, "iterations=0 must be a whole number from 1"),
        ({"iterations": 2.5}, r"iterations=2\.5 must be a whole number"),
    ],
)
def test_mistakes_are_named(grey, options, message):
    for values in (grey, lx.from_array(grey, chunks=4)):
        with pytest.raises(ValueError, match=message):
            lx.total_variation(values, **options)


def test_an_array_takes_no_store(grey):
    with pytest.raises(TypeError, match="store= is for images"):
        lx.total_variation(grey, store="out.zarr")
    with pytest.raises(TypeError, match="give an image"):
        lx.total_variation(3)

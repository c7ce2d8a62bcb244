"""A run that fails in a pass goes on from there; other arguments or inputs are refused; processes share the passes."""

import numpy as np
import pytest

import lithax as lx
from lithax.errors import IncompleteImageError, ResumeError
from lithax.storage import StoredArray
from lithax.testing import on_threads

SHAPE = (8, 7, 9)


@pytest.fixture
def pore(tmp_path):
    values = np.random.default_rng(0).random(SHAPE) < 0.85
    lx.from_array(values, chunks=3, store=tmp_path / "pore.zarr")
    return values


@pytest.mark.parametrize("writes", [5, 30, 50, 75])
def test_what_was_cut_off_goes_on(pore, tmp_path, monkeypatch, writes):
    image = lx.open(tmp_path / "pore.zarr", mode="r")
    out = tmp_path / "d.zarr"
    whole = StoredArray.write_unit
    count = 0

    def failing(self, *unit):
        nonlocal count
        count += 1
        if count > writes:
            raise OSError("the disk is gone")
        whole(self, *unit)

    monkeypatch.setattr(StoredArray, "write_unit", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        lx.distance(image, store=out, progress=False, workers=1)
    monkeypatch.undo()
    assert (out / "scratch").exists()
    with pytest.raises(IncompleteImageError, match="resume=True"):
        lx.distance(image, store=out, progress=False)
    with pytest.raises(ResumeError, match="parameters"):
        lx.distance(image, store=out, progress=False, resume=True, metric="cityblock")
    again = 0

    def counting(self, *unit):
        nonlocal again
        again += 1
        whole(self, *unit)

    monkeypatch.setattr(StoredArray, "write_unit", counting)
    found = lx.distance(image, store=out, progress=False, resume=True, workers=1)
    np.testing.assert_array_equal(found[...], lx.distance(pore))
    assert again == 3 * 27 - writes  # what was written is not written again
    assert not (out / "scratch").exists()


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_processes_give_the_same(pore, tmp_path, count):
    def program(world):
        image = lx.open(tmp_path / "pore.zarr", mode="r", world=world)
        options = {"progress": False, "world": world}
        lx.distance(image, store=tmp_path / "d.zarr", **options)
        lx.local_thickness(image, store=tmp_path / "t.zarr", **options)
        relief = lx.open(tmp_path / "d.zarr", mode="r", world=world)
        lx.watershed(relief, store=tmp_path / "w.zarr", **options)
        lx.h_maxima(relief, 0.5, store=tmp_path / "h.zarr", **options)
        return lx.drainage(image, entry="x-", trapping=True, store=tmp_path / "e.zarr", **options).saturation

    saturations = on_threads(count, program)
    far = lx.distance(pore)
    drained = lx.drainage(pore, entry="x-", trapping=True)
    expected = {
        "d": far,
        "t": lx.local_thickness(pore),
        "w": lx.watershed(far),
        "h": lx.h_maxima(far, 0.5),
        "e": drained.entry_diameter,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(lx.open(tmp_path / f"{name}.zarr")[...], values, err_msg=name)
    for saturation in saturations:
        np.testing.assert_array_equal(saturation, drained.saturation)


def test_scratch_that_a_complete_run_left_goes(pore, tmp_path, monkeypatch):
    """Killed between the last word and the removal of its scratch, a run has a result, and a folder too many."""
    image, out = lx.open(tmp_path / "pore.zarr", mode="r"), tmp_path / "d.zarr"
    with monkeypatch.context() as patch:
        patch.setattr("lithax.images._pass_driver._Driver._remove_scratch", lambda self: None)
        expected = lx.distance(image, store=out, progress=False)[...]
    assert (out / "scratch").exists()
    np.testing.assert_array_equal(lx.distance(image, store=out, progress=False, resume=True)[...], expected)
    assert not (out / "scratch").exists()

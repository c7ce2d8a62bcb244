"""A user's own passes: grids make no difference, killed runs go on, processes share, and what is wrong is said first."""

import numpy as np
import pytest

import lithax as lx
from lithax.chunked import MapJob
from lithax.errors import IncompleteImageError, MemoryLimitError, ResumeError
from lithax.images import _reduce
from lithax.passes import Field, FoldPass, MapPass, MeasurementPass, OperationPass
from lithax.storage import StoredArray
from lithax.testing import on_threads

SHAPE = (9, 8, 7)
QUIET = {"progress": False}


def centred(whole, *, scale=1.0):
    """Twice the value, less the mean of that: a scratch image, a measurement of it, and the result."""
    (twice,) = yield OperationPass("double", lambda v: 2 * v, whole.images, scratch=True)
    found = yield MeasurementPass("mean", lx.measure.Moments(), (twice,))
    mean = found.mean
    yield OperationPass("shift", lambda v: scale * (v - mean), (twice,))
    return {"mean": mean}


def layers(whole):
    """Of each voxel, how many voxels of its layer across x are larger than 0.5: a fold, and a map with its result."""
    counts = np.zeros(whole.shape[0], int)

    def take(block, part):
        counts[block.box[0]] += part

    total = yield FoldPass(
        "count",
        lambda block: (block.arrays[0] > 0.5).sum(axis=(1, 2)),
        take,
        lambda world: sum(world.gather(counts)),
        whole.images,
        assumed=counts,
    )
    yield MapPass(
        "write",
        lambda block: [np.broadcast_to(total[block.box[0]][:, None, None], block.size)],
        whole.images,
        [Field(np.dtype("i4"))],
    )


@pytest.fixture
def data(rng):
    return rng.random(SHAPE)


@pytest.mark.parametrize("chunks", [(9, 8, 7), 4, (2, 8, 3)])
def test_the_grid_makes_no_difference(data, chunks):
    (found,), noted = lx.run_passes(centred, lx.from_array(data, chunks=chunks), scale=3.0, **QUIET)
    # Sums of 504 float64, in another order.
    assert noted["mean"] == pytest.approx(2 * data.mean(), rel=1e-13)
    np.testing.assert_allclose(found, 6 * (data - data.mean()), rtol=0, atol=1e-12)
    (counted,), _ = lx.run_passes(layers, lx.from_array(data, chunks=chunks), **QUIET)
    np.testing.assert_array_equal(counted[:, 0, 0], (data > 0.5).sum(axis=(1, 2)))


def test_arrays_and_selections(data):
    inside = data > 0.3
    (found,), noted = lx.run_passes(centred, data, where=inside, **QUIET)
    assert noted["mean"] == pytest.approx(2 * data[inside].mean(), rel=1e-13)
    np.testing.assert_array_equal(np.isnan(found[...]), ~inside)


@pytest.mark.parametrize("job", [1, 2])
def test_a_run_that_was_cut_off_goes_on(data, tmp_path, monkeypatch, job):
    image = lx.from_array(data, chunks=4, store=tmp_path / "in")
    store = {"store": tmp_path / "out", **QUIET}
    (whole,), noted = lx.run_passes(centred, image, store=tmp_path / "whole", **QUIET)
    real, jobs, written = StoredArray.write_unit, [], []

    def fails(array, *unit):
        if len(jobs) == job and len(written) == 3:
            raise OSError("the disk is gone")
        written.append(unit)
        real(array, *unit)

    run = MapJob.run
    with monkeypatch.context() as patched:
        patched.setattr(MapJob, "run", lambda self: (jobs.append(self), written.clear(), run(self)))
        patched.setattr(StoredArray, "write_unit", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            lx.run_passes(centred, image, resume=True, resume_key="a", workers=1, **store)
    with pytest.raises(IncompleteImageError, match="resume=True"):
        lx.run_passes(centred, image, **store)
    with pytest.raises(ResumeError, match="resume_key="):
        lx.run_passes(centred, image, resume=True, **store)
    for other in ({"resume_key": "b"}, {"resume_key": "a", "scale": 2.0}):
        with pytest.raises(ResumeError, match=r"computation|parameters"):
            lx.run_passes(centred, image, resume=True, **other, **store)
    again = []
    monkeypatch.setattr(StoredArray, "write_unit", lambda array, *unit: (again.append(unit), real(array, *unit)))
    for _ in range(2):
        (found,), told = lx.run_passes(centred, image, resume=True, resume_key="a", **store)
        assert told == noted
    np.testing.assert_array_equal(found, whole)
    assert len(again) == 2 * 12 - 3 - 12 * (job - 1)  # what was written is not written again
    assert not (tmp_path / "out" / "scratch").exists()


def mean_of_double(whole):
    (twice,) = yield OperationPass("double", lambda v: 2 * v, whole.images, scratch=True)
    found = yield MeasurementPass("mean", lx.measure.Moments(), (twice,))
    return found.mean


def test_without_a_result_scratch_lies_at_the_store_for_a_while(data, tmp_path, monkeypatch):
    image = lx.from_array(data, chunks=4, store=tmp_path / "in")
    options = {"store": tmp_path / "scratch.zarr", "resume": True, "resume_key": "a", **QUIET}
    (), mean = lx.run_passes(mean_of_double, image, **QUIET)
    assert mean == pytest.approx(2 * data.mean(), rel=1e-13)

    def fails(*arguments, **options):
        raise OSError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(_reduce, "reduce_blocks", fails)
        with pytest.raises(OSError, match="cut off"):
            lx.run_passes(mean_of_double, image, **options)
    assert (tmp_path / "scratch.zarr" / "scratch").exists()
    with pytest.raises(IncompleteImageError, match="run of mean_of_double"):
        lx.run_passes(mean_of_double, image, **options | {"resume": False})
    jobs, run = [], MapJob.run
    monkeypatch.setattr(MapJob, "run", lambda self: (jobs.append(self), run(self)))
    assert lx.run_passes(mean_of_double, image, **options) == ((), mean)
    assert not jobs  # the scratch image was there
    assert not (tmp_path / "scratch.zarr").exists()


def test_processes_share_the_passes(data, tmp_path):
    lx.from_array(data, chunks=3, store=tmp_path / "in")

    def work(world):
        image = lx.open(tmp_path / "in", world=world)
        _, noted = lx.run_passes(centred, image, store=tmp_path / "c", **QUIET)
        lx.run_passes(layers, image, store=tmp_path / "l", **QUIET)
        return noted["mean"]

    means = on_threads(2, work)
    (one,), noted = lx.run_passes(centred, lx.open(tmp_path / "in"), **QUIET)
    assert means == [noted["mean"]] * 2
    np.testing.assert_array_equal(lx.open(tmp_path / "c"), one)
    np.testing.assert_array_equal(lx.open(tmp_path / "l")[:, 0, 0], (data > 0.5).sum(axis=(1, 2)))

    def different(world):
        return lx.run_passes(centred, lx.open(tmp_path / "in", world=world), scale=1.0 + world.index, **QUIET)

    for error in on_threads(2, different):
        assert "different arguments: scale is '1.0' in process 0 and '2.0'" in str(error)


def test_the_plan_is_the_sum_of_the_passes(data, tmp_path):
    image = lx.from_array(data, chunks=4, store=tmp_path / "in")
    plan = lx.plan(lx.run_passes, centred, image, store=tmp_path / "out")
    assert "centred in 3 passes: double, mean, shift" in plan.function
    assert plan.bytes_written == 2 * data.nbytes
    assert plan.memory == max(
        lx.plan(lx.chunk_map, lambda v: 2 * v, image, store="a").memory,
        lx.plan(lx.chunk_reduce, lx.measure.Moments(), image).memory,
    )
    in_memory = lx.plan(lx.run_passes, centred, image)
    assert in_memory.memory == plan.memory + plan.bytes_written
    with pytest.raises(MemoryLimitError, match="memory_limit is"):
        lx.run_passes(centred, image, store=tmp_path / "out", memory_limit=1000)
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_is_said_before_anything_is_written(data, tmp_path):
    image = lx.from_array(data, chunks=4)

    def no_pass(whole):
        yield "double"

    def mixed(whole):
        both = [Field(np.dtype("f8")), Field(np.dtype("f8"), scratch=True)]
        yield MapPass("both", lambda block: [block.arrays[0]] * 2, whole.images, both)

    def two_results(whole):
        yield OperationPass("one", lambda v: 2 * v, whole.images)
        yield OperationPass("two", lambda v: 3 * v, whole.images)

    for algorithm, error, words in [
        (no_pass, TypeError, "was given a str for a pass"),
        (mixed, ValueError, "writes one of the two"),
        (two_results, ValueError, "'one' and 'two' both write results"),
        (7, TypeError, "algorithm is a int"),
        (lambda whole: [], TypeError, "returned a list"),
    ]:
        with pytest.raises(error, match=words):
            lx.run_passes(algorithm, image, store=tmp_path / "out")
    with pytest.raises(TypeError, match="unexpected keyword argument 'gain'"):
        lx.run_passes(centred, image, gain=2)
    assert not (tmp_path / "out").exists()

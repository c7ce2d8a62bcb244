"""Every function over images takes the same options of a run, and `lithax.runtime.using` gives their defaults."""

import inspect

import numpy as np
import pytest

import lithax as lx
from lithax.errors import MemoryLimitError
from lithax.images import _reduce

OPTIONS = ("memory_limit", "workers", "world", "progress")
MEASURES = [
    (lx.measure.histogram, {}),
    (lx.measure.otsu, {}),
    (lx.measure.half_contrast, {}),
    (lx.measure.peaks, {}),
    (lx.measure.mean, {}),
    (lx.measure.moments, {}),
    (lx.measure.minimum_maximum, {}),
    (lx.measure.profile, {"axis": 2}),
]


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(1)
    grey = np.where(rng.random((12, 10, 8)) < 0.4, 60, 160) + rng.normal(0, 9, (12, 10, 8))
    return lx.from_array(grey.astype(np.uint8), chunks=(6, 10, 8))


@pytest.mark.parametrize(("function", "own"), MEASURES, ids=lambda v: getattr(v, "__name__", ""))
def test_measurements_hand_them_to_every_pass(image, function, own, monkeypatch):
    seen = []
    reduce = _reduce.chunk_reduce

    def noted(measure, *images, **options):
        seen.append({name: options.get(name) for name in OPTIONS})
        return reduce(measure, *images, **options)

    monkeypatch.setattr(_reduce, "chunk_reduce", noted)
    given = {"memory_limit": "3 GiB", "workers": 2, "world": image.world, "progress": False}
    function(image, **own, **given)
    assert seen
    assert all(options == given for options in seen)
    assert set(OPTIONS) <= set(inspect.signature(function).parameters)
    assert "memory_limit, workers, world, progress" in function.__doc__


def test_no_function_that_measures_an_image_is_without_them():
    functions = [v for v in vars(lx.measure).values() if inspect.isfunction(v)]
    of_images = [f for f in functions if next(iter(inspect.signature(f).parameters)) == "image"]
    assert len(of_images) > 10
    assert [f.__name__ for f in of_images if not set(OPTIONS) <= set(inspect.signature(f).parameters)] == []


def test_a_measurement_that_may_not_have_the_memory_is_refused(image):
    for function, own in MEASURES:
        with pytest.raises(MemoryLimitError, match=r"memory_limit is 1.0 KiB"):
            function(image, **own, memory_limit=1024)
    with pytest.raises(MemoryLimitError):
        lx.connectivity(lx.from_array(np.asarray(image) > 100), memory_limit=1024)


def test_percentiles_asked_for_later_keep_the_limit(image):
    floats = lx.from_array(np.asarray(image, np.float32), chunks=(6, 10, 8))
    result = lx.measure.histogram(floats, exact=True, memory_limit="1 GiB")
    assert result.percentile(50) == np.percentile(np.asarray(floats), 50)


def test_defaults_of_the_calls_inside_using(image):
    with lx.runtime.using(workers=3, memory_limit="2 GiB"):
        planned = lx.plan(lx.chunk_map, lambda v: v + 1, image)
        assert planned.memory_limit == 2 * 2**30
        assert lx.plan(lx.chunk_map, lambda v: v + 1, image, memory_limit="1 GiB").memory_limit == 2**30
        with lx.runtime.using(memory_limit=1024), pytest.raises(MemoryLimitError):
            lx.measure.mean(image)
    assert lx.plan(lx.chunk_map, lambda v: v + 1, image).memory_limit != 2 * 2**30
    with pytest.raises(ValueError, match="workers=0"), lx.runtime.using(workers=0):
        pass


PLANNED = [
    *((function, own) for function, own in MEASURES if function is not lx.measure.profile),
    (lx.measure.porosity, {"pore_phase": 60}),
    (lx.measure.phase_fractions, {}),
    (lx.measure.rings, {}),
    (lx.connectivity, {}),
    (lx.verify, {}),
    (lx.pyramid, {"smallest": 4}),
    (lx.VoxelImage.copy, {}),
    (lx.VoxelImage.content_hash, {}),
]


@pytest.mark.parametrize(("function", "own"), PLANNED, ids=lambda v: getattr(v, "__qualname__", ""))
def test_a_plan_knows_every_function_and_reads_nothing(image, function, own, monkeypatch):
    def never(*_):
        raise AssertionError("read")

    monkeypatch.setattr(type(image.stored), "read", never)
    monkeypatch.setattr(type(image.stored), "read_chunk", never)
    planned = lx.plan(function, image, **own, memory_limit="1 GiB")
    assert planned.bytes_read >= image.nbytes
    assert planned.memory_limit == 2**30
    assert planned.fits
    assert function.__name__ in planned.function or planned.function in ("MinimumMaximum", "Moments")


def test_a_plan_of_a_bound_method(image, tmp_path):
    assert lx.plan(image.copy, tmp_path / "copy.zarr", chunks=4).bytes_written == image.nbytes
    assert lx.plan(image.content_hash).bytes_written == 0
    assert not list(tmp_path.iterdir())


def test_a_plan_of_what_it_does_not_know_names_what_it_knows(image):
    with pytest.raises(TypeError, match=r"chunk_map, chunk_reduce.*connectivity.*pyramid.*verify"):
        lx.plan(print, image)
    with pytest.raises(ValueError, match="pore_phase is missing"):
        lx.plan(lx.measure.porosity, image)


def test_copies_hashes_and_checks_keep_within_the_limit(image, tmp_path):
    for call in (
        lambda: image.copy(memory_limit=16),
        lambda: lx.from_array(np.asarray(image)).content_hash(memory_limit=16),
        lambda: lx.verify(image, memory_limit=16),
    ):
        with pytest.raises(MemoryLimitError, match="memory_limit is 16 bytes"):
            call()
    copied = image.copy(tmp_path / "copy.zarr", chunks=4, memory_limit="1 MiB", workers=1, progress=False)
    np.testing.assert_array_equal(np.asarray(copied), np.asarray(image))
    assert copied.content_hash(memory_limit="40 MiB", workers=1, progress=False) == image.content_hash()
    assert lx.verify(copied, memory_limit="40 MiB", workers=2, progress=False)
    with pytest.raises(ValueError, match="say the same"):
        image.copy(memory=2**20, memory_limit="1 MiB")
    with pytest.raises(ValueError, match="world= is not that of the image"):
        lx.pyramid(image, world=lx.runtime.SerialWorld())


def test_an_image_given_twice_is_decoded_once():
    image = lx.from_array(np.arange(8**3, dtype=np.float32).reshape(8, 8, 8), chunks=4)
    loss = lx.measure.MeanSquaredError(model=lambda p, v: p * v)
    value, gradient = lx.chunk_value_and_grad(loss, 1.0, image, image, progress=False)
    assert (float(value), float(gradient)) == (0.0, 0.0)
    np.testing.assert_array_equal(lx.chunk_map(lambda a, b: a - b, image, image, progress=False)[:], 0)

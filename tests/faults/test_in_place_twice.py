"""A script of changes in place that is run again, by hand or by a queue, applies none of them twice."""

import itertools
import shutil

import numpy as np
import pytest

import lithax as lx
from lithax.errors import ResumeError
from lithax.testing import assert_same_bits

SHAPE = (8, 6, 4)
OPTIONS = {"progress": False, "workers": 1, "backend": "numpy"}


@pytest.fixture
def x(rng):
    return rng.integers(0, 100, SHAPE).astype("f4")


@pytest.fixture
def store(x, tmp_path):
    lx.from_array(x, chunks=4, store=tmp_path / "image.zarr")
    return tmp_path / "image.zarr"


def step(store, function, key, **more):
    image = lx.open(store, incomplete=True)
    options = OPTIONS | {"resume": True, "resume_key": key} | more
    return lx.chunk_map(function, image, out=image, **options)


def plus_one(v):
    return v + 1


def doubled(v):
    return v * 2


def test_without_a_name_the_second_time_is_refused(x, store):
    image = lx.open(store)
    lx.chunk_map(lambda v: v + 1, image, out=image, resume=True, progress=False)
    with pytest.raises(
        ResumeError, match=r"was applied to the image .* before \(it ended 20.*resume=False.*resume_key="
    ):
        lx.chunk_map(lambda v: v + 1, lx.open(store), out=lx.open(store), resume=True, progress=False)
    assert_same_bits(np.asarray(lx.open(store)), x + 1)
    lx.chunk_map(lambda v: v + 2, image, out=image, resume=True, progress=False)  # another step
    lx.chunk_map(lambda v: v + 1, image, out=image, progress=False)  # at the user's word
    assert_same_bits(np.asarray(lx.open(store)), x + 4)
    for _ in range(2):  # also an earlier one than the last
        with pytest.raises(ResumeError, match="was applied"):
            lx.chunk_map(lambda v: v + 2, image, out=image, resume=True, progress=False)


def test_arithmetic(x, store):
    image = lx.open(store)
    image.apply("add", 1, resume=True, progress=False)
    with pytest.raises(ResumeError, match="was applied"):
        lx.open(store).apply("add", 1, resume=True, progress=False)
    lx.open(store).apply("add", 2, resume=True, progress=False)
    for _ in range(2):
        lx.open(store).apply("multiply", 2, resume=True, resume_key="double", progress=False)
    image = lx.open(store)
    image += 1
    image += 1
    assert_same_bits(np.asarray(lx.open(store)), (x + 3) * 2 + 2)


@pytest.mark.parametrize("requeued", [1, 3])
def test_steps_with_names(x, store, requeued):
    for _ in range(1 + requeued):
        step(store, plus_one, "a")
        step(store, doubled, "b")
        step(store, plus_one, "a again")
    assert_same_bits(np.asarray(lx.open(store)), (x + 1) * 2 + 1)
    assert [entry["key"] for entry in lx.open(store).metadata.history] == ["a", "b", "a again"]


def test_a_name_that_stood_for_another_step(store, tmp_path, x):
    lx.chunk_map(plus_one, lx.open(store), out=lx.open(store), resume=True, resume_key="a", **OPTIONS)
    with pytest.raises(ResumeError, match=r"resume_key='a' was applied .* other parameters or other inputs"):
        step(store, lambda v, *, by: v + by, "a", by=2)
    # Where the function itself can be known, its name does not hide a change.
    step(store, lambda v: v + 0, "b", backend="jax")
    step(store, lambda v: v + 0, "b", backend="jax")
    with pytest.raises(ResumeError, match=r"resume_key='b' was applied .* with another function"):
        step(store, lambda v: v * 2, "b", backend="jax")
    other = lx.from_array(x, chunks=4, store=tmp_path / "other.zarr")

    def add():
        image = lx.open(store)
        return lx.chunk_map(np.add, image, other, out=image, resume=True, resume_key="other", **OPTIONS)

    add()
    add()
    assert_same_bits(np.asarray(lx.open(store)), x + 1 + x)
    other[0, 0, 0] += 1
    with pytest.raises(ResumeError, match="other parameters or other inputs"):
        add()


def test_a_fresh_image_begins_again(x, store):
    def script():
        lx.from_array(x, chunks=4, store=store, overwrite=True)
        step(store, plus_one, "a")

    script()
    script()
    assert_same_bits(np.asarray(lx.open(store)), x + 1)


def test_voxels_that_were_written_between(x, store):
    """The voxels of before are the ones of before; others are nobody's guess, and refused."""

    def script():
        lx.open(store)[...] = x
        step(store, plus_one, "a")

    script()
    script()
    assert_same_bits(np.asarray(lx.open(store)), x + 1)
    lx.open(store)[0, 0, 0] = 77
    for key, error in (("a", "resume_key='a' was applied .*changed otherwise since"), ("b", None)):
        if error is None:
            step(store, doubled, key)
        else:
            with pytest.raises(ResumeError, match=error):
                step(store, plus_one, key)
    step(store, plus_one, "a")  # the last of the named steps left the image as it is now
    expected = x + 1
    expected[0, 0, 0] = 77
    assert_same_bits(np.asarray(lx.open(store)), expected * 2)


def test_steps_that_undo_each_other(x, store):
    """After the last one the voxels are those from before the first, which must not begin again for that."""
    for _ in range(2):
        step(store, plus_one, "up")
        step(store, lambda v: v - 1, "down")
    assert_same_bits(np.asarray(lx.open(store)), x)
    assert len(lx.open(store).metadata.history) == 2


def test_in_memory(x):
    image = lx.from_array(x, chunks=4)
    for _ in range(2):
        lx.chunk_map(plus_one, image, out=image, resume=True, resume_key="a", **OPTIONS)
    assert_same_bits(np.asarray(image), x + 1)


def test_a_copied_image_keeps_its_history(x, store, tmp_path):
    step(store, plus_one, "a")
    shutil.copytree(store, tmp_path / "scratch.zarr")
    step(tmp_path / "scratch.zarr", plus_one, "a")
    assert_same_bits(np.asarray(lx.open(tmp_path / "scratch.zarr")), x + 1)


def test_the_list_stays_short(store):
    image = lx.open(store)
    step(store, plus_one, "named")
    for _ in range(20):
        image += 1
    history = lx.open(store).metadata.history
    assert len(history) == 17
    assert history[0]["key"] == "named"


def test_two_outputs_of_which_one_was_called_complete(x, tmp_path, monkeypatch):
    """Killed in between: everything was written, so nothing is applied again."""
    from lithax.storage import StoredArray

    images = [lx.from_array(x + n, chunks=4, store=tmp_path / f"{n}.zarr") for n in range(2)]

    def swap():
        opened = [lx.open(tmp_path / f"{n}.zarr", incomplete=True) for n in range(2)]
        lx.chunk_map(lambda a, b: (b + 1, a + 1), *opened, out=tuple(opened), resume=True, resume_key="swap", **OPTIONS)

    update, calls = StoredArray.update_metadata, []

    def stop(self, **changes):
        if changes.get("state") == "complete":
            calls.append(self)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return update(self, **changes)

    monkeypatch.setattr(StoredArray, "update_metadata", stop)
    with pytest.raises(KeyboardInterrupt):
        swap()
    monkeypatch.undo()
    swap()
    swap()
    for n, image in enumerate(images):
        assert_same_bits(np.asarray(lx.open(image.store)), x + (1 - n) + 1)


PROGRAM = """
import os, signal, sys
import numpy as np
import lithax as lx

folder, kill_at = sys.argv[1], int(sys.argv[2])
written = 0
from lithax.storage import StoredArray
write = StoredArray.write_unit

def write_unit(self, unit, payload, digest=None):
    global written
    write(self, unit, payload, digest)
    written += 1
    if written == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

StoredArray.write_unit = write_unit
for n in range(10):
    image = lx.open(folder + "/image.zarr", incomplete=True)
    lx.chunk_map(lambda v: v * 2 + n, image, out=image, resume=True, resume_key=f"step {n}", backend="numpy",
                 progress=False, workers=1)
"""


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_loop_of_ten_steps_that_is_killed_again_and_again(x, store, tmp_path, stride, forked):
    (tmp_path / "program.py").write_text(PROGRAM)
    for kill_at in itertools.chain(range(1, 30, stride), [0]):  # four units a step
        status, errors = forked(tmp_path / "program.py", tmp_path, kill_at)
        assert status in (0, -9), errors
    expected = x
    for n in range(10):
        expected = expected * np.float32(2) + np.float32(n)
    assert_same_bits(np.asarray(lx.open(store)), expected)
    assert len(lx.open(store).metadata.history) == 10

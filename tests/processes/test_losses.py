"""Processes that do not evaluate a loss alike: a named error in each of them, and nobody who waits for ever."""

import functools
import re
import time

import numpy as np
import pytest

import lithax as lx
from lithax.errors import ProcessFailure
from lithax.testing import on_threads

LATER = pytest.mark.slow
"""Further cases, which nox -s mpi takes but in CI."""
DIFFERENT = r"ValueError: chunk_(loss|reduce)\(\) was called with different arguments: "
VAIN = r"ProcessFailure: process 0 of 2 waited 2 s in chunk_loss\(\) for the others, which did not come"


CASES = [  # case, what is said, how often, and whether it is among the later ones
    ("another order", DIFFERENT + "evaluation is 'value of loss 1, evaluation 3' in process 0 and 'value of loss 2", 2, False),
    ("another parameter", DIFFERENT + r"parameters is '1\.0' in process 0 and '2\.0' in process 1", 2, True),
    ("a gradient", DIFFERENT + "evaluation is 'value of loss 1.* and 'gradient of loss 1", 2, True),
    ("left out by the compiler", DIFFERENT + "parameters is", 2, True),
    ("one fewer, and the end", "process 1 came to the end of its program", 2, False),
    ("one fewer, and something else", DIFFERENT + "function is 'chunk_loss' in process 0 and 'chunk_reduce'", 2, True),
    ("one fewer, and gather", DIFFERENT + "function is 'chunk_loss' in process 0 and 'world.gather'", 2, True),
    ("late", VAIN, 2, True),
    ("never", VAIN, 1, False),  # the other one sleeps, and is ended
    ("never, and caught", VAIN.removeprefix("ProcessFailure: "), 1, True),
]  # fmt: skip


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("kind", "case", "said", "times"),
    [
        pytest.param(kind, *rest, marks=[LATER] * (later or (kind == "jax" and rest[0] != "one fewer, and the end")))
        for *rest, later in CASES
        for kind in ("mpi", "jax")
    ],
)
def test_real_processes_all_stop(mpiexec, tmp_path, kind, case, said, times):
    done = mpiexec(2, "losses", kind, tmp_path, case, patience=120)
    assert done.stderr.count("is ready") == 2, done.stderr
    assert done.returncode != 0
    assert len(re.findall(said, done.stderr)) >= times, done.stderr


@pytest.fixture
def alike(tmp_path):
    """Play two processes with a loss each for work; return what became of them."""
    lx.from_array(np.arange(64, dtype="f4").reshape(4, 4, 4), 2, tmp_path / "a")

    def play(work, timeout=60.0):
        def one(world):
            image = lx.open(tmp_path / "a", world=world)
            loss = functools.partial(lx.measure.MeanSquaredError, model=lambda p, v: p * v)
            return work(world, *(lx.chunk_loss(loss(), image, image, timeout=timeout) for _ in range(2)))

        return on_threads(2, one)

    return play


def test_losses_that_look_alike_are_told_apart(alike):
    def work(world, f, g):
        first, second = (f, g) if world.first else (g, f)
        return float(first(2.0)) + float(second(2.0))

    for error in alike(work):
        assert isinstance(error, ValueError)
        assert "'value of loss 1, evaluation 1' in process 0 and 'value of loss 2, evaluation 1'" in str(error)


def test_who_waits_in_vain_says_so_and_who_is_late_is_told(alike):
    def work(world, f, g):
        if world.first:
            return f(2.0)
        time.sleep(1.0)  # long after the first one gave up
        return world.gather("late")

    for error in alike(work, timeout=0.3):
        assert isinstance(error, ProcessFailure)
        assert "process 0 of 2 waited 0.3 s in chunk_loss() for the others" in str(error)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_time_is_positive(timeout):
    image = lx.ones((2, 2, 2), "f4")
    with pytest.raises(ValueError, match=r"timeout=.* must be a positive number of seconds"):
        lx.chunk_loss(lx.measure.MeanSquaredError(model=lambda p, v: p * v), image, image, timeout=timeout)

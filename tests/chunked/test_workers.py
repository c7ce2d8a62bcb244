"""Threads: failures come through, none is left behind, and the bar is readable."""

import io
import sys
import threading
import traceback

import pytest

from lithax import chunk_map, chunk_reduce, chunk_value_and_grad
from lithax.chunked import _progress
from lithax.chunked._pool import run_all
from lithax.chunked._progress import Progress
from lithax.images import from_array
from lithax.measure import AbstractMeasurement, Mean, MeanLoss

SHAPE, CHUNKS = (8, 6, 10), (2, 3, 5)


@pytest.fixture
def image(rng):
    return from_array(rng.random(SHAPE), chunks=CHUNKS)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lithax-block")]


def working():
    return threading.current_thread() is not threading.main_thread()


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_a_failure_comes_through_with_its_traceback(image, tmp_path, workers):
    calls = []

    def breaks_at_the_fifth(v):
        if working():
            calls.append(None)
            if len(calls) == 5:
                raise ZeroDivisionError("the fifth block")
        return v

    with pytest.raises(ZeroDivisionError, match="the fifth block") as raised:
        chunk_map(breaks_at_the_fifth, image, store=tmp_path / "out.zarr", backend="numpy", workers=workers)
    assert "breaks_at_the_fifth" in "".join(traceback.format_tb(raised.value.__traceback__))
    (note,) = raised.value.__notes__
    assert "The output is unfinished: repeat the call with resume=True to go on, or with overwrite=True" in note
    assert "out.zarr" in note
    assert len(calls) <= 4 + 2 * (workers or 99)  # those under way come to their end, no other begins


def test_results_in_memory_leave_nothing_to_resume(image):
    def breaks(v):
        if working():
            raise ZeroDivisionError
        return v

    with pytest.raises(ZeroDivisionError) as raised:
        chunk_map(breaks, image, backend="numpy")
    assert not getattr(raised.value, "__notes__", [])


def test_the_first_of_several_failures_is_raised(image):
    def breaks(v):
        if working():
            raise ZeroDivisionError(f"in {threading.current_thread().name}")
        return v

    for _ in range(20):
        with pytest.raises(ZeroDivisionError, match="in lithax-block-"):
            chunk_map(breaks, image, backend="numpy", workers=5)


def test_failures_in_reductions_and_losses(image):
    class Breaks(AbstractMeasurement):
        def of(self, block, valid=None):
            return {"n": 1}

        def combine(self, a, b):
            raise ZeroDivisionError("on the way")

        def finish(self, state):
            return 0

    with pytest.raises(ZeroDivisionError, match="on the way"):
        chunk_reduce(Breaks(), image, backend="numpy", progress=False)

    def of_nothing(p, x):
        raise ZeroDivisionError("while tracing")

    with pytest.raises(ZeroDivisionError, match="while tracing"):
        chunk_value_and_grad(MeanLoss(of_nothing), 1.0, image, progress=False)


def test_tasks_start_in_order_and_all_results_arrive():
    for workers in (1, 3, 50):
        started, arrived = [], []

        def work(n, started=started):
            started.append(n)
            return n * n

        run_all(range(40), work, workers, lambda n, square, arrived=arrived: arrived.append((n, square)))
        assert sorted(arrived) == [(n, n * n) for n in range(40)]
        assert sorted(started) == list(range(40))
        if workers == 1:
            assert started == list(range(40))
    run_all([], work, 3)


def test_threads_do_not_run_far_ahead_of_who_takes_the_results():
    ahead = []
    gate = threading.Event()
    running = 0
    lock = threading.Lock()

    def work(n):
        nonlocal running
        with lock:
            running += 1
            ahead.append(running)
        return n

    def take(n, result):
        nonlocal running
        gate.wait(0.001)
        with lock:
            running -= 1

    run_all(range(60), work, 4, take)
    assert max(ahead) <= 2 * 4 + 1


@pytest.mark.parametrize("where", ["supply", "work", "done"])
def test_a_failure_anywhere_stops_everything(where):
    def supply():
        for n in range(1000):
            if where == "supply" and n == 7:
                raise KeyError("supply")
            yield n

    done = []

    def work(n):
        if where == "work" and n == 7:
            raise KeyError("work")
        return n

    def take(n, result):
        if where == "done" and n == 7:
            raise KeyError("done")
        done.append(n)

    with pytest.raises(KeyError, match=where):
        run_all(supply(), work, 4, take)
    assert len(done) < 100


def test_ctrl_c_in_the_thread_that_waits():
    finished = []
    begun = threading.Event()

    def work(n):
        begun.set()
        finished.append(n)
        return n

    def interrupted(n, result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(range(1000), work, 3, interrupted)
    assert len(finished) < 100


# Progress


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_progress, "time", clock)
    return clock


def test_lines_in_a_log_file(clock, capsys):
    bar = Progress(1000, "smoothing", True)
    for _ in range(10):
        clock.now += 5.0
        bar.add(50)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # every 15 seconds, not every block
    assert lines[0] == "smoothing:  15 %, 0.0 million voxels/s, 85 s left"
    assert lines[2] == "smoothing:  45 %, 0.0 million voxels/s, 55 s left"


def test_what_an_earlier_attempt_did_is_no_speed(clock, capsys):
    bar = Progress(4_000_000_000, "smoothing", True, already=2_000_000_000)
    clock.now += 20.0
    bar.add(1_000_000_000)
    clock.now += 20.0
    bar.add(0)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "smoothing:  75 %, 50.0 million voxels/s, 20 s left"
    stuck = Progress(100, "smoothing", True)
    clock.now += 20.0
    stuck.add(0)
    assert capsys.readouterr().err == "smoothing:   0 %, 0.0 million voxels/s\n"


def test_nothing_is_shown_when_asked_or_when_it_is_over_at_once(image, clock, capsys):
    Progress(10, "work", False).add(10)
    chunk_map(lambda v: v, image, backend="numpy")
    chunk_reduce(Mean(), image)
    clock.now = 100.0
    chunk_map(lambda v: v, image, backend="numpy", progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = Progress(1000, "smoothing", True, already=500)
    bar._bar.delay = 0
    bar._bar.mininterval = 0
    for _ in range(10):
        bar.add(50)
    bar.close()
    assert "smoothing" in screen.getvalue()
    assert "1.00k/1.00k" in screen.getvalue()
    assert "voxel/s" in screen.getvalue()

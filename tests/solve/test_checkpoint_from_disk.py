"""A solve from disk that is killed, at whatever moment, goes on from its last step, and ends with
the same value.
"""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import lithax as lx
from lithax.errors import LockedError, MemoryLimitError
from lithax.solve import _conduction_streamed, _slab_stages
from lithax.solve._checkpoint import Slot
from lithax.solve._streamed_checkpoint import alone_in

SLABS = 4  # of 13 planes
OPTIONS = {"tolerance": 1e-5}


@pytest.fixture
def rock(rng):
    field = gaussian_filter(rng.standard_normal((13, 12, 16)), 1.0)
    return field > np.quantile(field, 0.4)


def interrupted(monkeypatch, place, name, number):
    """Count the calls of a function, and fail at one of them; None: at none."""
    calls, function = [], getattr(place, name)

    def counting(*arguments, **options):
        calls.append(0)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(place, name, counting)
    return calls


@pytest.mark.parametrize(
    ("place", "name", "number", "kept"),
    [
        (_slab_stages, "begin", 2, 0),
        (_slab_stages, "move", 3, 0),  # nothing is whole yet
        (_slab_stages, "finish", SLABS + 2, 1),
        (_slab_stages, "move", 2 * SLABS + 3, 2),  # half of a step is written
        (Slot, "keep", 3, 2),  # all of it, but there is no record
        (_conduction_streamed, "assembled", 1, None),  # the last step has been
    ],
    ids=str,
)
def test_a_solve_goes_on_from_its_last_step(from_disk, monkeypatch, rock, tmp_path, place, name, number, kept):
    whole = from_disk(rock, **OPTIONS)
    steps = int(whole.iterations)
    assert steps > 3
    with monkeypatch.context() as patched:
        interrupted(patched, place, name, number)
        with pytest.raises(KeyboardInterrupt):
            from_disk(rock, checkpoint=tmp_path / "kept", **OPTIONS)
    records = [path.name for path in (tmp_path / "kept").glob("*.npz")]
    left = 0 if kept is None else steps - kept
    assert records == ([f"solve-x-0-{steps - left}.npz"] if left < steps else [])
    calls = interrupted(monkeypatch, _slab_stages, "finish", None)
    again = from_disk(rock, checkpoint=str(tmp_path / "kept"), **OPTIONS)
    assert len(calls) == left * SLABS
    assert float(again.value) == float(whole.value)
    assert float(again.solver_error) == float(whole.solver_error)
    assert int(again.iterations) == steps
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.slow
def test_periodic_ends_and_another_memory_limit(from_disk, monkeypatch, rock, tmp_path):
    """The last slab sees the first one; thicker slabs read the same vectors."""
    options = {"ends": "periodic", **OPTIONS}
    whole = from_disk(rock, **options)
    with monkeypatch.context() as patched:
        interrupted(patched, _slab_stages, "move", 2 * SLABS + 3)
        with pytest.raises(KeyboardInterrupt):
            from_disk(rock, checkpoint=tmp_path / "kept", **options)
    again = from_disk(rock, 6, checkpoint=tmp_path / "kept", **options)
    assert float(again.value) == pytest.approx(float(whole.value), rel=1e-6)  # summed in another order
    assert int(again.iterations) == int(whole.iterations)


@pytest.mark.slow
def test_axes_that_have_been_solved_are_not_solved_again(from_disk, monkeypatch, rock, tmp_path):
    whole = from_disk(rock, axis="all", **OPTIONS)
    with monkeypatch.context() as patched:
        calls = interrupted(patched, _slab_stages, "finish", None)
        interrupted(patched, _slab_stages, "move", SLABS * int(whole.iterations[0]) + 3)
        with pytest.raises(KeyboardInterrupt):
            from_disk(rock, axis="all", checkpoint=tmp_path / "kept", **OPTIONS)
    assert len(calls) == SLABS * int(whole.iterations[0]) + 3  # the third slab of the second axis's first step
    assert (tmp_path / "kept" / "solve-end-x-0-0.npz").exists()
    assert not list((tmp_path / "kept").glob("solve-x-*"))
    calls = interrupted(monkeypatch, _slab_stages, "finish", None)
    again = from_disk(rock, axis="all", checkpoint=tmp_path / "kept", **OPTIONS)
    assert len(calls) == sum(-(-n // 4) * int(steps) for n, steps in zip((12, 16), whole.iterations[1:], strict=True))
    assert np.array_equal(again.value, whole.value)
    assert str(again).splitlines()[:-1] == str(whole).splitlines()[:-1]  # the last says how much is on disk
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.slow
def test_the_solve_for_the_line_of_the_threshold_goes_on_as_well(from_disk, monkeypatch, rng, tmp_path):
    scan = gaussian_filter(rng.standard_normal((13, 12, 16)), 1).astype("f4")
    threshold = float(np.quantile(scan, 0.6))
    options = {"segmentation": (scan, threshold, 0.05), **OPTIONS}
    whole = from_disk(scan <= threshold, **options)
    first = SLABS * int(whole.iterations)
    with monkeypatch.context() as patched:
        calls = interrupted(patched, _slab_stages, "finish", first + SLABS + 1)
        with pytest.raises(KeyboardInterrupt):
            from_disk(scan <= threshold, checkpoint=tmp_path / "kept", **options)
    assert {path.name for path in (tmp_path / "kept").glob("*.npz")} == {"solve-end-x-0-0.npz", "solve-soft-x-0-1.npz"}
    calls = interrupted(monkeypatch, _slab_stages, "finish", None)
    again = from_disk(scan <= threshold, checkpoint=tmp_path / "kept", **options)
    assert 0 < len(calls) < first + SLABS  # the hard one is not solved again
    assert float(again.value) == float(whole.value)
    assert again.error_budget.segmentation == whole.error_budget.segmentation


def test_another_solve_is_refused(from_disk, monkeypatch, rock, tmp_path):
    with monkeypatch.context() as patched:
        interrupted(patched, _slab_stages, "finish", SLABS + 2)
        with pytest.raises(KeyboardInterrupt):
            from_disk(rock, checkpoint=tmp_path / "kept", **OPTIONS)
    with pytest.raises(ValueError, match="holds the state of another solve"):
        from_disk(rock[::-1], checkpoint=tmp_path / "kept", **OPTIONS)
    with pytest.raises(ValueError, match="holds the state of another solve"):
        lx.solve.conductivity(rock, checkpoint=tmp_path / "kept", **OPTIONS)  # in memory
    with alone_in(tmp_path / "kept"), pytest.raises(LockedError, match="is in use by another call"):
        from_disk(rock, checkpoint=tmp_path / "kept", **OPTIONS)
    with pytest.raises(TypeError, match="checkpoint=3 must be a folder"):
        from_disk(rock, checkpoint=3)
    next((tmp_path / "kept").glob("*-q1.vector")).unlink()
    with pytest.raises(ValueError, match=r"lacks solve-x-0-q1\.vector"):
        from_disk(rock, checkpoint=tmp_path / "kept", **OPTIONS)


def test_what_is_kept_is_planned(from_disk, monkeypatch, rock, tmp_path):
    limit = lx.plan(lx.solve.conductivity, rock).memory - 1
    without = lx.plan(lx.solve.conductivity, rock, memory_limit=limit).scratch
    plan = lx.plan(lx.solve.conductivity, rock, memory_limit=limit, checkpoint=tmp_path)
    # A second set of u, r and q.
    assert plan.scratch == without + 12 * rock.size
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": plan.scratch - 1}))
    with pytest.raises(MemoryLimitError, match=r"conductivity\(\) needs"):
        from_disk(rock, checkpoint=tmp_path / "kept")


PROGRAM = """
import sys, time
import numpy as np
import lithax as lx
from lithax.solve import _slab_stages, _streamed_memory
for name in ("PROGRAMS", "LEVEL", "CYCLE", "SLAB", "SLAB_BELOW", "KEPT", "PLANE", "SIDE", "MET"):
    setattr(_streamed_memory, name, 1)
_streamed_memory.MOST_PLANES = 4
rock = np.load(sys.argv[1])
move, taken = _slab_stages.move, []

def slow(*arguments):
    taken.append(0)
    if len(taken) == 11:
        print("half of the third step", flush=True)
        time.sleep(600)
    return move(*arguments)

_slab_stages.move = slow
limit = lx.plan(lx.solve.conductivity, rock).memory - 1
lx.solve.conductivity(rock, tolerance=1e-5, memory_limit=limit, checkpoint=sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_process(from_disk, monkeypatch, rock, tmp_path):
    whole = from_disk(rock, **OPTIONS)
    np.save(tmp_path / "rock.npy", rock)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "rock.npy"), str(tmp_path / "kept")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "half of the third step\n"
            time.sleep(0.2)  # its slabs before this one are being written
        finally:
            process.send_signal(signal.SIGKILL)
    calls = interrupted(monkeypatch, _slab_stages, "finish", None)
    again = from_disk(rock, checkpoint=tmp_path / "kept", **OPTIONS)
    assert len(calls) == (int(whole.iterations) - 2) * SLABS
    assert float(again.value) == float(whole.value)

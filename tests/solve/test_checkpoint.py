"""A solve that is killed, or interrupted, goes on from the state it kept."""

import numpy as np
import pytest

import lithax as lx
from lithax.solve import _checkpoint, _conduction_solve, _conjugate_gradients

ROCK = np.random.default_rng(2).random((10, 12, 11)).astype("f4") + 0.01
PROGRAM = """
import sys, time
import numpy as np
import lithax as lx
from lithax.solve import _checkpoint, _conduction_solve, _conjugate_gradients
rock, folder = np.load(sys.argv[1]), sys.argv[2]
_checkpoint.LEAST = _checkpoint.REST = 0
_conjugate_gradients.AT_ONCE = 1  # each step is looked at
step, taken = _conduction_solve.advance, []

def slow(*arguments):
    taken.append(0)
    if len(taken) > 3:
        time.sleep(600)
    return step(*arguments)

_conduction_solve.advance = slow
lx.solve.conductivity(rock, tolerance=1e-6, checkpoint=folder)
"""


@pytest.fixture
def counted(monkeypatch):
    """The steps that are taken, and none too soon to be kept."""
    taken, step = [], _conduction_solve.advance
    monkeypatch.setattr(_conduction_solve, "advance", lambda *a: (taken.append(0), step(*a))[1])
    monkeypatch.setattr(_checkpoint, "LEAST", 0.0)
    monkeypatch.setattr(_checkpoint, "REST", 0)
    monkeypatch.setattr(_conjugate_gradients, "AT_ONCE", 1)  # each step is looked at
    return taken


def test_steps_at_once_are_steps_one_by_one(monkeypatch):
    at_once = lx.solve.conductivity(ROCK, tolerance=1e-6)
    monkeypatch.setattr(_conjugate_gradients, "AT_ONCE", 3 * ROCK.size)
    few = lx.solve.conductivity(ROCK, tolerance=1e-6)
    assert at_once.iterations == few.iterations > 3
    assert at_once.value == few.value


def test_a_killed_solve_goes_on(killed, counted):
    whole = lx.solve.conductivity(ROCK, tolerance=1e-6)
    steps = len(counted)
    assert steps > 3
    folder = killed(PROGRAM, ROCK, "solve-x-0-3.npz")
    with pytest.raises(ValueError, match="another solve"):
        lx.solve.conductivity(ROCK * 2, checkpoint=folder)
    counted.clear()
    again = lx.solve.conductivity(ROCK, tolerance=1e-6, checkpoint=folder)
    assert len(counted) == steps - 3
    assert float(again.value) == float(whole.value)
    assert int(again.iterations) == steps
    assert not list(folder.iterdir())


def test_ctrl_c_leaves_a_state(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(_checkpoint, "LEAST", 1e9)
    step = _conduction_solve.advance

    def interrupted(*arguments):
        if len(counted) == 2:
            raise KeyboardInterrupt
        return step(*arguments)

    def used_up(*arguments):
        step(*arguments)
        raise KeyboardInterrupt

    # Between a step and its name: what it began with is gone, and there is no later state yet.
    monkeypatch.setattr(_conduction_solve, "advance", used_up)
    with pytest.raises(KeyboardInterrupt):
        lx.solve.conductivity(ROCK, tolerance=1e-6, checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())
    counted.clear()
    monkeypatch.setattr(_conduction_solve, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lx.solve.conductivity(ROCK, tolerance=1e-6, checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["solve-x-0-2.npz"]
    with pytest.raises(TypeError, match="folder"):
        lx.solve.conductivity(ROCK, checkpoint=3)
    state = tmp_path / "solve-x-0-2.npz"
    with np.load(state) as kept:  # as a version writes it that keeps one array less
        arrays = {name: kept[name] for name in kept.files[:-1]}
    np.savez(state, **(arrays | {"identity": str(arrays["identity"]).rpartition(" ")[0]}))
    with pytest.raises(ValueError, match="another version of lithax"):
        lx.solve.conductivity(ROCK, tolerance=1e-6, checkpoint=tmp_path)

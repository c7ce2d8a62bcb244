"""A permeability that is killed goes on from the state it kept."""

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.solve import _checkpoint, _flow_solve

ROCK = np.random.default_rng(2).random((13, 12, 11)) < 0.6
OPTIONS = {"axis": "all", "tolerance": 1e-4, "reservoir": 1}
PROGRAM = """
import sys, time
import numpy as np
import lithax as lx
from lithax.solve import _checkpoint, _stokes
rock, folder = np.load(sys.argv[1]), sys.argv[2]
_checkpoint.LEAST = _checkpoint.REST = 0
step, taken = _stokes.step, []

def slow(*arguments):
    taken.append(0)
    if len(taken) > 5:
        time.sleep(600)
    return step(*arguments)

_stokes.step = slow
lx.solve.permeability(rock, axis="all", tolerance=1e-4, reservoir=1, checkpoint=folder)
"""


@pytest.fixture
def counted(monkeypatch):
    """The steps that are taken, and none too soon to be kept."""
    taken, step = [], _flow_solve.stokes.step
    monkeypatch.setattr(_flow_solve.stokes, "step", lambda *a: (taken.append(0), step(*a))[1])
    monkeypatch.setattr(_checkpoint, "LEAST", 0.0)
    monkeypatch.setattr(_checkpoint, "REST", 0)
    return taken


def test_a_killed_solve_goes_on(killed, counted):
    whole = lx.solve.permeability(ROCK, **OPTIONS)
    steps = len(counted)
    folder = killed(PROGRAM, ROCK, "solve-x-0-5.npz")
    for other, options in (
        (~ROCK, OPTIONS),
        (ROCK, OPTIONS | {"tolerance": 1e-3}),
        (ROCK, OPTIONS | {"sides": "no_slip"}),
    ):
        with pytest.raises(ValueError, match="another solve"):
            lx.solve.permeability(other, checkpoint=folder, **options)
    counted.clear()
    again = lx.solve.permeability(ROCK, checkpoint=folder, **OPTIONS)
    assert len(counted) == steps - 5
    np.testing.assert_array_equal(again.value, whole.value)  # to the last bit: nothing is made anew
    np.testing.assert_array_equal(again.iterations, whole.iterations)
    assert not list(folder.iterdir())


def test_states_are_kept_once_there_are_two_directions(tmp_path, counted, monkeypatch):
    step = _flow_solve.stokes.step

    def interrupted(*arguments):
        if len(counted) == 4:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(_flow_solve.stokes, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lx.solve.permeability(ROCK, checkpoint=tmp_path, tolerance=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"solve-x-0-3.npz", "solve-x-0-4.npz"}
    with np.load(tmp_path / "solve-x-0-4.npz") as kept:
        assert sum(kept[name].nbytes for name in kept.files if name != "identity") == pytest.approx(
            64 * 14 * 12 * 11, rel=0.01
        )


def test_no_state_under_a_transformation(tmp_path):
    soft = np.where(ROCK, 0.9, 0.1).astype("f4")
    with pytest.raises(ValueError, match="checkpoint= is for the host's loop; leave it out under a transformation"):
        jax.grad(lambda v: lx.solve.permeability(v, checkpoint=tmp_path).value)(soft)
    with pytest.raises(TypeError, match="checkpoint=3 must be a folder"):
        lx.solve.permeability(ROCK, checkpoint=3)
    assert not list(tmp_path.iterdir())
    assert lx.plan(lx.solve.permeability, ROCK, checkpoint=tmp_path).fits


def test_calls_that_solve_more_than_once_keep_no_state(tmp_path):
    kept = {"checkpoint": tmp_path}
    for call in (
        lambda: lx.solve.subvolumes(ROCK, edge=8, flow=kept),
        lambda: lx.solve.two_fluids(ROCK, [ROCK], flow=kept),
        lambda: lx.solve.two_fluids(ROCK, [ROCK], current=kept),
    ):
        with pytest.raises(ValueError, match=r"(flow|current)= holds checkpoint=, which belongs to one solve"):
            call()

"""Pyramids and algorithms of passes that are killed in mid-run go on to what one that was not killed gives."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lithax as lx

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

PROGRAM = Path(__file__).with_name("killed_passes.py")
MOMENTS = {  # of three passes, or of two levels: in the first, between two, in the last, at the end
    "passes": [("before record", 5), ("after write", 22), ("half written", 6)],
    "beside": [("after write", 10), ("before record", 14)],
    "group": [("before rename", 40), ("after write", 24)],
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The data, and for each kind its folder, how its runs ended, and what was written on standard error: one program runs all."""
    data = np.random.default_rng(7).integers(40, 60_000, (20, 18, 11)).astype("u2")
    runs, folders = [], {kind: tmp_path_factory.mktemp(kind) for kind in MOMENTS}
    for kind, folder in folders.items():
        lx.from_array(data, chunks=6, store=folder / "in")
        runs += [[kind, str(folder), *moment] for moment in MOMENTS[kind]] + [[kind, str(folder)]]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, json.dumps(runs)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses = iter(json.loads(done.stdout))
    return data, {
        kind: (folder, [next(statuses) for _ in range(len(MOMENTS[kind]) + 1)], done.stderr)
        for kind, folder in folders.items()
    }


@pytest.mark.parametrize("kind", MOMENTS)
def test_killed_and_resumed(kind, ended):
    data, (tmp_path, statuses, errors) = ended[0], ended[1][kind]
    assert statuses[-1] == 0, errors
    assert statuses[:-1] == [-signal.SIGKILL] * len(MOMENTS[kind]), errors
    where = tmp_path / ("in" if kind == "beside" else "out")
    assert lx.verify(where, progress=False)
    if kind == "passes":
        np.testing.assert_array_equal(lx.open(where), data // 2 - (data // 2).min())
        assert not (where / "scratch").exists()
        return
    whole = lx.pyramid(lx.from_array(data, chunks=6), smallest=5, progress=False)
    assert [level.shape for level in lx.open(where).levels] == [(10, 9, 6), (5, 5, 3)]
    for level, expected in zip(lx.open(where).levels, whole.levels, strict=True):
        np.testing.assert_array_equal(level, expected)

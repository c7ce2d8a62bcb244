"""An inversion that is killed in mid-run goes on to the bytes of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lithax as lx
from lithax.dect import Calibration, Standard, Study, material

sys.path.insert(0, str(Path(__file__).parent))
from scans import HIGH, LOW, attenuations

sys.path.pop(0)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

PROGRAM = Path(__file__).with_name("killed_inversions.py")
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a study whose coefficients are drawn, of eight blocks and fifteen results."""
    standards = []
    for name in ("water", "quartz", "aluminium"):
        made = material(name)
        levels = [made.electron_density * (a + b * made.composition.mean_power(n)) for _, a, b, n in (LOW, HIGH)]
        standards.append(Standard(made, [(level, 1e-4) for level in levels]))
    rng = np.random.default_rng(2)
    shape = (16, 12, 10)
    scans = attenuations(rng.uniform(1, 3, shape), rng.uniform(7, 16, shape))
    folder = tmp_path_factory.mktemp("prepared")
    images = [lx.from_array(v.astype("f4"), chunks=8) for v in scans]
    study = Study.create(folder / "study", *images, Calibration(Standard(None, [(0.0, 1e-4)] * 2), standards), draws=20)
    assert study.coefficients.draws == 20
    assert "coefficients" not in study.stale()
    return folder


def ends(*runs):
    """Return how runs ended, one after the other, negative for a signal."""
    text = json.dumps([[kind, os.fspath(folder), *when] for kind, folder, *when in runs])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, text], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("kind", [pytest.param("image", marks=pytest.mark.slow), "study"])
def test_killed_and_resumed(prepared, stored_bytes, tmp_path, kind):
    """Killed while the results are being made, between blocks, in the middle of a stored object, and when nearly done."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        shutil.copytree(prepared, folder)
    moments = [("before rename", 7), ("before write", 20), ("half written", 18), ("before record", 60)]
    statuses, said = ends((kind, whole), *((kind, cut, *moment) for moment in moments), (kind, cut))
    assert statuses == [0, *(KILLED,) * len(moments), 0], said
    assert stored_bytes(cut) == stored_bytes(whole)


def test_an_unfinished_inversion_says_so(prepared, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(prepared, folder)
    statuses, said = ends(("study", folder, "after write", 30))
    assert statuses == [KILLED], said
    study = lx.open(folder / "study")
    assert study.stale() == ("outputs",)
    with pytest.raises(RuntimeError, match="run\\(\\)"):
        _ = study.outputs
    with pytest.raises(lx.errors.IncompleteImageError, match="resume=True"):
        lx.open(folder / "study", path="outputs/valid")
    # What was cut off belongs to other settings now, so that it is begun again.
    study.set(whis=2.0)
    begun_again = study.run(progress=False)
    expected = lx.dect.invert(study.low, study.high, study.coefficients, whis=2.0, progress=False)
    np.testing.assert_array_equal(begun_again.atomic_number.maximum, expected.atomic_number.maximum)

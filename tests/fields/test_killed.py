"""Runs that are killed again and again end with the bytes of one that was not, and leave no scratch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lithax as lx

from .killed_runs import CALLS, run

PROGRAM = Path(__file__).with_name("killed_runs.py")


def stored(folder: Path) -> dict[str, bytes]:
    chunks = folder / "c"
    return {str(p.relative_to(chunks)): p.read_bytes() for p in sorted(chunks.rglob("*")) if p.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CALLS))
def test_killed_in_every_pass_and_resumed(name, tmp_path):
    rng = np.random.default_rng(len(name))
    lx.from_array(rng.random((20, 20, 20)) < 0.9, chunks=4, store=tmp_path / "pore.zarr")
    run(name, str(tmp_path / "pore.zarr"), str(tmp_path / "whole.zarr"))
    arguments = [sys.executable, str(PROGRAM), str(tmp_path / "pore.zarr"), str(tmp_path / "killed.zarr"), name]
    killed = 0
    for delay in rng.uniform(2.0, 5.0, 6):  # the import alone takes a second or two
        killed += subprocess.run([*arguments, f"{delay:.2f}"], capture_output=True).returncode < 0
    last = subprocess.run([*arguments, "0"], capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert stored(tmp_path / "killed.zarr") == stored(tmp_path / "whole.zarr")
    assert not (tmp_path / "killed.zarr" / "scratch").exists()
    assert killed

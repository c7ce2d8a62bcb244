"""Solves from disk of images that would fit, and programs that are killed while they solve."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lithax as lx


@pytest.fixture
def from_disk(monkeypatch, tmp_path):
    """Solve an image in slabs of so many planes, so many levels on disk, though it would fit."""
    # Of small images most is the skirts.
    for name in ("PROGRAMS", "LEVEL", "CYCLE", "SLAB", "SLAB_BELOW", "KEPT", "PLANE", "SIDE", "MET"):
        monkeypatch.setattr(f"lithax.solve._streamed_memory.{name}", 1)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def solve(image, planes=4, levels=1, **options):
        monkeypatch.setattr("lithax.solve._streamed_memory.MOST_PLANES", planes)
        monkeypatch.setattr("lithax.solve._streamed_memory._cost", lambda cuts, _: abs(len(cuts) - levels))
        limit = lx.plan(lx.solve.conductivity, image, **options).memory - 1
        plan = lx.plan(lx.solve.conductivity, image, memory_limit=limit, **options)
        assert plan.fits
        assert planes in plan.block_shape
        assert plan.scratch > 16 * image.size
        found = lx.solve.conductivity(image, memory_limit=limit, scratch=str(scratch), **options)
        assert found.notes[-1].startswith(f"larger than memory: solved in slabs of {planes} planes, with {levels} of ")
        assert not list(scratch.iterdir())
        return found

    return solve


@pytest.fixture
def killed(tmp_path):
    """Run a program on a rock and a folder until a file is there, and kill it; return the folder."""

    def run(program, rock, file):
        np.save(tmp_path / "rock.npy", rock)
        folder = tmp_path / "kept"
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "rock.npy"), str(folder)])
        try:
            while not (folder / file).exists():
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return folder

    return run

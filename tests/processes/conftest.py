"""Real processes: programs of this folder, started by ``mpiexec``."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def mpiexec():
    """Start a program of this folder several times over: ``mpiexec(2, "world", ...)`` returns how it ended, and what it wrote."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("mpiexec is not installed: pip install 'lithax[mpi]'")

    def start(
        count: int, program: str, *arguments: object, patience: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        command = [launcher, "-n", str(count), sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)]
        # Where Python does not buffer, a line and its end are written apart, and another process's line between them.
        own = os.environ | {"PYTHONUNBUFFERED": ""} | environment
        return subprocess.run(command, env=own, capture_output=True, text=True, timeout=patience, check=False)

    return start


@pytest.fixture
def srun():
    """Start a program as srun does where MPI knows nothing of Slurm: only the environment tells the processes of each other."""

    def start(count: int, program: str, *arguments: object, patience: float = 120) -> list[tuple[int, str]]:
        command = [sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)]
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        shared = {
            "SLURM_JOB_ID": "61440",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": str(count),
            "SLURM_STEP_NUM_TASKS": str(count),
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        }
        started = [
            subprocess.Popen(
                command,
                env=os.environ | shared | {"SLURM_PROCID": str(k), "SLURM_LOCALID": str(k)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for k in range(count)
        ]
        try:
            return [
                (process.returncode, text) for process in started for text in [process.communicate(timeout=patience)[0]]
            ]
        finally:
            for process in started:
                process.kill()
                process.wait()

    return start


@pytest.fixture
def succeeded():
    """Check that a program ended well; return the lines that it wrote."""

    def check(done: subprocess.CompletedProcess[str]) -> list[str]:
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    return check

"""Arrays over eight devices: the CPU plays them, in a process of its own, since JAX counts devices once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.mpi
def test_eight_devices(request):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(option for option in ("--run-mpi", "--run-slow") if request.config.getoption(option)),
            str(Path(__file__).with_name("eight_devices.py")),
        ],
        # Annotations are checked by the other tests; here that would take a third of the time.
        env=os.environ
        | {
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8",
            "JAX_PLATFORMS": "cpu",
            "LITHAX_CHECK_TYPES": "0",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

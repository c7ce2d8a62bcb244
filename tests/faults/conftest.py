import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def forked():
    """``forked(program, *arguments)``: run a program in a process of its own; its exit status (negative: the signal) and stderr."""
    if not hasattr(os, "fork"):
        pytest.skip("programs are forked")
    command = [sys.executable, "-W", "ignore", Path(__file__).with_name("forks.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert json.loads(process.stdout.readline()) == "ready"

    def run(*words):
        process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()

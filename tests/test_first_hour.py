"""The first hour works twice in one folder, and once more with other data, under a locale that is not English."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("first_hour.py")


def test_the_first_hour_twice_in_one_folder(tmp_path):
    folder = tmp_path / "Bohrkern süß"
    folder.mkdir()
    environment = os.environ | {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "LANGUAGE": "de", "MPLBACKEND": "agg"}

    def hour(*arguments):
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", PROGRAM, *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    first, second, changed = hour(), hour(), hour("changed")
    assert first == second
    assert changed["porosity"] != first["porosity"]
    assert (
        abs(first["quoted"] - first["porosity"]) < 0.005
    )  # the contrast is 23 times the noise, and nothing is blurred

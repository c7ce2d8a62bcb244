"""The first hour works twice in one folder, and once more with other data, under a locale that is not English."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("first_hour.py")
EACH = """
import runpy, sys
_, program, *words = sys.argv
for word in words:
    sys.argv = [program, *["changed"] * (word == "changed")]
    runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture
def german(tmp_path):
    """Environment of a German locale, made here if need be: a comma in numbers, Januar and Februar."""
    words = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "LANGUAGE": "de"}
    tried = subprocess.run(
        [sys.executable, "-c", "import locale; locale.setlocale(locale.LC_ALL, '')"], env=os.environ | words, check=False,
        capture_output=True,
    )  # fmt: skip
    if tried.returncode == 0:
        return words
    place = tmp_path / "locales"
    place.mkdir()
    if shutil.which("localedef"):
        command = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(place / "de_DE.UTF-8")]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return words | {"LOCPATH": str(place)}
    pytest.skip("no German locale, and none can be made: apt install locales, or locale-gen de_DE.UTF-8")


@pytest.mark.slow  # CI has `nox -s optimised` run it, compiled as users compile
def test_the_first_hour_twice_in_one_folder(tmp_path, german):
    folder = tmp_path / "Bohrkern süß"
    folder.mkdir()
    environment = os.environ | german | {"MPLBACKEND": "agg"}

    def hours(*arguments):
        """What each hour printed; those of one call share a process."""
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", EACH, PROGRAM, *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    (first,) = hours("same")
    second, changed = hours("same", "changed")
    assert first == second
    assert first["decimal point"] == ","  # the locale was in force
    assert changed["porosity"] != first["porosity"]
    assert (
        abs(first["quoted"] - first["porosity"]) < 0.005
    )  # the contrast is 23 times the noise, and nothing is blurred

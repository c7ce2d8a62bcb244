"""Two images of real rocks; LITHAX_SHARED_DATA names the folder that holds them, see docs/validation.md for where they come from."""

import os
from pathlib import Path

import numpy as np
import pytest

from lithax.report import report

FOLDER = os.environ.get("LITHAX_SHARED_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="set LITHAX_SHARED_DATA to the folder with the images of docs/validation.md"
)


def test_berea_sandstone(tmp_path):
    file = Path(FOLDER) / "berea_pore_110_u1.raw.gz"
    made = report(file, tmp_path / "out", shape=(110, 110, 110), dtype="u1", order="C", pore_phase=0, progress=False)
    assert made["porosity.total"].evidence.startswith("236\N{NARROW NO-BREAK SPACE}764 voxels")
    assert made["porosity.total"].value == pytest.approx(0.177884, abs=5e-7)  # as printed by the source
    assert made["porosity.components"].value == 2
    assert made["porosity.connected"].value * 110**3 == pytest.approx(236_733)
    assert made["surface.specific"].value == pytest.approx(2 * 53_598 / (3 * 109 * 110 * 110))
    assert made["rev.edge"].value == "not reached"


def test_grey_rock(tmp_path):
    file = Path(FOLDER) / "rock_gray_100_u2.npy"
    made = report(file, tmp_path / "out", progress=False)
    assert made["grey.mean"].value == pytest.approx(np.load(file).mean(), rel=1e-12)
    assert 0.24 < made["porosity.total"].value < 0.30  # not known; Otsu's threshold and half contrast differ by 1 %
    assert made["grey.overshoot"].value > 0.3
    assert any("overshoot" in w for w in made.warnings)

"""A study in one group: run, changed, opened again; and those of the earlier tool."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import lithax as lx
from lithax.dect import Calibration, Standard, Study, material

sys.path.insert(0, str(Path(__file__).parent))
from scans import HIGH, LOW, attenuations

sys.path.pop(0)

DATA = Path(__file__).parent.parent / "storage" / "data"


@pytest.fixture
def calibration():
    """Standards as LOW and HIGH see them, narrow."""
    made = []
    for name in ("water", "quartz", "aluminium"):
        standard = material(name)
        means = []
        for air, a, b, n in (LOW, HIGH):
            composition = standard.composition
            means.append(air + standard.electron_density * (a + b * composition.mean_power(n)))
        made.append(Standard(standard, [(m, 1e-4) for m in means]))
    return Calibration(Standard(None, [(0.0, 1e-4), (0.0, 1e-4)]), made)


@pytest.fixture
def scans(rng):
    shape = (12, 10, 8)
    low, high = attenuations(rng.uniform(1, 3, shape), rng.uniform(7, 16, shape))
    return lx.from_array(low.astype("f4"), chunks=8), lx.from_array(high.astype("f4"), chunks=8)


def test_only_what_depends_on_a_change_is_done_again(scans, calibration, tmp_path, capsys):
    study = Study.create(tmp_path / "study.zarr", *scans, calibration, draws=30, seed=1)
    assert study.stale() == ("coefficients", "outputs")
    first = study.run()
    assert "coefficients and outputs" in capsys.readouterr().out
    assert (np.asarray(first.valid) > 0).all()
    median = np.asarray(first.atomic_number.median)
    opened = lx.open(tmp_path / "study.zarr")
    assert isinstance(opened, Study)
    again = opened.run()
    assert "nothing" in capsys.readouterr().out
    np.testing.assert_array_equal(median, again.atomic_number.median)

    before = np.asarray(opened.coefficients.A)
    assert opened.set(quantiles=[0.05]) == ("outputs",)
    with pytest.raises(RuntimeError, match="run\\(\\)"):
        _ = opened.outputs
    assert 0.05 in opened.run(progress=False).atomic_number.quantiles
    np.testing.assert_array_equal(opened.coefficients.A, before)
    assert opened.set(seed=2) == ("coefficients", "outputs")
    opened.run(progress=False)
    assert not np.array_equal(opened.coefficients.A, before)
    assert opened.set(seed=1) == ("coefficients", "outputs")

    brighter = lx.from_array(1.01 * np.asarray(scans[0]), chunks=8)
    assert opened.replace("low", brighter) == ("coefficients", "outputs")
    result = opened.run(progress=False)
    assert not np.array_equal(result.atomic_number.median, median)
    assert opened.stale() == ()


def test_a_study_equals_the_call(scans, calibration, tmp_path):
    mask = lx.from_array(np.asarray(scans[0]) > 0.6, chunks=8)
    study = Study.create(tmp_path / "study.zarr", *scans, calibration, mask=mask, draws=20)
    result = study.run(progress=False)
    expected = lx.dect.invert(*scans, study.coefficients, where=lx.domain(exclude=mask), progress=False)
    np.testing.assert_array_equal(result.electron_density.median, expected.electron_density.median)
    assert np.isnan(np.asarray(result.electron_density.median)[np.asarray(mask)]).all()
    look = study.preview()
    assert look.shares["valid draws"] > 0.9
    assert look.predicted_seconds > 0
    assert isinstance(study.check(), tuple)


def test_swapped_scans_are_said(scans, calibration, tmp_path):
    study = Study.create(tmp_path / "study.zarr", scans[1], scans[0], calibration, draws=20)
    with pytest.warns(UserWarning, match="swapped"):
        study.preview()
    assert any("swapped" in text for text in study.check())


def test_errors(scans, calibration, tmp_path):
    Study.create(tmp_path / "study.zarr", *scans, calibration)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        Study.create(tmp_path / "study.zarr", *scans, calibration)
    with pytest.raises(TypeError, match="no setting 'tol'"):
        Study.create(tmp_path / "other.zarr", *scans, calibration, tol=1e-12)
    moved = lx.from_array(np.asarray(scans[1]), voxel_origin=(0, 0, 1))
    with pytest.raises(ValueError, match="not on one grid"):
        Study.create(tmp_path / "other.zarr", scans[0], moved, calibration)
    study = Study.create(tmp_path / "other.zarr", scans[0], moved, calibration, geometry="first")
    assert study.high.frame.same_grid(study.low.frame)
    np.testing.assert_array_equal(study.high, scans[1])


def test_a_group_of_the_earlier_tool(scans, tmp_path):
    """The group is RockVerse's own, empty as it makes it; scans and materials are put where it puts them."""
    import json

    shutil.copytree(DATA / "rockverse_dual_energy", tmp_path / "group")
    for name, image in zip(("lowECT", "highECT"), scans, strict=True):
        image.copy(tmp_path / "group", name)
    document = json.loads((tmp_path / "group" / "zarr.json").read_text())
    materials = document["attributes"]["calibration_material"]
    values = [
        (0.0, 0.0, None, None),
        (0.22, 0.17, {"H": 2, "O": 1}, 1.0),
        (0.7, 0.5, {"Si": 1, "O": 2}, 2.65),
        (0.8, 0.52, {"Al": 1}, 2.7),
    ]
    for index, (low, high, composition, density) in enumerate(values):
        materials[str(index)] |= {"lowE_gaussian_pdf": [low, 0.001], "highE_gaussian_pdf": [high, 0.001]}
        if composition:
            materials[str(index)] |= {"composition": composition, "bulk_density": density}
    (tmp_path / "group" / "zarr.json").write_text(json.dumps(document))
    group = lx.open(tmp_path / "group")
    assert group.image("mask") is None
    assert group.coefficients is None
    np.testing.assert_array_equal(group.image("lowECT"), scans[0])
    assert [s.material.density for s in group.calibration.standards] == [1.0, 2.65, 2.7]
    study = group.to_study(tmp_path / "study", draws=10)
    assert study.low.shape == scans[0].shape

"""The same statistics on images: whatever the chunks, resumed, restricted."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.dect import Coefficients

sys.path.insert(0, str(Path(__file__).parent))
from scans import attenuations, scattered

sys.path.pop(0)

SHAPE = (13, 11, 9)


@pytest.fixture
def coefficients(rng):
    good = scattered(rng, 40, 0.05)
    return Coefficients(1000 * good.air, 1000 * good.A, 1000 * good.B, good.n)


@pytest.fixture
def scans(rng):
    low, high = attenuations(rng.uniform(0, 3, SHAPE), rng.uniform(5, 30, SHAPE))
    return tuple(np.round(1000 * v).astype(np.int16) for v in (low, high))


def leaves(result):
    found = jax.tree_util.tree_leaves(result, is_leaf=lambda x: isinstance(x, lx.VoxelImage))
    return [np.asarray(v) for v in found]


@pytest.mark.parametrize("options", [{}, {"voxel_noise": (5.0, 3.0), "seed": 7, "quantiles": (0.05,)}])
def test_images_and_arrays_agree_in_every_bit(scans, coefficients, options):
    """For two grids of chunks."""
    expected = leaves(lx.dect.invert(*scans, coefficients, **options))
    for chunks in ((5, 4, 9), (8, 8, 8)):
        low, high = (lx.from_array(v, chunks=chunks, voxel_length=(0.5, 0.5, 1.2), voxel_unit="mm") for v in scans)
        result = lx.dect.invert(low, high, coefficients, progress=False, **options)
        assert result.valid.voxel_unit == low.voxel_unit
        assert result.electron_density.median.field_unit == "g/cm3"
        for a, b in zip(leaves(result), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_on_jax_as_on_an_accelerator(scans, coefficients):
    low, high = (lx.from_array(v, chunks=8) for v in scans)
    expected = lx.dect.invert(*scans, coefficients)
    result = lx.dect.invert(low, high, coefficients, backend="jax", progress=False)
    np.testing.assert_array_equal(result.valid, expected.valid)
    # float32, and sums in other orders: 1e-7 in the ratio of attenuations is some 1e-5 in Z at small Z.
    np.testing.assert_allclose(result.atomic_number.median, expected.atomic_number.median, rtol=1e-4)


def test_only_where_asked(scans, coefficients):
    low, high = (lx.from_array(v, chunks=8) for v in scans)
    region = lx.regions.Cylinder((6, 5, 0), (0, 0, 1), 4)
    inside = np.asarray(lx.regions.inside(low, region))
    result = lx.dect.invert(low, high, coefficients, where=region, progress=False)
    expected = lx.dect.invert(*scans, coefficients)
    for a, b in zip(leaves(result), leaves(expected), strict=True):
        np.testing.assert_array_equal(a[inside], b[inside])
        assert (np.isnan(a[~inside]) if a.dtype.kind == "f" else a[~inside] == 0).all()


def test_stored_and_resumed(scans, coefficients, tmp_path):
    low, high = (
        lx.from_array(v, chunks=8, store=tmp_path / name) for v, name in zip(scans, ("low", "high"), strict=True)
    )
    result = lx.dect.invert(low, high, coefficients, store=tmp_path / "out", progress=False)
    again = lx.dect.invert(low, high, coefficients, store=tmp_path / "out", progress=False, resume=True)
    np.testing.assert_array_equal(result.status, again.status)
    np.testing.assert_array_equal(
        lx.open(tmp_path / "out", path="electron_density_median"), result.electron_density.median
    )
    other = Coefficients(coefficients.air, 1.01 * coefficients.A, coefficients.B, coefficients.n)
    with pytest.raises(lx.errors.ResumeError):
        lx.dect.invert(low, high, other, store=tmp_path / "out", progress=False, resume=True)


def test_two_grids_are_refused(scans, coefficients):
    low = lx.from_array(scans[0])
    high = lx.from_array(scans[1], voxel_origin=(0, 0, 1e-4))
    with pytest.raises(ValueError, match="correct one of them"):
        lx.dect.invert(low, high, coefficients)
    with pytest.raises(TypeError, match="no option"):
        lx.dect.invert(low, low, coefficients, halo=3)
    with pytest.raises(TypeError, match="are for images"):
        lx.dect.invert(*scans, coefficients, progress=False)


def test_geometry_may_be_overridden(scans, coefficients, tmp_path):
    low = lx.from_array(scans[0], chunks=8, voxel_origin=(1, 2, 3), voxel_length=0.5)
    high = lx.from_array(scans[1], chunks=8)
    with pytest.raises(ValueError, match="geometry='first'"):
        lx.dect.invert(low, high, coefficients)
    result = lx.dect.invert(low, high, coefficients, geometry="first", progress=False)
    assert result.valid.frame.same_grid(low.frame)
    expected = lx.dect.invert(*scans, coefficients)
    np.testing.assert_array_equal(result.atomic_number.median, expected.atomic_number.median)
    assert lx.plan(lx.dect.invert, low, high, coefficients, geometry="first").blocks == 8
    with pytest.raises(ValueError, match="must be 'same'"):
        lx.dect.invert(low, high, coefficients, geometry="second")
    # Shapes must agree all the same.
    with pytest.raises(ValueError, match="shape"):
        lx.dect.invert(low, lx.from_array(scans[1][1:]), coefficients, geometry="first")


@pytest.mark.parametrize("options", [{}, {"voxel_noise": (5.0, 3.0), "seed": 7}, {"backend": "jax"}])
def test_planned(scans, coefficients, tmp_path, options):
    low, high = (lx.from_array(v, chunks=8) for v in scans)
    plan = lx.plan(lx.dect.invert, low, high, coefficients, store=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert plan.blocks == 8
    # 15 results: ten of float32, four counts of 32 bits, and the status.
    assert plan.bytes_written == (14 * 4 + 1) * scans[0].size
    assert plan.bytes_read >= 2 * 2 * scans[0].size
    assert plan.seconds > 0
    assert "time" in str(plan)


def test_a_plan_can_be_made_where_nothing_is_taken_in(scans, coefficients):
    low, high = (lx.from_array(v, chunks=8) for v in scans)
    nowhere = lx.plan(lx.dect.invert, low, high, coefficients, where=np.zeros(SHAPE, bool))
    assert nowhere.seconds > 0  # blocks are looked at all the same
    with pytest.raises(TypeError, match="preview"):
        lx.plan(lx.dect.invert, *scans, coefficients)
    with pytest.raises(TypeError, match="no option"):
        lx.plan(lx.dect.invert, low, high, coefficients, halo=1)
    with pytest.raises(TypeError, match=r"preview\(\) has no option \['where'\]"):
        lx.dect.preview(low, high, coefficients, where=np.ones(SHAPE, bool))

"""Simulated scans and what a segmentation makes of them."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from lithax.generate import finney_pack
from lithax.images import from_array
from lithax.regions import Sphere
from lithax.report._finney_demo import (
    GRAIN,
    PORE,
    Pack,
    continuous_porosity,
    grid_porosity,
    raw_scan,
    scan,
    specific_surface,
    true_phases,
)
from lithax.report._truth import Agreement, agreement, criteria

SMALL = Pack(voxels=40, half_edge=1.09375)  # spheres as fine as in the demo, 18.3 voxels to the radius


@pytest.fixture(scope="module")
def grains():
    return true_phases(SMALL)


def test_the_pack_is_cut_where_it_should_be(grains):
    """By the distance to the nearest centre, voxel by voxel."""
    assert grains.voxel_unit == "um"
    assert grains.voxel_length[0] == pytest.approx(100 / 18.2857142857)
    points = np.stack(np.meshgrid(*([grains.frame.axis_coordinates(0) / 100] * 3), indexing="ij"), axis=-1)
    near = finney_pack()[np.abs(finney_pack()).max(axis=1) < 3]
    nearest = np.sqrt(((points[..., None, :] - near) ** 2).sum(axis=-1)).min(axis=-1)
    np.testing.assert_array_equal(grains[:] == 1, nearest <= 1)


def test_the_scan_is_blurred_and_noisy(grains):
    made = scan(SMALL, grains, 0.7, progress=False)
    assert made.dtype == np.uint16
    blurred = scipy.ndimage.gaussian_filter(grains[:].astype("f4"), 0.7)
    residual = (made[:] - PORE) / (GRAIN - PORE) - blurred
    # 64 000 normal values: mean within 4/sqrt(n) of 0.1, deviation within 4/sqrt(2n).
    assert abs(residual.mean()) < 4 * 0.1 / np.sqrt(residual.size)
    assert residual.std() == pytest.approx(0.1, rel=4 / np.sqrt(2 * residual.size))


def test_the_scan_depends_on_the_seed_and_not_on_the_chunks(grains):
    first = scan(SMALL, grains, 0.7, progress=False)[:]
    other = scan(SMALL, true_phases(SMALL, chunks=13), 0.7, progress=False)[:]
    np.testing.assert_array_equal(first, other)
    assert not np.array_equal(first, scan(dataclasses.replace(SMALL, seed=1), grains, 0.7, progress=False)[:])


def test_the_raw_file_becomes_the_same_image(grains, tmp_path):
    image = raw_scan(SMALL, grains, 0.7, tmp_path, progress=False)
    np.testing.assert_array_equal(image[:], scan(SMALL, grains, 0.7, progress=False)[:])
    assert image.frame.same_grid(grains.frame)
    raw = np.fromfile(tmp_path / "scan.raw", "<u2").reshape(image.shape, order="F")
    np.testing.assert_array_equal(raw, image[:])


def test_the_porosity_of_the_cube_of_the_demo():
    """Random points gave 0.3601 with a standard deviation of 0.0008; a grid converges to what two grids agree on."""
    # 96 voxels: the error of a grid falls faster than its spacing; 192 and 256 differ by 3e-5.
    assert grid_porosity(96, 7.0) == pytest.approx(0.3594, abs=3e-4)
    assert abs(grid_porosity(96, 7.0) - 0.3601) < 2 * 0.0008
    (fine,) = continuous_porosity(SMALL)
    assert fine.porosity == grid_porosity(80, SMALL.half_edge)


def test_the_surface_of_the_spheres():
    assert specific_surface(0.3601) == pytest.approx(3 * (1 - 0.3601) / 100)


@pytest.mark.parametrize("where", [None, Sphere((7, 7, 7), 5)], ids=["everything", "sphere"])
def test_agreement_counts_every_voxel(rng, where):
    pore, grain = rng.random((15, 14, 13)) < 0.4, (rng.random((15, 14, 13)) < 0.6).astype("u1")
    inside = np.ones(pore.shape, bool)
    if where is not None:
        grid = np.meshgrid(*(np.arange(n, dtype=float) for n in pore.shape), indexing="ij")
        inside = np.asarray(where.contains(*grid))
    found = agreement(from_array(pore, chunks=6), from_array(grain, chunks=9), where)
    solid = grain == 1
    expected = [(pore & ~solid), (pore & solid), (~pore & ~solid), (~pore & solid)]
    counts = (found.true_pore, found.false_pore, found.false_grain, found.true_grain)
    assert counts == tuple(int((e & inside).sum()) for e in expected)
    assert found.voxels == inside.sum()


def test_agreement_in_words():
    found = Agreement(true_pore=30, false_pore=4, false_grain=6, true_grain=60)
    assert (found.porosity, found.misclassified) == (0.36, 0.1)
    assert found.dice == 2 * 30 / (34 + 36)


class Outcome:
    """As much of a `Comparison` as the criteria look at."""

    def __init__(self, blur, otsu, balance):
        self.blur, self.otsu, self.balance, self.voxelised = blur, otsu, balance, 0.36


@pytest.mark.parametrize(
    ("sharp", "blurred", "passed"),
    [
        ((0.7, 0.3645, 0.3605), (2.0, 0.38, 0.3592), [True, True, True, True]),
        ((0.7, 0.3655, 0.3605), (2.0, 0.38, 0.3592), [False, True, True, True]),
        ((0.7, 0.3645, 0.3612), (2.0, 0.38, 0.3592), [True, False, True, True]),
        ((0.7, 0.3645, 0.3605), (2.0, 0.361, 0.3588), [True, True, False, False]),
        ((0.7, 0.3645, None), (2.0, 0.38, 0.36), [True, False, True, True]),
    ],
)
def test_criteria(sharp, blurred, passed):
    found = criteria(Outcome(*sharp), Outcome(*blurred))
    assert [c.passed for c in found] == passed
    assert all(str(c).startswith("PASS" if c.passed else "FAIL") for c in found)

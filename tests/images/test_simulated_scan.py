"""The scan that needs no file: known porosity, the same however it is cut."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

SHAPE = (40, 36, 32)
SMALL = {"sphere_radius": 50.0, "voxel_length": 6.25}


def grains():
    """The pack in the same voxels, by the other function."""
    half = [n * 6.25 / 50 / 2 for n in SHAPE]
    limits = {f"{axis}lim": (-h, h) for axis, h in zip("xyz", half, strict=True)}
    return lx.sphere_pack(SHAPE, limits="faces", **limits)[:] == 1


def test_without_blur_and_noise_it_is_the_pack():
    scan = lx.simulated_scan(SHAPE, "f4", blur=0, noise=0, pore=1, grain=3, **SMALL)
    np.testing.assert_array_equal(scan[:], np.where(grains(), 3, 1))
    assert scan.attrs["true_porosity"] == (~grains()).sum() / grains().size
    assert (scan.voxel_length, scan.voxel_unit, scan.field_name) == ((6.25,) * 3, "um", "grey level")


def test_the_blur_is_a_gaussian_and_knows_what_lies_beyond_the_faces():
    scan = lx.simulated_scan(SHAPE, "f4", blur=0.7, noise=0, pore=0, grain=1, **SMALL)[:]
    expected = ndimage.gaussian_filter(grains().astype("f8"), 0.7)
    inner = (slice(3, -3),) * 3  # the filter reaches three voxels
    np.testing.assert_allclose(scan[inner], expected[inner], atol=1e-6)  # weights and sums of float32
    assert np.abs(scan - expected)[0].max() > 0.01  # scipy mirrors the image, the pack goes on


def test_the_noise_has_the_deviation_asked_for():
    quiet, loud = (lx.simulated_scan(SHAPE, "f4", noise=noise, seed=3, **SMALL)[:] for noise in (0, 0.1))
    # Of 46 080 values the deviation is known to 1 / sqrt(2 n) = 0.3 %: four times that.
    assert (loud - quiet).std() == pytest.approx(2000, rel=0.013)
    assert not np.array_equal(loud, lx.simulated_scan(SHAPE, "f4", seed=4, **SMALL)[:])


def test_chunks_shards_and_stores_do_not_matter(tmp_path):
    one = lx.simulated_scan(SHAPE, seed=1, **SMALL)
    cut = lx.simulated_scan(SHAPE, seed=1, chunks=7, shards=14, store=tmp_path / "scan", **SMALL)
    np.testing.assert_array_equal(cut[:], one[:])
    assert lx.open(tmp_path / "scan").attrs["true_porosity"] == one.attrs["true_porosity"]


def test_its_porosity_can_be_found():
    scan = lx.simulated_scan((96, 96, 96))
    filtered = lx.chunk_map(partial(lx.ops.median, radius=1), scan, progress=False)
    threshold = lx.measure.otsu(filtered)
    pores = lx.chunk_map(lambda grey: grey <= threshold, filtered, progress=False)
    # What the quick start finds on it, to a porosity unit.
    assert lx.measure.porosity(pores).porosity == pytest.approx(scan.attrs["true_porosity"], abs=0.01)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"sphere_radius": 0}, ValueError, "sphere_radius=0 must be finite and positive"),
        ({"voxel_length": -1}, ValueError, "voxel_length=-1 must be"),
        ({"blur": -0.5}, ValueError, "blur=-0.5 must be finite and not negative"),
        ({"noise": float("nan")}, ValueError, "noise=nan must be finite"),
        ({"dtype": bool}, TypeError, "must be a type of real numbers"),
        ({"voxel_unit": "second"}, ValueError, "voxel_unit='second' is no unit of length"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        lx.simulated_scan((8, 8, 8), store=tmp_path / "scan", **options)
    assert not (tmp_path / "scan").exists()

"""Standards measured in a scan whose truth is known."""

import numpy as np
import pytest
import scipy.ndimage

import lithax as lx
from lithax.regions import Box, Cylinder, Sphere

LENGTH = (0.5, 0.5, 1.25)
# By the model, with A = (0.2, 0.17), B = (2.6e-5, 8e-6), n = (3.2, 3.0): times 4000 plus 100, and times 5000 plus 80.
LEVELS = {"air": (100.0, 80.0), "water": (1058.1, 1040.1), "quartz": (2928.4, 2493.8), "aluminium": (3174.4, 2520.2)}
CENTERS = {"air": (6.0, 6.0), "water": (18.0, 6.0), "quartz": (6.0, 18.0), "aluminium": (18.0, 18.0)}
REGIONS = {name: Cylinder((*center, 0.0), (0, 0, 1), 5.0) for name, center in CENTERS.items()}


@pytest.fixture(scope="module")
def scan():
    """Four cylinders along z in a background of 500, blurred, with noise of standard deviation 40."""
    generator = np.random.default_rng(5)
    shape = (48, 48, 40)
    x, y, _ = (length * index for length, index in zip(LENGTH, np.indices(shape), strict=True))
    labels = np.zeros(shape, np.uint8)
    for number, (cx, cy) in enumerate(CENTERS.values(), 1):
        labels[(x - cx) ** 2 + (y - cy) ** 2 <= 25.0] = number
    images = []
    for e in range(2):
        values = np.full(shape, 500.0)
        for number, levels in enumerate(LEVELS.values(), 1):
            values[labels == number] = levels[e]
        values = scipy.ndimage.gaussian_filter(values, (1, 1, 0)) + generator.normal(0, 40.0, shape)
        options = {"voxel_length": LENGTH, "chunks": 24}
        images.append(lx.from_array(np.round(values).astype(np.int16) if e else values.astype(np.float32), **options))
    return *images, lx.from_array(labels, voxel_length=LENGTH, chunks=24)


def check(calibration):
    assert [standard.name for standard in calibration.standards] == ["water", "quartz", "aluminium"]
    for name, standard in zip(LEVELS, (calibration.air, *calibration.standards), strict=True):
        for level, mean, deviation, error in zip(
            LEVELS[name], standard.means, standard.standard_deviations, standard.standard_errors, strict=True
        ):
            assert deviation == pytest.approx(40.0, rel=0.05)
            # About 5000 voxels of white noise: an error of 0.6, and what the blur lets through; never more than five.
            assert abs(mean - level) < 5 * error
            assert 0.3 < error < 1.2


@pytest.mark.parametrize("distribution", ["histogram", "gaussian"])
def test_regions(scan, distribution):
    low, high, _ = scan
    check(lx.dect.from_regions(low, high, REGIONS, margin=2.0, distribution=distribution))


def test_phases(scan):
    low, high, labels = scan
    phases = dict(zip(LEVELS, (1, 2, (3,), 4), strict=True))
    check(lx.dect.from_regions(low, high, phases, segmentation=labels, margin=2.0))


def test_without_margin_the_neighbours_shine_in(scan):
    low, high, _ = scan
    water = lx.dect.from_regions(low, high, REGIONS, margin=0.0).standards[0]
    assert water.standard_deviations[0] > 60


def test_materials_of_ones_own(scan):
    low, high, _ = scan
    regions = {
        "empty": REGIONS["air"],
        "brine": REGIONS["water"],
        "quartz": REGIONS["quartz"],
        "Al": REGIONS["aluminium"],
    }
    own = {"brine": lx.dect.Material("brine", "H2O", 0.998), "Al": lx.dect.Material("Al", "Al", 2.7)}
    calibration = lx.dect.from_regions(low, high, regions, air="empty", materials=own, margin=2.0)
    assert [s.material.density for s in calibration.standards] == [0.998, 2.65, 2.7]
    coefficients = lx.dect.draw_coefficients(calibration, draws=50, seed=1, calibration="mean", progress=False)
    # Errors of the means of 0.6 in 4000 leave the exponents to 0.1 and 0.4.
    np.testing.assert_allclose(np.median(coefficients.n[coefficients.valid], axis=0), [3.2, 3.0], atol=0.8)


def test_correlated_noise_counts_less():
    """Smoothed white noise: the sum of the correlations is known, 1 over the sum of the squared weights."""
    generator = np.random.default_rng(6)
    white = generator.normal(0, 1, (96, 96, 96))
    smooth = scipy.ndimage.gaussian_filter(white, 1.0, mode="wrap")
    whole = Box((0, 0, 0), (95, 95, 95))
    counts = {}
    for name, values in (("white", white), ("smooth", smooth)):
        image = lx.from_array(values, chunks=48)
        (counts[name],) = lx.dect.measure_standard([image], whole, margin=0.0).effective_count
    one = np.zeros((31, 31, 31))
    one[15, 15, 15] = 1
    weights = scipy.ndimage.gaussian_filter(one, 1.0)
    expected = white.size * (weights**2).sum()
    # 700 lags of 6e5 voxels each: 4 % for white noise; the reach of 5 voxels loses nothing at sigma 1.
    assert counts["white"] == pytest.approx(white.size, rel=0.15)
    assert counts["smooth"] == pytest.approx(expected, rel=0.15)


def test_profiles_show_a_drift(scan):
    low, high, _ = scan
    drift = lx.from_array(low[...] + np.linspace(0, 200, 40, dtype=np.float32), voxel_length=LENGTH, chunks=24)
    profiles = lx.dect.standard_profiles([drift, high], REGIONS, margin=2.0)
    assert list(profiles) == list(REGIONS)
    for name, (sloped, flat) in profiles.items():
        # 130 voxels per slice: errors of 3.5.
        np.testing.assert_allclose(sloped.mean, LEVELS[name][0] + np.linspace(0, 200, 40), atol=18)
        np.testing.assert_allclose(flat.mean, LEVELS[name][1], atol=18)


@pytest.mark.parametrize(
    ("regions", "keywords", "error", "message"),
    [
        ({"water": REGIONS["water"]}, {}, ValueError, "air='air' is none of the regions"),
        ({**REGIONS, "kryptonite": REGIONS["water"]}, {}, ValueError, "not in the catalogue"),
        ({**REGIONS, "water": 2}, {}, ValueError, "give segmentation="),
        ({**REGIONS, "water": Sphere((18, 6, 20), 1.0)}, {}, ValueError, "selects no voxel"),
        (REGIONS, {"margin": -1.0}, ValueError, "must not be negative"),
        (REGIONS, {"distribution": "other"}, ValueError, "must be 'histogram' or 'gaussian'"),
        ({**REGIONS, "air": REGIONS["quartz"]}, {"margin": 2.0}, ValueError, "Air .* is not darker than water"),
    ],
)
def test_what_cannot_be_measured_is_refused(scan, regions, keywords, error, message):
    low, high, _ = scan
    with pytest.raises(error, match=message):
        lx.dect.from_regions(low, high, regions, **keywords)


def test_arrays_have_no_coordinates(scan):
    low, high, _ = scan
    with pytest.raises(TypeError, match="give images"):
        lx.dect.from_regions(low[...], high[...], REGIONS)

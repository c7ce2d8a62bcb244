"""Rings, cupping and drift that a simulated scan is known to have: are they found, and does taking them out repair it?"""

import numpy as np
import pytest

import lithax as lx
from lithax import generate, measure, ops

SHAPE = (48, 44, 20)
CENTER = (25.5, 20.25)


@pytest.fixture(scope="module")
def clean():
    pack = lx.sphere_pack(SHAPE, xlim=(-5, 5), ylim=(-5, 5), zlim=(-2, 2))[...]
    return 20.0 + 20.0 * pack.astype(np.float64)


def spoilt(grey, **artefacts):
    index = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    return generate.ct_artefacts(grey, *index, shape=SHAPE, seed=3, **artefacts)


def error(x, truth):
    return np.sqrt(np.mean((x - truth) ** 2))


def test_rings(clean, rng):
    noisy = clean + rng.normal(0, 1.0, SHAPE)
    scan = spoilt(noisy, center=CENTER, rings=3.0)
    found = measure.rings(scan)
    np.testing.assert_allclose(found.center, CENTER, atol=0.5)  # looked for in steps of a quarter of a voxel
    dirty = scan.copy()
    dirty[::11, ::9, 3], dirty[2, 5, 7:9] = np.nan, (np.inf, -np.inf)
    np.testing.assert_allclose(measure.rings(dirty).center, CENTER, atol=0.5)
    known = measure.rings(scan, center=CENTER)
    repaired = known.remove(scan)
    # Rings as wide as the window, and those of less than 24 voxels, stay.
    assert error(repaired, noisy) < 0.6 * error(scan, noisy)
    # Without rings the mean over circles of a few hundred voxels is left: grains hardly, and noise.
    assert error(measure.rings(noisy, center=CENTER).remove(noisy), noisy) < 0.3 * error(scan, noisy)
    image = lx.from_array(scan, chunks=20)
    same = measure.rings(image, center=CENTER)
    np.testing.assert_allclose(same.table, known.table, atol=1e-9)
    out = lx.chunk_map(same.remove, image, progress=False)
    np.testing.assert_allclose(out[...], repaired, atol=1e-9)
    # A holder with rings about another axis decides nothing where it is left out.
    r = np.hypot(*np.meshgrid(*(np.arange(n) - c for n, c in zip(SHAPE[:2], CENTER, strict=True)), indexing="ij"))
    core = np.broadcast_to((r < 17)[:, :, None], SHAPE)
    aside = np.hypot(*np.meshgrid(np.arange(SHAPE[0]) - 21.0, np.arange(SHAPE[1]) - 24.0, indexing="ij"))
    held = np.where(core, scan, 30.0 + 40.0 * np.sin(2.0 * aside)[:, :, None])
    assert max(abs(np.subtract(measure.rings(held).center, CENTER))) > 2
    np.testing.assert_allclose(measure.rings(held, core).center, CENTER, atol=0.5)
    stored = lx.from_array(held, chunks=(20, 16, 8))
    found = measure.rings(stored, where=lx.from_array(core.copy(), chunks=(20, 16, 8)), progress=False)
    np.testing.assert_allclose(found.center, CENTER, atol=0.5)
    one = measure.rings(scan, center=CENTER, per_slice=True)
    assert one.table.shape[0] == SHAPE[2]


def test_cupping_and_drift(clean):
    scan = spoilt(clean, cupping=0.3, drift=0.2)
    found = measure.cupping(scan)
    # The fit sees 0.3 (1 - r²/R²) up to the corners at 1.4 R, through the grains: depth between rim and middle.
    reach = found.scale / (0.5 * min(SHAPE[:2]))
    assert abs(found.depth - (1 - 0.7 / (1 - 0.3 * (1 - reach**2)))) < 0.05
    # In so small a piece the porosity of slices and circles differs by itself, and is taken for an artefact.
    level = lambda x: x / x.mean() * clean.mean()  # noqa: E731
    assert error(level(found.remove(scan)), clean) < 0.4 * error(level(scan), clean)
    image = lx.from_array(scan, chunks=20)
    out = lx.chunk_map(measure.cupping(image).remove, image, progress=False)
    np.testing.assert_allclose(out[...], found.remove(scan), rtol=1e-9)
    assert np.ptp(measure.cupping(scan, along=False).along) == 0
    core = np.hypot(*np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE[:2]), indexing="ij"))[:, :, None] < 20
    core = np.broadcast_to(core, SHAPE)
    dirty = np.where(core, scan, np.nan)
    np.testing.assert_allclose(measure.cupping(dirty, core).along, measure.cupping(scan, core).along, rtol=1e-12)
    # What is no number does not count, as if it were left out.
    dirty = np.where(core, scan, np.inf)
    np.testing.assert_allclose(measure.cupping(dirty).along, measure.cupping(scan, core).along, rtol=1e-12)


def test_two_references(clean):
    low, high = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    low[:4], high[-4:] = True, True
    high[:, :, 7] = False  # interpolated there
    rods = np.where(low, 10.0, np.where(high, 60.0, clean))
    scan = spoilt(rods, drift=0.3)
    levels = measure.reference_levels(scan, low, high)
    repaired = levels.normalise(scan)
    expected = (rods - 10) / 50
    inside = np.arange(SHAPE[2]) != 7
    np.testing.assert_allclose(repaired[:, :, inside], expected[:, :, inside], atol=1e-12)
    np.testing.assert_allclose(repaired, expected, atol=1e-3)  # the drift is linear, and so is what is interpolated
    image = lx.from_array(scan, chunks=20)
    of_image = measure.reference_levels(image, lx.from_array(low, chunks=20), lx.from_array(high, chunks=20))
    out = lx.chunk_map(of_image.normalise, image, progress=False)
    np.testing.assert_allclose(out[...], repaired, atol=1e-12)


def test_a_number_for_all_slices_is_rescale(xp, rng):
    x = xp.asarray(rng.random((3, 4, 5)).astype(np.float32))
    ours = ops.normalise_slices(x, low=0.2, high=0.7, targets=(1.0, 3.0))
    theirs = ops.rescale(x, input_range=(0.2, 0.7), output_range=(1.0, 3.0))
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6)  # float32, in another order
    table = np.asarray([[0.0, 1.0, 2.0, 3.0]])
    left = ops.subtract_rings(xp.zeros_like(x), table=table, center=(0.0, 0.0))
    assert np.asarray(left)[0, 2, 0] == -2.0
    assert abs(float(np.asarray(left)[1, 1, 3]) + 2**0.5) < 1e-6
    divided = ops.divide_cupping(xp.ones_like(x), coefficients=np.asarray([1.0, 3.0]), center=(0.0, 0.0), scale=2.0)
    np.testing.assert_allclose(np.asarray(divided)[2, 0, 0], 1 / 4, rtol=1e-6)


def test_simulated_scan_with_artefacts():
    plain = lx.simulated_scan((32, 30, 28), sphere_radius=50, noise=0.02, chunks=16)
    scan = lx.simulated_scan((32, 30, 28), sphere_radius=50, noise=0.02, drift=0.2, chunks=16)
    means = [x[...].mean(axis=(0, 1)) for x in (scan, plain)]
    np.testing.assert_allclose(means[0] / means[1], 0.9 + 0.2 * np.arange(28) / 27, atol=1e-3)
    shot = lx.simulated_scan((32, 30, 28), "f4", sphere_radius=50, noise=0.0, photons=0.01, chunks=16)
    still = lx.simulated_scan((32, 30, 28), "f4", sphere_radius=50, noise=0.0, chunks=16)
    grain = still[...] > 39_000
    # Variance g / photons: 40 000 / 0.01 is 2000²; 10⁴ voxels give it to 1.5 %.
    assert abs(np.std((shot[...] - still[...])[grain]) / 2000 - 1) < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: ops.normalise_slices(x, low=np.zeros(3), high=1.0),
            r"low must be a number, or an array .* 20 slices",
        ),
        (
            lambda x: ops.subtract_rings(x, table=np.zeros((3, 4)), center=(0, 0)),
            r"table has 3 rows; give one, or one for",
        ),
        (lambda x: ops.subtract_rings(x, table=np.zeros(4), center=(0, 0)), r"table has shape \(4,\); give a row"),
        (lambda x: ops.subtract_rings(x, table=[[0.0]], center=(0, 0, 0)), r"center=\(0, 0, 0\) must be two voxel"),
        (lambda x: ops.divide_cupping(x, coefficients=[], center=(0, 0), scale=1), r"coefficients has shape \(0,\)"),
        (lambda x: ops.divide_cupping(x, coefficients=[1], center=(0, 0), scale=0), r"scale=0 must be a positive"),
        (lambda x: ops.normalise_slices(x, low=1, high=1), r"low=1 and high=1 are the same grey level"),
        (lambda x: ops.normalise_slices(x, low=0, high=1, targets=(1,)), r"targets=\(1,\) must be two grey levels"),
        (lambda x: measure.cupping(x, center=(1, 2, 3)), r"center=\(1, 2, 3\) must be two voxel indices"),
        (lambda x: measure.rings(x, width=0), r"width=0 must be a whole number of voxels"),
        (lambda x: measure.reference_levels(x, x > 99, x > 21), r"low takes in no voxel"),
        (lambda x: measure.reference_levels(x, x > 21, x > 21), r"the same grey level, 40, in slice 0"),
        (lambda x: measure.cupping(x, degree=0), r"degree=0 must be a number of even powers"),
        (lambda x: spoilt(x, cupping=1.5), r"cupping lie from 0 to 1"),
        (lambda x: spoilt(x, photons=0), r"photons=0 must be positive"),
    ],
)
def test_mistakes_are_named(call, message, clean):
    with pytest.raises(ValueError, match=message):
        call(clean)

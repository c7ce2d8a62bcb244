"""Lines of the error budget that need no closed form of the rock, and the length that a current sees."""

import numpy as np
import pytest

import lithax as lx


@pytest.mark.slow
def test_the_length_of_a_slit_and_of_a_tube():
    """Λ of a slit is its opening, that of a round tube its radius (Johnson, Koplik & Schwartz 1986)."""
    slit = np.zeros((8, 20, 20), bool)
    slit[:, 6:13] = True
    assert lx.solve.jks_length(slit, spacing=0.5) == pytest.approx(3.5, rel=0.005)  # tails of the two walls overlap
    for steps in (7, 10):  # a wall on the face across which the image repeats itself, and the slit across it
        moved = np.roll(slit, steps, axis=1)
        assert lx.solve.jks_length(moved, spacing=0.5, sides="periodic") == pytest.approx(3.5, rel=0.005)
    y, z = np.indices((20, 20)) - 9.5
    tube = np.broadcast_to(y**2 + z**2 < 8.0**2, (8, 20, 20))
    assert lx.solve.jks_length(tube) == pytest.approx(8, rel=0.02)  # the circle of voxels has 1 % too little area
    assert np.isinf(lx.solve.jks_length(np.ones((8, 20, 20), bool)))
    assert lx.solve.jks_length(slit, axis="y") == 0
    with pytest.raises(ValueError, match="belongs to one current"):
        lx.solve.jks_length(slit, axis="all")
    beside = slit.copy()  # smoothing opens walls one voxel thick, and the current does not pass them
    beside[2:5, 14:16] = True
    assert lx.solve.jks_length(beside, spacing=0.5) == lx.solve.jks_length(slit, spacing=0.5)


def test_smoothing_opens_no_wall():
    slit = np.zeros((8, 12, 4), bool)
    slit[:, 2:9] = True
    slit[4] = False
    assert lx.solve.jks_length(slit) == 0


@pytest.mark.slow
def test_the_length_around_a_sphere():
    """E on an insulating sphere is 3/2 E_L sin θ, and ∫E²dS = 6πa²E_L², E_L the field that acts on it.

    Far apart (Maxwell): E_L = 1/(1 + c/2), conductivity (1 − c)/(1 + c/2), so Λ = (1 − c)(1 + c/2) V/(3πa²).
    """
    n, radius = 20, 5.5
    rock = ((np.indices((n, n, n)) - (n - 1) / 2) ** 2).sum(0) > radius**2
    c = 1 - rock.mean()
    exact = (1 - c) * (1 + c / 2) * n**3 / (3 * np.pi * radius**2)
    assert lx.solve.jks_length(rock) == pytest.approx(exact, rel=0.1)  # 8 % at 5.5 voxels a radius, 0.4 % at 11


@pytest.mark.slow
def test_the_line_of_the_segmentation_is_a_finite_difference(rng):
    grey = lx.ops.gaussian(rng.standard_normal((20, 20, 20)).astype("f4"), sigma=1.5)
    grey = grey / grey.std()
    threshold, width = 0.3, 0.1
    found = lx.solve.conductivity(grey < threshold, segmentation=(grey, threshold, width), gradient_tolerance=1e-3)

    def log_value(at):
        soft = 1 / (1 + np.exp((grey.astype(float) - at) / width))
        return np.log(float(lx.solve.conductivity(soft, tolerance=1e-8).value))

    slope = (log_value(threshold + 0.01) - log_value(threshold - 0.01)) / 0.02
    assert found.error_budget.segmentation == pytest.approx(slope * width, rel=5e-3)  # step of a tenth of the width
    with pytest.raises(ValueError, match="give the scan that was segmented"):
        lx.solve.conductivity(grey < threshold, segmentation=(grey[1:], threshold, width))
    with pytest.raises(TypeError, match="pores are darker"):
        lx.solve.conductivity(grey < threshold, segmentation=0.3)


@pytest.mark.slow
def test_the_line_of_the_sample_size(rng):
    """Independent cubes of 2 voxels, half of them pore: the porosity of n of them scatters by 1/√n of itself."""
    rock = np.kron(rng.random((16, 16, 16)) < 0.5, np.ones((2, 2, 2), bool))
    found = lx.solve.conductivity(rock, budget=("sample_size",))
    expected = float(found.cementation_exponent) / 16**1.5
    assert float(found.error_budget.sample_size) == pytest.approx(expected, rel=0.4)  # a deviation of few values
    assert "sample size: " in str(found)


def test_lines_that_are_relative_to_a_value_of_zero_are_not_estimated():
    rock = np.ones((6, 6, 6), bool)
    rock[2] = False  # nothing joins the ends along x
    lines = ("grid", "resolution", "sample_size")
    closed = lx.solve.conductivity(rock, budget=lines)
    assert [getattr(closed.error_budget, name) for name in lines] == [None] * 3
    three = lx.solve.conductivity(rock, axis="all", budget=("grid",))
    assert np.isnan(three.error_budget.grid).tolist() == [True, False, False]
    assert "split voxels): not estimated, " in str(three)
    assert three.numbers()["error_budget"]["grid"][0] is None


def test_the_threshold_says_nothing_where_nothing_joins_the_ends(rng):
    """Softened pores always do; a value of zero has no relative error."""
    grey = rng.random((6, 6, 6)).astype("f4")
    grey[2] = 2  # nothing joins the ends along x
    options = {"segmentation": (grey, 1.5, 0.1), "tolerance": 0.1, "gradient_tolerance": 0.5}
    closed = lx.solve.conductivity(grey < 1.5, **options)
    assert "segmentation (threshold): not estimated" in str(closed)
    three = lx.solve.conductivity(grey < 1.5, axis="all", **options)
    assert np.isnan(three.error_budget.segmentation).tolist() == [True, False, False]


def test_a_uniform_plug_has_no_trend():
    """Coarser voxels cut the sample differently, and leave the last of an odd number out: no change of the rock."""
    uniform = np.ones((12, 13, 13), bool)
    sample = np.ones(uniform.shape, bool)
    sample[:, 0, 0] = False
    for options in ({"where": sample}, {"area": 169.0}, {"where": lx.regions.Cylinder((0, 6, 6), (1, 0, 0), 6.2)}):
        trend = lx.solve.conductivity(uniform, budget=("resolution",), **options).error_budget.resolution
        np.testing.assert_allclose([trend[2], trend[3]], 0, atol=1e-5)
    three = lx.solve.conductivity(uniform, budget=("resolution",), axis="all", area=169.0).error_budget.resolution
    np.testing.assert_allclose([three[2], three[3]], 0, atol=1e-5)


def test_an_image_too_small_to_be_coarsened():
    found = lx.solve.conductivity(np.ones((3, 3, 3), bool), budget=("resolution",))
    assert "coarsened): not estimated" in str(found)


def test_where_everything_conducts_percolation_is_that_of_a_level():
    field = np.full((8, 8, 8), 0.01, "f4")
    field[:, 2:4, 2:4] = 1.0
    assert "of at least 0.5 are 6.25 % of the sample, and 6.25 % join the ends along x" in str(
        lx.solve.conductivity(field)
    )
    assert "of at least 0.5 are 6.25 % of the sample, and 0 % join" in str(lx.solve.conductivity(field, axis="y"))
    assert "of at least 0.01 are 100 %" in str(lx.solve.conductivity(field, percolation_at=0.01))


def test_the_box_inside_a_region():
    sphere = lx.regions.Sphere((1, 2, 3), 3**0.5)
    box = lx.inscribed_cuboid(sphere)
    assert np.allclose(box.lower, (0, 1, 2))
    assert np.allclose(box.upper, (2, 3, 4))
    assert float(sphere.signed_distance(*box.upper)) == pytest.approx(0, abs=1e-12)
    core = lx.inscribed_cuboid(lx.regions.Cylinder((0, 15.5, 15.5), (2, 0, 0), 8.0))
    assert np.isinf(core.upper[0])
    assert core.upper[1] - core.lower[1] == pytest.approx(8 * 2**0.5)
    with pytest.raises(ValueError, match="along x, y or z"):
        lx.inscribed_cuboid(lx.regions.Cylinder((0, 0, 0), (1, 1, 0), 8.0))
    with pytest.raises(TypeError, match="HalfSpace"):
        lx.inscribed_cuboid(lx.regions.HalfSpace((0, 0, 0), (1, 0, 0)))

"""Grey levels of the phases and the width of the edges between them, on transitions made for it."""

import math

import numpy as np
import pytest

from lithax.report._depth import DepthProfile
from lithax.report._grey_levels import Interior, balance, edge, interior, transition

REACH = 12
DEPTHS = np.arange(1, REACH + 1)


def slab(level_of, noise=0.0, counts=100_000):
    """The profile of flat surfaces: as many voxels at every depth, with the grey level of their place."""
    square = np.concatenate([-(DEPTHS[::-1] ** 2), DEPTHS**2])
    position = np.sign(square) * (np.sqrt(np.abs(square)) - 0.5)
    mean = np.array([level_of(p) for p in position])
    count = np.broadcast_to(counts, mean.shape)
    return DepthProfile(square, count, mean, np.full(mean.shape, noise**2))


def blurred(offset, width, low=10.0, high=50.0):
    return lambda position: low + (high - low) * float(transition(position, offset, width))


@pytest.mark.parametrize("width", [0.4, 0.7, 1.3, 2.5])
@pytest.mark.parametrize("offset", [-0.6, 0.0, 0.3])
def test_the_fit_finds_the_error_function(width, offset):
    profile = slab(blurred(offset, width))
    found = edge(profile, interior(profile, -1), interior(profile, 1))
    # The levels deep inside still hold a trace of the other phase where the blur is wide.
    assert found.width == pytest.approx(width, rel=2e-3)
    assert found.offset == pytest.approx(offset, abs=2e-3)
    assert found.rise == pytest.approx(2.563103 * found.width)
    assert (found.overshoot, found.misfit < 1e-3) == (0.0, True)


def test_transition_is_the_integral_of_a_gaussian():
    np.testing.assert_allclose(transition([-1.0, 0.0, 1.0], 0.0, 1.0), [0.158655254, 0.5, 0.841344746], rtol=1e-8)


def test_grey_levels_come_from_where_the_blur_does_not_reach():
    # Fewer and fewer voxels lie deep: 3 % of a contrast of 40 would be 1.2.
    counts = np.concatenate([400_000 // 3 ** DEPTHS[::-1], 400_000 // 3**DEPTHS])
    profile = slab(blurred(0.0, 1.0), noise=4.0, counts=counts)
    pore, grain = interior(profile, -1), interior(profile, 1)
    assert pore.level == pytest.approx(10, abs=0.3)
    assert grain.level == pytest.approx(50, abs=0.3)
    assert 3 <= pore.depth <= 5
    assert pore.noise == pytest.approx(4.0, rel=0.02)
    assert abs(pore.level - 10) < 3 * pore.uncertainty


def test_a_level_that_turns_has_not_settled():
    """Where the mean rises and falls again, two neighbouring depths may agree by chance."""
    bump = np.array([20.0, 25.0, 25.0, 22.0, 20.0, 19.9, 19.9, 19.9, 19.9, 19.9, 19.9, 19.9])
    profile = slab(lambda p: bump[round(abs(p) - 0.5)], noise=1.0)
    assert interior(profile, 1).level == pytest.approx(19.9, abs=0.1)


def test_too_few_voxels_have_no_level():
    profile = slab(blurred(0.0, 1.0), counts=1)
    assert interior(profile, -1) is None
    only_surface = DepthProfile(np.array([-1, 1]), np.array([500, 500]), np.array([1.0, 2.0]), np.zeros(2))
    assert interior(only_surface, 1) is None


def test_overshoot_is_seen_and_the_edge_measured_between_its_extremes():
    """Sharpening: the blurred step minus a share of its curvature."""

    def sharpened(position):
        curvature = -(position / 1.44) * math.exp(-0.5 * position**2 / 1.44) / math.sqrt(2 * math.pi * 1.44)
        return 10.0 + 40.0 * (float(transition(position, 0.0, 1.2)) - 1.6 * curvature)

    profile = slab(sharpened)
    found = edge(profile, interior(profile, -1), interior(profile, 1))
    assert found.overshoot > 0.1
    assert found.low < 6
    assert found.high > 54
    assert 0.4 < found.width < 1.2  # steeper than the blur
    assert found.span[1] <= 2.5


def test_what_is_no_step_has_no_edge():
    wave = slab(lambda p: 30 + 20 * math.sin(2 * p))
    level = Interior(10.0, 1.0, 3, 1000, 0.1, 0.1)
    assert edge(wave, level, Interior(50.0, 1.0, 3, 1000, 0.1, 0.1)) is None


def test_the_balance_is_exact_for_two_materials():
    porosity, pore, grain = 0.237, 1200.0, 9100.0
    mean = porosity * pore + (1 - porosity) * grain
    found = balance(mean, Interior(pore, 5, 3, 999, 3.0, 4.0), Interior(grain, 5, 3, 999, 0.0, 0.0))
    assert found.porosity == pytest.approx(porosity, rel=1e-12)
    # By error propagation: the derivative by the grey level of the pores is porosity over contrast.
    assert found.uncertainty == pytest.approx(porosity * 5.0 / (grain - pore), rel=1e-12)


def test_blur_and_noise_leave_the_balance_alone(rng):
    """Whatever moves grey levels about and keeps their mean."""
    import scipy.ndimage

    pore = scipy.ndimage.gaussian_filter(rng.normal(size=(48, 48, 48)), 3, mode="wrap") < -0.01
    grey = scipy.ndimage.gaussian_filter(np.where(pore, 100.0, 300.0), 2.0, mode="wrap")
    exact = Interior(100.0, 0, 3, 999, 0.0, 0.0), Interior(300.0, 0, 3, 999, 0.0, 0.0)
    assert balance(float(grey.mean()), *exact).porosity == pytest.approx(pore.mean(), abs=1e-9)

"""Every voxel and draw against bracketed roots, and what must not change the result."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import lithax as lx
from lithax.dect import Coefficients

sys.path.insert(0, str(Path(__file__).parent))
from scans import all_roots, attenuations, one_draw, row, scattered

sys.path.pop(0)


def grid_of_materials(dtype):
    number, density = np.meshgrid(np.linspace(6, 20, 41), np.geomspace(0.5, 5, 15), indexing="ij")
    return density, number, tuple(v.astype(dtype) for v in attenuations(density, number))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-4)])
def test_what_was_put_in_comes_out(dtype, tolerance):
    """The tolerances are what is promised; in float64 round-off would allow 1e-13."""
    density, number, (low, high) = grid_of_materials(dtype)
    found_density, found_number, status = lx.dect.solve(low, high, one_draw())
    assert found_density.dtype == dtype
    assert not status.any()
    np.testing.assert_allclose(found_density[..., 0], density, rtol=tolerance)
    np.testing.assert_allclose(found_number[..., 0], number, rtol=tolerance)


def test_float64_reaches_round_off():
    density, number, (low, high) = grid_of_materials(np.float64)
    found_density, found_number, _ = lx.dect.solve(low, high, one_draw())
    # The ratio of attenuations changes by 2 % from Z = 6 to 7: round-off of 1e-16 is seen some hundredfold.
    np.testing.assert_allclose(found_density[..., 0], density, rtol=1e-12)
    np.testing.assert_allclose(found_number[..., 0], number, rtol=1e-12)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.2])
def test_the_same_roots_as_by_bracketing(spread, rng):
    """With all of one, none and two roots; the larger spreads have draws that rise, fall, and both."""
    draws = 60
    coefficients = scattered(rng, draws, spread)
    low = rng.uniform(-0.01, 1.5, 30)
    high = low * rng.uniform(0.3, 1.2, 30)
    density, number, status = lx.dect.solve(low, high, coefficients)
    counts = np.zeros(3, int)
    for v in range(low.size):
        for d in range(draws):
            roots = all_roots(low[v], high[v], row(coefficients, d))
            counts[len(roots)] += 1
            if not roots:
                assert status[v, d] in (1, 2)
                assert math.isnan(density[v, d])
                continue
            (_, a_h, b_h, n_h), air_h = row(coefficients, d)[1], row(coefficients, d)[1][0]
            line = (high[v] - air_h) / (a_h + b_h * 10.0**n_h)
            nearest = min(roots, key=lambda r: abs(r[0] - line))
            # A root next to a stationary point is known to the square root of round-off only.
            assert number[v, d] == pytest.approx(nearest[1], rel=1e-6)
            assert density[v, d] == pytest.approx(nearest[0], rel=1e-6)
    assert counts[0] > 0
    assert counts[1] > 0
    assert counts[2] > 0 or spread == 0.01


def test_the_density_line_decides_between_two_roots(rng):
    """A line that lies low asks for the denser atoms."""
    coefficients = scattered(rng, 40, 0.15)
    low = rng.uniform(0.2, 1.5, 40)
    high = low * rng.uniform(0.4, 0.8, 40)
    slope = np.full(40, 0.2)
    density, number, _ = lx.dect.solve(low, high, coefficients, density_line=(slope, -0.01))
    other = 0
    for v in range(40):
        for d in range(40):
            roots = all_roots(low[v], high[v], row(coefficients, d))
            if len(roots) == 2:
                nearest = min(roots, key=lambda r: abs(r[0] - (0.2 * high[v] - 0.01)))
                other += nearest is roots[1]
                assert number[v, d] == pytest.approx(nearest[1], rel=1e-6)
                assert density[v, d] == pytest.approx(nearest[0], rel=1e-6)
    assert other > 20


def test_a_draw_ends_in_one_of_four_ways():
    good = one_draw()
    coefficients = Coefficients(
        np.repeat(good.air, 3, 0), np.repeat(good.A, 3, 0), np.repeat(good.B, 3, 0), np.repeat(good.n, 3, 0), np.array([True, True, False])
    )  # fmt: skip
    low, high = attenuations(2.0, 12.0)
    result = lx.dect.solve(np.array([low, -0.1, low]), np.array([high, high, 3 * low]), coefficients)
    np.testing.assert_array_equal(result[2], [[0, 0, 3], [1, 1, 3], [2, 2, 3]])
    assert np.isfinite(result[0][0, :2]).all()
    assert np.isnan(result[0][1:]).all()


@pytest.mark.parametrize(("scale", "offset"), [(1000.0, -1000.0), (6.5e4, 1.2e4), (0.02, 0.3)])
def test_the_scale_of_the_scan_does_not_matter(scale, offset, rng):
    """HU, raw grey values, 1/m: the standards are scanned with the rest, so that the coefficients move along."""
    before = scattered(rng, 50, 0.05)
    low, high = attenuations(rng.uniform(0, 3, 200), rng.uniform(5, 30, 200))
    scales, offsets = np.array([scale, 1.3 * scale]), np.array([offset, 0.7 * offset])
    after = Coefficients(scales * before.air + offsets, scales * before.A, scales * before.B, before.n)
    first = lx.dect.invert(low, high, before)
    second = lx.dect.invert(scales[0] * low + offsets[0], scales[1] * high + offsets[1], after)
    np.testing.assert_array_equal(first.valid, second.valid)
    for quantity in ("electron_density", "atomic_number"):
        for name in ("minimum", "lower_quartile", "median", "upper_quartile", "maximum"):
            a, b = (getattr(getattr(r, quantity), name) for r in (first, second))
            # What is promised. Voxels of ρ near 0 lose digits in the subtraction of air.
            np.testing.assert_allclose(a, b, rtol=1e-10)

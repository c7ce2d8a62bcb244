"""Distributions: sampled without bias, in any order, with the moments that they have."""

import array_api_compat
import numpy as np
import pytest
import scipy.special
import scipy.stats

import lithax as lx
from lithax.models import distribution_from_dict, normal_quantile

EDGES = np.array([-3.0, -1.0, 0.0, 0.5, 4.0])
COUNTS = np.array([2.0, 0.0, 7.0, 1.0])
POINTS = np.array([0.0, 1.0, 1.5, 2.0, 6.0])
HEIGHTS = np.array([0.0, 2.0, 0.5, 0.0, 1.0])
TABLES = {
    "gaussian": lx.dect.Gaussian(3.0, 0.5),
    "histogram": lx.dect.Histogram(EDGES, COUNTS),
    "tabulated": lx.dect.Tabulated(POINTS, HEIGHTS),
}
GRID = (np.arange(200_000) + 0.5) / 200_000


def test_normal_quantile_is_scipys(xp):
    p = np.concatenate([np.linspace(1e-9, 1 - 1e-9, 1001), 10.0 ** -np.arange(1, 300.0)])
    if xp.__name__ == "jax.numpy":
        pytest.skip("without an x64 scope JAX has float32 here; the draws test the other")
    result = np.asarray(normal_quantile(xp.asarray(p)))
    # 16 digits promised by the source; near the median both cancel.
    np.testing.assert_allclose(result, scipy.special.ndtri(p), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("kind", TABLES)
def test_quantiles_have_the_mean_and_the_spread(kind):
    distribution = TABLES[kind]
    values = np.asarray(distribution.quantile(GRID))
    # Midpoint quadrature over the probability; the tails of the Gaussian are the worst of it.
    assert values.mean() == pytest.approx(distribution.mean, abs=1e-4)
    assert values.std() == pytest.approx(distribution.standard_deviation, rel=1e-4)
    assert np.all(np.diff(values) >= 0)


@pytest.mark.parametrize("kind", ["histogram", "tabulated"])
def test_quantiles_invert_the_cumulative_distribution(kind):
    distribution = TABLES[kind]
    values = distribution.quantile(GRID[::1000])
    points = distribution.edges if kind == "histogram" else distribution.x
    fine = np.unique(np.concatenate([np.linspace(points[0], points[-1], 400_001), points]))
    middle = 0.5 * (fine[1:] + fine[:-1])
    cumulative = np.concatenate([[0.0], np.cumsum(distribution.density(middle) * np.diff(fine))])
    assert cumulative[-1] == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(np.interp(values, fine, cumulative), GRID[::1000], atol=1e-5)


def test_no_bin_is_shifted():
    """The earlier tool's draws were off by almost one bin and took 13 different values."""
    draws = lx.dect.Histogram([0.0, 1.0, 2.0], [1, 1]).quantile(GRID)
    assert draws.mean() == pytest.approx(1.0, abs=1e-9)
    assert np.unique(draws).size == GRID.size


@pytest.mark.parametrize("kind", ["histogram", "tabulated"])
def test_the_order_of_a_table_does_not_matter(kind):
    if kind == "histogram":
        other = lx.dect.Histogram(EDGES[::-1].tolist(), COUNTS[::-1].tolist())
    else:
        order = [3, 0, 4, 2, 1]
        other = lx.dect.Tabulated(POINTS[order].tolist(), (5 * HEIGHTS[order]).tolist())  # of any scale
    np.testing.assert_allclose(other.quantile(GRID), TABLES[kind].quantile(GRID), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", TABLES)
def test_quantiles_of_every_library(kind, xp):
    distribution = TABLES[kind]
    p = np.linspace(0.01, 0.99, 99, dtype=np.float32)
    result = np.asarray(distribution.quantile(xp.asarray(p)))
    # Rounding of float32 in a table whose slope is at most 4 / 0.05.
    np.testing.assert_allclose(result, distribution.quantile(p.astype(np.float64)), atol=1e-4)
    assert array_api_compat.is_array_api_obj(distribution.density(xp.asarray(p)))


@pytest.mark.parametrize("kind", TABLES)
def test_rescaled_and_written_down(kind):
    distribution = TABLES[kind]
    values = distribution.quantile(GRID[::997])
    np.testing.assert_allclose(
        distribution.rescaled(40.0, -1000.0).quantile(GRID[::997]), 40 * values - 1000, rtol=1e-12
    )
    again = distribution_from_dict(distribution.to_dict())
    assert type(again) is type(distribution)
    # A table is scaled to unit area again: rounding.
    np.testing.assert_allclose(again.quantile(GRID[::997]), values, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lx.dect.Gaussian(float("nan"), 1.0), "mean=nan must be finite"),
        (lambda: lx.dect.Gaussian(1.0, -1.0), "standard_deviation=-1.0"),
        (lambda: lx.dect.Histogram([0, 1, 2], [0, 0]), "does not integrate"),
        (lambda: lx.dect.Histogram([0, 1, 2], [1, -1]), "not negative"),
        (lambda: lx.dect.Histogram([0, 1], [1, 2]), "n bins have n \\+ 1 edges"),
        (lambda: lx.dect.Histogram([0, 2, 1], [1, 2]), "ascending or descending"),
        (lambda: lx.dect.Tabulated([0, 1, 1], [1, 2, 3]), "twice"),
        (lambda: lx.dect.Tabulated([0, 1, 2], [0, 0, 0]), "does not integrate"),
        (lambda: lx.dect.Tabulated([0, 1, 2], [0, float("inf"), 0]), "finite"),
        (lambda: distribution_from_dict({"kind": "other"}), "must be one of"),
    ],
)
def test_what_is_no_distribution_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

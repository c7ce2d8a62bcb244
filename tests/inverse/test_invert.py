"""The statistics of each voxel, on arrays of any library."""

import math
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.arrays import to_numpy
from lithax.dect import Coefficients
from lithax.inverse._order_statistics import SortedRows, sort_rows, spread

sys.path.insert(0, str(Path(__file__).parent))
from scans import attenuations, one_draw, scattered

sys.path.pop(0)

SPREAD = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")


def scan(rng, shape=(5, 4, 3), dtype=np.float64):
    """Rock, a little air, and voxels without a root."""
    density, number = rng.uniform(0.5, 3, shape), rng.uniform(5, 30, shape)
    low, high = attenuations(density, number)
    low[0, 0, 0] = high[0, 0, 0] = -0.3
    low[0, 0, 1] = 0.001 * high[0, 0, 1]
    return low.astype(dtype), high.astype(dtype)


def leaves(result):
    return [np.asarray(to_numpy(leaf)) for leaf in jax.tree_util.tree_leaves(result)]


def expected(values, whis):
    """Minimum, quartiles, maximum of the finite values, as the rules say; NumPy's own quantiles."""
    values = values[np.isfinite(values)]
    if not values.size:
        return [math.nan] * 5
    lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
    if math.isinf(whis):
        return [values.min(), lower, median, upper, values.max()]
    reach = whis * (upper - lower)
    return [values[values >= lower - reach].min(), lower, median, upper, values[values <= upper + reach].max()]


@pytest.mark.parametrize("whis", [1.5, 0.3, math.inf])
def test_the_statistics_are_those_of_the_draws(whis, rng):
    coefficients = scattered(rng, 101, 0.1)
    low, high = scan(rng)
    result = lx.dect.invert(low, high, coefficients, whis=whis, quantiles=(0.05, 0.95), moments=True)
    density, number, status = lx.dect.solve(low, high, coefficients)
    for quantity, values in (("electron_density", density), ("atomic_number", number)):
        found = getattr(result, quantity)
        for index in np.ndindex(low.shape):
            wanted = expected(values[index], whis)
            # The same numbers in another order of additions.
            np.testing.assert_allclose([getattr(found, n)[index] for n in SPREAD], wanted, rtol=1e-13)
            there = values[index][np.isfinite(values[index])]
            if there.size:
                np.testing.assert_allclose(found.mean[index], there.mean(), rtol=1e-12)
                np.testing.assert_allclose(found.standard_deviation[index], there.std(), rtol=1e-9)
                np.testing.assert_allclose(found.quantiles[0.05][index], np.quantile(there, 0.05), rtol=1e-13)
    np.testing.assert_array_equal(result.valid, (status == 0).sum(-1))
    np.testing.assert_array_equal(result.below_air, (status == 1).sum(-1))
    np.testing.assert_array_equal(result.no_root, (status == 2).sum(-1))
    assert result.status[0, 0, 0] == 1
    assert result.status[0, 0, 1] == 2
    assert math.isnan(result.electron_density.median[0, 0, 0])
    assert (result.status == 0).sum() == low.size - 2
    assert result.ambiguous.max() > 0


def test_pore_voxels_as_earlier_tools_had_them(rng):
    coefficients = scattered(rng, 51, 0.05)
    low, high = scan(rng)
    result = lx.dect.invert(low, high, coefficients, below_air="zero")
    assert result.valid[0, 0, 0] == 51
    assert result.electron_density.median[0, 0, 0] == 0
    assert result.atomic_number.maximum[0, 0, 0] == 0


def test_what_has_no_result_says_why(rng):
    good = scattered(rng, 20, 0.01)
    bad = Coefficients(good.air, -good.A, good.B, good.n)
    low, high = scan(rng)
    low[1, 1, 1] = math.nan
    result = lx.dect.invert(low, high, bad)
    assert result.bad_calibration == result.draws == 20
    assert result.status[1, 1, 1] == 4
    assert np.delete(result.status.ravel(), np.ravel_multi_index((1, 1, 1), low.shape)).tolist() == [3] * (low.size - 1)
    assert np.isnan(result.atomic_number.median).all()
    assert lx.dect.invert(low, high, good).status[1, 1, 1] == 4


def test_the_same_on_every_library(xp, rng):
    """NumPy sorts and rounds in compiled loops of its own; the others run the plain array-API body."""
    coefficients = scattered(rng, 64, 0.1)
    low, high = scan(rng)
    with jax.enable_x64(True):
        result = lx.dect.invert(
            xp.asarray(low), xp.asarray(high), coefficients, moments=True, voxel_noise=(0.002, 0.001), seed=3
        )
        assert type(result.valid) is type(xp.asarray(low))
    for a, b in zip(
        leaves(result),
        leaves(lx.dect.invert(low, high, coefficients, moments=True, voxel_noise=(0.002, 0.001), seed=3)),
        strict=True,
    ):  # exp and log of the libraries differ in the last bit, which noise passes on
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.slow
def test_the_compiled_form_is_the_same(rng):
    """What an accelerator runs, here compiled for the processor: 40 s of compiling, for the same operations as eagerly
    on JAX above.
    """
    from lithax.inverse._monotone_pieces import curves
    from lithax.inverse._statistics import StatisticsRequest, statistics

    coefficients = scattered(rng, 40, 0.1)
    low, high = (v.ravel() for v in scan(rng))
    table = curves(coefficients)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda t, a, b: statistics(t, a, b, StatisticsRequest()))(table, low, high)
        for a, b in zip(compiled, statistics(table, low, high, StatisticsRequest()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)  # fused multiply-adds, twice through a cubic step


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
def test_a_voxel_has_its_result_wherever_it_stands(dtype, rng):
    """In every bit: the work is cut into pieces and tiles, and equal pairs are worked out once."""
    coefficients = scattered(rng, 33, 0.05)
    scale = Coefficients(1000 * coefficients.air, 1000 * coefficients.A, 1000 * coefficients.B, coefficients.n)
    low, high = (np.round(1000 * v).astype(dtype) for v in scan(rng, (12, 11, 10)))
    whole = leaves(lx.dect.invert(low, high, scale))
    order = rng.permutation(low.size)
    shuffled = leaves(lx.dect.invert(low.ravel()[order], high.ravel()[order], scale))
    for a, b in zip(whole, shuffled, strict=True):
        np.testing.assert_array_equal(a.ravel()[order], b)
    part = leaves(lx.dect.invert(low[3:5, :7], high[3:5, :7], scale))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[3:5, :7], b)


def test_noise_has_the_size_asked_for(rng):
    """One draw many times: what is spread is the noise alone."""
    one = one_draw()
    draws = 4000
    many = Coefficients(*(np.repeat(part, draws, 0) for part in (one.air, one.A, one.B, one.n)))
    density, number = np.full((2, 1, 1), 2.0), np.full((2, 1, 1), 12.0)
    low, high = attenuations(density, number)
    result = lx.dect.invert(low, high, many, voxel_noise=(1e-3, 0.0), moments=True, seed=1)
    step = 1e-6
    slope = (lx.dect.solve(low + step, high, one)[1] - lx.dect.solve(low - step, high, one)[1]) / (2 * step)
    # The standard deviation of 4000 values is known to 1.1 %, and differs from the linear one by less.
    np.testing.assert_allclose(result.atomic_number.standard_deviation, 1e-3 * np.abs(slope[..., 0]), rtol=0.05)
    assert result.atomic_number.mean[0, 0, 0] != result.atomic_number.mean[1, 0, 0]
    again = lx.dect.invert(low, high, many, voxel_noise=(1e-3, 0.0), moments=True, seed=1)
    np.testing.assert_array_equal(result.atomic_number.mean, again.atomic_number.mean)


def test_sorted_rows_with_missing_values(rng):
    rows = rng.standard_normal((7, 20))
    rows[rng.random(rows.shape) < 0.4] = math.nan
    rows[3] = math.nan
    count = np.isfinite(rows).sum(1)
    found = spread(SortedRows(sort_rows(rows.copy()), count), (0.1,), 1.0)
    for k in range(7):
        np.testing.assert_allclose([f[k] for f in found[:5]], expected(rows[k], 1.0), rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"high": np.zeros((2, 2))}, "low has shape .* high"),
        ({"low": "scan"}, "low is a str"),
        ({"low": np.zeros((5, 4, 3), complex)}, "attenuations are real"),
        ({"whis": -1}, "whis=-1"),
        ({"below_air": "keep"}, "below_air='keep' must be"),
        ({"quantiles": (1.5,)}, "1.5 is not a probability"),
        ({"voxel_noise": 3}, "voxel_noise=3"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"coefficients": None}, "coefficients is a NoneType"),
    ],
)
def test_bad_arguments(change, message, rng):
    low, high = scan(rng)
    arguments = {"low": low, "high": high, "coefficients": one_draw()} | change
    with pytest.raises((TypeError, ValueError), match=message):
        lx.dect.invert(arguments.pop("low"), arguments.pop("high"), arguments.pop("coefficients"), **arguments)


def test_swapped_energies_are_said(rng):
    low, high = scan(rng)
    good = one_draw()
    swapped = Coefficients(good.air[:, ::-1], good.A[:, ::-1], good.B[:, ::-1], good.n[:, ::-1])
    with pytest.raises(ValueError, match="swapped"):
        lx.dect.invert(low, high, swapped)

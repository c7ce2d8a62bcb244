"""Features of the voxels taken in: derivatives of a quotient of sums, and nothing of what is left out."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx
from lithax import ops
from lithax.testing import assert_same_bits

KINDS = ("gaussian", "gradient_magnitude", "hessian_eigenvalues", "structure_tensor_eigenvalues")
OP = partial(ops.features, sigmas=(0.8,), kinds=KINDS)


@pytest.fixture
def x(rng):
    return ndimage.gaussian_filter(rng.standard_normal((7, 8, 9)), 1) * 8


@pytest.fixture
def valid(rng, x):
    return rng.random(x.shape) < 0.7


def test_all_voxels_taken_in_give_the_plain_filters(x):
    for plain, masked in zip(OP(x), OP(x, valid=np.ones(x.shape, bool)), strict=True):
        # Sums divided by the sum of the weights, which is 1 but for rounding and for what the cut-off leaves.
        np.testing.assert_allclose(masked, plain, rtol=1e-3, atol=1e-3)


def test_what_is_left_out_cannot_be_seen(x, valid):
    first = OP(x, valid=valid)
    for other in (np.nan, np.inf, 1e300):
        for name, a, b in zip(
            ops.feature_names((0.8,), KINDS), first, OP(np.where(valid, x, other), valid=valid), strict=True
        ):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert all(np.isfinite(found[valid]).all() for found in first)
    empty = OP(x, valid=np.zeros(x.shape, bool))
    assert all(np.isnan(found).all() for found in empty)
    grey, smooth, *slopes = OP(np.where(valid, 3.0, np.nan), valid=valid)
    np.testing.assert_allclose(np.stack([grey, smooth])[:, valid], 3.0, rtol=1e-14)
    np.testing.assert_allclose(np.stack(slopes)[:, valid], 0.0, atol=1e-13)  # constant, whatever is left out


def test_the_gradient_is_that_of_the_quotient(x, valid):
    def total(field, order=(0, 0, 0)):
        return ndimage.gaussian_filter(field, 0.8, order=order)

    values, weights = np.where(valid, x, 0.0), valid.astype(float)
    w = total(weights)
    slopes = []
    for axis in range(3):
        order = tuple(int(a == axis) for a in range(3))
        slopes.append((total(values, order) * w - total(values) * total(weights, order)) / w**2)
    found = ops.gradient_magnitude(x, sigma=0.8, valid=valid)
    np.testing.assert_allclose(found, np.sqrt(np.sum(np.square(slopes), axis=0)), rtol=1e-9, atol=1e-12)


def test_the_hessian_is_that_of_the_quotient(rng):
    """Along a line the smoothed field is known as a function of the place, whose second difference is the second derivative."""
    sigma, row = 2.5, rng.standard_normal(31)
    known = rng.random(31) < 0.8
    places = np.arange(31)

    def smoothed(at):
        # The Hessian's Gaussian is two narrower ones, sampled and convolved.
        weight = np.where(known, np.exp(-0.5 * ((places - at) / sigma) ** 2), 0.0)
        return weight @ np.where(known, row, 0.0) / weight.sum()

    shape = (31, 1, 1)
    found = np.stack(ops.hessian_eigenvalues(row.reshape(shape), sigma=(sigma, 0.5, 0.5), valid=known.reshape(shape)))
    curvature = (smoothed(15 + 1e-3) - 2 * smoothed(15) + smoothed(15 - 1e-3)) / 1e-6
    # Sampling and the cut-off at six standard deviations are below 1e-8; of the second difference 1e-9 is rounding.
    assert np.abs(found[:, 15, 0, 0] - curvature).min() == pytest.approx(0.0, abs=1e-6)


def test_differences_between_voxels_taken_in():
    x = np.array([1.0, 2.0, 4.0, np.nan, 7.0, 8.0]).reshape(6, 1, 1)
    found = ops.gradient_magnitude(x, valid=np.isfinite(x), boundary="constant", boundary_value=0)[:, 0, 0]
    assert found[1] == 1.5  # both neighbours
    assert found[2] == 2.0  # only the one before
    assert np.isnan(found[3])
    assert found[4] == 1.0  # only the one after


def test_masked_blocks_give_the_whole_array(x, valid):
    whole = [np.where(valid, found, np.nan) for found in OP(x, valid=valid)]
    chunks = (4, 8, 5)
    found = lx.chunk_map(
        OP, lx.from_array(np.where(valid, x, np.nan), chunks=chunks), where=lx.from_array(valid, chunks=chunks),
        store=(None,) * len(whole), backend="numpy", progress=False,
    )  # fmt: skip
    for made, wanted in zip(found, whole, strict=True):
        assert_same_bits(made[...], wanted)

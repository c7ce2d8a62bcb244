"""Do masked forms see the voxels taken in and no others?"""

from functools import partial

import numpy as np
import pytest

from lithax import ops
from lithax.arrays import pad, to_numpy
from lithax.testing import neighbourhood

from .cases import CASES, masked_cases

SHAPE = (6, 5, 7)
EPS64 = 2.0**-52
KIND_DTYPES = {"real": [np.float64, np.uint8], "rank": [np.float32, np.int16, np.bool_], "binary": [np.bool_]}


def expected_by_loop(case, x, valid, boundary="reflect"):
    offsets, reduce = case.masked
    halo = case.halo
    return neighbourhood(pad(x, halo, boundary), pad(valid, halo, boundary), offsets, reduce, halo)


@masked_cases
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_same_as_a_loop(case, share, rng):
    for dtype in KIND_DTYPES[case.kind]:
        x = case.image(rng, SHAPE, dtype)
        valid = rng.random(SHAPE) < share
        ours = case.op(x, valid=valid, **case.parameters)
        theirs = expected_by_loop(case, x.astype(np.float64) if case.kind == "real" else x, valid)
        # A quotient of two sums, each rounded; uint8 is filtered in float32.
        eps = 2.0**-23 if dtype == np.uint8 else EPS64
        tolerance = 4 * case.tolerance(x.astype(float), eps)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        if case.kind != "real":
            assert ours.dtype == dtype


@masked_cases
@pytest.mark.parametrize("boundary", ["nearest", "mirror", "wrap"])
def test_what_lies_outside_is_taken_in_as_its_source_is(case, boundary, rng):
    x = case.image(rng, (3, 5, 1))
    valid = rng.random(x.shape) < 0.6
    ours = case.op(x, valid=valid, boundary=boundary, **case.parameters)
    np.testing.assert_allclose(
        ours, expected_by_loop(case, x, valid, boundary), rtol=0, atol=4 * case.tolerance(x, EPS64)
    )


@masked_cases
def test_what_is_left_out_cannot_be_seen(case, rng):
    x = case.image(rng, SHAPE)
    valid = rng.random(SHAPE) < 0.5
    first = case.op(x, valid=valid, **case.parameters)
    others = [True, False] if case.kind == "binary" else [np.nan, np.inf, -np.inf, 1e300]
    for other in others:
        again = case.op(np.where(valid, x, other), valid=valid, **case.parameters)
        np.testing.assert_array_equal(first, again)


@masked_cases
def test_all_taken_in_is_the_plain_form(case, rng):
    x = case.image(rng, SHAPE)
    plain = case.op(x, **case.parameters)
    masked = case.op(x, valid=np.ones(SHAPE, bool), **case.parameters)
    np.testing.assert_allclose(plain, masked, rtol=0, atol=4 * case.tolerance(x, EPS64))


@pytest.mark.parametrize("case", [case for case in CASES if not case.masked and case.op.masked is None], ids=str)
def test_operations_without_a_masked_form_refuse(case, rng):
    x = case.image(rng, SHAPE)
    with pytest.raises(ValueError, match="has no masked form"):
        case.op(x, valid=np.ones(SHAPE, bool), **case.parameters)


def test_opening_of_the_voxels_taken_in(rng):
    x, valid = rng.random(SHAPE) < 0.6, rng.random(SHAPE) < 0.7
    ours = ops.opening(x, radius=1, valid=valid)
    eroded = ops.erosion(x, radius=1, valid=valid)
    np.testing.assert_array_equal(ours, ops.dilation(eroded, radius=1, valid=valid))


def test_a_selection_of_numpy_goes_with_every_library(xp, rng):
    x, valid = rng.random(SHAPE), rng.random(SHAPE) < 0.7
    calls = [partial(ops.uniform, size=3)]
    if xp.__name__ != "jax.numpy":  # takes seconds to compile
        calls.append(partial(ops.tensor_diffusion, contrast=1.0, iterations=1, sigma=0.4, rho=0.4))
    for op in calls:
        # float32 on JAX: 27 sums of numbers below 1.
        found = op(xp.asarray(x), valid=valid)
        np.testing.assert_allclose(to_numpy(found), op(x, valid=valid), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("valid", "error", "message"),
    [
        ([True], TypeError, "valid is a list; give a boolean array"),
        (np.ones(SHAPE), TypeError, "valid has dtype float64; give booleans"),
        (np.ones((1, 5, 7), bool), ValueError, r"valid has shape \(1, 5, 7\), the array \(6, 5, 7\)"),
    ],
)
def test_what_is_no_selection_is_named(valid, error, message):
    with pytest.raises(error, match=message):
        ops.uniform(np.zeros(SHAPE), valid=valid)

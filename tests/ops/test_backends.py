"""Does every array library give the same, also traced, and without casts of its own?"""

from functools import partial

import jax
import numpy as np
import pytest

from lithax import ops
from lithax.arrays import to_numpy

from .cases import CASES, EPS32, every_case, masked_cases

SHAPE = (6, 5, 7)
POINTWISE = {
    "threshold": partial(ops.threshold, value=0.25),
    "interval": partial(ops.threshold, lower=-0.5, upper=0.5),
    "soft threshold": partial(ops.soft_threshold, value=0.25, width=0.1),
    "clip": partial(ops.clip, lower=-0.5, upper=1.0),
    "rescale": partial(ops.rescale, input_range=(-1.0, 3.0), output_range=(0.0, 255.0), clip=True),
    "standardize": partial(ops.standardize, mean=0.1, standard_deviation=2.0),
}


def on_library(xp, op, **parameters):
    run = partial(op, **parameters)
    return jax.jit(run) if xp is jax.numpy else run  # a traced call, as in the combinators


@every_case
def test_every_library(case, xp, rng, strict_promotion):
    x = case.image(rng, SHAPE, np.bool_ if case.kind == "binary" else np.float32)
    given = xp.asarray(x)
    result = on_library(xp, case.op, **case.parameters)(given)
    assert result.dtype == given.dtype
    expected = case.op(x if case.kind != "real" else x.astype(np.float64), **case.parameters)
    # The reference is NumPy in float64, so all of float32's rounding shows.
    np.testing.assert_allclose(to_numpy(result), expected, rtol=0, atol=case.tolerance(x, EPS32))


@masked_cases
def test_masked_form_on_every_library(case, xp, rng, strict_promotion):
    x = case.image(rng, SHAPE, np.bool_ if case.kind == "binary" else np.float32)
    valid = rng.random(SHAPE) < 0.4
    run = on_library(xp, lambda v, m: case.op(v, valid=m, **case.parameters))
    result = run(xp.asarray(x), xp.asarray(valid))
    expected = case.op(x if case.kind != "real" else x.astype(np.float64), valid=valid, **case.parameters)
    # A weighted mean divides two sums, each with its own rounding; no weight is below a thousandth of the largest per axis.
    np.testing.assert_allclose(to_numpy(result), expected, rtol=0, atol=4 * case.tolerance(x, EPS32))


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "binary"], ids=str)
def test_images_of_16_bits(case, xp, rng, strict_promotion):
    x = case.image(rng, SHAPE, np.uint16)
    run = partial(case.op, **case.parameters)
    result = jax.eval_shape(run, x) if xp is jax.numpy else run(xp.asarray(x))
    assert result.dtype == (xp.uint16 if case.kind == "rank" else xp.float32)


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name, xp, rng, strict_promotion):
    x = rng.standard_normal(SHAPE).astype(np.float32)
    result = on_library(xp, POINTWISE[name])(xp.asarray(x))
    expected = POINTWISE[name](x)
    assert str(expected.dtype) in str(result.dtype)
    # A compiler may join a product and a sum, with one rounding instead of two of values up to 255.
    np.testing.assert_allclose(
        to_numpy(result), expected, rtol=4 * EPS32, atol=255 * EPS32 if name == "rescale" else EPS32
    )


def test_the_input_is_not_written(rng):
    x = rng.standard_normal(SHAPE)
    x.flags.writeable = False
    for op in (ops.gaussian, ops.gradient_magnitude):
        op(x, sigma=1.0)
    ops.median(x)
    ops.opening(x, radius=1)

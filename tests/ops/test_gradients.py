"""Are derivatives right, in the voxels and in the parameters that may be traced; and finite where voxels are left out?"""

from functools import partial

import jax
import numpy as np
import pytest

from lithax import ops

from .cases import CASES

SHAPE = (4, 5, 6)
# Compiling derivatives is what takes the time here; these run the same code as another line of the table.
TWINS = {
    "adaptive threshold",
    "sauvola",
    "adaptive threshold, Gaussian",
    "gaussian",
    "gaussian per axis",
    "gaussian wide",
    "grey dilation",
    "maximum",
    "median",
    "median of a ball",
    "median of a cross",
    "percentile",
    "rank",
    "uniform",
}
DIFFERENTIABLE = [case for case in CASES if case.kind != "binary" and case.name not in TWINS]
STEP = 1e-5
# Central differences: the third derivative, of order 100, times STEP**2, and float64's rounding over STEP, both below 1e-8 of
# values of order 10; a wrong sign, factor or neighbour is off by order 1.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}


def check(function, *arguments, rng, free=True):
    """Compare forward and reverse derivatives along a random direction with central differences, in float64.

    `free` says which voxels of the first argument may move. Returns the reverse derivative.
    """

    def everything(arguments, direction, weight):
        value, forward = jax.jvp(function, arguments, direction)
        return value, forward, jax.vjp(function, *arguments)[1](weight)

    with jax.enable_x64(True):
        run = jax.jit(everything)
        arguments = tuple(np.asarray(a, dtype=np.float64) for a in arguments)
        direction = tuple(rng.standard_normal(a.shape) for a in arguments)
        direction = (np.where(free, direction[0], 0.0), *direction[1:])
        weight = rng.standard_normal(SHAPE)
        above, _, _ = run(tuple(a + STEP * d for a, d in zip(arguments, direction, strict=True)), direction, weight)
        below, _, _ = run(tuple(a - STEP * d for a, d in zip(arguments, direction, strict=True)), direction, weight)
        _, forward, reverse = run(arguments, direction, weight)
    np.testing.assert_allclose(forward, (np.asarray(above) - np.asarray(below)) / (2 * STEP), **TOLERANCE)
    product = sum(np.vdot(r, d) for r, d in zip(reverse, direction, strict=True))
    np.testing.assert_allclose(product, np.vdot(weight, forward), rtol=1e-10)  # the same sums in another order
    return reverse


@pytest.mark.parametrize("case", [case for case in DIFFERENTIABLE if not case.traced], ids=str)
def test_in_the_voxels(case, rng):
    check(partial(case.op, **case.parameters), case.image(rng, SHAPE), rng=rng)


@pytest.mark.parametrize("case", [case for case in CASES if case.traced], ids=str)
def test_in_the_voxels_and_the_parameters(case, rng):
    names = list(case.traced)

    def run(x, *values):
        return case.op(x, **{**case.parameters, **dict(zip(names, values, strict=True))})

    check(run, case.image(rng, SHAPE), *map(float, case.traced.values()), rng=rng)


@pytest.mark.parametrize(
    ("op", "values"),
    [
        (lambda x, value, width: ops.soft_threshold(x, value=value, width=width), (0.2, 0.7)),
        (lambda x, low, high: ops.rescale(x, input_range=(low, high)), (-0.3, 1.9)),
        (lambda x, mean, sd: ops.standardize(x, mean=mean, standard_deviation=sd), (0.1, 1.3)),
        (lambda x, low, high: ops.clip(x, lower=low, upper=high), (-0.5, 0.5)),
    ],
    ids=["soft threshold", "rescale", "standardize", "clip"],
)
def test_pointwise(op, values, rng):
    check(op, rng.standard_normal(SHAPE), *values, rng=rng)


MASKED = [case for case in DIFFERENTIABLE if case.masked]


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] * (k % 2), id=str(c)) for k, c in enumerate(MASKED)]
)
def test_in_the_voxels_taken_in(case, rng):
    valid = rng.random(SHAPE) < 0.6

    def run(x):
        y = case.op(x, valid=valid, **case.parameters)  # NaN where no voxel is present
        return jax.numpy.where(valid, y, 0.0)

    x = np.where(valid, case.image(rng, SHAPE), np.nan)
    (slope,) = check(run, x, rng=rng, free=valid)
    assert (np.asarray(slope)[~valid] == 0).all()  # and not NaN


@pytest.mark.parametrize("op", [ops.gradient_magnitude, ops.local_standard_deviation], ids=["gradient", "deviation"])
def test_a_flat_image_has_a_derivative(op):
    # The root of zero has none; 0 is the one from the middle.
    slope = jax.jit(jax.grad(lambda x: jax.numpy.sum(op(x))))(np.full(SHAPE, 3.0, np.float32))
    assert np.abs(slope).max() < 1e-3  # rounding of the constant may leave a little

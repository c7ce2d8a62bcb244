"""Gradients over an image of any size are those of the whole array."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lithax import chain, chunk_loss, chunk_map, chunk_reduce, chunk_value_and_grad, ops, plan, voxel_op
from lithax.errors import NotElementwiseError
from lithax.images import from_array
from lithax.measure import AbstractMeasurement, Mean, MeanLoss, MeanSquaredError
from lithax.regions import Sphere

SHAPE, CHUNKS = (9, 7, 8), (4, 4, 5)
RTOL = 1e-12
"""504 voxels added up in another order in float64: 504 * 2**-53 is 6e-14."""


@pytest.fixture
def x(rng):
    return rng.random(SHAPE) + 0.5


@pytest.fixture
def y(rng):
    return rng.random(SHAPE)


def image(values, chunks=CHUNKS):
    return from_array(values, chunks=chunks)


def agree(found, expected, rtol=RTOL):
    (value, gradient), (right, slope) = found, expected
    np.testing.assert_allclose(value, right, rtol=rtol)
    a, b = jax.tree.leaves(gradient), jax.tree.leaves(slope)
    assert len(a) == len(b)
    for p, q in zip(a, b, strict=True):
        assert np.shape(p) == np.shape(q)
        np.testing.assert_allclose(p, q, rtol=rtol, atol=1e-14)


def on_whole(function, parameters):
    with jax.enable_x64(True):
        return jax.jit(jax.value_and_grad(function))(jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), parameters))


class Spread(AbstractMeasurement):
    """Variance of the residual: its states (count, mean, sum of squared deviations) do not simply add up."""

    def of(self, parameters, x, y, valid=None):
        residual = parameters["gain"] * x**2 + parameters["shift"] - y
        weight = jnp.ones(x.shape) if valid is None else valid.astype(residual.dtype)
        residual = jnp.where(weight > 0, residual, 0)
        n = weight.sum()
        mean = residual.sum() / n
        return {"n": n, "mean": mean, "m2": (weight * (residual - mean) ** 2).sum()}

    def combine(self, a, b):
        n = a["n"] + b["n"]
        apart = b["mean"] - a["mean"]
        return {
            "n": n,
            "mean": a["mean"] + apart * b["n"] / n,
            "m2": a["m2"] + b["m2"] + apart**2 * a["n"] * b["n"] / n,
        }

    def finish(self, state):
        return jnp.sqrt(state["m2"] / state["n"])


def test_an_additive_loss_takes_one_pass(x, y):
    def model(p, v):
        return p["gain"] * jnp.log(v) + p["coefficients"][0] * v - p["coefficients"][1]

    parameters = {"gain": 1.5, "coefficients": np.asarray([0.3, -0.2])}
    found = chunk_value_and_grad(MeanSquaredError(model), parameters, image(x), image(y, (3, 7, 4)), progress=False)
    agree(found, on_whole(lambda p: jnp.mean((model(p, x) - y) ** 2), parameters))


def test_another_loss_takes_two(x, y, rng):
    parameters = {"gain": 0.7, "shift": np.asarray(0.1)}
    found = chunk_value_and_grad(Spread(), parameters, image(x), image(y), progress=False)

    def whole(p, where=None):
        residual = p["gain"] * x**2 + p["shift"] - y
        return jnp.std(residual) if where is None else jnp.std(residual[where])

    agree(found, on_whole(whole, parameters))
    valid = rng.random(SHAPE) < 0.6
    valid[:4, :4, :5] = False  # a block without any
    hidden = np.where(valid, x, np.nan)
    found = chunk_value_and_grad(Spread(), parameters, image(hidden), image(y), where=valid, progress=False)
    agree(found, on_whole(partial(whole, where=valid), parameters))


@pytest.mark.parametrize("boundary", ["reflect", "wrap"])
def test_through_a_chain_with_halos(x, y, boundary):
    def model(p):
        return chain(
            partial(ops.gaussian, sigma=p["sigma"], radius=2, boundary=boundary),
            lambda v: p["gain"] * v**2,
            partial(ops.gaussian, sigma=0.6, boundary="nearest"),
        )

    parameters = {"sigma": 0.8, "gain": np.asarray(1.2)}
    found = chunk_value_and_grad(MeanSquaredError(), parameters, image(x), image(y), model=model, progress=False)
    agree(found, on_whole(lambda p: jnp.mean((model(p)(jnp.asarray(x)) - y) ** 2), parameters))


def test_through_a_masked_stencil(x, y, rng):
    valid = rng.random(SHAPE) < 0.6
    hidden = np.where(valid, x, np.nan)

    def model(p):
        return partial(ops.gaussian, sigma=p, radius=2, boundary="mirror")

    found = chunk_value_and_grad(
        MeanSquaredError(), 0.8, image(hidden), image(y), model=model, where=valid, progress=False
    )

    def whole(p):
        smooth = ops.gaussian(jnp.asarray(hidden), sigma=p, radius=2, boundary="mirror", valid=jnp.asarray(valid))
        return jnp.mean((smooth[valid] - y[valid]) ** 2)

    agree(found, on_whole(whole, 0.8))
    bare = voxel_op(lambda block: block[2:] - block[:-2], halo=(1, 0, 0))
    with pytest.raises(ValueError, match="has no masked form"):
        chunk_value_and_grad(MeanLoss(lambda p, v: v), 0.8, image(x), model=lambda p: bare, where=valid)


def test_a_region_as_parameter_of_a_loss(x):
    """What is differentiated may be any pytree, such as an equinox module."""

    def softly_inside(p, v):
        return v * jax.nn.sigmoid(-p.signed_distance(1.0, 2.0, 3.0 + v))

    sphere = Sphere((jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(3.0)), jnp.asarray(0.8))
    value, gradient = chunk_value_and_grad(MeanLoss(softly_inside), sphere, image(x), progress=False)
    assert isinstance(gradient, Sphere)

    def whole(p):
        return jnp.mean(softly_inside(p, x))

    with jax.enable_x64(True):
        right, slope = jax.value_and_grad(whole)(sphere)
    # The parameters are float32, and so are their gradients.
    np.testing.assert_allclose(value, right, rtol=1e-6)
    np.testing.assert_allclose(gradient.radius, slope.radius, rtol=1e-5)


def test_the_gradient_is_shaped_like_the_parameters(x):
    parameters = {
        "number": 2.0,
        "single": np.ones(3, np.float32),
        "double": np.ones((2, 2)),
        "order": 2,
        "flag": True,
        "name": "power",
        "nothing": None,
        "counts": np.arange(3),
    }

    def loss(p, v):
        assert p["name"] == "power"
        return p["number"] * v ** p["order"] + p["single"].sum() * v + p["double"][1, 0] * p["counts"][2]

    _, gradient = chunk_value_and_grad(MeanLoss(loss), parameters, image(x), progress=False)
    assert gradient.keys() == parameters.keys()
    assert {k for k, g in gradient.items() if g is None} == {"order", "flag", "name", "nothing", "counts"}
    assert gradient["number"].dtype == np.float64
    assert gradient["number"].shape == ()
    assert gradient["single"].dtype == np.float32
    assert gradient["double"].shape == (2, 2)
    np.testing.assert_allclose(gradient["number"], np.mean(x**2), rtol=RTOL)
    np.testing.assert_allclose(gradient["double"], [[0, 0], [2, 0]], rtol=RTOL)


def test_arrays_in_memory_and_any_grid(x, y):
    found = [
        chunk_value_and_grad(MeanSquaredError(lambda p, v: p * v), 1.5, a, b, progress=False)
        for a, b in [(x, y), (image(x), y), (image(x, 3), image(y, (9, 1, 8)))]
    ]
    for other in found[1:]:
        agree(other, found[0])


def test_the_loss_as_a_function_of_the_parameters(x, y):
    loss = chunk_loss(MeanSquaredError(lambda p, v: p["gain"] * v + p["shift"]), image(x), image(y))
    parameters = {"gain": jnp.asarray(0.5), "shift": jnp.asarray(0.1)}
    value, gradient = jax.value_and_grad(loss)(parameters)
    right = chunk_value_and_grad(
        MeanSquaredError(lambda p, v: p["gain"] * v + p["shift"]), parameters, image(x), image(y), progress=False
    )
    # On JAX's own terms here, which are float32.
    np.testing.assert_allclose(value, right[0], rtol=1e-6)
    for name in parameters:
        np.testing.assert_allclose(gradient[name], right[1][name], rtol=1e-6)
    np.testing.assert_allclose(loss(parameters), right[0], rtol=1e-6)
    through = jax.grad(lambda p: 3 * loss(p) + p["gain"] ** 2)(parameters)
    np.testing.assert_allclose(through["gain"], 3 * right[1]["gain"] + 1.0, rtol=1e-6)


def test_descending_to_the_least_squares(x):
    target = 1.7 * x - 0.4
    loss = chunk_loss(MeanSquaredError(lambda p, v: p[0] * v + p[1]), image(x), image(target))
    parameters = jnp.asarray([1.0, 0.0])
    momentum = jnp.zeros(2)
    for _ in range(40):  # heavy ball: steps as optax takes them
        momentum = 0.55 * momentum + jax.grad(loss)(parameters)
        parameters = parameters - 0.7 * momentum
    np.testing.assert_allclose(parameters, [1.7, -0.4], atol=1e-2)
    assert loss(parameters) < 1e-5


def test_in_mid_compilation_every_combinator_says_so(x, tmp_path):
    picture = image(x)
    calls = {
        "chunk_value_and_grad": lambda p: chunk_value_and_grad(MeanLoss(lambda q, v: q * v), p, picture)[0],
        "chunk_map": lambda p: chunk_map(lambda v, gain: v * gain, picture, gain=p, store=tmp_path / "out.zarr"),
        "chunk_reduce": lambda p: p * chunk_reduce(Mean(), picture),
        "plan": lambda p: plan(chunk_map, lambda v, gain: v * gain, picture, gain=p).memory,
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError, match=rf"{name}\(\) was called inside a function that JAX is compiling"):
            jax.jit(call)(1.0)
    with pytest.raises(RuntimeError, match=r"chunk_map\(\) was called inside a function that JAX is compiling"):
        jax.jit(lambda: chunk_map(lambda v: v, picture))()
    for transform in (jax.grad, jax.vmap):
        argument = 1.0 if transform is jax.grad else jnp.ones(3)
        with pytest.raises(RuntimeError, match=r"For gradients over an image use lx.chunk_value_and_grad"):
            transform(calls["chunk_map"])(argument)
    assert not (tmp_path / "out.zarr").exists()
    # A number that depends on nothing traced may be taken on the way to a gradient.
    slope = jax.grad(lambda p: p * chunk_reduce(Mean(), picture, progress=False))(1.0)
    np.testing.assert_allclose(slope, x.mean(), rtol=1e-6)


def test_losses_that_cannot_be(x, y):
    with pytest.raises(
        TypeError, match=r"loss is a function without the method 'of'; give lx.measure.MeanSquaredError"
    ):
        chunk_value_and_grad(lambda p, v: v, 1.0, image(x))
    with pytest.raises(TypeError, match="measure is a int without the method 'of'"):
        chunk_reduce(3, image(x))
    with pytest.raises(TypeError, match="needs at least one image"):
        chunk_value_and_grad(MeanLoss(lambda p: p), 1.0)
    with pytest.raises(ValueError, match=r"parameters=\{'n': 3\} holds no real number.*chunk_loss"):
        chunk_value_and_grad(MeanSquaredError(), {"n": 3}, image(x), image(y))
    with pytest.raises(ValueError, match=r"image 1 has shape \(2, 2, 2\), the first \(9, 7, 8\)"):
        chunk_value_and_grad(MeanSquaredError(), 1.0, image(x), image(y[:2, :2, :2]))
    with pytest.raises(ValueError, match="the function returned shape"):
        chunk_value_and_grad(MeanLoss(lambda p, v: v.sum()), 1.0, image(x), progress=False)
    with pytest.raises(ValueError, match="selects no voxel, so there is no loss"):
        chunk_value_and_grad(MeanLoss(lambda p, v: v), 1.0, image(x), where=np.zeros(SHAPE, bool), progress=False)
    coarse = voxel_op(lambda block: block[::2, ::2, ::2], scale=2)
    with pytest.raises(ValueError, match="whose result is on another grid"):
        chunk_value_and_grad(MeanLoss(lambda p, v: v), 1.0, image(x), model=lambda p: coarse)


def test_a_model_without_halo_must_be_element_wise(x):
    with pytest.raises(NotElementwiseError, match="reduce_sum"):
        chunk_value_and_grad(MeanLoss(lambda p, v: v), 1.0, image(x), model=lambda p: lambda v: p * (v - v.mean()))


def test_a_loss_with_arrays_of_its_own(x):
    class Weighted(eqx.Module):
        weight: jax.Array

        def __call__(self, p, v):
            return self.weight * (p * v) ** 2

    found = [chunk_value_and_grad(MeanLoss(Weighted(np.asarray(w))), 1.0, image(x), progress=False) for w in (1.0, 2.0)]
    np.testing.assert_allclose(found[1][1], 2 * found[0][1], rtol=RTOL)

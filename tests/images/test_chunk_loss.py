"""A loss over images inside JAX's transformations and other people's optimisers."""

import os
import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx

SHAPE = (14, 12, 10)


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(3).random(SHAPE).astype("f4")


@pytest.fixture(scope="module")
def fit(voxels):
    """Least squares of a straight line, whose derivatives are known: L = mean((a v + b - t)²)."""
    target = (1.7 * voxels - 0.4).astype("f4")
    loss = lx.measure.MeanSquaredError(model=lambda p, v: p["a"] * v + p["b"])
    return lx.chunk_loss(loss, lx.from_array(voxels, chunks=6), lx.from_array(target, chunks=5)), target


def exact(p, v, t):
    v, t = v.astype("f8"), t.astype("f8")
    r = p["a"] * v + p["b"] - t
    hessian = 2 * np.array([[np.mean(v * v), v.mean()], [v.mean(), 1.0]])
    return np.mean(r * r), {"a": 2 * np.mean(r * v), "b": 2 * r.mean()}, hessian


P = {"a": 1.0, "b": 0.1}
CLOSE = {"rtol": 2e-6, "atol": 1e-7}  # numbers per voxel, and JAX's default, are float32


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_every_transformation_gives_the_known_derivatives(wrap, fit, voxels):
    f, target = fit
    value, gradient, hessian = exact(P, voxels, target)
    np.testing.assert_allclose(wrap(f)(P), value, **CLOSE)
    np.testing.assert_allclose(wrap(jax.grad(f))(P)["a"], gradient["a"], **CLOSE)
    found, slopes = wrap(jax.value_and_grad(f))(P)
    np.testing.assert_allclose([found, slopes["a"], slopes["b"]], [value, gradient["a"], gradient["b"]], **CLOSE)
    second = wrap(jax.hessian(f))(P)
    np.testing.assert_allclose([[second[i][j] for j in "ab"] for i in "ab"], hessian, **CLOSE)
    direction = {"a": jnp.asarray(2.0), "b": jnp.asarray(-1.0)}
    along = 2 * gradient["a"] - gradient["b"]
    arrays = jax.tree.map(jnp.asarray, P)
    np.testing.assert_allclose(wrap(lambda p, d: jax.jvp(f, (p,), (d,))[1])(arrays, direction), along, **CLOSE)
    np.testing.assert_allclose(jax.linearize(f, arrays)[1](direction), along, **CLOSE)
    product = wrap(lambda p, d: jax.jvp(jax.grad(f), (p,), (d,))[1])(arrays, direction)  # Hessian times vector
    np.testing.assert_allclose([product["a"], product["b"]], hessian @ [2, -1], **CLOSE)
    many = {"a": jnp.asarray([0.0, 1.0, 2.0]), "b": jnp.zeros(3)}
    each = [exact({"a": a, "b": 0.0}, voxels, target) for a in (0.0, 1.0, 2.0)]
    np.testing.assert_allclose(wrap(jax.vmap(f))(many), [e[0] for e in each], **CLOSE)
    np.testing.assert_allclose(wrap(jax.vmap(jax.grad(f)))(many)["b"], [e[1]["b"] for e in each], **CLOSE)


def test_precision_is_that_of_jax(fit, voxels):
    f, target = fit
    assert f(P).dtype == jnp.float32
    with jax.enable_x64(True):
        double = jax.jit(jax.grad(f))({"a": jnp.asarray(1.0), "b": jnp.asarray(0.1)})
        assert double["a"].dtype == jnp.float64
        # Voxels are float32, parameters float64: so are the numbers per voxel.
        assert double["a"] == pytest.approx(exact(P, voxels, target)[1]["a"], rel=1e-12)


def test_optimisers_of_others(fit):
    import optax
    import optimistix as optx

    f, _ = fit
    start = {"a": jnp.asarray(1.0), "b": jnp.asarray(0.0)}
    for solver in (optx.BFGS(1e-4, 1e-6), optx.NonlinearCG(1e-4, 1e-6)):
        found = optx.minimise(lambda p, _: f(p), solver, start, max_steps=60).value
        assert float(found["a"]) == pytest.approx(1.7, abs=2e-2)  # a float32 loss is flat below 1e-7
        assert float(found["b"]) == pytest.approx(-0.4, abs=2e-2)
    optimiser = optax.lbfgs()
    state, p = optimiser.init(start), start

    @jax.jit
    def step(p, state):
        value, gradient = optax.value_and_grad_from_state(f)(p, state=state)
        updates, state = optimiser.update(gradient, state, p, value=value, grad=gradient, value_fn=f)
        return optax.apply_updates(p, updates), state

    for _ in range(8):
        p, state = step(p, state)
    assert float(p["a"]) == pytest.approx(1.7, abs=2e-2)


def test_matched_numbers_by_levenberg_marquardt(voxels):
    """Two numbers determine gain and shift: mean and mean square of g v + s."""
    import optimistix as optx

    image = lx.from_array(voxels, chunks=6)
    wanted = 2.0 * voxels.astype("f8") + 0.5
    mean = lx.measure.Match(lambda p, v: p["g"] * v + p["s"], wanted.mean(), 0.01)
    square = lx.measure.Match(lambda p, v: (p["g"] * v + p["s"]) ** 2, np.mean(wanted**2), 0.02)
    residuals = [lx.chunk_loss(m.residual, image) for m in (mean, square)]
    start = {"g": jnp.asarray(1.0), "s": jnp.asarray(0.0)}
    solver = optx.LevenbergMarquardt(1e-5, 1e-5)
    found = optx.least_squares(lambda p, _: jnp.stack([r(p) for r in residuals]), solver, start, max_steps=60).value
    assert [float(found["g"]), float(found["s"])] == pytest.approx([2.0, 0.5], abs=2e-3)
    np.testing.assert_allclose(lx.chunk_loss(mean, image)(found), 0, atol=1e-4)

    # J of the two residuals, by hand.
    v, p = voxels.astype("f8"), {"g": 2.0, "s": 0.5}
    r = p["g"] * v + p["s"]
    j = np.array([[v.mean(), 1.0], [2 * np.mean(r * v), 2 * r.mean()]]) / np.array([[0.01], [0.02]])
    covariance = lx.chunk_covariance([mean, square], p, image, progress=False)
    np.testing.assert_allclose(covariance.matrix, np.linalg.inv(j.T @ j), rtol=1e-4)
    assert covariance.standard_deviation["g"] == pytest.approx(np.sqrt(covariance.matrix[0, 0]))
    np.testing.assert_allclose(np.diag(covariance.correlation), 1)
    with pytest.raises(ValueError, match="does not tell the 2 parameters apart"):
        lx.chunk_covariance(mean, p, image, progress=False)
    prior = lx.measure.Prior({"g": 2.0, "s": 0.5}, {"g": 0.1, "s": 1.0})
    informed = lx.chunk_covariance(mean, p, image, prior=prior, progress=False)
    np.testing.assert_allclose(informed.matrix, np.linalg.inv(np.outer(j[0], j[0]) + np.diag([100.0, 1.0])), rtol=1e-4)


def test_the_covariance_of_a_voxelwise_fit_is_that_of_linear_regression(voxels, rng):
    noisy = (1.7 * voxels - 0.4 + rng.normal(0, 0.05, SHAPE)).astype("f4")
    design = np.stack([voxels.ravel(), np.ones(voxels.size)], axis=1).astype("f8")
    best, misfit, *_ = np.linalg.lstsq(design, noisy.ravel().astype("f8"))
    wanted = np.linalg.inv(design.T @ design) * misfit[0] / (voxels.size - 2)
    loss = lx.measure.MeanSquaredError(model=lambda p, v: p[0] * v + p[1])
    images = lx.from_array(voxels, chunks=6), lx.from_array(noisy, chunks=5)
    found = lx.chunk_covariance(loss, jnp.asarray(best), *images, progress=False)
    np.testing.assert_allclose(found.matrix, wanted, rtol=1e-4)
    assert found.residual_variance == pytest.approx(misfit[0] / (voxels.size - 2), rel=1e-4)
    half = lx.chunk_covariance(loss, jnp.asarray(best), *images, where=images[0] < 0.5, progress=False)
    chosen = voxels.ravel() < 0.5
    rest = noisy.ravel()[chosen] - design[chosen] @ best
    wanted = np.linalg.inv(design[chosen].T @ design[chosen]) * (rest @ rest) / (chosen.sum() - 2)
    np.testing.assert_allclose(half.matrix, wanted, rtol=1e-4)
    with pytest.raises(TypeError, match="MeanLoss, which has no residuals"):
        lx.chunk_covariance(lx.measure.MeanLoss(lambda p, v: p * v), 1.0, images[0])


def test_a_threshold_fitted_to_a_porosity_and_what_is_left_of_it(voxels):
    """The threshold below which a share of 0.2373 lies, found by a soft one; then made hard."""
    import optimistix as optx

    image, measured, width = lx.from_array(voxels, chunks=6), 0.2373, 0.02

    def model(p):
        return lx.chain(partial(lx.ops.soft_threshold, value=p, width=width), lambda s: 1 - s)

    match = lx.measure.Match(lx.measure.Porosity(), measured, 0.002)
    prior = lx.measure.Prior(0.5, 1.0)
    f = lx.chunk_loss(match, image, model=model)
    found = optx.minimise(lambda p, _: f(p) + prior(p), optx.BFGS(1e-5, 1e-5), jnp.asarray(0.3), max_steps=60).value
    soft = lx.chunk_map(model(float(found)), image, progress=False)
    gap = lx.measure.porosity_gap(soft, tolerance=0.05)
    assert gap.soft == pytest.approx(measured, abs=1e-3)
    assert gap.hard == np.mean(soft[...] > 0.5)
    assert gap.gap == gap.soft - gap.hard
    with pytest.warns(UserWarning, match=r"porosity is 0\.23.*decided voxel by voxel it is.*narrower soft_threshold"):
        lx.measure.porosity_gap(soft, tolerance=1e-9)
    assert str(lx.measure.porosity_gap(soft[...], tolerance=1)) == str(gap)


def test_match_on_arrays_and_of_what_cannot_be_matched(voxels):
    match = lx.measure.Match(lx.measure.Mean(), 0.25, 0.1)
    assert float(match(None, voxels)) == pytest.approx(((voxels.astype("f8").mean() - 0.25) / 0.1) ** 2, rel=1e-12)
    pores = lx.measure.Match(lx.measure.Porosity(), 0.25, 0.1)
    assert float(pores(None, voxels < 0.3)) == pytest.approx(((np.mean(voxels < 0.3) - 0.25) / 0.1) ** 2, rel=1e-12)
    with pytest.raises(ValueError, match=r"standard_deviation=0 must be positive"):
        lx.measure.Match(lx.measure.Porosity(), 0.2, 0)
    with pytest.raises(TypeError, match="measurement is a int without the method 'of'"):
        lx.measure.Match(3, 0.2, 0.1)
    with pytest.raises(TypeError, match=r"finish\(\) of Moments .*it must return one number"):
        lx.chunk_loss(lx.measure.Match(lx.measure.Moments(), 0.2, 0.1), lx.from_array(voxels))(1.0)
    with pytest.raises(TypeError, match="a soft segmentation has real numbers"):
        lx.measure.porosity_gap(voxels > 0.5)
    with pytest.raises(ValueError, match="must be positive"):
        lx.measure.Prior(1.0, 0.0)


class Largest(eqx.Module):
    """A smooth maximum: its states do not add up."""

    def of(self, parameters, v, *, valid):
        x = jnp.where(valid, parameters * v, -jnp.inf)
        return {"top": jnp.max(x), "sum": jnp.sum(jnp.exp(x - jnp.max(x)))}

    def combine(self, a, b):
        top = jnp.maximum(a["top"], b["top"])
        return {"top": top, "sum": a["sum"] * jnp.exp(a["top"] - top) + b["sum"] * jnp.exp(b["top"] - top)}

    def finish(self, state):
        return state["top"] + jnp.log(state["sum"])


def test_losses_that_do_not_add_up_have_first_derivatives(voxels):
    f = lx.chunk_loss(Largest(), lx.from_array(voxels, chunks=6))
    v = voxels.ravel().astype("f8")
    weights = np.exp(2 * v) / np.exp(2 * v).sum()
    np.testing.assert_allclose(jax.jit(jax.grad(f))(2.0), weights @ v, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="Largest is not additive"):
        jax.hessian(f)(2.0)


def test_parameters_of_every_kind(voxels):
    image = lx.from_array(voxels, chunks=6)

    def power(p, v):
        return p["w"][0] * v ** p["n"] + (p["w"][1] if p["name"] == "on" else 0.0)

    f = lx.chunk_loss(lx.measure.MeanLoss(power), image)
    p = {"w": jnp.asarray([1.0, 2.0]), "n": 2, "name": "on"}
    assert float(f(p)) == pytest.approx(np.mean(voxels.astype("f8") ** 2) + 2, rel=1e-6)
    found = jax.jit(jax.grad(lambda w: f(p | {"w": w})))(p["w"])
    np.testing.assert_allclose(found, [np.mean(voxels.astype("f8") ** 2), 1.0], rtol=1e-6)
    with pytest.raises(TypeError, match="hold integers or booleans that JAX is tracing"):
        jax.jit(f)({"w": p["w"], "n": 2, "name": jnp.asarray(1)} | {"name": 1})
    with pytest.raises(NotImplementedError, match="first and second derivatives only"):
        jax.grad(lambda w: jax.hessian(lambda u: f(p | {"w": u}))(w).sum())(p["w"])


ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))} if sys.argv[1] == "1" else os.sched_getaffinity(0))
import jax, numpy as np, lithax as lx
from jax import numpy as jnp
x = np.random.default_rng(0).random((40, 40, 40)).astype("f4")
workers = {"1": 1, "2": os.cpu_count(), "0": None}[sys.argv[2]]
loss = lx.measure.MeanLoss(lambda p, v: p["gain"] * v + 0 * p["many"].sum())
f = lx.chunk_loss(loss, lx.from_array(x, chunks=16), workers=workers)
other = jnp.ones((600, 600))

@jax.jit
def work(p, m):
    total = 0.0
    for _ in range(3):  # other work before, beside and after
        m = m @ m / 600
        total += jax.grad(f)({"gain": p, "many": jnp.zeros(300_000) + m[0, 0] * 0})["gain"]
    return total, m.sum()

print([round(float(v), 3) for v in work(2.0, other)])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
@pytest.mark.parametrize(("cores", "workers"), [("1", "2"), ("0", "2")])
def test_no_deadlock_with_one_core_or_as_many_workers_as_cores(cores, workers, voxels):
    done = subprocess.run(
        [sys.executable, "-c", ONE_CORE, cores, workers], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    mean = np.random.default_rng(0).random((40, 40, 40)).astype("f4").mean()
    assert float(done.stdout.strip("[]\n").split(",")[0]) == pytest.approx(3 * mean, abs=2e-3)

"""Images in chunks: the same numbers as the whole array, whatever the grid."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import lithax as lx
from lithax import measure

from .cases import grey

SHAPE = (13, 9, 11)
QUIET = {"progress": False}


def as_image(x, chunks):
    return lx.from_array(x, chunks=chunks)


@hypothesis.given(chunks=st.tuples(*(st.integers(2, 13) for _ in range(3))), seed=st.integers(0, 99))
@hypothesis.settings(max_examples=3)
def test_every_grid_gives_the_same(chunks, seed):
    rng = np.random.default_rng(seed)
    x, segmentation = grey(rng, SHAPE), rng.integers(0, 3, SHAPE).astype(np.uint8)
    image, labels = as_image(x, chunks), as_image(segmentation, 5)
    result = measure.histogram(image, 32, segmentation=labels)
    np.testing.assert_array_equal(result.counts, np.histogram(x, 32)[0])
    assert {phase: part.total for phase, part in result.phases.items()} == measure.phase_fractions(labels).counts
    moments, expected = measure.moments(image), measure.moments(x)
    # Sums in float64, grouped otherwise.
    np.testing.assert_allclose([moments.mean, moments.variance], [expected.mean, expected.variance], rtol=1e-12)
    np.testing.assert_allclose(measure.profile(image, 1).mean, measure.profile(x, 1).mean, rtol=1e-12)


@pytest.mark.parametrize("backend", ["jax", "numpy", "torch"])
def test_every_backend(backend, rng):
    if backend == "torch":
        pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    x = grey(rng, SHAPE)
    found = lx.chunk_reduce(measure.Histogram(32, (20.0, 200.0)), as_image(x, 6), backend=backend, **QUIET)
    np.testing.assert_array_equal(found.counts, np.histogram(x, 32, (20, 200))[0])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float64])
def test_every_dtype(dtype, rng):
    x = np.abs(grey(rng, SHAPE)).astype(dtype) if dtype != np.bool_ else rng.random(SHAPE) < 0.3
    image = as_image(x, 6)
    result, expected = measure.histogram(image, 16), measure.histogram(x, 16)
    np.testing.assert_array_equal(result.counts, expected.counts)
    assert (result.minimum, result.maximum) == (x.min(), x.max())
    assert measure.mean(image) == pytest.approx(x.mean(dtype=np.float64), rel=1e-12)  # order of addition
    if np.dtype(dtype).kind != "f":
        assert measure.phase_fractions(image).total == x.size


def test_where(rng):
    """A boolean array, a region, phases: whatever the combinators accept."""
    x = grey(rng, SHAPE)
    taken = rng.random(SHAPE) < 0.5
    image = as_image(x, 6)
    np.testing.assert_array_equal(
        measure.histogram(image, 16, where=as_image(taken, 7)).counts, np.histogram(x[taken], 16)[0]
    )
    segmentation = rng.integers(0, 3, SHAPE).astype(np.uint8)
    domain = lx.domain(segmentation=as_image(segmentation, 6), phases=(1, 2))
    assert measure.minimum_maximum(image, where=domain).maximum == x[segmentation > 0].max()
    pore = measure.porosity(as_image(x < 90, 6), where=domain)
    assert (pore.pore_voxels, pore.voxels) == (np.sum((x < 90) & (segmentation > 0)), np.sum(segmentation > 0))


def test_labels_of_32_bits(rng):
    labels = np.asarray([0, 5, 2**31, 2**32 - 1], np.uint32)[rng.integers(0, 4, SHAPE)]
    values, counts = np.unique(labels, return_counts=True)
    found = measure.phase_fractions(as_image(labels, 6)).counts
    assert found == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_an_image_with_a_segmentation_in_memory(rng):
    x, segmentation = grey(rng, SHAPE), rng.integers(0, 3, SHAPE).astype(np.uint8)
    taken = lx.domain(include=as_image(segmentation > 0, 6))
    result = measure.histogram(as_image(x, 6), 16, where=taken, segmentation=segmentation)
    assert {phase: part.total for phase, part in result.phases.items()} == {
        1: np.sum(segmentation == 1),
        2: np.sum(segmentation == 2),
    }


def test_the_gradient_of_a_loss(rng):
    x, y = grey(rng, SHAPE), grey(rng, SHAPE)
    loss = measure.MeanSquaredError(lambda gain, v: gain * v)
    value, gradient = lx.chunk_value_and_grad(loss, 1.5, as_image(x, 6), as_image(y, 6), **QUIET)
    residual = 1.5 * x.astype(np.float64) - y
    # Residuals in float32, some 1e-7 each; their rounding averages out.
    np.testing.assert_allclose(value, np.mean(residual**2), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.mean(2 * residual * x), rtol=1e-6)


def test_another_range_compiles_nothing_new(rng):
    """Edges are arguments of the compiled function, not constants of it."""
    import equinox as eqx
    import jax

    x = jax.numpy.asarray(grey(rng, SHAPE))
    traces = []

    @eqx.filter_jit
    def of(measurement, x):
        traces.append(None)
        return measurement.of(x)

    for bounds in ((0.0, 100.0), (20.0, 200.0), (-5.0, 7.0)):
        of(measure.Histogram(32, bounds), x)
    for phases in ((1, 2), (5, 70)):
        of(measure.PhaseFractions(phases), jax.numpy.zeros(SHAPE, jax.numpy.uint8))
    assert len(traces) == 2

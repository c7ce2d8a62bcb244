"""Total variation, anisotropic diffusion, sharpening, zingers."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy import ndimage

import lithax as lx
from lithax import ops

TV = partial(ops.total_variation, weight=0.2, iterations=4)
DIFFUSION = partial(ops.anisotropic_diffusion, kappa=0.3, iterations=4)
BOTH = pytest.mark.parametrize("op", [TV, DIFFUSION], ids=["total variation", "diffusion"])


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_total_variation_as_scikit_image(iterations, rng):
    restoration = pytest.importorskip("skimage.restoration", reason="scikit-image is not installed")
    x = rng.random((7, 8, 9))
    expected = restoration.denoise_tv_chambolle(x, weight=0.2, eps=0, max_num_iter=iterations)
    np.testing.assert_allclose(ops.total_variation(x, weight=0.2, iterations=iterations), expected, atol=1e-14)


def diffused_by_loop(x, valid, kappa, iterations, step, conductance):
    for _ in range(iterations):
        change = np.zeros_like(x)
        for at in np.argwhere(valid):
            for axis in range(3):
                for way in (-1, 1):
                    other = at.copy()
                    other[axis] += way
                    if 0 <= other[axis] < x.shape[axis] and valid[tuple(other)]:
                        d = x[tuple(other)] - x[tuple(at)]
                        c = np.exp(-((d / kappa) ** 2)) if conductance == "exponential" else 1 / (1 + (d / kappa) ** 2)
                        change[tuple(at)] += step * c * d
        x = x + change
    return x


@pytest.mark.parametrize("conductance", ["exponential", "rational"])
def test_diffusion_as_a_loop(conductance, rng):
    x = rng.random((4, 5, 6))
    for valid in (np.ones(x.shape, bool), rng.random(x.shape) < 0.7):
        expected = diffused_by_loop(x, valid, 0.3, 3, 0.15, conductance)
        ours = ops.anisotropic_diffusion(x, kappa=0.3, iterations=3, step=0.15, conductance=conductance, valid=valid)
        np.testing.assert_allclose(ours[valid], expected[valid], atol=1e-14)
    assert abs(np.sum(ops.anisotropic_diffusion(x, kappa=0.3)) - np.sum(x)) < 1e-11  # nothing is lost
    linear = ops.anisotropic_diffusion(x, kappa=1e9, iterations=1, step=0.1)
    np.testing.assert_allclose(linear, x + 0.1 * ndimage.laplace(x, mode="reflect"), atol=1e-14)


@BOTH
def test_blocks_libraries_and_boundaries(op, xp, rng):
    x = rng.random((11, 9, 13)).astype(np.float32)
    whole = op(x)
    found = jax.jit(op)(x) if xp is jax.numpy else op(xp.asarray(x.copy()))
    np.testing.assert_allclose(np.asarray(found), whole, atol=1e-6)  # float32, a few sums per iteration
    if xp is jax.numpy:
        for chunks in ((4, 9, 5), (11, 3, 13)):
            out = lx.chunk_map(op, lx.from_array(x, chunks=chunks), boundary="wrap", progress=False)
            np.testing.assert_allclose(out[...], found, atol=5e-7)  # fused in another way


@BOTH
def test_what_is_left_out_cannot_be_seen(op, rng):
    x = rng.random((6, 7, 8))
    valid = rng.random(x.shape) < 0.7
    first = op(x, valid=valid)
    for other in (np.nan, np.inf, 1e300):
        again = op(np.where(valid, x, other), valid=valid)
        np.testing.assert_array_equal(first[valid], again[valid])
    np.testing.assert_array_equal(op(x, valid=np.ones(x.shape, bool)), op(x))
    flat = np.full((5, 6, 7), 3.0)
    np.testing.assert_array_equal(op(flat), flat)


@BOTH
def test_one_layer_of_halo_less_is_too_little(op, rng):
    """Far from the faces, what a voxel sees is as far as the halo says, or one less; and nothing further."""
    x = rng.random((13, 13, 13))
    far = x.copy()
    far[6, 6, 6 - 5] += 1.0
    assert op(far)[6, 6, 6] == op(x)[6, 6, 6]  # five voxels away, four iterations
    near = x.copy()
    near[6, 6, 6 - 3] += 1.0
    assert op(near)[6, 6, 6] != op(x)[6, 6, 6]


@BOTH
def test_derivative(op, rng):
    x, direction, weight = (rng.standard_normal((4, 3, 5)) for _ in range(3))
    with jax.enable_x64(True):
        value = jax.jit(lambda v: jax.numpy.vdot(weight, op(v)))
        slope = jax.jit(jax.grad(value))(x)
        step = 1e-6
        expected = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    assert np.vdot(slope, direction) == pytest.approx(float(expected), rel=1e-6, abs=1e-7)


def test_unsharp_mask(rng):
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed")
    x = rng.random((7, 8, 9))
    expected = filters.unsharp_mask(x, 0.8, 1.5, preserve_range=True)
    np.testing.assert_allclose(ops.unsharp_mask(x, radius=0.8, amount=1.5), expected, atol=1e-13)
    valid = rng.random(x.shape) < 0.7
    ours = ops.unsharp_mask(np.where(valid, x, np.nan), radius=0.8, valid=valid)
    smooth = ops.gaussian(x, sigma=0.8, valid=valid)
    np.testing.assert_allclose(ours[valid], (2 * x - smooth)[valid], atol=1e-14)


def test_zingers(rng):
    clean = rng.integers(90, 110, (9, 10, 11)).astype(np.uint16)
    x = clean.copy()
    struck = rng.random(x.shape) < 0.01
    x[struck] = 60_000
    found = ops.remove_zingers(x, threshold=100)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[~struck], clean[~struck])
    np.testing.assert_array_equal(found[struck], ndimage.median_filter(x, 3)[struck])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.total_variation(x, weight=0), r"weight=0 must be positive"),
        (lambda x: ops.total_variation(x, iterations=0), r"iterations=0 must be a whole number from 1 to 200"),
        (lambda x: ops.anisotropic_diffusion(x, kappa=-1), r"kappa=-1 must be positive"),
        (lambda x: ops.anisotropic_diffusion(x, kappa=1, step=0.2), r"step=0.2 must be positive and at most 1/6"),
        (lambda x: ops.anisotropic_diffusion(x, kappa=1, conductance="none"), r"conductance='none' is not known"),
        (lambda x: ops.remove_zingers(x, threshold=-1), r"threshold=-1 must be a difference"),
        (lambda x: ops.unsharp_mask(x, radius=-1), r"must be a finite number of voxels"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((4, 4, 4)))

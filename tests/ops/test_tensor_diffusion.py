"""Diffusion along structures: against the formulas with LAPACK's eigenvectors, and what it does to a cut fracture."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy import ndimage

import lithax as lx
from lithax import ops
from lithax.arrays import to_numpy
from lithax.testing import assert_same_bits

OPTIONS = {"contrast": 0.4, "iterations": 3, "sigma": 0.6, "rho": 0.9}


def by_formulas(x, contrast, enhance, iterations, sigma, rho, step=1 / 7):
    """Weickert's scheme on an image mirrored far beyond its faces, where nothing is cut short."""
    far = 16
    u = np.pad(x, far, mode="symmetric")
    smooth = ndimage.gaussian_filter(u, sigma)
    slopes = np.stack([(np.roll(smooth, -1, a) - np.roll(smooth, 1, a)) / 2 for a in range(3)])
    products = np.einsum("i...,j...->...ij", slopes, slopes)
    for i, j in np.ndindex(3, 3):
        products[..., i, j] = ndimage.gaussian_filter(products[..., i, j], rho)
    mu, v = np.linalg.eigh(products)
    with np.errstate(divide="ignore", over="ignore"):
        if enhance == "coherence":
            f = 0.01 + 0.99 * np.exp(-((contrast**2 / (mu[..., -1:] - mu)) ** 2))
        else:
            f = 1 - 0.99 * np.exp(-3.31488 / (np.abs(mu) / contrast**2) ** 4)
    d = np.einsum("...ik,...k,...jk->...ij", v, f, v)
    for _ in range(iterations):
        change = np.zeros_like(u)
        for a in range(3):
            for way in (-1, 1):
                change += (d[..., a, a] + np.roll(d[..., a, a], -way, a)) / 2 * (np.roll(u, -way, a) - u)
            for b in set(range(3)) - {a}:
                flux = d[..., a, b] * (np.roll(u, -1, b) - np.roll(u, 1, b)) / 2
                change += (np.roll(flux, -1, a) - np.roll(flux, 1, a)) / 2
        u = u + step * change
    return u[(slice(far, -far),) * 3]


@pytest.mark.parametrize("enhance", ["coherence", "edges"])
def test_as_by_the_formulas_in_every_library(enhance, xp, rng):
    x = ndimage.gaussian_filter(rng.standard_normal((7, 8, 9)), 1) * 8
    wanted = by_formulas(x, enhance=enhance, **OPTIONS)
    assert np.abs(wanted - x).max() > 0.3
    op = partial(ops.tensor_diffusion, enhance=enhance, **OPTIONS)
    if xp is jax.numpy:
        if enhance == "coherence":
            pytest.skip("compiled once, with 'edges': the two differ by a formula")
        with jax.enable_x64(True):
            found = jax.jit(op)(x)
    else:
        found = op(xp.asarray(x))
    # Rounding of eigenvectors is magnified by the steepness of f, about 8 C, and by what is cut off of the Gaussians.
    np.testing.assert_allclose(to_numpy(found), wanted, rtol=0, atol=1e-10)


def test_what_is_left_out_takes_no_part(rng):
    x = ndimage.gaussian_filter(rng.standard_normal((7, 8, 9)), 1) * 8
    op = partial(ops.tensor_diffusion, **OPTIONS)
    # All voxels taken in: the same sums, divided by weights whose sum is 1 but for rounding.
    np.testing.assert_allclose(op(x, valid=np.ones(x.shape, bool)), op(x), rtol=0, atol=1e-10)
    valid = rng.random(x.shape) < 0.7
    first = op(x, valid=valid)
    assert np.abs(first - x)[valid].max() > 0.1
    assert np.sum(first[valid]) == pytest.approx(np.sum(x[valid]), rel=1e-12)  # nothing is lost
    for other in (np.nan, np.inf, 1e300):
        again = op(np.where(valid, x, other), valid=valid)
        np.testing.assert_array_equal(first[valid], again[valid])
    # Nothing crosses a wall of voxels left out that lie between two halves.
    valid = np.ones(x.shape, bool)
    valid[:, 4] = False
    halves = op(x, valid=valid)
    for half in (np.s_[:, :4], np.s_[:, 5:]):
        assert np.sum(halves[half]) == pytest.approx(np.sum(x[half]), rel=1e-12)
    flat = np.where(valid, 3.0, np.nan)
    np.testing.assert_allclose(op(flat, valid=valid)[valid], 3.0, rtol=1e-15)


def test_masked_blocks_give_the_whole_array(rng):
    x, valid = rng.random((12, 9, 10)), rng.random((12, 9, 10)) < 0.7
    options = OPTIONS | {"iterations": 2}
    whole = np.where(valid, ops.tensor_diffusion(x, valid=valid, **options), np.nan)
    found = lx.chunk_map(
        partial(ops.tensor_diffusion, **options), lx.from_array(np.where(valid, x, np.nan), chunks=(5, 9, 4)),
        where=lx.from_array(valid, chunks=(5, 9, 4)), backend="numpy", progress=False,
    )  # fmt: skip
    assert_same_bits(found[...], whole)


@pytest.mark.slow
@pytest.mark.parametrize("enhance", ["coherence", "edges"])
def test_derivative(enhance, rng):
    x = ndimage.gaussian_filter(rng.standard_normal((5, 6, 7)), 1) * 8
    direction, weight = rng.standard_normal((2, *x.shape))
    with jax.enable_x64(True):
        value = jax.jit(lambda v: jax.numpy.vdot(weight, ops.tensor_diffusion(v, enhance=enhance, **OPTIONS)))
        slope, step = jax.jit(jax.grad(value))(x), 1e-6
        expected = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    # Central differences: an error of step squared times a third derivative of the order of the value.
    assert float(np.vdot(slope, direction)) == pytest.approx(float(expected), rel=1e-5)


def test_every_grid_gives_the_whole_array(rng):
    x = rng.random((22, 18, 20)).astype(np.float32)
    op = partial(ops.tensor_diffusion, **OPTIONS)
    whole = op(x)
    for chunks in (22, (9, 18, 7)):
        found = lx.chunk_map(op, lx.from_array(x, chunks=chunks), backend="numpy", progress=False)
        assert_same_bits(found[...], whole)
    assert np.sum(whole, dtype=float) == pytest.approx(np.sum(x, dtype=float), rel=1e-6)  # nothing is lost


def test_the_halo_is_enough_and_needed(rng):
    x = rng.random((23, 1, 1)).repeat(3, 1).repeat(3, 2)
    op = partial(ops.tensor_diffusion, enhance="edges", **OPTIONS | {"contrast": 0.1})
    halo = ops.tensor_diffusion.halos(OPTIONS, 1)[0][0]
    assert halo == 2 + 1 + 4 + 3
    far, near = x.copy(), x.copy()
    far[11 - halo - 1] += 1.0
    near[11 - halo] += 1.0
    assert op(far)[11, 1, 1] == op(x)[11, 1, 1]
    assert op(near)[11, 1, 1] != op(x)[11, 1, 1]


def test_a_gap_in_a_fracture_closes_and_its_walls_stay(rng):
    x = np.ones((24, 24, 24))
    x[11:13] = 0.0
    x[11:13, 10:14, 10:14] = 1.0
    noisy = x + 0.05 * rng.standard_normal(x.shape)
    smooth = ops.repeat(partial(ops.tensor_diffusion, contrast=0.15, rho=2.5, iterations=10), 3)(noisy)
    assert smooth[11:13, 11:13, 11:13].mean() < 0.75  # was 1
    assert smooth[9:10, :6].mean() > 0.9  # the wall, whose next but one is the fracture
    assert_same_bits(ops.tensor_diffusion(np.full((5, 6, 7), 3.0), contrast=1.0), np.full((5, 6, 7), 3.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contrast": 0}, "contrast=0 must be positive"),
        ({"step": 0.2}, r"step=0\.2 must be positive and at most 1/6"),
        ({"enhance": "both"}, "enhance='both' is not known"),
        ({"iterations": 0}, "iterations=0 must be a whole number"),
        ({"sigma": -1}, "sigma=-1 must be a number of voxels >= 0"),
        ({"rho": (1, 2, 3)}, r"rho=\(1, 2, 3\) must be a number"),
    ],
    ids=str,
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ops.tensor_diffusion(np.ones((4, 4, 4)), **OPTIONS | change)

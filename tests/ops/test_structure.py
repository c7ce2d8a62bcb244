"""Eigenvalues, ridges, texture and the guided filter: against scikit-image and definitions, on blocks, libraries and masks."""

from functools import partial

import jax
import numpy as np
import pytest
from skimage import feature, filters

import lithax as lx
from lithax import ops
from lithax.arrays import pad, to_numpy
from lithax.ops._symmetric_eigenvalues import PAIRS, symmetric_eigenvalues

SHAPE = (9, 8, 10)


@pytest.fixture
def x(rng):
    return rng.standard_normal(SHAPE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eigenvalues_to_a_few_units_of_rounding_also_where_two_nearly_agree(dtype, rng):
    axes = np.linalg.qr(rng.standard_normal((3000, 3, 3)))[0]
    values = np.stack([np.ones(3000), 1 + 10.0 ** rng.uniform(-12, 0, 3000), 3 * rng.standard_normal(3000)], axis=1)
    values[:20, 2] = 1.0
    matrices = np.einsum("nij,nj,nkj->nik", axes, values * 10.0 ** rng.uniform(-9, 9, (3000, 1)), axes).astype(dtype)
    found = np.stack(symmetric_eigenvalues([matrices[:, p, q] for p, q in PAIRS]), axis=1)
    expected = np.linalg.eigvalsh(matrices.astype(np.float64))[:, ::-1]
    error = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert error.max() <= 16 * np.finfo(dtype).eps  # some thirty operations, whose errors add as a root
    zero = symmetric_eigenvalues([np.zeros((1, 1, 1), dtype)] * 6)
    assert all((v == 0).all() for v in zero)


def skimage_hessian(x, sigma):
    return feature.hessian_matrix_eigvals(feature.hessian_matrix(x, sigma, mode="wrap", use_gaussian_derivatives=True))


TWINS = {
    "hessian": (partial(ops.hessian_eigenvalues, sigma=1.0), lambda x: skimage_hessian(x, 1.0)),
    "hessian per axis": (partial(ops.hessian_eigenvalues, sigma=(1.1, 0.7, 0.8)), lambda x: skimage_hessian(x, (1.1, 0.7, 0.8))),
    "structure tensor": (
        partial(ops.structure_tensor_eigenvalues, sigma=0.7),
        lambda x: feature.structure_tensor_eigenvalues(feature.structure_tensor(x, 0.7, mode="wrap")),
    ),
    "sato": (partial(ops.sato, sigmas=(0.7, 1.0)), lambda x: filters.sato(x, sigmas=(0.7, 1.0), mode="wrap")),
    "sato, bright": (
        partial(ops.sato, sigmas=1.0, black_ridges=False),
        lambda x: filters.sato(x, sigmas=(1.0,), black_ridges=False, mode="wrap"),
    ),
    "frangi": (
        partial(ops.frangi, sigmas=(0.7, 1.0), gamma=0.4),
        lambda x: filters.frangi(x, sigmas=(0.7, 1.0), gamma=0.4, mode="wrap"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_same_as_scikit_image(name, x, xp):
    op, reference = TWINS[name]
    expected = reference(x)
    scale = np.abs(expected).max()
    # A Gaussian cut off at six standard deviations, where its second derivative is 5e-7 of the middle's, and adds up to 2e-6.
    np.testing.assert_allclose(np.stack(op(x, boundary="wrap")) if expected.ndim > 3 else op(x, boundary="wrap"), expected,
                               rtol=0, atol=4e-6 * scale)  # fmt: skip
    if name in ("hessian", "structure tensor", "frangi"):
        found = op(xp.asarray(x.astype(np.float32)), boundary="wrap")
        found = np.stack([to_numpy(f) for f in found]) if expected.ndim > 3 else to_numpy(found)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)  # sums of up to 13³ products in float32


OPS = {
    "hessian": partial(ops.hessian_eigenvalues, sigma=0.5),
    "structure tensor": partial(ops.structure_tensor_eigenvalues, sigma=0.5),
    "sato": partial(ops.sato, sigmas=(0.4, 0.5)),
    "frangi": partial(ops.frangi, sigmas=(0.4, 0.5), gamma=1.0),
    "entropy": partial(ops.local_entropy, range=(-2, 2), bins=5, size=(3, 2, 1)),
}


def first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", OPS)
def test_the_halo_is_enough_and_needed_and_every_grid_gives_the_whole(name, rng):
    run = OPS[name]
    op, parameters = run.func, run.keywords
    (halo,) = op.halos(parameters, 1)
    block = rng.standard_normal([n + 2 * h + 4 for n, h in zip((3, 4, 3), halo, strict=True)])
    core = block[2:-2, 2:-2, 2:-2]
    body = partial(op.body, **parameters)
    np.testing.assert_array_equal(first(body(core)), first(body(block))[2:-2, 2:-2, 2:-2])
    for axis in range(3):
        if halo[axis]:
            other = np.moveaxis(core.copy(), axis, 0)
            other[0] += 100
            assert not np.array_equal(first(body(core)), first(body(np.moveaxis(other, 0, axis))))
    image = rng.standard_normal((13, 9, 11)).astype(np.float32)
    whole = np.asarray(first(jax.jit(run)(image)))
    parts = first(lx.chunk_map(op, lx.from_array(image, chunks=(5, 9, 4)), **parameters, progress=False))
    # The closed form of the eigenvalues is long enough for a compiler to join other products and sums in another shape.
    atol = 0 if name == "entropy" else 4 * np.spacing(np.abs(whole).max())
    np.testing.assert_allclose(parts[...], whole, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "name", ["hessian", *(pytest.param(n, marks=pytest.mark.slow) for n in ("structure tensor", "sato", "frangi"))]
)
def test_gradients(name, rng):
    run = OPS[name]
    weight = rng.standard_normal(SHAPE)
    with jax.enable_x64(True):
        x, direction = rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
        value = jax.jit(lambda x: (weight * sum(run(x)) if name in ("hessian",) else weight * first(run(x))).sum())
        slope = float(jax.jvp(value, (x,), (direction,))[1])
        step = 1e-6
        expected = float(value(x + step * direction) - value(x - step * direction)) / (2 * step)
    # Where two eigenvalues nearly agree the third derivative is large; a wrong term would be off by order 1.
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-4)


def test_equal_eigenvalues_have_a_finite_derivative():
    slope = jax.jit(jax.grad(lambda x: ops.hessian_eigenvalues(x, sigma=0.5)[0].sum()))(np.zeros((4, 4, 4), np.float32))
    assert np.isfinite(slope).all()


def test_sheets_tubes_and_blobs_have_one_two_and_three_large_eigenvalues():
    i, j, k = np.meshgrid(*(np.arange(25.0) - 12,) * 3, indexing="ij")
    for count, distance in ((1, i**2), (2, i**2 + j**2), (3, i**2 + j**2 + k**2)):
        dark = 1 - np.exp(-distance / 8)
        values = np.asarray([v[12, 12, 12] for v in ops.hessian_eigenvalues(dark, sigma=2.0)])
        # A Gaussian of variance 4 smoothed by one of variance 4: its second derivative in the middle, in closed form.
        expected = np.where(np.arange(3) < count, 0.5 ** (count / 2) / 8, 0)
        # Cut off at six standard deviations, and sampled at steps of 0.7 of them.
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 * expected[0])


def test_spacing_gives_derivatives_per_unit_of_length(x):
    plain = ops.hessian_eigenvalues(x, sigma=1.0)
    np.testing.assert_allclose(np.stack(ops.hessian_eigenvalues(x, sigma=1.0, spacing=0.5)), 4 * np.stack(plain))


def test_entropy_of_8_bits_is_that_of_scikit_image(rng, xp):
    image = rng.integers(100, 110, SHAPE).astype(np.uint8)
    found = to_numpy(ops.local_entropy(xp.asarray(image), range=(0, 256), bins=256, radius=1))
    expected = filters.rank.entropy(image, np.ones((3, 3, 3)))
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(found[inner], expected[inner], rtol=1e-5)  # sums of ten terms in float32


def entropy_of(values):
    shares = np.unique(values, return_counts=True)[1] / values.size
    return -(shares * np.log2(shares)).sum()


def test_entropy_of_the_voxels_taken_in(rng):
    x = rng.integers(0, 4, SHAPE).astype(np.float64)
    valid = rng.random(SHAPE) < 0.3
    x[~valid] = np.nan
    found = ops.local_entropy(x, range=(0, 4), bins=4, radius=1, valid=valid)
    values, flags = pad(x, (1, 1, 1), "reflect", 0), pad(valid, (1, 1, 1), "reflect", False)
    for at in np.ndindex(SHAPE):
        box = tuple(slice(a, a + 3) for a in at)
        chosen = values[box][flags[box]]
        np.testing.assert_allclose(found[at], entropy_of(chosen) if chosen.size else np.nan, atol=1e-12)


def guided_by_definition(p, guide, radius, epsilon, valid=None):
    """He, Sun and Tang, eqs. 5, 6 and 8, box by box, over the voxels taken in."""
    r = radius
    valid = np.ones(p.shape, bool) if valid is None else valid
    wide = [pad(v, (2 * r,) * 3, "reflect", 0) for v in (p, guide)]
    flags = pad(valid, (2 * r,) * 3, "reflect", False)
    lines = np.full((2, *(n + 2 * r for n in p.shape)), np.nan)
    for at in np.ndindex(*lines.shape[1:]):
        box = tuple(slice(a, a + 2 * r + 1) for a in at)
        a, b = (v[box][flags[box]] for v in wide)
        if a.size:
            slope = ((a - a.mean()) * (b - b.mean())).mean() / (b.var() + epsilon)
            lines[(slice(None), *at)] = slope, a.mean() - slope * b.mean()
    near = flags[r:-r, r:-r, r:-r]
    out = np.full(p.shape, np.nan)
    for at in np.ndindex(p.shape):
        if valid[at]:
            box = tuple(slice(a, a + 2 * r + 1) for a in at)
            slope, level = (line[box][near[box]].mean() for line in lines)
            out[at] = slope * guide[at] + level
    return out


@pytest.mark.parametrize("masked", [False, True])
def test_guided_filter_by_its_definition(masked, rng, xp):
    p, guide = (3e4 + rng.standard_normal((6, 5, 4)) * s for s in (100, 3))
    valid = rng.random(p.shape) < 0.5 if masked else None
    expected = guided_by_definition(p, guide, 1, 4.0, valid)
    given = [v if valid is None else np.where(valid, v, np.nan) for v in (p, guide)]
    flags = {} if valid is None else {"valid": xp.asarray(valid)}
    found = ops.guided(*(xp.asarray(v.astype(np.float32)) for v in given), epsilon=4.0, radius=1, **flags)
    # Levels of 3e4, rounded to 2e-3 in float32; a dozen sums. The formula with means of products would be off by hundreds.
    np.testing.assert_allclose(to_numpy(found), expected, rtol=0, atol=0.5)
    exact = ops.guided(*given, epsilon=4.0, radius=1, valid=valid)
    np.testing.assert_allclose(exact, expected, rtol=1e-12)
    same = ops.guided(given[0], given[0], epsilon=50.0, radius=1, valid=valid)
    np.testing.assert_allclose(same, guided_by_definition(p, p, 1, 50.0, valid), rtol=1e-12)


def test_guided_filter_on_blocks_and_its_gradient(rng):
    p, guide = (rng.standard_normal((11, 9, 8)).astype(np.float32) for _ in range(2))
    run = partial(ops.guided, epsilon=0.3, radius=(2, 1, 1))
    whole = np.asarray(jax.jit(run)(p, guide))
    images = [lx.from_array(v, chunks=(4, 9, 3)) for v in (p, guide)]
    found = lx.chunk_map(ops.guided, *images, epsilon=0.3, radius=(2, 1, 1), progress=False)
    np.testing.assert_array_equal(found[...], whole)
    with jax.enable_x64(True):
        arguments = (p[:5, :4, :4].astype(float), guide[:5, :4, :4].astype(float), 0.3)
        value = jax.jit(lambda p, g, e: (ops.guided(p, g, epsilon=e, radius=1) ** 2).sum())
        change = (np.cos(arguments[1]), np.sin(arguments[0]), 0.7)
        slope = float(jax.jvp(value, arguments, change)[1])
        ahead, behind = (value(*(a + s * d for a, d in zip(arguments, change, strict=True))) for s in (1e-5, -1e-5))
    np.testing.assert_allclose(slope, float(ahead - behind) / 2e-5, rtol=1e-7)


MISTAKES = [
    (partial(ops.hessian_eigenvalues, sigma=0), "sigma=0 must be positive"),
    (partial(ops.hessian_eigenvalues, sigma=(1, 2)), "sigma"),
    (partial(ops.sato, sigmas=()), "holds no scale"),
    (partial(ops.sato, sigmas=("a",)), "is no length"),
    (partial(ops.frangi, gamma=0), "gamma=0 must be positive"),
    (partial(ops.frangi, gamma=1, beta=-1), "beta=-1 must be positive"),
    (partial(ops.local_entropy, range=(1, 0)), "range"),
    (partial(ops.local_entropy, range=(0, 1), bins=1), "bins=1"),
    (partial(ops.sato, valid=np.ones(SHAPE, bool)), "no masked form"),
]


@pytest.mark.parametrize(("run", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_named(run, message, x):
    with pytest.raises(ValueError, match=message):
        run(x)
    with pytest.raises(ValueError, match="epsilon=0 must be positive"):
        ops.guided(x, x, epsilon=0)
    with pytest.raises(TypeError, match="complex"):
        ops.sato(x + 1j)

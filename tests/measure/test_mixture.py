"""Classes of voxels: found again where they are known, the same on every grid, and agreed on by neighbours."""

from functools import partial

import jax
import numpy as np
import pytest

import lithax as lx
from lithax import measure, ops

SHAPE = (24, 25, 26)
MEANS = np.asarray([[20.0, 6.0], [40.0, 3.0], [70.0, 5.5]])


@pytest.fixture(scope="module")
def scan():
    """Three phases in lumps, and two channels with correlated noise."""
    rng = np.random.default_rng(0)
    lumps = ops.gaussian(rng.standard_normal(SHAPE), sigma=2.0)
    truth = np.digitize(lumps, np.quantile(lumps, [0.3, 0.75]))
    first = MEANS[truth, 0] + rng.normal(0, 6, SHAPE)
    second = MEANS[truth, 1] + rng.normal(0, 1, SHAPE) + 0.05 * (first - MEANS[truth, 0])
    return truth, first.astype(np.float32), second.astype(np.float32)


@pytest.fixture(scope="module")
def mixture(scan):
    return measure.gaussian_mixture(*scan[1:], classes=3)


def test_known_classes_are_found(scan, mixture):
    truth = scan[0]
    assert mixture.converged
    # The standard error of a mean is 6 / sqrt(4000) = 0.1, of a share 0.005; three to four times that.
    np.testing.assert_allclose(mixture.means[:, 0], MEANS[:, 0], atol=0.4)
    np.testing.assert_allclose(mixture.means[:, 1], MEANS[:, 1], atol=0.1)
    np.testing.assert_allclose(mixture.weights, np.bincount(truth.ravel()) / truth.size, atol=0.02)
    np.testing.assert_allclose(mixture.covariances, [[[36, 1.8], [1.8, 1.09]]] * 3, rtol=0.15, atol=0.3)
    assert np.mean(mixture.classify(*scan[1:]) == truth) > 0.97


def test_as_scikit_learn(scan):
    sklearn = pytest.importorskip("sklearn.mixture", reason="scikit-learn is not installed: pip install scikit-learn")
    x = np.stack([c.ravel() for c in scan[1:]], axis=1).astype(np.float64)
    theirs = sklearn.GaussianMixture(3, tol=1e-9, max_iter=500, random_state=0).fit(x)
    order = np.argsort(theirs.means_[:, 0])
    ours = measure.gaussian_mixture(*(c.astype(np.float64) for c in scan[1:]), classes=3, tolerance=1e-11)
    # Both at the maximum: what is left is how flat it is there.
    np.testing.assert_allclose(ours.means, theirs.means_[order], rtol=1e-3)
    np.testing.assert_allclose(ours.weights, theirs.weights_[order], rtol=1e-3)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_[order], rtol=5e-3, atol=5e-3)
    assert ours.log_likelihood == pytest.approx(theirs.score(x), abs=1e-6)
    shares = ours.responsibilities(*(c.astype(np.float64) for c in scan[1:]))
    expected = theirs.predict_proba(x)[:, order]
    np.testing.assert_allclose(np.stack([s.ravel() for s in shares], axis=1), expected, atol=0.02)


def test_grids_libraries_and_selections(xp, scan, mixture):
    arrays = scan[1:]
    if xp is np or "numpy" in xp.__name__:
        images = [lx.from_array(c, chunks=(24, 9, 13)) for c in arrays]
        found = measure.gaussian_mixture(*images, classes=3)
        np.testing.assert_allclose(found.means, mixture.means, rtol=1e-6)
        np.testing.assert_allclose(found.covariances, mixture.covariances, rtol=1e-5, atol=1e-6)
    given = [xp.asarray(c.copy()) for c in arrays]
    same = measure.gaussian_mixture(*given, classes=3)
    np.testing.assert_allclose(same.means, mixture.means, rtol=1e-5)  # float32 memberships
    agreed = np.asarray(mixture.regularise(*given, beta=1.0, iterations=1)) == mixture.regularise(
        *arrays, beta=1.0, iterations=1
    )
    assert np.mean(agreed) > 0.999  # ties within float32's rounding
    where = np.zeros(SHAPE, bool)
    where[:12] = True
    dirty = [np.where(where, c, np.nan).astype(np.float32) for c in arrays]
    left = measure.gaussian_mixture(*(xp.asarray(d) for d in dirty), classes=3, where=xp.asarray(where))
    np.testing.assert_allclose(left.means, MEANS, atol=1.0)


def test_kmeans_of_one_channel_is_otsu(scan):
    """Both minimise the variance within classes; in one dimension the classes of k-means lie between midpoints of means."""
    x = scan[1]
    found = measure.kmeans(x, classes=3)
    assert found.converged
    lower, upper = measure.otsu(x, 65536, classes=3)
    middles = 0.5 * (found.means[1:, 0] + found.means[:-1, 0])
    np.testing.assert_allclose(middles, [lower, upper], atol=0.3)  # local minima of a flat bottom
    label = found.classify(x)
    np.testing.assert_array_equal(label, np.digitize(x, middles.astype(np.float32)))
    again = measure.kmeans(x, classes=3, seed=1)
    np.testing.assert_allclose(again.means, found.means, atol=0.3)


def by_loop(energies, beta, iterations, valid):
    """Iterated conditional modes on the checkerboard, one voxel after the other."""
    label = np.argmin(energies, axis=0)
    shape = label.shape
    for _ in range(iterations):
        for parity in (0, 1):
            for at in np.ndindex(shape):
                if sum(at) % 2 != parity:
                    continue
                energy = energies[(slice(None), *at)].copy()
                for axis in range(3):
                    for step in (-1, 1):
                        other = list(at)
                        other[axis] += step
                        if 0 <= other[axis] < shape[axis] and valid[tuple(other)]:
                            energy[label[tuple(other)]] -= beta
                label[at] = np.argmin(energy)
    return label


def test_markov_random_field_as_a_loop(rng):
    x = rng.random((6, 5, 7))
    classes = {
        "weights": np.asarray([0.5, 0.5]),
        "means": np.asarray([[0.3], [0.7]]),
        "factors": np.asarray([[[4.0]], [[5.0]]]),
    }
    energies = np.stack([-np.log(0.5) + 0.5 * (f * (x - m)) ** 2 - np.log(f) for m, f in ((0.3, 4.0), (0.7, 5.0))])
    for valid in (np.ones(x.shape, bool), rng.random(x.shape) < 0.7):
        expected = by_loop(energies, 0.9, 3, valid)
        ours = ops.markov_random_field(x, beta=0.9, iterations=3, valid=valid, **classes)
        np.testing.assert_array_equal(ours[valid], expected[valid])
    again = ops.markov_random_field(np.where(valid, x, np.nan), beta=0.9, iterations=3, valid=valid, **classes)
    np.testing.assert_array_equal(again[valid], ours[valid])
    none = ops.markov_random_field(x, beta=0.9, iterations=0, **classes)
    np.testing.assert_array_equal(none, ops.classify(x, **classes))


def test_neighbours_help(scan, mixture):
    truth, *channels = scan
    alone = np.mean(mixture.classify(channels[0], channels[1]) != truth)
    together = np.mean(mixture.regularise(*channels, beta=1.0) != truth)
    assert together < 0.5 * alone
    images = [lx.from_array(c, chunks=(7, 25, 9)) for c in channels]
    out = lx.chunk_map(partial(mixture.regularise, beta=1.0), *images, progress=False)
    whole = jax.jit(partial(mixture.regularise, beta=1.0))(*channels)
    np.testing.assert_array_equal(out[...], whole)


def test_memberships_have_a_derivative(mixture):
    point = [np.full((1, 1, 1), v) for v in (31.0, 4.4)]
    with jax.enable_x64(True):
        share = lambda a: mixture.responsibilities(a, point[1])[0][0, 0, 0]  # noqa: E731
        slope = jax.grad(share)(point[0])[0, 0, 0]
        step = 1e-5
        expected = (share(point[0] + step) - share(point[0] - step)) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: measure.gaussian_mixture(x, classes=0), r"classes=0 must be an integer from 1 to 32"),
        (lambda x: measure.kmeans(x.astype(bool), classes=3), r"classes=3: of 8192 voxels looked at"),
        (lambda x: measure.kmeans(x, 0 * x, classes=2), r"Channel 1 is constant"),
        (lambda x: measure.kmeans(x, x[:2], classes=2), r"shapes"),
        (lambda x: measure.kmeans(x, classes=2).regularise(x, beta=-1), r"beta=-1 must not be negative"),
        (lambda x: measure.kmeans(x, seed=1.5), r"seed=1.5 must be an integer"),
        (lambda x: measure.kmeans(x, tolerance=-1.0), r"tolerance=-1.0 must be a number, at least 0"),
        (lambda x: measure.gaussian_mixture(x, most_iterations=0), r"most_iterations=0 must be an integer"),
        (lambda x: measure.kmeans(x, classes=2).regularise(x, iterations=99), r"iterations=99 must be a whole number"),
        (
            lambda x: measure.kmeans(x, classes=2).classify(x, x),
            r"\(2,\), \(2, 1\), \(2, 1, 1\) do not describe classes of 2 channels",
        ),
    ],
)
def test_mistakes_are_named(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng.random((5, 6, 7)))

"""Random walker segmentation against dense solves, scikit-image and a chain of resistors."""

import re

import numpy as np
import pytest

import lithax as lx

RNG = np.random.default_rng(7)


def drawn(shape=(9, 8, 7), labels=3):
    grey = RNG.random(shape, np.float32)
    seeds = np.zeros(shape, np.int16)
    places = RNG.choice(grey.size, 5 * labels, replace=False)
    seeds.reshape(-1)[places] = 2 + np.arange(5 * labels) % labels
    return grey, seeds


def dense(grey, seeds, beta, spacing=(1, 1, 1), inside=None):
    """Return the probabilities of all labels, from the inverse of the whole matrix in double precision."""
    inside = np.ones(grey.shape, bool) if inside is None else inside
    g = grey.astype(float)
    g = (g - g[inside].min()) / (g[inside].max() - g[inside].min())
    factor = beta / (10 * g[inside].std())
    index = np.arange(g.size).reshape(g.shape)
    matrix = np.zeros((g.size, g.size))
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(0, -1), slice(1, None)
        low, high = tuple(low), tuple(high)
        weight = np.maximum(np.exp(-factor * (g[low] - g[high]) ** 2), 1e-6) * (min(spacing) / spacing[axis]) ** 2
        weight = weight * inside[low] * inside[high]
        for i, j, w in zip(index[low].flat, index[high].flat, weight.flat, strict=True):
            matrix[[i, j], [i, j]] += w
            matrix[[i, j], [j, i]] -= w
    flat = np.where(inside, seeds, 0).reshape(-1)
    free = np.flatnonzero((flat == 0) & (np.diag(matrix) > 0))
    found = {}
    for label in np.unique(flat[flat > 0]):
        u = (flat == label).astype(float)
        u[free] = np.linalg.solve(matrix[np.ix_(free, free)], -matrix[free][:, flat > 0] @ u[flat > 0])
        found[int(label)] = u.reshape(g.shape)
    return found


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.0, 0.5)])
def test_probabilities_are_those_of_a_dense_solve(spacing):
    grey, seeds = drawn()
    made = lx.solve.random_walker(grey, seeds, beta=20.0, spacing=spacing, tolerance=1e-8, probabilities=True)
    expected = dense(grey, seeds, 20.0, spacing)
    assert made.converged
    assert set(made.probabilities) == set(expected) == {2, 3, 4}
    for label, share in expected.items():
        # The root of 1e-8, in single precision, over weights of four decades.
        np.testing.assert_allclose(made.probabilities[label], share, atol=2e-3)
    total = np.stack(list(expected.values()))
    clear = np.sort(total, 0)[-1] - np.sort(total, 0)[-2] > 4e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(made.labels[clear], 2 + total.argmax(0)[clear])
    assert made.labels.dtype == seeds.dtype


def test_labels_and_probabilities_of_scikit_image():
    from skimage.segmentation import random_walker

    grey, seeds = drawn(labels=2)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    made = lx.solve.random_walker(grey, seeds, beta=10.0, tolerance=1e-8, probabilities=True)
    expected = random_walker(grey.astype(float), seeds - (seeds > 0), beta=10.0, mode="bf", return_full_prob=True)
    # Its least weight is 1e-10, which is nothing beside the weights of this beta.
    np.testing.assert_allclose(made.probabilities[2], expected[0], atol=2e-3)


def test_a_chain_of_resistors():
    grey = np.array([0, 0, 0.3, 0.3, 1, 1], np.float32).reshape(6, 1, 1)
    seeds = np.array([1, 0, 0, 0, 0, 5], np.uint8).reshape(6, 1, 1)
    made = lx.solve.random_walker(grey, seeds, beta=5.0, tolerance=1e-8, probabilities=True)
    resistance = np.exp(5.0 / (10 * grey.std()) * np.diff(grey.ravel()) ** 2)
    expected = 1 - np.concatenate([[0], np.cumsum(resistance)]) / resistance.sum()
    np.testing.assert_allclose(made.probabilities[1].ravel(), expected, atol=1e-5)
    np.testing.assert_array_equal(made.labels.ravel(), np.where(expected > 0.5, 1, 5))


def test_where_keeps_walkers_in_and_nothing_outside_counts():
    grey, seeds = drawn(labels=2)
    inside = np.ones(grey.shape, bool)
    inside[4] = False  # two halves
    seeds[5:] = 0  # and no seed in the upper one
    grey[4] = np.nan
    made = lx.solve.random_walker(grey, seeds, beta=20.0, where=inside, tolerance=1e-8, probabilities=True)
    expected = dense(np.where(inside, grey, 0), seeds, 20.0, inside=inside)
    np.testing.assert_allclose(made.probabilities[2][:4], expected[2][:4], atol=2e-3)
    assert not made.labels[4:].any()
    assert made.labels[:4].all()
    assert made.unreached == inside[5:].sum()
    assert str(made.unreached) in str(made)


def test_a_region_is_segmented_as_the_same_piece_alone():
    """The deviation of the grey values is that of the region."""
    grey, seeds = drawn(labels=2)
    inside = np.zeros(grey.shape, bool)
    inside[:4] = True
    options = {"tolerance": 1e-8, "probabilities": True}
    within = lx.solve.random_walker(grey, seeds, where=inside, **options)
    alone = lx.solve.random_walker(grey[:4], seeds[:4], **options)
    np.testing.assert_allclose(within.probabilities[2][:4], alone.probabilities[2], atol=1e-3)


def test_images_come_back_as_images():
    grey, seeds = drawn()
    scan = lx.from_array(grey, voxel_length=(1.0, 2.0, 0.5), voxel_unit="um")
    made = lx.solve.random_walker(scan, lx.from_array(seeds), beta=20.0, probabilities=True)
    plain = lx.solve.random_walker(grey, seeds, beta=20.0, spacing=(1.0, 2.0, 0.5))
    np.testing.assert_array_equal(made.labels[...], plain.labels)
    assert str(made.labels.frame.voxel_unit) == "um"
    assert made.probabilities[3].frame == made.labels.frame


def test_a_voxel_hidden_among_seeds_and_an_image_of_seeds_alone():
    seeds = np.ones((3, 3, 3), np.uint8)
    seeds[2] = 2
    made = lx.solve.random_walker(np.zeros(seeds.shape, np.uint8), seeds)
    np.testing.assert_array_equal(made.labels, seeds)
    seeds[0, 1, 1] = 0
    made = lx.solve.random_walker(np.zeros(seeds.shape, np.uint8), seeds)
    assert made.labels[0, 1, 1] == 1
    assert made.converged


def test_what_does_not_converge_says_so():
    grey, seeds = drawn()
    made = lx.solve.random_walker(grey, seeds, tolerance=1e-7, max_iterations=1)
    assert not made.converged
    assert "NOT converged" in str(made)
    with pytest.raises(RuntimeError, match="did not converge"):
        lx.solve.random_walker(grey, seeds, tolerance=1e-7, max_iterations=1, throw=True)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": [[1]]}, TypeError, "image is a list"),
        ({"image": np.zeros((3, 3))}, ValueError, "image has shape (3, 3)"),
        ({"image": np.full((9, 8, 7), np.nan)}, ValueError, "not finite"),
        ({"markers": np.zeros((3, 3, 3), int)}, ValueError, "markers have shape (3, 3, 3)"),
        ({"markers": np.zeros((9, 8, 7))}, TypeError, "markers have dtype float64"),
        ({"markers": np.zeros((9, 8, 7), int)}, ValueError, "markers hold 0 label(s)"),
        ({"markers": np.full((9, 8, 7), -1)}, ValueError, "markers hold -1"),
        ({"beta": 0}, ValueError, "beta=0 must be"),
        ({"tolerance": -1.0}, ValueError, "tolerance=-1.0 must be"),
        ({"max_iterations": 0}, ValueError, "max_iterations=0 must be"),
        ({"spacing": -1}, ValueError, "spacing=-1 must be"),
        ({"memory_limit": 1000}, lx.errors.MemoryLimitError, "random_walker() of (9, 8, 7) voxels needs"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    grey, seeds = drawn()
    given = {"image": grey, "markers": seeds} | changes
    with pytest.raises(error, match=re.escape(words)):
        lx.solve.random_walker(given.pop("image"), given.pop("markers"), **given)


def test_the_plan_is_what_is_asked_for():
    scan = np.zeros((100, 100, 100), np.uint16)
    plan = lx.plan(lx.solve.random_walker, scan, memory_limit="100 MiB")
    assert plan.memory > 100 * scan.size
    assert not plan.fits
    assert lx.plan(lx.solve.random_walker, lx.from_array(scan)).memory == plan.memory + 2 * scan.size

"""Distances line by line: against scipy, the definition, and the smallest index in C order."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from lithax.arrays import across_lines, distance_dtype, line_distance, near_distances, no_source


def transform(source, steps=(1, 1, 1), metric="euclidean", outside=False, nearest=False):
    dtype = distance_dtype(source.shape, steps, metric)
    d, at = line_distance(source, 2, steps[2], metric=metric, dtype=dtype, outside=outside, nearest=nearest)
    for axis in (1, 0):
        d, at = across_lines(d, axis, steps[axis], metric=metric, outside=outside, carried=at)
    return d, at


def by_definition(source, steps, metric):
    here = np.indices(source.shape).reshape(3, -1).T
    away = np.abs(here[:, None] - np.argwhere(source)[None]) * np.array(steps)
    every = {"euclidean": (away**2).sum(-1), "cityblock": away.sum(-1), "chessboard": away.max(-1)}[metric]
    places = np.flatnonzero(source)
    return every.min(1).reshape(source.shape), places[every.argmin(1)].reshape(source.shape)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "chessboard"])
def test_small_images_follow_the_definition(metric):
    rng = np.random.default_rng(3)
    for trial in range(60):
        source = rng.random(rng.integers(1, 9, 3)) < rng.choice([0.02, 0.1, 0.5])
        source.flat[rng.integers(source.size)] = True
        steps = tuple(rng.integers(1, 4, 3).tolist()) if trial % 2 else (1, 1, 1)
        expected, first = by_definition(source, steps, metric)
        found, _ = transform(source, steps, metric)
        np.testing.assert_array_equal(found, expected)
        if metric == "euclidean":
            found, at = transform(source, steps, nearest=True)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(at, first)  # of several as near, the first in C order


@pytest.mark.parametrize("shape", [(150, 7, 9), (5, 130, 6), (4, 6, 300), (90, 80, 4)])
def test_far_sources_need_the_envelope(shape):
    rng = np.random.default_rng(sum(shape))
    for density in (0.0005, 0.01):
        source = rng.random(shape) < density
        source.flat[rng.integers(source.size)] = True
        expected, where = ndimage.distance_transform_edt(~source, return_indices=True)
        found, at = transform(source, nearest=True)
        np.testing.assert_array_equal(found, np.rint(expected**2))
        gap = np.array(np.unravel_index(at, shape)) - np.indices(shape)
        np.testing.assert_array_equal((gap**2).sum(0), found)
        assert np.all(at <= np.ravel_multi_index(tuple(where), shape))


def test_real_steps_give_the_least_sum_in_every_bit():
    rng = np.random.default_rng(5)
    steps = (1.3, 0.7, 2.1)
    source = rng.random((100, 9, 8)) < 0.003
    source[3, 4, 5] = True
    found, at = transform(source, steps, nearest=True)
    expected = ndimage.distance_transform_edt(~source, sampling=steps)
    np.testing.assert_allclose(np.sqrt(found), expected, rtol=1e-14)  # scipy rounds its sums in another order
    gap = (np.array(np.unravel_index(at, source.shape)) - np.indices(source.shape)).astype(float)
    np.testing.assert_allclose(found, sum((g * s) ** 2 for g, s in zip(gap, steps, strict=True)), rtol=1e-14)


@pytest.mark.parametrize("outside", [False, True])
def test_short_distances_are_those_of_scipy_and_far_ones_are_left_to_others(outside):
    rng = np.random.default_rng(13)
    for trial in range(60):
        # Squares of 181 voxels do not fit into 15 bits, and beyond 40 the general form needs the envelope.
        far = trial % 3 == 0
        shape = tuple(rng.permutation([rng.integers(130, 420), 3, 4])) if far else tuple(rng.integers(1, 12, 3))
        source = rng.random(shape) < rng.choice([0.001, 0.1, 0.5])
        source.flat[rng.integers(source.size)] = True
        steps = tuple(rng.integers(1, 5, 3).tolist()) if trial % 2 else (1, 1, 1)
        image = np.pad(source, 1, constant_values=True) if outside else source
        expected = np.rint(ndimage.distance_transform_edt(~image, sampling=steps) ** 2)
        expected = expected[1:-1, 1:-1, 1:-1] if outside else expected
        found = near_distances(source, steps, lambda v: v, np.dtype(np.uint16), outside=outside)
        if expected.max() < 2**15 - 1:
            np.testing.assert_array_equal(found, expected)
        else:
            assert found is None
        np.testing.assert_array_equal(transform(source, steps, outside=outside)[0], expected)
    assert near_distances(np.zeros((3, 4, 5), bool), (1, 1, 1), lambda v: v, np.dtype(np.uint16)) is None


def test_outside_may_be_a_source():
    rng = np.random.default_rng(8)
    for metric, scipy in (("euclidean", None), ("cityblock", "taxicab"), ("chessboard", "chessboard")):
        source = rng.random((7, 9, 60)) < 0.01
        padded = np.pad(source, 1, constant_values=True)
        found, _ = transform(source, metric=metric, outside=True)
        if scipy is None:
            expected = np.rint(ndimage.distance_transform_edt(~padded) ** 2)
        else:
            expected = ndimage.distance_transform_cdt(~padded, scipy)
        np.testing.assert_array_equal(found, expected[1:-1, 1:-1, 1:-1])


def test_without_a_source_the_distance_says_so():
    for metric, steps in itertools.product(("euclidean", "cityblock", "chessboard"), ((1, 1, 1), (1.5, 1.0, 1.0))):
        found, _ = transform(np.zeros((50, 3, 4), bool), steps, metric)
        assert np.all(found == no_source(found.dtype))


def test_beyond_the_squares_that_single_precision_holds():
    source = np.zeros((1, 2, 9000), bool)
    source[0, 0, 0] = True
    found, _ = transform(source)
    np.testing.assert_array_equal(found[0, 1], np.arange(9000) ** 2 + 1)

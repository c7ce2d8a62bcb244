"""Watersheds: against Prim's algorithm on the whole graph and scikit-image, images against arrays."""

import heapq
import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_minima
from skimage.segmentation import watershed as of_scikit_image

import lithax as lx

from .cases import EVERY_GRID, SHAPE


def by_prim(values, seeds, taken):
    """The definition: the forest grows from the seeds by the least edge that leaves it."""
    labels = np.where(taken, seeds, 0)
    heap = []

    def push(p):
        for axis, step in itertools.product(range(3), (-1, 1)):
            q = tuple(i + step * (a == axis) for a, i in enumerate(p))
            if all(0 <= i < n for i, n in zip(q, values.shape, strict=True)) and taken[q] and labels[q] == 0:
                ends = sorted(((values[p], p), (values[q], q)))
                heapq.heappush(heap, (ends[1], ends[0], p, q))

    for p in map(tuple, np.argwhere(labels > 0).tolist()):
        push(p)
    while heap:
        *_, p, q = heapq.heappop(heap)
        if labels[q] == 0:
            labels[q] = labels[p]
            push(q)
    return labels


def relief(kind, rng, shape=SHAPE):
    if kind == "plateaus":
        return rng.integers(0, 4, shape).astype("u1")
    if kind == "distinct":
        return rng.permutation(int(np.prod(shape))).reshape(shape)
    return ndimage.gaussian_filter(rng.standard_normal(shape), 1).astype("f4")


@pytest.mark.parametrize("kind", ["plateaus", "distinct", "smooth"])
def test_seeded_arrays_follow_the_definition(kind):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = relief(kind, rng)
        seeds = np.where(rng.random(SHAPE) < 0.05, rng.integers(1, 9, SHAPE), 0).astype("u1")
        taken = rng.random(SHAPE) < (1 if seed % 2 else 0.7)
        found = lx.watershed(values, seeds, where=taken)
        np.testing.assert_array_equal(found, by_prim(values, seeds, taken))
        assert found.dtype == np.uint8


def test_distinct_values_and_all_minima_are_as_in_scikit_image():
    for seed in range(30):
        values = relief("distinct", np.random.default_rng(seed))
        minima = local_minima(values, connectivity=1)
        seeds = lx.label(minima)
        expected = of_scikit_image(values, seeds.astype(int), connectivity=1)
        np.testing.assert_array_equal(lx.watershed(values, seeds), expected)
        np.testing.assert_array_equal(lx.watershed(values), expected)


@pytest.mark.parametrize("kind", ["plateaus", "smooth"])
def test_unseeded_basins_are_those_of_the_regional_minima(kind):
    for seed in range(20):
        values = relief(kind, np.random.default_rng(seed))
        found = lx.watershed(values)
        minima, count = ndimage.label(local_minima(values, connectivity=1))
        assert found.max() == count
        # each regional minimum lies in one basin, and each basin holds one
        pairs = np.unique(np.stack([minima[minima > 0], found[minima > 0]]), axis=1)
        assert pairs.shape[1] == count
        assert len(set(pairs[1].tolist())) == count


def test_shallow_basins_are_merged():
    values = np.array([5, 0, 3, 2, 6, 1, 5], "f4").reshape(1, 1, -1)
    assert lx.watershed(values)[0, 0].tolist() == [1, 1, 1, 2, 3, 3, 3] or len(np.unique(lx.watershed(values))) == 3
    assert len(np.unique(lx.watershed(values, height=1))) == 2  # the basin of 2 is 1 deep: not more
    assert len(np.unique(lx.watershed(values, height=0.5))) == 3
    assert len(np.unique(lx.watershed(values, height=5))) == 1
    rng = np.random.default_rng(0)
    counts = [lx.watershed(relief("smooth", rng, (20, 20, 20)), height=h).max() for h in (0, 0.1, 0.5)]
    assert counts[0] > counts[1] > counts[2] >= 1


@pytest.mark.parametrize("grid", EVERY_GRID)
@pytest.mark.parametrize("kind", ["plateaus", "smooth"])
def test_images_give_what_arrays_give(grid, kind):
    rng = np.random.default_rng(5)
    values = relief(kind, rng)
    where = rng.random(SHAPE) < 0.8
    seeds = np.where(rng.random(SHAPE) < 0.05, rng.integers(1, 9, SHAPE), 0).astype("u2")
    image, markers = lx.from_array(values, **grid), lx.from_array(seeds, **grid)
    for options in ({}, {"height": 1 if kind == "plateaus" else 0.1, "where": where}):
        expected = lx.watershed(values, **options)
        found = lx.watershed(image, progress=False, **options)
        np.testing.assert_array_equal(found[...], expected)
        assert found.dtype == expected.dtype
    for options in ({}, {"where": where}):
        expected = lx.watershed(values, seeds, **options)
        np.testing.assert_array_equal(lx.watershed(image, markers, progress=False, **options)[...], expected)


def test_touching_balls_are_separated():
    x, y, z = np.indices((24, 14, 14))
    solid = (x - 7) ** 2 + (y - 7) ** 2 + (z - 7) ** 2 < 36
    solid |= (x - 17) ** 2 + (y - 7) ** 2 + (z - 7) ** 2 < 36
    assert lx.label(solid).max() == 1
    grains = lx.watershed(-lx.distance(solid), height=0.5, where=solid)
    assert grains.max() == 2
    assert np.all((grains > 0) == solid)
    assert abs(np.sum(grains == 1) - np.sum(grains == 2)) < 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"markers": np.ones((2, 2, 2), int)}, "they must agree"),
        ({"markers": np.ones((3, 3, 3))}, "whole numbers"),
        ({"markers": -np.ones((3, 3, 3), int)}, "labels are positive"),
        ({"markers": -np.eye(3, dtype=int)[None].repeat(3, 0)}, "labels are positive"),
        ({"markers": np.zeros((3, 3, 3), int)}, "no seed where a voxel takes part"),
        (
            {"markers": np.eye(3, dtype=int)[None].repeat(3, 0), "where": ~np.eye(3, dtype=bool)[None].repeat(3, 0)},
            "no seed",
        ),
        ({"height": -1}, "height=-1"),
        ({"height": 1, "markers": np.ones((3, 3, 3), int)}, "chooses seeds"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        lx.watershed(np.ones((3, 3, 3)), **arguments)
    with pytest.raises(ValueError, match="NaN"):
        lx.watershed(np.full((3, 3, 3), np.nan))
    assert "2 passes" in lx.plan(lx.watershed, lx.zeros((32, 32, 32), "f4", chunks=8)).function


def test_parts_of_a_block_give_the_forest_of_the_block(monkeypatch):
    rng = np.random.default_rng(5)
    values, where = rng.integers(0, 4, (9, 8, 7)), rng.random((9, 8, 7)) < 0.8
    expected = lx.watershed(values, height=1, where=where)
    monkeypatch.setattr("lithax.arrays._watershed._PART", 11)
    np.testing.assert_array_equal(lx.watershed(values, height=1, where=where), expected)

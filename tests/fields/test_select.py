"""Selection by components: against scipy and scikit-image, images against arrays."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import morphology, segmentation

import lithax as lx

from .cases import GRIDS, SHAPE, images

CALLS = [
    (lx.remove_small, {"min_size": 3}),
    (lx.remove_small, {"min_size": 5, "connectivity": 26}),
    (lx.keep_largest, {}),
    (lx.keep_largest, {"count": 3, "connectivity": 18}),
    (lx.keep_percolating, {"axis": "y", "connectivity": 26}),
    (lx.keep_percolating, {"ends": "periodic", "periodic": (0,), "axis": 2, "connectivity": 18}),
    (lx.clear_border, {}),
    (lx.fill_holes, {}),
    (lx.fill_holes, {"connectivity": 26}),
]


@pytest.mark.parametrize(("function", "options"), CALLS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_images_give_what_arrays_give(function, options):
    rng = np.random.default_rng(3)
    for k, (name, pore) in enumerate(images()[::2]):
        grid = GRIDS[k % len(GRIDS)]
        where = None if k % 3 else rng.random(SHAPE) < 0.8
        expected = function(pore, where=where, **options)
        found = function(lx.from_array(pore, **grid), where=where, progress=False, **options)
        np.testing.assert_array_equal(found[...], expected, err_msg=f"{name} {grid}")
        assert found.dtype == expected.dtype == np.bool_


def test_they_are_what_others_give():
    for name, pore in images():
        small = lx.remove_small(pore, 4)
        np.testing.assert_array_equal(small, morphology.remove_small_objects(pore, max_size=3), err_msg=name)
        np.testing.assert_array_equal(lx.fill_holes(pore), ndimage.binary_fill_holes(pore), err_msg=name)
        # scikit-image labels with 26 neighbours
        cleared = lx.clear_border(pore, connectivity=26)
        np.testing.assert_array_equal(cleared, segmentation.clear_border(pore), err_msg=name)
        labels, _ = ndimage.label(pore)
        both = [np.intersect1d(np.take(labels, 0, a), np.take(labels, -1, a)) for a in range(3)]
        if pore.any() and not any((b > 0).any() for b in both):
            continue
        for a in range(3):
            expected = np.isin(labels, both[a][both[a] > 0])
            if expected.any():
                np.testing.assert_array_equal(lx.keep_percolating(pore, a), expected, err_msg=name)
        sizes = np.bincount(labels.ravel())[1:]
        if len(sizes):
            assert lx.keep_largest(pore).sum() == sizes.max()


def test_segmentations_keep_their_values():
    rng = np.random.default_rng(1)
    phases = rng.integers(0, 3, SHAPE).astype("u2")
    found = lx.remove_small(phases, 4)
    expected = sum(p * morphology.remove_small_objects(phases == p, max_size=3).astype("u2") for p in (1, 2))
    np.testing.assert_array_equal(found, expected)
    only = lx.remove_small(phases, 4, phases=1)
    np.testing.assert_array_equal(only, np.where((phases == 1) & (expected == 0), 0, phases))
    image = lx.remove_small(lx.from_array(phases, chunks=2), 4, phases=1, progress=False)
    np.testing.assert_array_equal(image[...], only)


def test_percolation_through_corners_only_is_said():
    pore = np.zeros((4, 4, 4), bool)
    pore[np.arange(4), np.arange(4), np.arange(4)] = True
    for value in (pore, lx.from_array(pore, chunks=2)):
        with pytest.warns(UserWarning, match="through edges and corners"):
            found = lx.keep_percolating(value, 0, **({} if value is pore else {"progress": False}))
        assert not found[...].any()
    assert lx.keep_percolating(pore, 0, connectivity=26).sum() == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: lx.remove_small(x, -1), "min_size=-1"),
        (lambda x: lx.remove_small(x, 2.5), "min_size=2.5"),
        (lambda x: lx.keep_largest(x, -1), "count=-1"),
        (lambda x: lx.keep_percolating(x, 3), "axis=3 must be 0, 1, 2"),
        (lambda x: lx.keep_percolating(x, 0, ends="both"), "ends='both'"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((3, 3, 3), bool))


def test_plans():
    image = lx.zeros((64, 64, 64), bool, chunks=16)
    for function, first in ((lx.remove_small, (8,)), (lx.fill_holes, ()), (lx.keep_percolating, (0,))):
        assert "2 passes" in lx.plan(function, image, *first).function

"""Depths are Euclidean distances; grey levels are told apart by them."""

from functools import partial

import numpy as np
import pytest
import scipy.ndimage

from lithax.images import chunk_map, chunk_reduce, from_array
from lithax.measure import GreyByDepth
from lithax.ops import square_depth
from lithax.regions import Sphere
from lithax.report._depth import shells


def reference(pore, inside, reach):
    """Squared distances by scipy on the whole array; 0 where what is outside of `inside`, or of the image, is as near."""
    beyond = (reach + 1) ** 2

    def to(target, padding):
        distance = scipy.ndimage.distance_transform_edt(~np.pad(target, reach + 1, constant_values=padding))
        core = tuple(slice(reach + 1, reach + 1 + n) for n in target.shape)
        return np.minimum(np.rint(distance[core] ** 2), beyond).astype(int)

    depth = np.where(pore, to(~pore & inside, False), to(pore & inside, False))
    outside = to(~inside, True)
    return np.where((depth < outside) | (outside == beyond), np.where(pore, -depth, depth), 0)


@pytest.fixture(scope="module")
def pore():
    rng = np.random.default_rng(7)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=(25, 22, 19)), 2.5)
    return smooth < np.quantile(smooth, 0.4)


@pytest.mark.parametrize("chunks", [30, 9, (25, 5, 8)])
@pytest.mark.parametrize("reach", [1, 4])
def test_depth_is_the_distance_to_the_other_phase(pore, chunks, reach):
    depth = chunk_map(partial(square_depth, reach=reach), from_array(pore, chunks=chunks))
    np.testing.assert_array_equal(depth[:], reference(pore, np.ones_like(pore), reach))


def test_behind_the_end_of_the_region_nothing_is_known(pore):
    image = from_array(pore, chunks=9)
    region = Sphere((12, 11, 9), 8.3)
    inside = np.asarray(region.contains(*np.meshgrid(*(np.arange(n, dtype=float) for n in pore.shape), indexing="ij")))
    depth = chunk_map(partial(square_depth, reach=4), image, where=region)[:]
    np.testing.assert_array_equal(depth[inside], reference(pore, inside, 4)[inside])


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_grey_levels_are_grouped_by_depth(pore, backend):
    rng = np.random.default_rng(8)
    grey = rng.normal(100, 10, pore.shape)
    grey[3, 4, 5] = np.nan  # does not count
    image = from_array(grey, chunks=9)
    depth = chunk_map(partial(square_depth, reach=4), from_array(pore, chunks=9))
    found = chunk_reduce(GreyByDepth(4, 100.0), image, depth, backend=backend)
    squares = depth[:]
    for square, count, mean, variance in zip(found.square, found.count, found.mean, found.variance, strict=True):
        values = grey[(squares == square) & np.isfinite(grey)]
        assert count == values.size
        # float64 sums of a few thousand values near 100
        np.testing.assert_allclose([mean, variance], [values.mean(), values.var()], rtol=1e-10, atol=1e-10)
    assert found.count.sum() == np.count_nonzero(squares) - (squares[3, 4, 5] != 0)


def test_shells_have_the_distance_from_a_flat_surface():
    """Voxels at 1, 2, 3 ... from the nearest voxel beyond a plane lie at 1/2, 3/2, 5/2 ... from the plane."""
    pore = np.zeros((40, 40, 40), bool)
    pore[:20] = True
    grey = np.where(pore, 1.0, 3.0)
    depth = chunk_map(partial(square_depth, reach=5), from_array(pore))
    found = shells(chunk_reduce(GreyByDepth(5, 2.0), from_array(grey), depth), 5)
    assert [round(s.position, 6) for s in found] == [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5]
    assert [s.mean for s in found] == [1.0] * 4 + [3.0] * 4

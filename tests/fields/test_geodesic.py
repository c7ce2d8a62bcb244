"""Distances along the phase: against fast marching voxel by voxel, free space, images against arrays."""

import heapq

import numpy as np
import pytest
from scipy import ndimage

import lithax as lx

from .cases import EVERY_GRID, SHAPE, images


def marched(pore, sources):
    """Fast marching with a heap, in floating point."""
    times, done = np.where(sources, 0.0, np.inf), np.zeros(pore.shape, bool)
    heap = [(0.0, tuple(p)) for p in np.argwhere(sources)]
    while heap:
        _, at = heapq.heappop(heap)
        if done[at]:
            continue
        done[at] = True
        for axis in range(3):
            for side in (-1, 1):
                other = tuple(a + side * (k == axis) for k, a in enumerate(at))
                inside = all(0 <= o < n for o, n in zip(other, pore.shape, strict=True))
                if inside and pore[other] and not done[other]:
                    new = arrival(times, done, other)
                    if new < times[other]:
                        times[other] = new
                        heapq.heappush(heap, (new, other))
    return np.where(pore & ~sources, times, 0)


def arrival(times, done, at):
    earliest = []
    for axis in range(3):
        sides = [tuple(a + s * (k == axis) for k, a in enumerate(at)) for s in (-1, 1)]
        near = [times[s] for s in sides if 0 <= s[axis] < times.shape[axis] and done[s]]
        earliest += [min(near)] if near else []
    best = np.inf
    for count in range(1, len(earliest) + 1):
        some = np.sort(earliest)[:count]
        root = some.sum() ** 2 - count * ((some**2).sum() - 1)
        if root >= 0 and (t := (some.sum() + root**0.5) / count) >= some[-1]:
            best = min(best, t)
    return best


def test_arrays_follow_fast_marching():
    for k, (name, pore) in enumerate(images()):
        sources = np.random.default_rng(k).random(SHAPE) < 0.03
        found = lx.geodesic_distance(pore, sources)
        # Every step is rounded up to a millionth of a voxel, and these ways have fewer than 100.
        np.testing.assert_allclose(found, marched(pore, sources), atol=1e-4, err_msg=name)


def test_free_space():
    pore, sources = np.ones((21, 21, 21), bool), np.zeros((21, 21, 21), bool)
    sources[10, 10, 10] = True
    true = ndimage.distance_transform_edt(~sources)
    excess = lx.geodesic_distance(pore, sources) - true
    assert excess.min() > -1e-5
    assert np.all(excess <= 0.4 * (1 + np.log(np.maximum(true, 1))))
    np.testing.assert_array_equal(lx.geodesic_distance(pore, "y+", spacing=2.0)[3, :, 4], 2 * np.arange(20, -1, -1))


@pytest.mark.parametrize("grid", EVERY_GRID[1:5])
def test_images_give_what_arrays_give(grid):
    where = np.random.default_rng(3).random(SHAPE) < 0.9
    for k, (name, pore) in enumerate(images()[3::6]):
        sources = np.random.default_rng(k).random(SHAPE) < 0.03
        some = where if k % 2 else None
        expected = lx.geodesic_distance(pore, sources, where=some)
        made = [lx.from_array(a, **grid) for a in (pore, sources)]
        np.testing.assert_array_equal(
            lx.geodesic_distance(*made, where=some, progress=False)[...], expected, err_msg=name
        )
    faced = lx.geodesic_distance(lx.from_array(pore, **grid), "x+", progress=False)
    np.testing.assert_array_equal(faced[...], lx.geodesic_distance(pore, "x+"))


def test_blocks_that_would_share_a_shard():
    """Blocks are changed in place by several threads: none may lose what another wrote."""
    rng = np.random.default_rng(0)
    pore, sources = rng.random((16, 16, 16)) < 0.7, rng.random((16, 16, 16)) < 0.003
    made = [lx.from_array(a, chunks=4, shards=8) for a in (pore, sources)]
    found = lx.geodesic_distance(*made, workers=4, progress=False)
    np.testing.assert_array_equal(found[...], lx.geodesic_distance(pore, sources))


def test_wrong_arguments_are_named():
    pore = np.ones((3, 3, 3), bool)
    with pytest.raises(ValueError, match="sources='w-'"):
        lx.geodesic_distance(pore, "w-")
    with pytest.raises(TypeError, match="sources has dtype"):
        lx.geodesic_distance(pore, np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="must agree"):
        lx.geodesic_distance(pore, np.ones((3, 3, 2), bool))
    assert np.all(np.isinf(lx.geodesic_distance(pore, ~pore)))
    assert "3 passes" in lx.plan(lx.geodesic_distance, lx.zeros((32, 32, 32), bool, chunks=8), "z-").function

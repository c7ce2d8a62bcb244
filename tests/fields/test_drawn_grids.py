"""Lines, distances along the phase and thickness on grids that hypothesis draws, against the same on arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import lithax as lx

from .cases import SHAPE

# An extent beyond the image is one chunk; blocks of one voxel along all three axes are many, and take long.
CHUNKS = st.tuples(*(st.integers(1, n + 2) for n in SHAPE)).filter(lambda c: np.prod(c) > 8)


@settings(max_examples=6, deadline=None)
@given(chunks=CHUNKS, axis=st.integers(0, 2), seed=st.integers(0, 99))
def test_lines(chunks, axis, seed):
    values = np.random.default_rng(seed).integers(-9, 9, SHAPE).astype(np.int16)
    image = lx.from_array(values, chunks=chunks)
    found = lx.cumulative_sum(image, axis=axis, progress=False)
    np.testing.assert_array_equal(found[...], np.cumsum(values, axis=axis))
    expected = lx.distance_lines(values > -4, axis=axis)
    found = lx.distance_lines(lx.from_array(values > -4, chunks=chunks), axis=axis, progress=False)
    np.testing.assert_array_equal(found[...], expected)


@settings(max_examples=6, deadline=None)
@given(chunks=CHUNKS, density=st.sampled_from((0.5, 0.8, 0.97)), seed=st.integers(0, 99))
def test_distances_along_the_phase(chunks, density, seed):
    rng = np.random.default_rng(seed)
    pore, sources = rng.random(SHAPE) < density, rng.random(SHAPE) < 0.03
    found = lx.geodesic_distance(*(lx.from_array(a, chunks=chunks) for a in (pore, sources)), progress=False)
    np.testing.assert_array_equal(found[...], lx.geodesic_distance(pore, sources))


@settings(max_examples=4, deadline=None)
@given(chunks=CHUNKS, density=st.sampled_from((0.8, 0.97, 0.995)), seed=st.integers(0, 99))
def test_thickness(chunks, density, seed):
    pore = np.random.default_rng(seed).random(SHAPE) < density
    pore.flat[seed] = False
    found = lx.local_thickness(lx.from_array(pore, chunks=chunks), progress=False)
    np.testing.assert_array_equal(found[...], lx.local_thickness(pore))

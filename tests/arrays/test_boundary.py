"""The five boundary rules, against numpy.pad; and filling again what lies outside, against padding."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage

from lithax.arrays import BOUNDARIES, boundary_index, check_boundary, pad, refill, to_numpy
from lithax.testing import boundary_rules, image_shapes, voxels

NUMPY_MODES = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}


def padded_by_numpy(x, widths, boundary, value=0):
    options = {"constant_values": value} if boundary == "constant" else {}
    return np.pad(x, [(w, w) for w in widths], mode=NUMPY_MODES[boundary], **options)


@settings(max_examples=30)
@given(data=st.data())
def test_padding_is_that_of_numpy_and_may_be_wider_than_the_axis(data):
    x = data.draw(voxels(data.draw(image_shapes(5)), np.int16))
    widths = data.draw(st.tuples(*[st.integers(0, 12)] * 3))
    boundary = data.draw(boundary_rules())
    np.testing.assert_array_equal(pad(x, widths, boundary, -7), padded_by_numpy(x, widths, boundary, -7))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_names_mean_what_scipy_means(boundary, rng):
    x = rng.random((1, 1, 5))
    shifted = ndimage.shift(x, (0, 0, 3), order=0, mode="grid-wrap" if boundary == "wrap" else boundary, cval=2.0)
    np.testing.assert_array_equal(pad(x, (0, 0, 3), boundary, 2.0)[..., :5], shifted)


@pytest.mark.parametrize("boundary", [b for b in BOUNDARIES if b != "constant"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_index_is_the_same_traced(boundary, size):
    position = np.arange(-17, 23)
    index = boundary_index(position, size, boundary)
    np.testing.assert_array_equal(
        np.arange(size)[index], np.pad(np.arange(size), (17, 23 - size), NUMPY_MODES[boundary])
    )
    traced = jax.jit(lambda p, n: boundary_index(p, n, boundary))(position, size)
    np.testing.assert_array_equal(traced, index)


def test_on_every_library(xp, rng):
    x = rng.random((3, 1, 4)).astype(np.float32)
    for boundary in BOUNDARIES:
        found = to_numpy(pad(xp.asarray(x.copy()), (2, 1, 5), boundary, 0.5))
        np.testing.assert_array_equal(found, padded_by_numpy(x, (2, 1, 5), boundary, 0.5))


def spoiled(x, begin, shape, halo, boundary):
    """Return a piece of a padded image with what lies outside replaced by rubbish, and as it should be."""
    right = pad(x, halo, boundary, 9)[
        tuple(slice(b + h, b + h + n) for b, n, h in zip(begin, shape, halo, strict=True))
    ]
    position = np.meshgrid(*(np.arange(b, b + n) for b, n in zip(begin, shape, strict=True)), indexing="ij")
    outside = np.any([(p < 0) | (p >= size) for p, size in zip(position, x.shape, strict=True)], axis=0)
    return np.where(outside, -1000, right), right


@settings(max_examples=30)
@given(data=st.data())
def test_refilling_a_block_restores_the_padding(data):
    """A block that reaches into the image by at least its halo holds every value that a rule asks for, but for wrap."""
    size = data.draw(image_shapes(7))
    halo = data.draw(st.tuples(*[st.integers(0, 3)] * 3))
    x = data.draw(voxels(size, np.int32))
    begin, shape = [], []
    for n, h in zip(size, halo, strict=True):
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        begin.append(start - h)
        shape.append(stop - start + 2 * h)
    boundary = data.draw(boundary_rules().filter(lambda b: b != "wrap"))
    block, right = spoiled(x, begin, shape, halo, boundary)
    found = refill(block, tuple(begin), size, halo, boundary, 9)
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("boundary", [b for b in BOUNDARIES if b != "wrap"])
def test_refilling_compiled_for_every_position_at_once(boundary, rng):
    x = rng.integers(0, 99, (6, 1, 7)).astype(np.int32)
    halo, shape = (2, 1, 3), (7, 3, 9)
    compiled = jax.jit(lambda v, at, size: refill(v, tuple(at), tuple(size), halo, boundary, 9))
    for begin in [(-2, -1, -3), (0, -1, -2), (1, -1, 1), (-1, -1, 0)]:
        block, right = spoiled(x, begin, shape, halo, boundary)
        np.testing.assert_array_equal(compiled(block, np.asarray(begin), np.asarray(x.shape)), right)


def test_an_unknown_rule_is_named_beside_those_there_are():
    assert check_boundary("mirror") == "mirror"
    with pytest.raises(ValueError, match=r"boundary='edge' is not a boundary rule; use one of 'reflect', 'nearest'"):
        check_boundary("edge")

import math
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from lithax import ops
from lithax.testing import ball_offsets

SHAPE = (9, 8, 7)


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_border_value_of_scipy_is_the_constant_boundary(border, connectivity, rng):
    x = rng.random(SHAPE) < 0.7
    element = ndimage.generate_binary_structure(3, connectivity)
    rule = {"connectivity": connectivity, "boundary": "constant", "boundary_value": border}
    np.testing.assert_array_equal(ops.erosion(x, **rule), ndimage.binary_erosion(x, element, border_value=border))
    np.testing.assert_array_equal(ops.dilation(~x, **rule), ndimage.binary_dilation(~x, element, border_value=border))


@pytest.mark.parametrize("boundary", ["reflect", "nearest", "mirror", "wrap", "constant"])
@pytest.mark.parametrize("radius", [1, 2])
def test_opening_and_closing(boundary, radius, rng):
    x = rng.integers(0, 100, SHAPE)
    reach = np.arange(-radius, radius + 1) ** 2
    element = reach[:, None, None] + reach[:, None] + reach <= radius**2
    for ours, theirs in ((ops.opening, ndimage.grey_opening), (ops.closing, ndimage.grey_closing)):
        expected = theirs(x, footprint=element, mode=boundary, cval=50)
        np.testing.assert_array_equal(ours(x, radius=radius, boundary=boundary, boundary_value=50), expected)
    y = x > 40
    np.testing.assert_array_equal(
        ops.opening(y, radius=radius, boundary="constant"), ndimage.binary_opening(y, element)
    )
    np.testing.assert_array_equal(
        ops.closing(y, radius=radius, boundary="constant"), ndimage.binary_closing(y, element)
    )


def test_compound_operations_in_a_chain(rng):
    x = rng.random(SHAPE)
    steps = ops.chain(partial(ops.threshold, value=0.5), ops.opening.chain(radius=1))
    np.testing.assert_array_equal(steps(x), ops.opening(x > 0.5, radius=1))


def test_erosion_and_dilation_are_each_others_complement(rng):
    x = rng.random(SHAPE) < 0.5
    np.testing.assert_array_equal(ops.erosion(x, radius=2.5), ~ops.dilation(~x, radius=2.5))


@pytest.mark.parametrize("radius", [0, 1, 1.5, 1.75, 2, 3.3, 5, 6])
def test_the_ball(radius):
    x = np.zeros((13, 13, 13), bool)
    x[6, 6, 6] = True
    found = {tuple(map(int, p)) for p in np.argwhere(ops.dilation(x, radius=radius)) - 6}
    assert found == set(ball_offsets(radius))
    assert ops.dilation.halos({"radius": radius}, 1) == ((int(radius),) * 3,)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"connectivity": 1, "radius": 2}, "connectivity=1 and radius=2 both set the structuring element"),
        ({"connectivity": 6}, r"connectivity=6 must be 1 \(6 neighbours\), 2 \(18\) or 3 \(26\)"),
        ({"radius": -1}, "radius=-1 must be a number of voxels from 0 to 12"),
        ({"radius": 50}, "for a larger ball compare a distance map"),
        ({"radius": (1, 2)}, r"radius=\(1, 2\) must be a number of voxels .* or three, one per axis"),
    ],
)
def test_bad_elements(parameters, message):
    with pytest.raises(ValueError, match=message):
        ops.erosion(np.zeros(SHAPE, bool), **parameters)


def test_unknown_parameter_of_a_compound():
    with pytest.raises(
        TypeError, match=r"opening\(\) has no parameter 'size'; its parameters are: connectivity, radius"
    ):
        ops.opening(np.zeros(SHAPE, bool), size=3)


@pytest.mark.parametrize("radius", [(2, 1, 4), (0.5, 2.2, 1), (1, 1, 0)])
def test_an_ellipsoid_equals_scipy_with_a_footprint(radius, rng):
    x = rng.random((11, 9, 12))
    offsets = np.ogrid[tuple(slice(-math.floor(r), math.floor(r) + 1) for r in radius)]
    element = sum((d / r if r else 0.0 * d) ** 2 for d, r in zip(offsets, radius, strict=True)) <= 1 + 1e-9
    for op, peer in ((ops.dilation, ndimage.grey_dilation), (ops.erosion, ndimage.grey_erosion)):
        np.testing.assert_array_equal(op(x, radius=radius), peer(x, footprint=element, mode="reflect"))

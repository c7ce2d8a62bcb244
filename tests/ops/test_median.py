import itertools

import numpy as np
import pytest

from lithax import ops
from lithax.ops._selection_network import merge_sort, select, selection_network


@pytest.mark.parametrize("wires", range(1, 12))
def test_the_network_sorts(wires):
    # A network that sorts every sequence of zeros and ones sorts everything (Knuth, vol. 3, 5.3.4, theorem Z).
    inputs = np.array(list(itertools.product([0, 1], repeat=wires)), dtype=np.int8).T
    outputs = select(list(inputs), range(wires), np.minimum, np.maximum)
    np.testing.assert_array_equal(np.array(outputs), np.sort(inputs, axis=0))


@pytest.mark.parametrize("rank", [0, 3, 7, 12, 26])
def test_a_pruned_network_selects(rank, rng):
    values = rng.standard_normal((27, 50))
    np.testing.assert_array_equal(
        select(list(values), (rank,), np.minimum, np.maximum)[0], np.sort(values, axis=0)[rank]
    )


def test_size_of_the_networks():
    # What a voxel costs: see docs/design/0003-filters.md.
    assert len(merge_sort(27)) == 155
    network = selection_network(27, (13,))
    assert len(network) == 127
    assert sum(c.low_used + c.high_used for c in network) == 228


@pytest.mark.parametrize("footprint", ["cube", "cross", "ball"])
def test_nan_reaches_every_neighbourhood_that_holds_it(footprint, rng):
    x = rng.standard_normal((7, 7, 7))
    x[3, 3, 3] = np.nan
    found = np.isnan(ops.median(x, footprint=footprint))
    expected = np.zeros_like(found)
    expected[3, 3, 3] = True
    expected = ops.dilation(expected, connectivity=3 if footprint == "cube" else 1)
    np.testing.assert_array_equal(found, expected)


def test_infinity_is_a_value_like_others():
    x = np.zeros((5, 5, 5))
    x[2, 2, 2] = np.inf
    assert (ops.median(x) == 0).all()
    assert (ops.median(np.where(x > 0, x, -np.inf)) == -np.inf).all()


def test_middle_of_an_even_number():
    x = np.array([1, 2, 4, 9]).reshape(4, 1, 1)
    valid = np.array([True, True, True, False]).reshape(4, 1, 1)

    def first(dtype):
        return ops.median(x.astype(dtype), radius=(1, 0, 0), valid=valid, boundary="constant")[2, 0, 0]

    assert first(np.float64) == 3.0  # of 2 and 4
    assert first(np.uint8) == 2


def test_wide_median(rng):
    from scipy import ndimage

    x = rng.integers(0, 1000, (6, 5, 7)).astype(np.uint16)
    np.testing.assert_array_equal(ops.median(x, radius=2), ndimage.median_filter(x, 5))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"radius": 8}, r"radius=8 .* more than 4096 voxels; use a smaller window"),
        ({"radius": 1.5}, r"radius=1.5 must be a number of voxels"),
        ({"footprint": "star"}, r"footprint='star' is not known; use one of 'cube', 'cross', 'ball'"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ops.median(np.zeros((4, 4, 4)), **parameters)

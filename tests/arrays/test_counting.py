"""Counting by number, on every array library, against slow loops."""

import jax
import numpy as np
import pytest

from lithax import arrays
from lithax.arrays import to_numpy

SHAPE = (6, 7, 5)
LENGTH = 11


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_counts(dtype, xp, rng):
    index = rng.integers(0, LENGTH - 1, SHAPE).astype(dtype)  # the last number does not occur
    found = arrays.bincount(xp.asarray(index), LENGTH)
    assert found.shape == (LENGTH,)
    np.testing.assert_array_equal(to_numpy(found), [np.sum(index == i) for i in range(LENGTH)])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_sums(dtype, xp, rng):
    """Whole numbers, so that sums are exact in any order."""
    index = rng.integers(0, LENGTH, SHAPE).astype(np.int32)
    weights = rng.integers(-50, 50, SHAPE).astype(dtype)
    found = arrays.bincount(xp.asarray(index), LENGTH, xp.asarray(weights))
    assert to_numpy(found).dtype == dtype
    np.testing.assert_array_equal(to_numpy(found), [weights[index == i].sum() for i in range(LENGTH)])


def test_counts_of_many_in_narrow_integers(rng):
    """NumPy widens them in pieces."""
    index = rng.integers(0, LENGTH, 600_000).astype(np.uint8)
    np.testing.assert_array_equal(arrays.bincount(index, LENGTH), np.bincount(index, minlength=LENGTH))


def test_extremes(xp, rng):
    index = rng.integers(0, LENGTH - 1, SHAPE).astype(np.int32)
    values = rng.normal(size=SHAPE).astype(np.float32)
    low = arrays.minimum_by(xp.asarray(index), LENGTH, xp.asarray(values), np.inf)
    high = arrays.maximum_by(xp.asarray(index), LENGTH, xp.asarray(values), -np.inf)
    np.testing.assert_array_equal(to_numpy(low)[:-1], [values[index == i].min() for i in range(LENGTH - 1)])
    np.testing.assert_array_equal(to_numpy(high)[:-1], [values[index == i].max() for i in range(LENGTH - 1)])
    assert (float(low[-1]), float(high[-1])) == (np.inf, -np.inf)


@pytest.mark.parametrize("shape", [SHAPE, ()], ids=["array", "one"])
def test_lookup(shape, xp, rng):
    table = rng.normal(size=9).astype(np.float32)
    index = np.asarray(rng.integers(0, 9, shape), np.int32)
    np.testing.assert_array_equal(to_numpy(arrays.lookup(xp.asarray(table), xp.asarray(index))), table[index])


@pytest.mark.parametrize("chosen", [0, 1, 3])
def test_lookup_of_many_flags_in_narrow_integers(chosen, rng):
    """NumPy widens them in pieces; of a single one that is True it is told by comparison."""
    table, index = np.zeros(LENGTH, bool), rng.integers(0, LENGTH, (3, 200_000)).astype(np.uint16)
    table[rng.choice(LENGTH, chosen, replace=False)] = True
    np.testing.assert_array_equal(arrays.lookup(table, index), table[index])
    assert arrays.lookup(table, index.T).shape == (200_000, 3)
    numbers = rng.permutation(LENGTH).astype("u1")
    np.testing.assert_array_equal(arrays.lookup(numbers, index.T), numbers[index.T])


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_search(size, dtype, xp, rng):
    """Values below, on, between and above the edges."""
    edges = np.unique(rng.integers(-1000, 1000, size)).astype(dtype)
    values = np.concatenate([edges - 1, edges, edges + 1, [edges[-1] + 5]]).astype(dtype)
    search = jax.jit(arrays.count_not_above) if xp is jax.numpy else arrays.count_not_above
    found = to_numpy(search(xp.asarray(edges), xp.asarray(values)))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [np.sum(edges <= v) for v in values])


@pytest.mark.parametrize("length", [1, 9, 10, 20, 23])
def test_pieces(length, xp):
    """Whole, in two, and with a rest; an input may be missing."""
    x = np.arange(float(length), dtype=np.float32)

    def total(x, missing):
        assert missing is None
        return xp.sum(x)

    def run(x):
        return arrays.fold_pieces(total, lambda a, b: a + b, lambda state: xp.zeros(state.shape), x, None, size=10)

    run = jax.jit(run) if xp is jax.numpy else run
    assert float(run(xp.asarray(x))) == x.sum()


def test_the_scope_is_that_of_the_caller():
    assert arrays.widest_float(jax.numpy) == np.float32
    assert arrays.widest_integer(jax.numpy) == np.int32
    assert arrays.widest_float(np) == np.float64
    with arrays.wide_scope(jax.numpy.zeros(1)):
        assert arrays.widest_float(jax.numpy) == np.float64
        assert arrays.widest_integer(jax.numpy) == np.int64
    with arrays.wide_scope(np.zeros(1)):
        assert arrays.widest_float(jax.numpy) == np.float32

    @jax.jit
    def traced(x):
        with arrays.wide_scope(x):
            return x.astype(arrays.widest_float(jax.numpy))

    assert traced(np.zeros(1, np.float32)).dtype == np.float32

"""Boxes of voxels become one: against loops over the boxes in NumPy."""

import itertools

import numpy as np
import pytest

from lithax.ops import coarsen


def boxes(values, scale):
    """Yield (place, voxels) of every box; what reaches beyond the array repeats its last voxels, as "reflect" does."""
    padded = np.pad(values, [(0, -n % s) for n, s in zip(values.shape, scale, strict=True)], mode="symmetric")
    counts = [n // s for n, s in zip(padded.shape, scale, strict=True)]
    for place in itertools.product(*map(range, counts)):
        yield place, padded[tuple(slice(p * s, (p + 1) * s) for p, s in zip(place, scale, strict=True))].ravel()


def slowly(values, scale, reduce):
    found = {place: reduce(box) for place, box in boxes(values, scale)}
    shape = tuple(m + 1 for m in max(found))
    return np.asarray([found[p] for p in np.ndindex(shape)], values.dtype).reshape(shape)


def most_frequent(box):
    values, counts = np.unique(box, return_counts=True)
    return values[counts.argmax()]  # sorted, so the smallest of several


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "u8"])
@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 2, 2), (4, 2, 4)])
def test_the_mean_of_integers_is_exact(rng, dtype, scale):
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, (8, 4, 8), dtype=dtype, endpoint=True)
    values[:4, :2, :4] = limits.max  # sums that leave the range of the type
    count = int(np.prod(scale))
    # Python's integers have no range: halves go up.
    expected = slowly(values, scale, lambda box: (2 * sum(map(int, box)) + count) // (2 * count))
    np.testing.assert_array_equal(coarsen("mean", scale)(values), expected)


def test_the_mean_leaves_out_what_is_not_a_number(rng):
    values = rng.random((6, 4, 5)).astype("f4")
    values[0, 0, 0] = values[2:4, 2:4, 2:4] = np.nan
    with np.errstate(invalid="ignore"):
        expected = slowly(
            values, (2, 2, 2), lambda box: np.mean(box[~np.isnan(box)]) if not np.isnan(box).all() else np.nan
        )
    assert np.isnan(expected).sum() == 1
    # Eight float32 in [0, 1): a few roundings of 6e-8.
    np.testing.assert_allclose(coarsen()(values), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i8", "bool"])
def test_the_mode(rng, dtype):
    values = rng.integers(0, 3, (6, 5, 4)).astype(dtype)
    np.testing.assert_array_equal(coarsen("mode")(values), slowly(values, (2, 2, 2), most_frequent))


def test_the_first_is_a_voxel_of_the_image(rng):
    values = rng.random((5, 4, 3))
    np.testing.assert_array_equal(coarsen("first", (2, 2, 1))(values), values[::2, ::2])


def test_every_library(xp, rng):
    for method, values in (("mean", rng.random((4, 4, 4), "f4")), ("mode", rng.integers(0, 4, (4, 4, 4), "i4"))):
        made = coarsen(method)(xp.asarray(values))
        np.testing.assert_allclose(np.asarray(made), coarsen(method)(values), rtol=1e-6)
        assert str(made.dtype).endswith(str(values.dtype))


@pytest.mark.parametrize(
    ("method", "scale", "dtype", "error", "words"),
    [
        ("median", 2, "u1", ValueError, "method='median' must be one of 'mean', 'mode', 'first'"),
        ("mean", 0, "u1", ValueError, "scale=0 must be a positive whole number"),
        ("mean", (2, 2), "u1", ValueError, r"scale=\(2, 2\) must be"),
        ("mean", 3, "u1", ValueError, "a box of 27 voxels"),
        ("mean", 2, "bool", TypeError, "use method='mode'"),
        ("mode", 2, "f4", TypeError, "float32 have no mode"),
    ],
)
def test_what_cannot_be(method, scale, dtype, error, words):
    with pytest.raises(error, match=words):
        coarsen(method, scale)(np.zeros((6, 6, 6), dtype))

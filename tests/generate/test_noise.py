"""Hash noise: known answers, every library, every block, and statistics with stated chances of failure."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lithax.generate import hash_noise, hash_words, simulated_ct
from lithax.generate._noise import threefry


def indices(shape, start=(0, 0, 0), xp=np):
    shapes = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    return [xp.reshape(xp.arange(s, s + n), p) for s, n, p in zip(start, shape, shapes, strict=True)]


ZERO, ONES, PI = (0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x243F6A88, 0x85A308D3)


@pytest.mark.parametrize(
    ("rounds", "key", "counter", "expected"),
    [
        (13, ZERO, ZERO, (0x9D1C5EC6, 0x8BD50731)),
        (13, ONES, ONES, (0xFD36D048, 0x2D17272C)),
        (13, (0x13198A2E, 0x03707344), PI, (0xBA3E4725, 0xF27D669E)),
        (20, ZERO, ZERO, (0x6B200159, 0x99BA4EFE)),
        (20, (0x13198A2E, 0x03707344), PI, (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(rounds, key, counter, expected):
    """Test vectors of the generator's authors (Random123, kat_vectors)."""
    words = threefry(key, tuple(np.array([c], np.uint32) for c in counter), rounds)
    assert tuple(int(w[0]) for w in words) == expected


def test_words_are_the_cipher_of_the_indices():
    i, j, k = 5, 2**21 - 1, 0b1010101010101_01010101
    seed = 0x0123456789ABCDEF
    counter = (i | (k % 2**11) << 21, j | (k // 2**11) << 21)
    expected = threefry((0x89ABCDEF, 0x01234567), tuple(np.array([c], np.uint32) for c in counter))
    found = hash_words(seed, *(np.array([n]) for n in (i, j, k)))
    assert [int(w[0]) for w in found] == [int(w[0]) for w in expected]


@pytest.mark.parametrize("seed_value", [0, 7, -1, 0xFEDCBA9876543210])
def test_same_bits_in_every_library(xp, seed_value):
    start = (-2, 1290, 2**21 - 3)  # a halo below the image, and the largest indices
    reference = hash_words(seed_value, *indices((4, 5, 6), start))
    words = hash_words(seed_value, *indices((4, 5, 6), start, xp))
    for word, expected in zip(words, reference, strict=True):
        np.testing.assert_array_equal(np.asarray(word).astype(np.int64), expected.astype(np.int64))


def test_distributions_agree_between_libraries(xp):
    for distribution in ("normal", "uniform"):
        noise = hash_noise(3, *indices((6, 5, 4), xp=xp), distribution=distribution)
        assert noise.dtype == xp.float32
        expected = hash_noise(3, *indices((6, 5, 4)), distribution=distribution)
        # log and cos of float32: a few units in the last place of values below 6
        np.testing.assert_allclose(np.asarray(noise), expected, atol=2e-6)


def test_blocks_of_a_jitted_image_have_the_same_bits():
    shape = (9, 7, 21)
    noise = jax.jit(lambda seed, i, j, k: hash_noise(seed, i, j, k))
    whole = np.asarray(noise(5, *indices(shape, xp=jnp)))
    for start, size in (((0, 0, 0), (4, 7, 8)), ((4, 3, 8), (5, 4, 13)), ((8, 6, 20), (1, 1, 1))):
        part = noise(5, *indices(size, start, jnp))
        box = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        np.testing.assert_array_equal(part, whole[box])


@pytest.mark.parametrize("value", [0, 12, -12, 2**31 - 1])
def test_a_traced_seed_is_the_same_seed(value):
    index = indices((2, 2, 2), xp=jnp)
    traced = jax.jit(lambda s: hash_words(s, *index))(jnp.asarray(value, dtype=jnp.int32))
    for found, expected in zip(traced, hash_words(value, *index), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_double_precision():
    noise = hash_noise(3, *indices((30, 30, 30)), dtype=np.float64)
    assert noise.dtype == np.float64
    np.testing.assert_allclose(noise, hash_noise(3, *indices((30, 30, 30))), atol=1e-3)  # the same 23 leading bits


# Statistics. The seeds are fixed, so a test that passes once passes always; the chance that a good generator would
# fail for a seed is stated.

SHAPE = (64, 64, 64)


@pytest.mark.parametrize("word", [0, 1])
def test_every_bit_of_the_words_is_fair(word):
    values = hash_words(11, *indices(SHAPE))[word]
    n = values.size
    for bit in range(32):
        ones = int(((values >> bit) & 1).sum())
        assert abs(ones - n / 2) < 4.5 * math.sqrt(n) / 2  # 7e-6 per bit


def test_uniform_passes_chi_square():
    values = hash_noise(12, *indices(SHAPE), distribution="uniform")
    assert values.min() > 0
    assert values.max() < 1
    counts = np.bincount((values * 256).astype(int).ravel(), minlength=256)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    assert scipy.stats.kstest(values.ravel(), "uniform").pvalue > 1e-4


def test_normal_has_the_moments_of_the_normal_distribution():
    values = hash_noise(13, *indices(SHAPE)).astype(np.float64).ravel()
    n = values.size
    # Five standard errors of each moment: 6e-7 each.
    assert abs(values.mean()) < 5 / math.sqrt(n)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.mean(values**3)) < 5 * math.sqrt(15 / n)
    assert abs(np.mean(values**4) - 3) < 5 * math.sqrt(96 / n)
    assert scipy.stats.kstest(values, "norm").pvalue > 1e-4
    assert np.abs(values).max() < 5.8


@pytest.mark.parametrize(
    "shift", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (0, 1, -1), (32, 0, 0), (0, 0, 32)]
)
def test_neighbours_are_uncorrelated(shift):
    values = hash_noise(14, *indices(SHAPE)).astype(np.float64)
    moved = hash_noise(14, *indices(SHAPE, shift)).astype(np.float64)
    for a, b in ((values, moved), (values**2, moved**2)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)  # 6e-7


def test_indices_are_not_interchangeable():
    a = hash_noise(15, *indices((16, 16, 16)))
    assert abs(np.corrcoef(a.ravel(), a.transpose(1, 0, 2).ravel())[0, 1]) < 0.15  # the diagonal alone gives 1/16
    assert abs(np.corrcoef(a.ravel(), a.transpose(2, 1, 0).ravel())[0, 1]) < 0.15
    # A linear index would repeat here, in 32 bits, for an image of 2048 voxels along each axis.
    low, high = (hash_words(15, *indices((1, 1, 8), (i, 0, 0)))[0] for i in (0, 1024))
    assert not np.any(low == high)


def test_seeds_are_independent():
    values = [hash_noise(s, *indices((32, 32, 32))).ravel() for s in (0, 1, 2, -1, 2**32, 2**63)]
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 5 / math.sqrt(32**3)  # 15 pairs: 9e-6


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"seed": 1.5}, TypeError, "seed=1.5 must be an integer"),
        ({"i": np.zeros((1, 1, 1))}, TypeError, "i must be an array of integers"),
        ({"k": 3}, TypeError, "k must be an array of integers"),
        ({"distribution": "poisson"}, ValueError, "distribution='poisson' must be"),
        ({"dtype": np.float16}, ValueError, "dtype=.*must be float32 or float64"),
    ],
)
def test_refuses(change, kind, message):
    good = dict(zip("ijk", indices((2, 2, 2)), strict=True)) | {"seed": 0}
    with pytest.raises(kind, match=message):
        hash_noise(**good | change)


# Simulated CT


def test_simulated_ct_has_the_levels_and_the_noise_asked_for(xp):
    fraction = xp.asarray(np.arange(24**3).reshape((24,) * 3) % 2 == 0)
    grey = simulated_ct(fraction, *indices((24,) * 3, xp=xp), seed=4, pore=100.0, grain=300.0, noise=0.05)
    assert grey.dtype == xp.float32
    grey, solid = np.asarray(grey), np.asarray(fraction)
    n = solid.sum()
    for level, values in ((300, grey[solid]), (100, grey[~solid])):
        assert abs(values.mean() - level) < 5 * 10 / math.sqrt(n)  # 6e-7
        assert abs(values.std() - 10) < 5 * 10 / math.sqrt(2 * n)


def test_simulated_ct_as_integers(xp):
    fraction = xp.asarray(np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3))
    index = indices((3, 3, 3), xp=xp)
    exact = np.asarray(simulated_ct(fraction, *index, seed=4, pore=1000, grain=40000, noise=0.5))
    grey = simulated_ct(fraction, *index, seed=4, pore=1000, grain=40000, noise=0.5, dtype=xp.uint16)
    assert grey.dtype == xp.uint16
    np.testing.assert_array_equal(np.asarray(grey), np.clip(np.round(exact), 0, 65535).astype(np.uint16))
    largest = simulated_ct(fraction + 1, *index, seed=4, pore=0, grain=1e12, noise=0, dtype=xp.int32)
    assert np.asarray(largest).min() > 2**31 - 256  # saturated, not wrapped

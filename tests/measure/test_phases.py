"""Porosity, phase fractions and profiles against counting by hand."""

import jax
import numpy as np
import pytest

from lithax import measure
from lithax.ops import Context

from .cases import grey

SHAPE = (8, 9, 10)
DTYPES = [np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_fractions(dtype, rng):
    x = rng.integers(0, 2 if dtype == np.bool_ else 5, SHAPE).astype(dtype)
    where = rng.random(SHAPE) < 0.6
    result = measure.phase_fractions(x, where)
    values, counts = np.unique(x[where].astype(int), return_counts=True)
    assert result.counts == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert (result.other, result.total) == (0, where.sum())
    assert result[1] == counts[1] / where.sum()
    np.testing.assert_allclose(sum(result.fractions.values()), 1, rtol=1e-15)  # rounding


def test_fractions_of_named_phases(xp, rng):
    x = rng.integers(0, 5, SHAPE).astype(np.uint8)
    result = measure.phase_fractions(xp.asarray(x), phases=[3, 1, 300])
    assert result.counts == {1: np.sum(x == 1), 3: np.sum(x == 3), 300: 0}
    assert result.other == x.size - np.sum(x == 1) - np.sum(x == 3)


def test_huge_labels_need_no_huge_table():
    labels = np.asarray([[[0, 2**32 - 1, 2**32 - 1, 2**31]]], np.uint32)
    for given in (labels, jax.numpy.asarray(labels)):
        assert measure.phase_fractions(given).counts == {0: 1, 2**31: 1, 2**32 - 1: 2}


def test_a_phase_beyond_the_dtype_is_nowhere():
    """Not wrapped to a label that is there."""
    labels = np.asarray([[[0, 1, 44, 2**31 - 1]]], np.int32)
    for given in (
        labels,
        jax.numpy.asarray(labels),
        labels.astype(np.uint8),
        jax.numpy.asarray(labels.astype(np.uint8)),
    ):
        counts = measure.phase_fractions(given, phases=(300, 2**32, 2**32 + 44, 2**40)).counts
        assert set(counts.values()) == {0}


def test_fractions_of_nothing():
    result = measure.phase_fractions(np.ones(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    assert (result.counts, result.total) == ({}, 0)


@pytest.mark.parametrize("phase", [0, (0, 3), {7}, np.asarray([0, 1, 2]), range(40)])
def test_porosity(phase, xp, rng):
    x = rng.integers(0, 5, SHAPE).astype(np.uint16)
    where = rng.random(SHAPE) < 0.6
    result = measure.porosity(xp.asarray(x.copy()), phase, where=xp.asarray(where))
    pore = np.isin(x[where], np.atleast_1d(np.asarray(list(phase) if np.iterable(phase) else phase)))
    assert (result.pore_voxels, result.voxels) == (pore.sum(), where.sum())
    assert float(result) == result.porosity == pore.mean()
    assert str(result) == f"{result.porosity:.6g} ({pore.sum()} of {pore.size} voxels)"


def test_porosity_of_booleans(rng):
    pore = rng.random(SHAPE) < 0.3
    assert measure.porosity(pore).porosity == pore.mean()
    assert measure.porosity(pore, False).porosity == 1 - pore.mean()
    assert measure.porosity(pore, 1).pore_voxels == pore.sum()


def test_porosity_does_not_guess():
    with pytest.raises(ValueError, match=r"pore_phase is missing.*pore_phase=0"):
        measure.porosity(np.ones(SHAPE, np.uint8))
    with pytest.raises(ValueError, match=r"pore_phase is missing"):
        measure.Porosity().of(np.ones(SHAPE, np.uint8))
    with pytest.raises(TypeError, match=r"unsigned integers or booleans"):
        measure.porosity(np.ones(SHAPE))
    with pytest.raises((TypeError, ValueError), match=r"phases"):
        measure.porosity(np.ones(SHAPE, np.uint8), "pore")


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.bool_])
def test_profile(axis, dtype, xp, rng):
    x = grey(rng, SHAPE).astype(dtype)
    where = rng.random(SHAPE) < 0.6
    where[3], where[:, 4], where[:, :, 5] = False, False, False
    result = measure.profile(xp.asarray(x.copy()), axis, where=xp.asarray(where))
    others = tuple(a for a in range(3) if a != axis % 3)
    assert result.axis == axis % 3
    np.testing.assert_array_equal(result.count, where.sum(others))
    inside = result.count > 0
    expected = np.where(where, x, 0).sum(others, dtype=np.float64)[inside] / result.count[inside]
    np.testing.assert_allclose(result.mean[inside], expected, rtol=1e-13)  # order of addition
    assert np.isnan(result.mean[~inside]).all()
    assert (~inside).sum() == 1


@pytest.mark.parametrize("axis", [0, 2])
def test_profile_from_blocks_that_overhang(axis, rng):
    """Blocks of one shape and a traced offset; the last ones are filled up beyond the image."""
    x = grey(rng, SHAPE).astype(np.float64)
    edge = 4
    measurement = measure.Profile(axis)
    padded = np.pad(x, [(0, -n % edge) for n in SHAPE], mode="edge")
    inside = np.pad(np.ones(SHAPE, bool), [(0, -n % edge) for n in SHAPE])

    def of(block, valid, offset):
        return measurement.of(block, valid=valid, block=Context((offset[0], offset[1], offset[2]), SHAPE))

    with jax.enable_x64(True):
        of = jax.jit(of)
        state = None
        for start in np.ndindex(*(n // edge for n in padded.shape)):
            box = tuple(slice(edge * s, edge * s + edge) for s in start)
            part = jax.tree.map(np.asarray, of(padded[box], inside[box], edge * np.asarray(start)))
            state = part if state is None else measurement.combine(state, part)
    result = measurement.finish(state)
    others = tuple(a for a in range(3) if a != axis)
    np.testing.assert_allclose(result.mean, x.mean(others), rtol=1e-13)  # order of addition
    assert (result.count == x.size // SHAPE[axis]).all()


def test_nan_stays_in_its_slice():
    x = np.ones(SHAPE)
    x[3, 4, 5] = np.nan
    assert np.flatnonzero(np.isnan(measure.profile(x, 0).mean)).tolist() == [3]


@pytest.mark.parametrize("axis", [3, -4, "w", 1.0, True])
def test_axes_that_there_are_not(axis):
    with pytest.raises((TypeError, ValueError), match=r"axis"):
        measure.profile(np.ones(SHAPE), axis)

"""Is every measurement a monoid, and the same whichever library holds the voxels?"""

import equinox as eqx
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from lithax import measure
from lithax.arrays import to_numpy
from lithax.ops import Context
from lithax.testing import assert_monoid

from .cases import CASES, every_case

SMALL = (4, 5, 6)
LONG = (41, 40, 42)  # two pieces and a rest
# float64 sums of some 10⁵ numbers of order 10² in another order: 10⁵ · 2⁻⁵³ relative, at most.
SUMS = 1e-10


def moved(xp, values):
    """The arrays in a library; torch cannot hold read-only memory."""
    return xp.asarray(values.copy())


def in_blocks(case):
    return {"block": Context((0, 0, 0), SMALL)} if case.measurement.context else {}


@every_case
def test_the_division_of_the_voxels_does_not_matter(case, seed, rng):
    assert_monoid(case.measurement, *case.arrays(rng, SMALL), **case.parameters, seed=seed, rtol=SUMS)


@every_case
def test_pieces_and_a_rest_are_the_whole(case, seed, rng):
    """Blocks longer than a piece, where NumPy goes piece by piece."""
    assert_monoid(case.measurement, *case.arrays(rng, LONG), **case.parameters, seed=seed, rtol=SUMS)


@every_case
def test_every_library(case, xp, rng):
    """The state of a block, some of it left out, against NumPy."""
    arrays = case.arrays(rng, SMALL)
    valid = rng.random(SMALL) < 0.7
    before = tuple(case.parameters.values())
    expected = case.measurement.of(*before, *arrays, valid=valid, **in_blocks(case))
    if xp is jax.numpy:
        found = traced(case.measurement, before, arrays, valid, in_blocks(case))
    else:
        given = tuple(moved(xp, x) for x in arrays)
        found = case.measurement.of(*before, *given, valid=moved(xp, valid), **in_blocks(case))
    assert found.keys() == expected.keys()
    for name in expected:
        # Counts and extremes are equal; sums of 120 numbers differ by the order of addition.
        np.testing.assert_allclose(to_numpy(found[name]), expected[name], rtol=1e-13, err_msg=name)


def traced(measurement, before, arrays, valid, keywords):
    """As the combinators call it: compiled in an x64 scope, the arrays in the measurement traced."""
    dynamic, static = eqx.partition(measurement, eqx.is_array)

    def of(dynamic, blocks, valid):
        return eqx.combine(dynamic, static).of(*before, *blocks, valid=valid, **keywords)

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(of)(dynamic, [jax.numpy.asarray(x) for x in arrays], valid))


LONG_CASES = ["histogram", "histogram per phase", "values", "moments", "minimum and maximum, finite", "profile along x"]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in LONG_CASES], ids=str)
def test_pieces_compiled(case, rng):
    """The loop over pieces on JAX, against NumPy."""
    arrays = case.arrays(rng, LONG)
    valid = rng.random(LONG) < 0.7
    expected = case.measurement.of(*arrays, valid=valid)
    found = traced(case.measurement, (), arrays, valid, {})
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=SUMS, err_msg=name)


EAGER = ["histogram per phase", "moments", "sum", "profile along z", "mean squared error of a model"]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in EAGER], ids=str)
def test_a_jax_array_without_a_scope(case, rng):
    """Called on arrays, a measurement keeps float64 sums on JAX too, and leaves the global setting alone."""
    arrays = case.arrays(rng, SMALL)
    before = tuple(case.parameters.values())
    measured = case.measurement(*before, *(jax.numpy.asarray(x) for x in arrays))
    if isinstance(measured, jax.Array):
        assert measured.dtype == np.float64
    assert jax.numpy.zeros(1).dtype == np.float32


@hypothesis.given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30),
    cuts=st.tuples(st.integers(0, 29), st.integers(0, 29)),
)
@hypothesis.settings(max_examples=40)
def test_moments_of_any_division(values, cuts):
    """Also of empty parts, and of parts of one voxel."""
    x = np.asarray(values)
    numbers = np.arange(x.size)
    low, high = sorted(cut % x.size for cut in cuts)
    measurement = measure.Moments()
    parts = [numbers < low, (numbers >= low) & (numbers < high), numbers >= high]
    a, b, c = (measurement.of(x, valid=part) for part in parts)
    combine = measurement.combine
    for state in (combine(combine(a, b), c), combine(a, combine(b, c))):
        result = measurement.finish(state)
        # Rounding of the mean, relative to the largest value, squared for the variance.
        scale = np.abs(x).max() + 1e-300
        np.testing.assert_allclose(result.mean, x.mean(), rtol=0, atol=1e-13 * scale)
        np.testing.assert_allclose(result.variance, x.var(), rtol=0, atol=1e-13 * scale**2)


@every_case
def test_one_state_serves_a_single_block(case, rng):
    """`finish` of what `of` returned, not combined with anything."""
    arrays = case.arrays(rng, SMALL)
    before = tuple(case.parameters.values())
    case.measurement.finish(case.measurement.of(*before, *arrays, **in_blocks(case)))


def test_a_result_inside_a_compiled_function_is_refused():
    with pytest.raises(TypeError, match=r"inside the compiled function"):
        jax.jit(lambda x: measure.Moments()(x))(np.ones((2, 2, 2)))


@pytest.mark.parametrize(
    ("arrays", "valid", "error", "message"),
    [
        ([np.ones((2, 0, 3))], None, ValueError, "holds no voxel"),
        ([np.ones((2, 2, 2)), np.ones((2, 2, 3))], None, ValueError, "one shape"),
        ([np.ones((2, 2, 2))], np.ones((2, 2), bool), ValueError, "valid"),
        ([np.ones((2, 2, 2))], np.ones((2, 2, 2)), TypeError, "booleans"),
        ([np.ones((2, 2, 2), complex)], None, TypeError, "complex"),
    ],
)
def test_what_cannot_be_measured_is_named(arrays, valid, error, message):
    with pytest.raises(error, match=message):
        measure.Count()(*arrays, valid=valid) if len(arrays) > 1 else measure.MinimumMaximum()(*arrays, valid=valid)


def test_a_broken_measurement_is_found():
    class Forgetful(measure.Sum):
        def combine(self, a, b):
            return b

    with pytest.raises(AssertionError, match=r"not the whole"):
        assert_monoid(Forgetful(), np.arange(24.0).reshape(2, 3, 4))

    class Careless(measure.Sum):
        def of(self, image, *, valid=None):
            return {"sum": image.sum() if valid is None else (image * valid).sum()}

    with pytest.raises(AssertionError):
        assert_monoid(Careless(), np.arange(24.0).reshape(2, 3, 4))

"""An operation on a whole JAX array is one compiled function; what is the user's runs as it stands."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lithax as lx
from lithax.arrays import is_kept
from lithax.ops._whole_jax_arrays import _compiled

SHAPE = (7, 6, 5)
GAIN = 1.0


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.standard_normal(SHAPE), jnp.float32)


def compiled_by(call):
    """Return how many programs a call adds, and what it returns."""
    before = _compiled()._cache_size()
    out = call()
    return _compiled()._cache_size() - before, out


def test_equal_calls_share_a_program_that_is_the_compiled_function(x):
    added, found = compiled_by(lambda: lx.ops.gaussian(x, sigma=0.61))
    assert added == 1
    np.testing.assert_array_equal(found, jax.jit(lambda v: lx.ops.gaussian(v, sigma=0.61))(x))
    assert compiled_by(lambda: lx.ops.gaussian(x + 1, sigma=0.61))[0] == 0
    assert compiled_by(lambda: lx.ops.gaussian(x, sigma=0.62))[0] == 1
    assert compiled_by(lambda: lx.ops.gaussian(x, sigma=0.61, boundary="wrap"))[0] == 1


def test_voxels_left_out_influence_nothing(x, rng):
    valid = rng.random(SHAPE) < 0.6
    added, found = compiled_by(lambda: lx.ops.uniform(jnp.where(valid, x, jnp.nan), size=3, valid=jnp.asarray(valid)))
    assert added == 1
    expected = lx.ops.uniform(np.where(valid, np.asarray(x), np.nan), size=3, valid=valid)
    np.testing.assert_allclose(np.asarray(found)[valid], expected[valid], rtol=1e-5)  # float32: sums of up to 27


def test_wrong_arguments_are_the_same_errors(x):
    with pytest.raises(ValueError, match="radius=-1"):
        lx.ops.median(x, radius=-1)
    with pytest.raises(ValueError, match="three axes"):
        lx.ops.gaussian(x[0], sigma=0.5)


def test_what_is_the_users_sees_what_has_changed(x, monkeypatch):
    step = lx.chain(lambda v: v * GAIN, lambda v: -v)
    stencil = lx.voxel_op(lambda v: GAIN * (v[2:] - v[:-2]), halo=(1, 0, 0))
    first = [step(x), stencil(x)]
    monkeypatch.setitem(globals(), "GAIN", 2.0)
    assert compiled_by(lambda: stencil(x))[0] == 0
    np.testing.assert_array_equal(stencil(x), 2 * first[1])
    np.testing.assert_array_equal(step(x), 2 * first[0])


def test_64_bits_stay(rng):
    values = rng.standard_normal(SHAPE)
    with jax.enable_x64(True):
        wide = jnp.asarray(values)
        inside = lx.ops.gaussian(wide, sigma=0.7)
        assert compiled_by(lambda: lx.ops.gaussian(wide, sigma=0.7))[0] == 0
        assert is_kept(wide)
        twice = jnp.asarray(values, jnp.complex128)
    assert not is_kept(wide)
    assert not is_kept(twice)
    single = jnp.asarray(values, jnp.complex64)  # 64 bits, and kept: two numbers of 32
    assert compiled_by(lambda: lx.ops.gaussian(single, sigma=0.71))[0] == 1
    assert inside.dtype == jnp.float64
    np.testing.assert_allclose(inside, lx.ops.gaussian(values, sigma=0.7), rtol=0, atol=1e-14)  # sums near zero cancel

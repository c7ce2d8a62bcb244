"""Arrays to be written over: of the right kind, never more than a few, and none inside of compiled functions."""

import jax
import numpy as np
from jax import numpy as jnp

from lithax.solve._spares import give, spare_of, spares_for


def test_a_result_is_written_over_a_spare_array_of_its_kind():
    x = jnp.arange(6, dtype="f4").reshape(2, 3)
    spares = spares_for(x)
    other, old = jnp.zeros(4), jnp.full((2, 3), 7, "f4")
    give(spares, other, old)
    twice = jax.jit(lambda x, spare: 2 * x, donate_argnames="spare", keep_unused=True)
    place = old.unsafe_buffer_pointer()
    found = twice(x, spare_of(spares, x))
    assert found.unsafe_buffer_pointer() == place
    assert old.is_deleted()
    assert not other.is_deleted()
    np.testing.assert_array_equal(found, 2 * np.arange(6).reshape(2, 3))
    assert spare_of(spares, x).shape == (2, 3)  # made, where none is left


def test_only_a_few_are_kept():
    x = jnp.zeros(3)
    spares = spares_for(x)
    kept = [x + n for n in range(12)]
    give(spares, *kept)
    taken = [spare_of(spares, x) for _ in range(12)]
    assert sum(any(one is k for k in kept) for one in taken) == 8


def test_there_are_none_inside_of_compiled_functions():
    @jax.jit
    def traced(x):
        assert spares_for(x) is None
        assert spare_of(None, x) is None
        return x

    traced(jnp.zeros(3))

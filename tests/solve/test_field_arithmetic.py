"""Sums of a flow's fields, on one device; over devices in `tests/sharded`."""

from functools import partial

import jax
import numpy as np

from lithax.solve._field_arithmetic import summed_in_planes


def test_sums_in_planes(rng):
    a, b = rng.normal(size=(2, 5, 4, 7)).astype("f4")
    found = jax.jit(partial(summed_in_planes, lambda a, b: a * b + b))(a, b)
    exact = np.sum(np.float64(a) * b + b, axis=(0, 2))
    np.testing.assert_allclose(found, exact, atol=1e-4)  # float32


def test_no_array_is_written_for_a_sum_in_planes():
    """The compiler's own account: two planes, not the product."""
    x = jax.ShapeDtypeStruct((64, 64, 64), np.float32)
    compiled = jax.jit(partial(summed_in_planes, lambda a, b, c: a * (b + c))).lower(x, x, x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 64**3

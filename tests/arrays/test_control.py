"""Branches, loops and fences do the same on every library, traced or not."""

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import cond, fence, fori_loop


def powers(start, stop, x):
    return fori_loop(start, stop, lambda i, state: (state[0] * 2, state[1] + i), (x, 0))


def test_a_loop(xp):
    x, total = powers(1, 4, xp.asarray([1.0, 3.0]))
    np.testing.assert_array_equal(np.asarray(x), [8.0, 24.0])
    assert int(total) == 6


def test_a_loop_with_traced_bounds():
    x, total = jax.jit(powers)(1, 4, jnp.asarray([1.0, 3.0]))
    np.testing.assert_array_equal(x, [8.0, 24.0])
    assert int(total) == 6
    x, _ = jax.jit(powers)(4, 4, jnp.asarray([1.0, 3.0]))
    np.testing.assert_array_equal(x, [1.0, 3.0])


def test_a_branch():
    def either(condition, x):
        return cond(condition, lambda v: v + 1, lambda v: v - 1, x)

    x = np.asarray([1.0, 2.0], np.float32)
    for condition in (True, False):
        expected = x + 1 if condition else x - 1
        np.testing.assert_array_equal(either(condition, x), expected)
        np.testing.assert_array_equal(either(np.bool_(condition), x), expected)
        np.testing.assert_array_equal(jax.jit(either)(condition, x), expected)


def test_a_branch_that_is_not_taken_is_not_run_eagerly():
    assert cond(True, lambda: 1, lambda: 1 / 0) == 1


def test_a_fence_changes_nothing_but_the_compilation(xp):
    x = xp.asarray([1.0, -2.0])
    assert fence(x) is x
    passed = jax.jit(lambda v: fence(v * 2) + fence(v))
    np.testing.assert_array_equal(passed(np.asarray([1.0, -2.0], np.float32)), [3.0, -6.0])


def test_derivatives_pass_a_fence():
    def square(v):
        return (fence(v) * v).sum()

    x = jnp.asarray([1.0, -2.0])
    np.testing.assert_array_equal(jax.grad(square)(x), [2.0, -4.0])
    np.testing.assert_array_equal(jax.jit(jax.grad(square))(x), [2.0, -4.0])
    np.testing.assert_array_equal(jax.jit(jax.vmap(fence))(x), x)
    _, tangent = jax.jvp(jax.jit(square), (x,), (jnp.ones(2),))
    np.testing.assert_array_equal(tangent, -2.0)

"""Branches, loops and fences do the same on every library, traced or not."""

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import at_once, cond, fence, fori_loop, is_traced


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


def test_a_rule_of_a_derivative_runs_at_once_where_nothing_is_traced():
    seen = []

    @jax.custom_jvp
    def double(v):
        return 2 * v

    @double.defjvp
    def _(primals, tangents):
        with at_once(primals):
            seen.append(jax.jit(lambda v: 2 * v)(primals[0]))
        return seen[-1], 2 * tangents[0]

    x = jnp.asarray([1.0, -2.0])
    for gradient in (jax.grad(lambda v: (double(v) * v).sum()), jax.jit(jax.grad(lambda v: (double(v) * v).sum()))):
        np.testing.assert_array_equal(gradient(x), 4 * x)
    assert not is_traced(seen[0])
    assert is_traced(seen[1])

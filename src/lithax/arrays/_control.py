"""Branches, loops and fences: the compiled form on JAX, plain Python elsewhere."""

import contextlib
from collections.abc import Callable
from typing import Any

from lithax.arrays._namespace import is_traced
from lithax.typing import Array


def cond(condition: Any, if_true: Callable, if_false: Callable, *operands: Any) -> Any:
    """Run one of two functions; a traced condition becomes a branch of the compiled function."""
    if is_traced(condition):
        from jax import lax

        return lax.cond(condition, if_true, if_false, *operands)
    return if_true(*operands) if bool(condition) else if_false(*operands)


def fori_loop(start: Any, stop: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
    """Run ``state = body(i, state)`` for i from start up to stop; traced bounds become a loop of
    the compiled function.
    """
    if is_traced(start) or is_traced(stop):
        from jax import lax

        return lax.fori_loop(start, stop, body, state)
    for i in range(int(start), int(stop)):
        state = body(i, state)
    return state


def repeat_loop(times: int, body: Callable[[Any], Any], state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Run ``state = body(state)`` a known number of times; of traced arrays it becomes a loop of
    the compiled function.

    Such a loop can be differentiated.
    """
    if times and any(map(is_traced, state)):
        from jax import lax

        return lax.fori_loop(0, times, lambda _, s: body(s), state)
    for _ in range(times):
        state = body(state)
    return state


def at_once(*values: Any) -> Any:
    """Give a context in which functions of JAX run at once, if none of the values is traced.

    The rule of a custom derivative sees plain arrays, but each call of a compiled function in it is
    looked at for what depends on tangents, which takes a millisecond. What no derivative goes
    through need not be.
    """
    from jax import core, tree

    return contextlib.nullcontext() if any(map(is_traced, tree.leaves(values))) else core.eval_context()


def settled(x: Array) -> Array:
    """Wait for an array that lies over several CPU devices, outside of compiled functions.

    Their threads take part in one program at a time: two that are begun together may wait for each
    other's messages for ever.
    """
    sharding = None if is_traced(x) else getattr(x, "sharding", None)
    devices = () if sharding is None else sharding.device_set
    if len(devices) > 1 and next(iter(devices)).platform == "cpu":
        x.block_until_ready()
    return x


def fence(x: Array) -> Array:
    """Keep the compiler from fusing what made `x` into what uses it.

    XLA on the CPU fuses a stencil into every shifted use of its result and computes it again for
    each. A branch whose outcome it does not see through is a border that it keeps; an optimisation
    barrier around the result itself is not.
    Outside of a compiled function what `settled` does.
    """
    if not is_traced(x):
        return settled(x)
    from jax import lax
    from jax import numpy as jnp

    def fenced(v: Array) -> Array:
        return lax.cond(lax.optimization_barrier(jnp.asarray(True)), lambda w: w, jnp.zeros_like, v)

    return fenced(x) if _only_cpus() else lax.platform_dependent(x, cpu=fenced, default=lambda v: v)


def _only_cpus() -> bool:
    # Where no other device can run a program, a second form of every stage is traced for nothing.
    # Exported to another platform the program is right, too; its fences are only not needed.
    import jax

    return jax.default_backend() == "cpu"


def stage(function: Callable[..., Array], *operands: Any) -> Array:
    """Return ``function(*operands)``, one array, which the compiler does not fuse into what uses
    it.

    The function is the branch of the `fence`, so that what it makes is written once, where it
    stays; a fence around the result copies it. One that was passed through `jax.jit` is traced once
    for all stages of equal shapes.
    """
    if not any(map(is_traced, operands)):
        return settled(function(*operands))
    import jax
    from jax import lax
    from jax import numpy as jnp

    def plain(*operands: Any) -> Array:  # methods of modules of arrays cannot be hashed
        return function(*operands)

    run = function if isinstance(function, jax.stages.Wrapped) else jax.jit(plain)
    made = jax.eval_shape(run, *operands)

    def staged(*operands: Any) -> Array:
        nothing = lambda *_: jnp.zeros(made.shape, made.dtype)  # noqa: E731
        return lax.cond(lax.optimization_barrier(jnp.asarray(True)), run, nothing, *operands)

    return staged(*operands) if _only_cpus() else lax.platform_dependent(*operands, cpu=staged, default=run)

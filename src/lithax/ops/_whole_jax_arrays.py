"""One compiled function for an operation on whole JAX arrays, outside of the user's own compiled
functions.

Step by step JAX would compile and store every shifted slice of a stencil by itself, which takes ten
to thirty times as long. Compiled as one are our own stencils, with plain parameters; what is the
user's may read what has changed since, and runs as it stands.
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from lithax.arrays import is_jax, is_kept, is_traced
from lithax.ops._plain_key import plain_key
from lithax.ops._step import AbstractRepetition
from lithax.typing import Array

if TYPE_CHECKING:
    from lithax.ops._program import Program


def compiled_on_arrays(program: "Program", arrays: Sequence[Array], valid: Array | None) -> Callable[[], Any] | None:
    """Return the call that applies a program to JAX arrays as one compiled function; None where it
    runs step by step.
    """
    given = (*arrays, *(() if valid is None else (valid,)))
    if not all(map(is_jax, arrays)) or any(map(is_traced, given)) or not any(map(any, program.halos(len(arrays)))):
        return None
    if not all(map(is_kept, arrays)):
        return None
    key = _key_of(program)
    if key is None:
        return None
    return functools.partial(_compiled(), _Known(program, key), *arrays, valid=valid)


class _Known:
    """A program that is compiled once, however often an equal one is made."""

    def __init__(self, program: "Program", key: Hashable):
        self.program, self.key = program, key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.key == other.key


@functools.cache
def _compiled() -> Callable[..., Any]:
    import jax

    def on_arrays(known: _Known, *arrays: Any, valid: Any) -> Any:
        return known.program.on_arrays(*arrays, valid=valid)

    return jax.jit(on_arrays, static_argnums=0)


def _key_of(program: "Program") -> Hashable | None:
    steps = []
    for step in program.steps:
        if isinstance(step.op, AbstractRepetition):
            inner = _key_of(step.op.inner)
            if inner is None:
                return None
            steps.append((step.op.times, inner))
            continue
        body = getattr(step.op, "body", None)
        if not getattr(body, "__module__", "").startswith("lithax.ops.") or step.op.context or step.op.host:
            return None
        values = [
            *sorted(step.parameters.items()),
            ("boundary", step.boundary),
            ("boundary_value", step.boundary_value),
        ]
        keys = [(name, plain_key(value)) for name, value in values]
        if any(key is None for _, key in keys):
            return None
        steps.append((body, tuple(keys)))
    return tuple(steps)

"""Tell what is constant in a program from what is an argument of the compiled function."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.ops import PlainFunction, Program, Step


def lift(program: Program, selects: bool = False) -> tuple[list[Any], Hashable, Callable[[Sequence[Any]], Program]]:
    """Return the arrays of a program, a key of everything else, and the way back.

    Arrays among the parameters (and in a function that is an equinox module) become arguments, so that a sweep compiles
    once; Python numbers and functions are constants, compared by value and by identity. Boundary rules count only where
    the function applies them itself (`selects`: whether voxels are selected); otherwise blocks are read by them.
    """
    parts = []
    for step in program.steps:
        function = step.op.function if isinstance(step.op, PlainFunction) else None
        arguments = step.op.arguments if isinstance(step.op, PlainFunction) else ()
        parts.append((function if isinstance(function, eqx.Module) else None, arguments, dict(step.parameters)))
    leaves, structure = jax.tree_util.tree_flatten(parts, is_leaf=lambda x: x is None)
    dynamic = [leaf for leaf in leaves if _is_argument(leaf)]
    fixed = [None if _is_argument(leaf) else leaf for leaf in leaves]
    where = [_is_argument(leaf) for leaf in leaves]
    key = (
        structure,
        tuple(_hashable(leaf) for leaf in fixed),
        tuple(where),
        tuple(map(_step_key, program.steps)),
        tuple(rule and (*rule[:-1], _hashable(rule[-1])) for rule in program.compiled_rules(selects)),
    )

    def rebuild(arrays: Sequence[Any]) -> Program:
        supply = iter(arrays)
        filled = [next(supply) if w else leaf for w, leaf in zip(where, fixed, strict=True)]
        steps = []
        for step, (function, arguments, parameters) in zip(
            program.steps, jax.tree_util.tree_unflatten(structure, filled), strict=True
        ):
            op = step.op
            if isinstance(op, PlainFunction):
                op = PlainFunction(op.function if function is None else function, op.halo, tuple(arguments))
            steps.append(replace(step, op=op, parameters=parameters))
        return Program(tuple(steps))

    return dynamic, key, rebuild


def _is_argument(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array)


def _hashable(leaf: Any) -> Hashable:
    # 1, 1.0 and True are equal but compile to different functions; nan differs from itself.
    if isinstance(leaf, float | np.floating):
        return type(leaf), repr(leaf)
    try:
        hash(leaf)
    except TypeError:
        return _IdentityKey(leaf)
    return type(leaf), leaf


class _IdentityKey:
    """A key for what has no hash: equal to itself only, and keeping it alive."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _IdentityKey) and other.value is self.value


def _step_key(step: Step) -> Hashable:
    op = step.op
    if not isinstance(op, PlainFunction):
        return op.body, None
    return type(op.function) if isinstance(op.function, eqx.Module) else op.function, repr(op.halo)

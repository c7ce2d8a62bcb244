"""Tell what is constant in a program, or in a measurement, from what is an argument of the compiled
function.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.chunked._function_state import function_state
from lithax.chunked._jaxpr_key import IdentityKey
from lithax.ops import AbstractRepetition, PlainFunction, Program, Step, plain_key


def lift_tree(tree: Any) -> tuple[list[Any], Hashable, Callable[[Sequence[Any]], Any]]:
    """Return the arrays of a pytree, a key of everything else, and the way back from arrays to the
    pytree.

    Python numbers are constants, compared by value; functions by identity and by what they depend
    on.
    """
    leaves, structure = jax.tree_util.tree_flatten(tree, is_leaf=lambda x: x is None)
    where = [isinstance(leaf, np.ndarray | jax.Array) for leaf in leaves]
    arrays = [leaf for w, leaf in zip(where, leaves, strict=True) if w]
    fixed = [None if w else leaf for w, leaf in zip(where, leaves, strict=True)]

    def rebuild(arrays: Sequence[Any]) -> Any:
        supply = iter(arrays)
        filled = [next(supply) if w else leaf for w, leaf in zip(where, fixed, strict=True)]
        return jax.tree_util.tree_unflatten(structure, filled)

    return arrays, (structure, tuple(map(constant_key, fixed)), tuple(where)), rebuild


def lift(program: Program, selects: bool = False) -> tuple[list[Any], Hashable, Callable[[Sequence[Any]], Program]]:
    """Return the arrays of a program, a key of everything else, and the way back.

    Arrays among the parameters (and in a function that is an equinox module) become arguments, so
    that a sweep compiles once. Boundary rules count only where the function applies them itself
    (`selects`: whether voxels are selected); otherwise blocks are read by them.
    """
    parts = []
    for step in program.leaves:
        function = step.op.function if isinstance(step.op, PlainFunction) else None
        arguments = step.op.arguments if isinstance(step.op, PlainFunction) else ()
        parts.append((function if isinstance(function, eqx.Module) else None, arguments, dict(step.parameters)))
    arrays, parts_key, rebuild_parts = lift_tree(parts)
    key = (parts_key, _program_key(program, selects, repeated=False))

    def rebuild(arrays: Sequence[Any]) -> Program:
        supply = iter(rebuild_parts(arrays))

        def fill(step: Step) -> Step:
            function, arguments, parameters = next(supply)
            op = step.op
            if isinstance(op, PlainFunction):
                op = PlainFunction(op.function if function is None else function, op.halo_rule, tuple(arguments))
            return replace(step, op=op, parameters=parameters)

        return program.map_leaves(fill)

    return arrays, key, rebuild


def constant_key(value: Any) -> Hashable:
    """Return a key of a constant of a compiled function."""
    if (key := plain_key(value)) is not None:
        return key
    try:
        hash(value)
    except TypeError:
        return IdentityKey(value), function_state(value)
    return type(value), value, function_state(value)


def _program_key(program: Program, selects: bool, repeated: bool) -> Hashable:
    # A loop fills what lies outside the image by the rules, in every turn.
    rules = ((s.boundary, s.boundary_value) for s in program.steps) if repeated else program.compiled_rules(selects)
    return (
        tuple(
            ("repeat", s.op.times, _program_key(s.op.inner, selects, repeated=True))
            if isinstance(s.op, AbstractRepetition)
            else _step_key(s)
            for s in program.steps
        ),
        tuple(rule and (*rule[:-1], constant_key(rule[-1])) for rule in rules),
    )


def _step_key(step: Step) -> Hashable:
    op = step.op
    if not isinstance(op, PlainFunction):
        return op.body, function_state(op.body, op.masked)
    function = type(op.function) if isinstance(op.function, eqx.Module) else op.function
    return function, function_state(function), repr(op.halo_rule)

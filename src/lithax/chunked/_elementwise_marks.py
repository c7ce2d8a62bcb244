"""Mark the user's element-wise functions in a program, find the marks when it is traced, and check
what they enclose.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.chunked._elementwise import check_by_trial, check_jaxpr
from lithax.ops import PlainFunction, Program, Step, numpy_dtype

_MARK = "lithax_elementwise"


def mark_elementwise(program: Program) -> Program:
    """Mark the user's element-wise functions, so that they are found in the traced program."""

    def mark(step: Step) -> Step:
        if isinstance(step.op, PlainFunction) and step.elementwise:
            return replace(step, op=PlainFunction(_marked(step, step.op), step.op.halo_rule), parameters={})
        return step

    return program.map_leaves(mark)


def _marked(step: Step, op: PlainFunction) -> Callable:
    # What is traced among the function and its parameters is passed by, so that only voxels and
    # arrays are arguments; the rest are constants.
    bound = (op.function, op.arguments, dict(step.parameters))
    arrays, constants = eqx.partition(bound, eqx.is_array)

    def call(*blocks: Any) -> Any:
        def run(blocks: tuple[Any, ...], arrays: Any) -> Any:
            function, arguments, parameters = eqx.combine(arrays, constants)
            return function(*arguments, *blocks, **parameters)

        run.__name__ = run.__qualname__ = f"{_MARK}:{len(jax.tree_util.tree_leaves(blocks))}:{op.name}"
        return jax.jit(run)(blocks, arrays)

    call.__name__ = step.op.name
    return call


def check_marked(jaxpr: Any) -> None:
    """Raise NotElementwiseError if a marked function of a traced program mixes voxels."""
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if name.startswith(_MARK):
            _, blocks, function = name.split(":", 2)
            check_jaxpr(equation.params["jaxpr"].jaxpr, function, int(blocks))
        else:  # also inside a loop or a branch
            for value in equation.params.values():
                for inner in value if isinstance(value, tuple) else (value,):
                    if hasattr(inner, "jaxpr"):
                        check_marked(inner.jaxpr)


def check_plain_functions(program: Program, dtype: np.dtype) -> None:
    """Raise NotElementwiseError if a step of a program that is compiled as part of another mixes
    voxels.
    """
    if not any(isinstance(step.op, PlainFunction) and step.elementwise for step in program.leaves):
        return
    shape = (4, 3, 5)
    (halo,) = program.halos(1)
    block = jax.ShapeDtypeStruct(tuple(n + 2 * h for n, h in zip(shape, halo, strict=True)), dtype)
    with jax.enable_x64(True):
        marked = mark_elementwise(program)
        check_marked(jax.make_jaxpr(lambda b: marked.on_block([b], offset=(0, 0, 0), shape=shape))(block).jaxpr)


def check_on_sample(program: Program, run: Callable[[Program], Any], convert: Callable, to_numpy: Callable) -> Any:
    """Return ``run(program)``; raise NotElementwiseError if an element-wise function then gives
    other values in pieces.

    For programs that nobody compiles: what the functions are given is noted, and each is tried on a
    sample of these types.
    """
    met: list[tuple[Step, tuple[Any, ...]]] = []
    outs = run(_watched(program, met))
    for step, given in met:
        if not any(isinstance(g, tuple) for g in given):
            check_by_trial(
                lambda *v, step=step: _each(to_numpy, step.run(v, ((0, 0, 0),) * len(v), None, None)),
                step.op.name,
                [numpy_dtype(g.dtype) for g in given],
                convert,
            )
    return outs


def _watched(program: Program, met: list[tuple[Step, tuple[Any, ...]]]) -> Program:
    """Return the program with its element-wise plain functions noting what they are given."""

    def watch(step: Step) -> Step:
        op = step.op
        if not (isinstance(op, PlainFunction) and step.elementwise):
            return step

        def call(*blocks: Any) -> Any:
            met.append((step, blocks))
            return op.function(*op.arguments, *blocks, **step.parameters)

        call.__name__ = op.name
        return replace(step, op=PlainFunction(call, op.halo_rule), parameters={})

    return program.map_leaves(watch)


def _each(function: Callable, value: Any) -> Any:
    return tuple(map(function, value)) if isinstance(value, tuple | list) else function(value)

"""Operations one after another as one operation."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from lithax.ops._compound import Compound
from lithax.ops._op_maker import OpMaker
from lithax.ops._program import Program
from lithax.ops._step import PlainFunction, Step
from lithax.ops._voxel_op import VoxelOp
from lithax.typing import Array


class Chain:
    """Steps one after another: ``chain(f, g)(x)`` is ``g(f(x))`` on the whole array. Made by
    `chain`.
    """

    def __init__(self, steps: tuple[Step, ...]):
        self.steps = steps

    def __call__(self, *arrays: Array, valid: Array | None = None, seed: int = 0) -> Any:
        """Apply the steps to whole arrays, each with its own boundary rule."""
        return Program(self.steps).on_arrays(*arrays, valid=valid, seed=seed)

    def __repr__(self) -> str:
        steps = ", ".join(map(repr, self.steps))
        return steps if len(self.steps) == 1 and self.steps[0].op.inner is not None else f"chain({steps})"


def chain(*functions: Callable) -> Chain:
    """Make one operation of several: ``chain(f, g)`` means ``g(f(x))`` on the whole array.

    Through `chunk_map` it is read once, compiled once and written once; halos add, and every step
    keeps its own boundary rule at the faces of the image.

    Parameters
    ----------
    *functions
        Voxel operations, `functools.partial` of them, chains, and element-wise functions.

    Examples
    --------
    >>> from functools import partial
    >>> import lithax as lx
    >>> smooth = partial(lx.ops.gaussian, sigma=1.5)
    >>> chain(partial(lx.ops.median, radius=1), smooth, lambda v: v < 0.4)
    chain(median(radius=1, boundary='reflect'), gaussian(sigma=1.5, boundary='reflect'), <lambda>())
    """
    if not functions:
        raise ValueError("chain() needs at least one function.")
    return Chain(tuple(step for function in functions for step in as_steps(function)))


def as_steps(
    function: Any,
    parameters: Mapping[str, Any] | None = None,
    *,
    halo: Any = None,
    boundary: str | None = None,
    boundary_value: Any = None,
) -> tuple[Step, ...]:
    """Return any function that a combinator accepts as steps.

    `halo` is for plain functions; `boundary` serves those and operations that do not carry one
    already.
    """
    parameters = dict(parameters or {})
    arguments: tuple[Any, ...] = ()
    while isinstance(function, functools.partial):
        arguments = function.args + arguments
        parameters = dict(function.keywords) | parameters
        function = function.func
    if isinstance(function, OpMaker):
        function, parameters = function.operation(arguments, parameters)
        arguments = ()
    if isinstance(function, Compound):
        if arguments:
            raise TypeError(f"partial({function.name}, ...) binds arrays by position; bind its parameters by name.")
        rules = {"boundary": boundary, "boundary_value": boundary_value}
        for name, value in rules.items():
            if value is not None and parameters.setdefault(name, value) != value:
                raise ValueError(
                    f"{name}={value!r} contradicts {name}={parameters[name]!r} of {function.name}; give it once."
                )
        function, parameters, boundary = function.chain(**parameters), {}, None
    if isinstance(function, Chain):
        return _chain_steps(function, parameters, arguments, halo, boundary)
    if isinstance(function, VoxelOp):
        if arguments:
            raise TypeError(f"partial({function.name}, ...) binds arrays by position; bind its parameters by name.")
        if halo is not None:
            raise ValueError(f"halo={halo!r}: {function.name} declares its own halo; leave halo out.")
        own = parameters.pop("boundary", None)
        if own is not None and boundary is not None and own != boundary:
            raise ValueError(
                f"boundary={boundary!r} contradicts boundary={own!r} of {function.name}; give it once, to the operation."
            )
        value = parameters.pop("boundary_value", None)
        if value is not None and boundary_value is not None and value != boundary_value:
            raise ValueError(
                f"boundary_value={boundary_value!r} contradicts boundary_value={value!r} of {function.name}; give it once."
            )
        return (Step(function, parameters, own or boundary or "reflect", _first(value, boundary_value)),)
    if not callable(function):
        raise TypeError(f"{function!r} is a {type(function).__name__}, not a function of arrays.")
    plain = PlainFunction(function, 0 if halo is None else halo, arguments)
    return (Step(plain, parameters, boundary or "reflect", _first(boundary_value)),)


def _chain_steps(
    function: Chain, parameters: dict, arguments: tuple, halo: Any, boundary: str | None
) -> tuple[Step, ...]:
    if parameters or arguments:
        raise TypeError(
            f"parameters {sorted(parameters) or arguments} were given to a chain; bind them to its steps with functools.partial."
        )
    if halo is not None:
        raise ValueError(f"halo={halo!r}: the halo of a chain is the sum of its steps'; leave halo out.")
    if boundary is not None:
        for step in function.steps:
            if step.boundary != boundary and any(map(any, step.halos())):
                raise ValueError(
                    f"boundary={boundary!r} contradicts boundary={step.boundary!r} of {step.op.name} in the chain; "
                    f"give boundary= to the steps."
                )
    return function.steps


def _first(*values: Any) -> Any:
    return next((v for v in values if v is not None), 0)

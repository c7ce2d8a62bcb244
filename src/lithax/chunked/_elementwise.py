"""Find out whether a function without halo looks at one voxel at a time.

A compiled function is followed value by value. A value holds voxels (and it is known which of its
axes are x, y, z of the block), or it holds none (and it is known along which axes it differs from
place to place, as a table or a ramp does), or it mixes voxels. What reaches a result must be voxels
in their own places. So a table looked up by a voxel's value, a polynomial of coefficients, a loop,
a maximum over several quantities of one voxel are let through; whatever mixes voxels, or depends on
where in the block a voxel lies, is named.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.errors import NotElementwiseError

_ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt ceil clamp
    clz complex conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor
    ge gt igamma igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul
    ne neg nextafter not optimization_barrier or polygamma population_count pow random_gamma_grad real reduce_precision
    regularized_incomplete_beta rem round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin
    sinh sqrt square stop_gradient sub tan tanh xor zeta
    """.split()  # noqa: SIM905 (a list of this length is easier to read as words)
)
_ALONG = {  # primitives that work along some axes, and the parameter that names these; the other axes stay in place
    "cumlogsumexp": "axis",
    "cummax": "axis",
    "cummin": "axis",
    "cumprod": "axis",
    "cumsum": "axis",
    "concatenate": "dimension",
    "rev": "dimensions",
    "sort": "dimension",
    "split": "axis",
}
_UNIFORM = frozenset("dynamic_slice expand_dims reshape rev slice split squeeze transpose".split())  # noqa: SIM905
"""Primitives that make one value everywhere of one value everywhere."""
_CALLS = frozenset(
    "jit pjit closed_call core_call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr remat remat2 checkpoint".split()  # noqa: SIM905
)
_WAY_OUT = (
    "A function without halo must be element-wise, or its result would depend on the chunks. For a number over the "
    "image use lx.chunk_reduce and pass it in; for a neighbourhood give halo= or write a @lx.voxel_op."
)


@dataclass(frozen=True)
class _Value:
    """What is known of one value of the program."""

    voxels: tuple[int, ...] | None = None
    """Which of its axes are x, y, z of the block; None: it holds no voxels."""
    varies: frozenset[int] = frozenset()
    """Without voxels: axes along which it differs from place to place."""
    reason: str = ""
    """What gave it its places: the last primitive that moved axes or made a ramp."""
    mixed: str = ""
    """The primitive that mixed voxels, if one did."""


def check_jaxpr(jaxpr: Any, name: str, blocks: int) -> None:
    """Raise NotElementwiseError naming the primitive by which a result depends on other voxels, or
    on places in the block.

    The first `blocks` arguments of `jaxpr` are voxels, the others parameters.
    """
    arguments = [
        _Value((0, 1, 2)) if k < blocks else _table(v, "an array among the parameters")
        for k, v in enumerate(jaxpr.invars)
    ]
    for value in _follow(jaxpr, arguments):
        if value.mixed:
            raise NotElementwiseError(f"{name} uses '{value.mixed}', which looks at more than one voxel. {_WAY_OUT}")
        if value.voxels not in (None, (0, 1, 2)):
            raise NotElementwiseError(f"{name} uses '{value.reason}', which moves voxels. {_WAY_OUT}")
        if value.voxels is None and value.varies:
            raise NotElementwiseError(
                f"{name} uses {_quoted(value.reason)}, whose values belong to places in the block. {_WAY_OUT}"
            )


def _quoted(reason: str) -> str:
    return reason if " " in reason else f"'{reason}'"


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(getattr(variable.aval, "shape", ()))


def _table(variable: Any, reason: str) -> _Value:
    return _Value(varies=frozenset(a for a, n in enumerate(_shape(variable)) if n != 1), reason=reason)


def _follow(jaxpr: Any, arguments: Sequence[_Value]) -> list[_Value]:
    known: dict[Any, _Value] = dict(zip(jaxpr.invars, arguments, strict=True))
    known |= {v: _table(v, "an array of constants") for v in jaxpr.constvars}

    def look_up(variable: Any) -> _Value:
        return _Value() if hasattr(variable, "val") else known[variable]

    for equation in jaxpr.eqns:
        results = _apply(equation, [look_up(v) for v in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [look_up(v) for v in jaxpr.outvars]


def _apply(equation: Any, values: list[_Value]) -> list[_Value]:
    primitive, parameters = equation.primitive.name, equation.params
    count = len(equation.outvars)
    if primitive == "cond":
        index, *operands = values
        branches = [_follow(b.jaxpr, operands) for b in parameters["branches"]]
        return [_join(results, primitive, index) for results in zip(*branches, strict=True)]
    if primitive == "while":
        return _while(parameters, values)
    if primitive == "scan":
        return _scan(equation, values)
    if primitive in _CALLS and (inner := _inner(parameters, len(values))) is not None:
        return _follow(inner, values)
    mixed = next((v.mixed for v in values if v.mixed), "")
    if mixed:
        return [_Value(mixed=mixed)] * count
    if primitive in _ELEMENTWISE:
        return [_join(values, primitive)] * count
    if primitive == "broadcast_in_dim":
        return [_broadcast(equation, values[0])]
    if primitive == "gather":
        return [_look_up(equation, *values) or _Value(mixed=primitive)]
    if all(v.voxels is None for v in values):
        if primitive == "iota":
            return [_Value(varies=frozenset([parameters["dimension"]]), reason=primitive)]
        if primitive in _UNIFORM and not any(v.varies for v in values):
            return [_Value()] * count
        reason = next((v.reason for v in values if v.varies), primitive)
        return [_table(v, reason) for v in equation.outvars]
    moved = _moved(equation, values)
    return [_Value(mixed=primitive)] * count if moved is None else [moved] * count


def _join(values: Sequence[_Value], primitive: str, *also: _Value) -> _Value:
    """Return what a value is that may come from, or is computed place by place from, all of
    these.
    """
    mixed = next((v.mixed for v in (*values, *also) if v.mixed), "")
    if mixed:
        return _Value(mixed=mixed)
    holders = [v for v in values if v.voxels is not None]
    if not holders:
        varies = frozenset().union(*(v.varies for v in values))
        return _Value(varies=varies, reason=next((v.reason for v in values if v.varies), ""))
    first = holders[0]
    for value in values:
        if value.voxels is None and value.varies & set(first.voxels or ()):
            return _Value(mixed=value.reason or primitive)
        if value.voxels is not None and value.voxels != first.voxels:
            return _Value(mixed=value.reason or first.reason or primitive)
    return first


def _broadcast(equation: Any, value: _Value) -> _Value:
    dimensions = tuple(map(int, equation.params["broadcast_dimensions"]))
    if value.voxels is None:
        return replace(value, varies=frozenset(dimensions[a] for a in value.varies))
    before, after = _shape(equation.invars[0]), _shape(equation.outvars[0])
    if any(before[a] != after[dimensions[a]] for a in value.voxels):
        return _Value(mixed="broadcast_in_dim")
    return replace(value, voxels=tuple(dimensions[a] for a in value.voxels))


def _moved(equation: Any, values: list[_Value]) -> _Value | None:
    """Return where the voxels are after a primitive that works on whole arrays; None if it mixes
    them.
    """
    primitive, parameters = equation.primitive.name, equation.params
    shape = _shape(equation.invars[0])
    value = _join(values, primitive)
    if value.mixed:
        return value
    axes = value.voxels or ()
    if primitive in _ALONG:
        along = parameters[_ALONG[primitive]]
        return value if set(axes).isdisjoint(along if isinstance(along, tuple | list) else (along,)) else None
    if primitive == "stack":
        return replace(value, voxels=tuple(a + (a >= parameters["axis"]) for a in axes))
    if primitive == "squeeze" or (primitive.startswith(("reduce_", "arg")) and "axes" in parameters):
        gone = parameters.get("axes", parameters.get("dimensions"))
        if not set(axes).isdisjoint(gone):
            return None
        return replace(value, voxels=tuple(a - sum(g < a for g in gone) for a in axes))
    if primitive == "transpose":
        places = tuple(list(parameters["permutation"]).index(a) for a in axes)
        return replace(value, voxels=places, reason=primitive)
    if primitive == "slice":
        start, stop, step = parameters["start_indices"], parameters["limit_indices"], parameters["strides"]
        whole = all(start[a] == 0 and stop[a] == shape[a] and (step is None or step[a] == 1) for a in axes)
        return value if whole else None
    if primitive == "dynamic_slice":
        return value if all(parameters["slice_sizes"][a] == shape[a] for a in axes) else None
    if primitive == "reshape":
        return _reshaped(value, shape, _shape(equation.outvars[0]))
    return None


def _look_up(equation: Any, table: _Value, index: _Value) -> _Value | None:
    """A table without voxels, looked up by a number made of each voxel."""
    numbers, shape = equation.params["dimension_numbers"], _shape(equation.outvars[0])
    components = len(_shape(equation.invars[1])) - 1
    if table.voxels is not None or numbers.operand_batching_dims or components in (index.voxels or ()):
        return None
    batch = [a for a in range(len(shape)) if a not in numbers.offset_dims]
    if index.voxels is not None:
        return replace(index, voxels=tuple(batch[a] for a in index.voxels))
    offset = {a for a in numbers.offset_dims if shape[a] != 1} if table.varies else set()
    places = {batch[a] for a in index.varies if a != components} if table.varies else set()
    return _Value(varies=frozenset(offset | places), reason=table.reason or index.reason)


def _reshaped(value: _Value, before: tuple[int, ...], after: tuple[int, ...]) -> _Value | None:
    # Only axes of length 1 may come and go.
    voxels = value.voxels or ()
    kept = [a for a, n in enumerate(before) if n != 1 or a in voxels]
    places, position = {}, 0
    for a in kept:
        while position < len(after) and after[position] != before[a] and after[position] == 1:
            position += 1
        if position == len(after) or after[position] != before[a]:
            return None
        places[a] = position
        position += 1
    if math.prod(after[position:]) != 1:
        return None
    return replace(value, voxels=tuple(places[a] for a in voxels))


def _while(parameters: Any, values: list[_Value]) -> list[_Value]:
    ahead, constants = parameters["cond_nconsts"], parameters["body_nconsts"]
    to_condition, to_body = values[:ahead], values[ahead : ahead + constants]
    state = values[ahead + constants :]
    while True:
        (goes_on,) = _follow(parameters["cond_jaxpr"].jaxpr, [*to_condition, *state])
        after = _follow(parameters["body_jaxpr"].jaxpr, [*to_body, *state])
        joined = [_join(pair, "while", goes_on) for pair in zip(state, after, strict=True)]
        if joined == state:
            return state
        state = joined


def _scan(equation: Any, values: list[_Value]) -> list[_Value]:
    parameters = equation.params
    if "ft_in" in parameters:  # JAX 0.11 groups the inputs instead of counting them
        constants, carried, _ = (len(list(group.vals)) for group in parameters["ft_in"].unpack())
    else:
        constants, carried = parameters["num_consts"], parameters["num_carry"]
    fixed, state, rows = values[:constants], values[constants : constants + carried], values[constants + carried :]
    if any(0 in (v.voxels or ()) for v in rows):
        return [_Value(mixed="scan")] * len(equation.outvars)
    rows = [_shifted(v, -1) for v in rows]
    while True:
        results = _follow(parameters["jaxpr"].jaxpr, [*fixed, *state, *rows])
        joined = [_join(pair, "scan") for pair in zip(state, results[:carried], strict=True)]
        if joined == state:
            break
        state = joined
    stacked = [_shifted(v, 1) for v in results[carried:]]
    return [*state, *(replace(v, varies=v.varies | {0}, reason="scan") if v.voxels is None else v for v in stacked)]


def _shifted(value: _Value, by: int) -> _Value:
    return replace(
        value,
        voxels=None if value.voxels is None else tuple(a + by for a in value.voxels),
        varies=frozenset(a + by for a in value.varies if a + by >= 0),
    )


def _inner(parameters: Any, count: int) -> Any:
    """Return the program that a primitive calls with all its arguments, if it does nothing else."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = parameters.get(key)
        found = getattr(found, "jaxpr", found)
        if found is not None and hasattr(found, "eqns") and len(found.invars) == count:
            return found
    return None


def check_by_trial(function: Callable[..., Any], name: str, dtypes: Sequence[np.dtype], convert: Callable) -> None:
    """Raise NotElementwiseError if a sample gives another result in pieces than as a whole."""
    generator = np.random.default_rng(0)
    shape = (4, 3, 6)
    sample = [_sample(generator, shape, d) for d in dtypes]
    with np.errstate(all="ignore"):
        whole = _as_tuple(function(*(convert(s) for s in sample)))
        low = _as_tuple(function(*(convert(s[:3, 1:, ::2].copy()) for s in sample)))
    for w, piece in zip(whole, low, strict=True):
        w, piece = np.asarray(w), np.asarray(piece)
        if w.shape != shape:
            raise NotElementwiseError(f"{name} returned shape {w.shape} for a block of shape {shape}. {_WAY_OUT}")
        if not np.allclose(w[:3, 1:, ::2], piece, rtol=1e-5, atol=0, equal_nan=True):
            raise NotElementwiseError(f"{name} gives other values on part of an array than on the whole. {_WAY_OUT}")


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _sample(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    values = generator.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    return values if dtype.kind in "iub" else values + np.asarray(generator.random(shape), dtype)

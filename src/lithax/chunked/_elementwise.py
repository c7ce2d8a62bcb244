"""Find out whether a function without halo looks at one voxel at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lithax.errors import NotElementwiseError

_ELEMENTWISE = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "add",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "bessel_i0e",
        "bessel_i1e",
        "bitcast_convert_type",
        "cbrt",
        "ceil",
        "clamp",
        "clz",
        "complex",
        "conj",
        "convert_element_type",
        "copy",
        "copy_p",
        "cos",
        "cosh",
        "custom_jvp_call",
        "custom_vjp_call",
        "custom_vjp_call_jaxpr",
        "closed_call",
        "core_call",
        "cond",
        "digamma",
        "div",
        "eq",
        "eq_to",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "igamma",
        "igammac",
        "imag",
        "integer_pow",
        "is_finite",
        "jit",
        "le",
        "le_to",
        "lgamma",
        "log",
        "log1p",
        "logistic",
        "lt",
        "lt_to",
        "max",
        "min",
        "mul",
        "ne",
        "neg",
        "nextafter",
        "not",
        "optimization_barrier",
        "or",
        "pjit",
        "polygamma",
        "population_count",
        "pow",
        "real",
        "reduce_precision",
        "regularized_incomplete_beta",
        "rem",
        "remat",
        "checkpoint",
        "round",
        "rsqrt",
        "select_n",
        "shift_left",
        "shift_right_arithmetic",
        "shift_right_logical",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
        "xor",
        "zeta",
        "while",
        "scan",
        "broadcast_in_dim",
        "reshape",
        "squeeze",
        "platform_index",
        "debug_callback",
    ]
)
_WAY_OUT = (
    "A function without halo must be element-wise, or its result would depend on the chunks. For a number over the "
    "image use lx.chunk_reduce and pass it in; for a neighbourhood give halo= or write a @lx.voxel_op."
)


def check_jaxpr(jaxpr: Any, name: str, shape: Sequence[int]) -> None:
    """Raise NotElementwiseError naming the first primitive that mixes voxels of blocks of `shape`."""
    shape = tuple(shape)
    for equation in jaxpr.eqns:
        primitive = equation.primitive.name
        blocks = [v for v in equation.invars if tuple(getattr(v.aval, "shape", ())) not in ((), (1, 1, 1))]
        results = [tuple(v.aval.shape) for v in equation.outvars if hasattr(v.aval, "shape")]
        if not blocks:
            if primitive in ("iota", "random_bits", "random_wrap", "random_seed", "threefry2x32") and shape in results:
                _refuse(name, primitive)
            continue
        inner = [p for p in _inner(equation)]
        for sub in inner:
            check_jaxpr(sub, name, shape)
        if primitive == "scan" and (
            equation.params["num_carry"] + equation.params["num_consts"] != len(equation.invars)
            or len(equation.outvars) != equation.params["num_carry"]
        ):
            _refuse(name, primitive)
        elif primitive in ("broadcast_in_dim", "reshape", "squeeze"):
            if any(tuple(v.aval.shape) != s for v in blocks for s in results):
                _refuse(name, primitive)
        elif primitive not in _ELEMENTWISE:
            _refuse(name, primitive)


def _inner(equation: Any) -> list[Any]:
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "jaxpr"):
                found.append(item.jaxpr)
            elif hasattr(item, "eqns"):
                found.append(item)
    return found


def _refuse(name: str, primitive: str) -> None:
    raise NotElementwiseError(f"{name} uses '{primitive}', which looks at more than one voxel. {_WAY_OUT}")


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

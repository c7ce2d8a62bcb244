"""A key of a traced program: equal programs have equal keys, whatever function they were traced
from.

What a function computes cannot be read off its code: two lambdas with equal code and closure differ
once a global that they read has changed. Traced, all that has become constants of the program,
which are compared here by value.
"""

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any, cast

import jax
import numpy as np
from jax import numpy as jnp
from jax.extend import core

from lithax.arrays import is_traced

# What these carry besides the program that runs says how to differentiate it, and that is over once
# it is traced.
_RULES_OF_DERIVATIVES = {
    "custom_jvp_call": {"jvp", "jvp_jaxpr_fun", "jvp_jaxpr_thunk"},
    "custom_vjp_call": {"fwd", "fwd_jaxpr_thunk", "bwd", "out_trees"},
}


class IdentityKey:
    """A key for what has no hash: equal to itself only, and keeping it alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityKey) and other.value is self.value


def jaxpr_key(closed: Any) -> Hashable:
    """Return the key of a closed jaxpr, constants included."""
    jaxpr, number = closed.jaxpr, {}

    def name(variable: Any) -> Hashable:
        if isinstance(variable, core.Literal):
            return value_key(variable.val), variable.aval
        return number.setdefault(variable, len(number))

    for variable in (*jaxpr.constvars, *jaxpr.invars):
        name(variable)
    equations = tuple(
        (
            equation.primitive.name,
            tuple(map(name, equation.invars)),
            _parameters_key(equation.primitive.name, equation.params),
            tuple(name(v) for v in equation.outvars),
            tuple(v.aval for v in equation.outvars),
        )
        for equation in jaxpr.eqns
    )
    return (
        tuple(map(value_key, closed.consts)),
        tuple(v.aval for v in (*jaxpr.constvars, *jaxpr.invars)),
        equations,
        tuple(map(name, jaxpr.outvars)),
    )


def _parameters_key(primitive: str, parameters: Mapping[str, Any]) -> Hashable:
    ignored = _RULES_OF_DERIVATIVES.get(primitive, ())
    return tuple((k, value_key(v)) for k, v in sorted(parameters.items()) if k not in ignored)


def value_key(value: Any) -> Hashable:
    """Return a key of a value: arrays by their bytes, programs by what they compute, what cannot be
    compared by identity.
    """
    if isinstance(value, core.ClosedJaxpr):
        return jaxpr_key(value)
    if isinstance(value, core.Jaxpr):
        return jaxpr_key(core.ClosedJaxpr(value, ()))
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return array_key(value)
    if isinstance(value, float | complex):  # -0.0 equals 0.0, and nan not even itself
        return type(value), repr(value)
    if isinstance(value, tuple | list):
        return type(value), tuple(map(value_key, value))
    if isinstance(value, dict):
        return tuple((k, value_key(v)) for k, v in value.items())
    try:
        hash(value)
    except TypeError:
        return IdentityKey(value)
    return type(value), value  # 1, 1.0 and True are equal


def array_key(array: Any) -> Hashable:
    """Return dtype, shape and digest of the values of an array; of what cannot be read (a traced
    one), the identity.
    """
    if is_traced(array):
        return IdentityKey(array)
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return str(array.dtype), array_key(jax.random.key_data(array))
    values = np.asarray(array)
    if values.dtype.hasobject:
        return IdentityKey(array)
    data = np.ascontiguousarray(values)
    content = data.tobytes() if data.nbytes <= 64 else hashlib.sha256(cast(Any, data.view(np.uint8))).digest()
    return str(values.dtype), values.shape, content

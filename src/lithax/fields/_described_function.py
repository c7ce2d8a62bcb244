"""What tells one function of the user from another, in words that a later process finds again.

A run is resumed only by the function that began it: the same name and code, the same defaults, and
the same values of all that it reads from outside, as far as it can be seen. What libraries hold is
not looked into.
"""

import functools
import hashlib
import types
from collections.abc import Iterable, Iterator
from typing import Any

from lithax.chunked import is_library
from lithax.images import described_parameters

_HOLDERS = (functools.partial, types.BuiltinMethodType, dict, tuple, list, set, frozenset)
"""Of a library, and yet what they hold is the user's."""


def described_function(function: Any) -> str:
    """Return what a function is known by: its name, and a digest of its code and of what it
    reads.
    """
    text = repr(list(_parts(function, set())))
    return f"{_name(function)} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _name(value: Any) -> str:
    if isinstance(value, functools.partial):
        return f"partial of {_name(value.func)}"
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield the description of a value and of all that it holds, each object once."""
    if not isinstance(value, type) and hasattr(value, "dtype") and hasattr(value, "shape"):
        yield described_parameters({"": value})[""]
        return
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, types.ModuleType):
        yield value.__name__
        return
    yield _name(value)
    if not isinstance(value, _HOLDERS) and is_library(getattr(value, "__module__", None) or "builtins"):
        return
    for held in _held(value):
        yield from _parts(held, seen)


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.BuiltinMethodType):
        return [value.__self__]
    if isinstance(value, types.FunctionType):
        names, fixed = _code(value.__code__)
        return [*fixed, value.__defaults__, value.__kwdefaults__, *_cells(value), *_globals(value, names)]
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, tuple | list):
        return value
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, type):
        own = ((n, v) for base in value.__mro__ if not is_library(base.__module__) for n, v in vars(base).items())
        return [getattr(v, "__func__", getattr(v, "fget", v)) for n, v in own if n == "__call__" or n[:2] != "__"]
    return [type(value), getattr(value, "__dict__", {})]


def _code(code: types.CodeType) -> tuple[list[str], list[Any]]:
    """Return the names that a function reads, and its code and constants, also those of functions
    defined inside it.
    """
    names, fixed = list(code.co_names), [code.co_code]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            more, inner = _code(constant)
            names, fixed = names + more, fixed + inner
        else:
            fixed.append(constant)
    return list(dict.fromkeys(names)), [*fixed, list(code.co_names)]


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _globals(function: types.FunctionType, names: Iterable[str]) -> Iterator[Any]:
    names = list(names)
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        yield value
        if isinstance(value, types.ModuleType) and not is_library(value.__name__):
            yield from (getattr(value, n, None) for n in names)

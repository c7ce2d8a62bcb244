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

from lithax.chunked import globals_read, is_library, members_of, names_read, values_enclosed
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
        code = [*_fixed(value.__code__), list(names_read(value.__code__))]
        return [*code, value.__defaults__, value.__kwdefaults__, *values_enclosed(value), *globals_read(value)]
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, tuple | list):
        return value
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, type):
        return members_of(value)
    return [type(value), getattr(value, "__dict__", {})]


def _fixed(code: types.CodeType) -> list[Any]:
    """Return the code and the constants of a function, also of those defined inside it."""
    found = [code.co_code]
    for constant in code.co_consts:
        found += _fixed(constant) if isinstance(constant, types.CodeType) else [constant]
    return found

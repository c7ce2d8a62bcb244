"""What a Python function depends on besides its arguments, as far as it can be seen.

A program that was traced from a function is used again for the same function as long as this is the
same. Seen are defaults, closures, globals, attributes of objects and modules that it names, and the
functions that it calls: numbers, text and arrays by value. What libraries hold, and what is behind
an opaque object, is not looked into.
"""

import functools
import sys
import types
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lithax.chunked._jaxpr_key import IdentityKey, array_key

_LIBRARIES = frozenset(
    {"lithax", "jax", "jaxlib", "numpy", "scipy", "equinox", "jaxtyping", "beartype", "array_api_compat"}
    | {"torch", "cupy", "optax", "zarr", "pint", "xarray", "pandas", "matplotlib"}
    | sys.stdlib_module_names - {"__main__"}
)
_DEPTH = 8
_NOTHING = ()


def function_state(*values: Any) -> Hashable:
    """Return what functions (or pytrees that hold some) depend on, to be compared with what it was
    before.
    """
    return tuple(_State().of(value, 0) for value in values)


class _State:
    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, value: Any, depth: int) -> Hashable:
        if value is None:
            return _NOTHING
        if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            return type(value), repr(value)
        if isinstance(value, np.ndarray | jax.Array):
            return array_key(value)
        if id(value) in self._seen or depth > _DEPTH:
            return _NOTHING
        self._seen.add(id(value))
        return self._inside(value, depth + 1)

    def _inside(self, value: Any, depth: int) -> Hashable:
        if isinstance(value, types.FunctionType):
            return IdentityKey(value) if _of_library(value) else self._function(value, depth)
        if isinstance(value, types.MethodType):
            return self.of(value.__func__, depth), self.of(value.__self__, depth)
        if isinstance(value, functools.partial):
            return tuple(self.of(v, depth) for v in (value.func, value.args, value.keywords))
        if isinstance(value, tuple | list | set | frozenset):
            return self._items(value, depth)
        if isinstance(value, Mapping):
            return tuple(map(str, value)), self._items(value.values(), depth)
        if isinstance(value, type):
            return IdentityKey(value) if _of_library(value) else self._class(value, depth)
        if isinstance(value, types.ModuleType):
            return IdentityKey(value)
        if _of_library(type(value)) and not isinstance(value, eqx.Module) and not _open_to_view(value):
            inner = getattr(value, "__wrapped__", None)  # jax.jit, functools.cache
            return IdentityKey(value), self.of(inner, depth)
        held = getattr(value, "__dict__", {})
        return self.of(type(value), depth), tuple(held), self._items(held.values(), depth)

    def _items(self, values: Any, depth: int) -> Hashable:
        found = (self.of(v, depth) for v in values)
        return tuple(f for f in found if f != _NOTHING)

    def _function(self, function: types.FunctionType, depth: int) -> Hashable:
        cells = tuple(self.of(value, depth) for value in values_enclosed(function))
        read = tuple(self.of(value, depth) for value in globals_read(function))
        own = self.of(function.__defaults__, depth), self.of(function.__kwdefaults__, depth)
        return function.__code__, own, cells, read

    def _class(self, cls: type, depth: int) -> Hashable:
        return IdentityKey(cls), *(self.of(member, depth) for member in members_of(cls))


def values_enclosed(function: types.FunctionType) -> Iterator[Any]:
    """Yield what a function's closure holds; None for what is not there yet."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield None


def globals_read(function: types.FunctionType) -> Iterator[Any]:
    """Yield the values of the globals that a function names, None for the names of anything else;
    of the user's modules, in their place, whatever is named of them.
    """
    names = names_read(function.__code__)
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, types.ModuleType) and not is_library(value.__name__):
            yield from (getattr(value, n, None) for n in names)
        else:
            yield value


def members_of(cls: type) -> Iterator[Any]:
    """Yield what a class and its bases define, down to the functions behind methods and properties;
    not what libraries define, nor special methods but calls.
    """
    for base in cls.__mro__:
        if not _of_library(base):
            for name, value in vars(base).items():
                if not name.startswith("__") or name == "__call__":
                    yield getattr(value, "__func__", getattr(value, "fget", value))


def is_library(module: str) -> bool:
    """Return whether a module belongs to a library, into whose functions nobody looks."""
    return module.partition(".")[0] in _LIBRARIES


def _of_library(value: Any) -> bool:
    return is_library(getattr(value, "__module__", None) or "builtins")


def _open_to_view(value: Any) -> bool:
    # Operations and chains hold functions of the user; the others hold settings and nothing else.
    kind = type(value)
    return kind.__module__.startswith("lithax.ops") or kind.__name__ in ("SimpleNamespace", "Namespace")


@functools.lru_cache(1024)
def names_read(code: types.CodeType) -> tuple[str, ...]:
    """Return every global and attribute that a function names, also in functions defined inside
    it.
    """
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += names_read(constant)
    return tuple(dict.fromkeys(names))

"""The options that a measurement of an image takes: every function here has them, and all that it
calls follows them.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])

OPTIONS: Mapping[str, Any] = MappingProxyType({"memory_limit": None, "workers": None, "world": None, "progress": True})
"""Names and defaults."""
_GIVEN: ContextVar[Mapping[str, Any]] = ContextVar("lithax_measure_options", default=MappingProxyType({}))
_DOCUMENTED = """
    memory_limit, workers, world, progress
        For images, as for `lithax.chunk_map`."""
_SECTIONS = ("Returns", "Raises", "Warns", "Notes", "References", "Examples")


def given_options() -> Mapping[str, Any]:
    """Return the options with which the function that runs now was called, or one that called
    it.
    """
    return _GIVEN.get()


def measures_images(function: _Function) -> _Function:
    """Give a function that measures images the options of `OPTIONS`, and hand them to every
    measurement that it takes.

    A function that measures often calls others that do (a threshold needs a histogram, which needs
    the extremes). They share one call of the user's, so what is said to the outer one holds for
    all, unless an inner call says something else.
    """
    signature = inspect.signature(function)
    added = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in OPTIONS.items()]

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        given = {n: keywords.pop(n) for n in OPTIONS if n in keywords}
        given = {n: v for n, v in given.items() if v is not OPTIONS[n]}
        with _within(given):
            return function(*arguments, **keywords)

    call.measures_images = True  # pyright: ignore
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # pyright: ignore
    call.__doc__ = _documented(function.__doc__ or "")
    return call  # pyright: ignore[reportReturnType]


def _documented(text: str) -> str:
    """Return a docstring with the options at the end of its parameters."""
    text = text.rstrip()
    if "\n    Parameters\n" not in text:
        text += "\n\n    Parameters\n    ----------"
    ends = [text.find(f"\n\n    {section}\n") for section in _SECTIONS]
    end = min((place for place in ends if place > text.find("\n    Parameters\n")), default=len(text))
    return f"{text[:end]}{_DOCUMENTED}{text[end:]}\n    "


@contextlib.contextmanager
def _within(given: Mapping[str, Any]) -> Iterator[None]:
    token = _GIVEN.set({**_GIVEN.get(), **given})
    try:
        yield
    finally:
        _GIVEN.reset(token)

"""What ``help`` shows of an operation, an object, whose call it would leave out."""

import inspect
from typing import Any


def call_shown(operation: Any) -> str | None:
    """Return the docstring of an operation with its call as the first line, as NumPy's ufuncs have
    it.
    """
    if operation.__doc__ is None:
        return None
    return f"{operation.__name__}{inspect.signature(operation)}\n\n{inspect.cleandoc(operation.__doc__)}"

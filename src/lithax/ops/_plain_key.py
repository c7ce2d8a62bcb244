"""What tells one plain parameter of a compiled function from another."""

from collections.abc import Hashable
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, str, np.generic)


def plain_key(value: Any) -> Hashable | None:
    """Return the key of a number, a text or a sequence of them; None for anything else.

    1, 1.0 and True are equal but compile to different functions; nan differs from itself.
    """
    if isinstance(value, _PLAIN):
        return type(value), repr(value)
    if isinstance(value, tuple | list | range):
        keys = tuple(map(plain_key, value))
        return None if None in keys else (type(value), keys)
    return None

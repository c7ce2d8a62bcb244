"""Numbers as JSON has them."""

from typing import Any

import numpy as np


def json_numbers(value: Any) -> Any:
    """Return a number, or an array of them, as plain numbers and lists; None for what is not
    finite, which JSON cannot say, or not determined.
    """
    numbers = np.asarray(np.nan if value is None else value)
    found = numbers.astype(object)
    found[~np.isfinite(numbers)] = None
    return found.tolist()

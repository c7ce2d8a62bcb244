"""Masked arrays of NumPy: values some of which do not count, which plain arrays cannot say."""

import sys
from typing import Any

import numpy as np


def refuse_masked(array: Any, name: str = "array") -> None:
    """Raise TypeError if an array has masked elements: what they hold would count like any other
    value.
    """
    if "numpy.ma" in sys.modules and isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise TypeError(
            f"{name} is a masked array with {int(np.ma.count_masked(array))} masked elements, whose mask would be lost; pass "
            f"{name}.filled(value), or {name}.data together with where=lx.domain(exclude={name}.mask) in what you do with it."
        )

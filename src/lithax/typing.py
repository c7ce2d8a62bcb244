"""Names for the arrays that lithax passes around."""

from typing import Any

Array = Any
"""An array of any library that the array-API standard describes: NumPy, JAX, PyTorch, CuPy,
array-api-strict.
"""

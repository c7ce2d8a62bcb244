"""Arithmetic on voxels in place, and between images and numbers."""

import functools
from typing import Any, Self

import numpy as np

from lithax.ops import ARITHMETIC, numpy_dtype


class ArithmeticMixin:
    """The in-place arithmetic of a `VoxelImage`."""

    dtype: np.dtype

    def apply(self, operation: str, other: Any, *, where: Any = None, **options: Any) -> Self:
        """Combine every voxel with a number, or with the voxel of another image, in place.

        Parameters
        ----------
        operation
            "set", "add", "subtract", "multiply", "divide", "logical_and", "logical_or",
            "logical_xor", "minimum", "maximum", "average" or "absolute_difference"; see
            `lithax.arith`.
        other
            A number, an image, or an array of the same shape.
        where
            Which voxels change, as for `chunk_map`; the others keep their value.
        **options
            As for `chunk_map`: backend, memory_limit, workers, progress, resume.

        Returns
        -------
            The image itself.

        Raises
        ------
        TypeError
            If the result has no safe place in the type of the image, as real numbers have none
            among integers.
        OverflowError
            If the number does not fit.
        ValueError
            If `operation` is unknown.
        """
        from lithax.images._chunk_map import chunk_map

        function = ARITHMETIC.get(operation)
        if function is None:
            raise ValueError(f"operation={operation!r} is not known; use one of {', '.join(map(repr, ARITHMETIC))}.")
        number = _is_number(other)
        # A trial on one voxel: NumPy itself decides on types and limits.
        left = np.zeros((1,), self.dtype)
        right = other if number else np.zeros((1,), numpy_dtype(other.dtype))
        with np.errstate(all="ignore"):
            result = function(left, right).dtype
        if operation == "set" and number and not isinstance(other, np.generic | np.ndarray):
            _check_fits(other, self.dtype)
        elif not np.can_cast(result, self.dtype, "same_kind"):
            raise TypeError(
                f"{operation} of {self.dtype} voxels and {other if number else numpy_dtype(other.dtype)!s} gives {result}, which "
                f"cannot be written into an image of {self.dtype} without loss; write to a new image: "
                f"lx.chunk_map(lx.arith.{operation}, image, ..., store=...)."
            )
        if number:
            options["parameters"] = {"b": _operand(operation, other, self.dtype)}
            chunk_map(function, self, out=self, where=where, **options)
        else:
            chunk_map(function, self, other, out=self, where=where, **options)
        return self

    def fill(self, value: Any, *, where: Any = None, **options: Any) -> Self:
        """Set every voxel (or those of `where`) to a number, in place."""
        return self.apply("set", value, where=where, **options)

    def __iadd__(self, other: Any) -> Self:
        return self.apply("add", other)

    def __isub__(self, other: Any) -> Self:
        return self.apply("subtract", other)

    def __imul__(self, other: Any) -> Self:
        return self.apply("multiply", other)

    def __itruediv__(self, other: Any) -> Self:
        return self.apply("divide", other)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | int | float | complex | np.generic):
        return True
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return tuple(value.shape) == ()
    raise TypeError(f"other is a {type(value).__name__}; give a number, an image or an array.")


def _check_fits(value: Any, dtype: np.dtype) -> None:
    kind = "b" if isinstance(value, bool) else {int: "i", float: "f", complex: "c"}[type(value)]
    order = "biufc"
    group = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
    if group[kind] > group[dtype.kind] and order:
        raise TypeError(
            f"value={value!r} cannot be written into an image of {dtype} without loss; convert the image first."
        )
    if kind == "i" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise OverflowError(
                f"value={value!r} does not fit into an image of {dtype} ({limits.min} to {limits.max})."
            )


def _operand(operation: str, value: Any, dtype: np.dtype) -> np.ndarray:
    # The number becomes an argument of the compiled function, in the type that NumPy would give it:
    # another number compiles nothing anew.
    if operation == "set":
        return np.asarray(value).astype(dtype, casting="unsafe")
    if isinstance(value, np.generic | np.ndarray) or hasattr(value, "dtype"):
        return np.asarray(value)
    if operation.startswith("logical"):
        return np.asarray(value != 0)
    ufunc = {"divide": np.true_divide, "average": np.true_divide, "absolute_difference": np.maximum}.get(operation)
    ufunc = ufunc or getattr(np, operation)
    kind = np.dtype(bool) if isinstance(value, bool) else type(value)
    return np.asarray(value, ufunc.resolve_dtypes((dtype, kind, None))[1])


def binary(name: str) -> Any:
    """Return the function `lithax.arith.<name>`: of arrays, or of an image and a number, an image
    or an array.
    """
    function = ARITHMETIC[name]

    @functools.wraps(function)
    def operation(a: Any, b: Any, **options: Any) -> Any:
        from lithax.images._chunk_map import chunk_map
        from lithax.images._voxel_image import VoxelImage

        if not isinstance(a, VoxelImage) and not isinstance(b, VoxelImage):
            if options:
                raise TypeError(f"{sorted(options)} are for images; {name} was given arrays.")
            return function(a, b)
        if not isinstance(a, VoxelImage):
            raise TypeError(f"{name}(a, b): a is a {type(a).__name__} and b an image; give the image first.")
        if _is_number(b):
            with np.errstate(all="ignore"):
                function(np.zeros((1,), a.dtype), b)
            operand = np.asarray(b) if name == "set" else _operand(name, b, a.dtype)
            return chunk_map(function, a, parameters={"b": operand}, **options)
        return chunk_map(function, a, b, **options)

    return operation

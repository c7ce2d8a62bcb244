"""The operators of images: lazy expressions, in place where they assign to an image."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np


def _binary(name: str, sign: str) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        from lithax.images._expression import combine

        return combine(name, self, other)

    operator.__doc__ = f"Return ``self {sign} other``, computed when it is read."
    return operator


def _reflected(name: str, sign: str) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        from lithax.images._expression import combine

        return combine(name, other, self)

    operator.__doc__ = f"Return ``other {sign} self``, computed when it is read."
    return operator


def _unary(name: str, sign: str) -> Callable[..., Any]:
    def operator(self: Any) -> Any:
        from lithax.images._expression import combine

        return combine(name, self)

    operator.__doc__ = f"Return ``{sign}``, computed when it is read."
    return operator


def _assigned(name: str, sign: str) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        return self._assign(name, other)

    operator.__doc__ = f"Do ``self {sign} other`` in place; of an expression, return a new one."
    return operator


class OperatorsMixin:
    """The operators of a `VoxelImage`, with the promotion rules of NumPy (and of
    `lithax.arith`).
    """

    # Numbers and arrays of NumPy leave the work to the image.
    __array_ufunc__ = None
    dtype: np.dtype

    __add__ = _binary("add", "+")
    __sub__ = _binary("subtract", "-")
    __mul__ = _binary("multiply", "*")
    __truediv__ = _binary("divide", "/")
    __floordiv__ = _binary("floor_divide", "//")
    __mod__ = _binary("remainder", "%")
    __pow__ = _binary("power", "**")
    __and__ = _binary("bitwise_and", "&")
    __or__ = _binary("bitwise_or", "|")
    __xor__ = _binary("bitwise_xor", "^")

    __radd__ = _reflected("add", "+")
    __rsub__ = _reflected("subtract", "-")
    __rmul__ = _reflected("multiply", "*")
    __rtruediv__ = _reflected("divide", "/")
    __rfloordiv__ = _reflected("floor_divide", "//")
    __rmod__ = _reflected("remainder", "%")
    __rpow__ = _reflected("power", "**")
    __rand__ = _reflected("bitwise_and", "&")
    __ror__ = _reflected("bitwise_or", "|")
    __rxor__ = _reflected("bitwise_xor", "^")

    __lt__ = _binary("less", "<")
    __le__ = _binary("less_equal", "<=")
    __gt__ = _binary("greater", ">")
    __ge__ = _binary("greater_equal", ">=")
    __eq__ = _binary("equal", "==")
    __ne__ = _binary("not_equal", "!=")
    __hash__ = object.__hash__  # an image is itself, whatever its voxels

    __invert__ = _unary("invert", "~image")
    __neg__ = _unary("negative", "-image")
    __pos__ = _unary("positive", "+image")
    __abs__ = _unary("absolute", "abs(image)")

    __ifloordiv__ = _assigned("floor_divide", "//=")
    __imod__ = _assigned("remainder", "%=")
    __ipow__ = _assigned("power", "**=")
    __iand__ = _assigned("bitwise_and", "&=")
    __ior__ = _assigned("bitwise_or", "|=")
    __ixor__ = _assigned("bitwise_xor", "^=")

    def astype(self, dtype: Any) -> Any:
        """Return the image with voxels of another type, cast as NumPy casts when they are read.

        Parameters
        ----------
        dtype
            The type; real numbers lose their fraction where it is an integer type.
        """
        from lithax.images._expression import astype

        return astype(self, dtype)  # pyright: ignore[reportArgumentType]

    def _assign(self, name: str, other: Any) -> Any:
        from lithax.images._chunk_map import chunk_map
        from lithax.images._expression import combine

        result = combine(name, self, other)
        if result is NotImplemented:
            return NotImplemented
        return chunk_map(_as_it_is, result, out=self)

    def __bool__(self) -> NoReturn:
        raise ValueError(
            "the truth of an image is that of its many voxels. Use & | ~ instead of and, or, not; (0.2 < image) & (image < 0.5) instead "
            "of 0.2 < image < 0.5; lx.measure.porosity(...) or image[...].any() for a number."
        )

    def __contains__(self, value: Any) -> NoReturn:
        raise ValueError(
            f"whether {value!r} is in an image is asked of its voxels: (image == {value!r})[...].any(), or lx.measure.porosity(image == "
            f"{value!r}) for their share."
        )


def _as_it_is(values: Any) -> Any:
    return values

"""Make a voxel operation from a body that works on one padded block."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lithax.arrays import gaps_named, is_array, is_traced, refuse_masked
from lithax.geometry import Frame
from lithax.grid import Halo, as_halos
from lithax.ops._call_shown import call_shown
from lithax.ops._lengths import KINDS, lengths_in_voxels, refuse_lengths
from lithax.ops._program import Program
from lithax.ops._step import AbstractOperation, Step
from lithax.typing import Array

NO_NUMBERS = ("O", "S", "U", "M", "m")
"""Kinds of NumPy's arrays that hold no numbers."""


class VoxelOp(AbstractOperation):
    """A voxel operation: a body, the halo it needs, and what else a combinator must know of it.

    Called with whole arrays it returns whole arrays. Made by `voxel_op`.
    """

    def __init__(
        self,
        body: Callable,
        halo: Any = 0,
        static: tuple[str, ...] = (),
        masked: Callable | None = None,
        context: bool = False,
        scale: Any = 1,
        host: bool = False,
        fit: Callable | None = None,
        lengths: Mapping[str, str] | None = None,
    ):
        functools.update_wrapper(self, body)
        self.body = body
        self.halo_rule = halo
        self.static = tuple(static)
        self.masked = masked
        self.context = bool(context)
        self.host = bool(host)
        self.fit = fit
        self.lengths = dict(lengths or {})
        self.scale = _as_scale(scale)
        signature = inspect.signature(body)
        taken = ({"block"} if self.context else set()) | ({"fold"} if fit else set())
        self._parameters = {
            name: p
            for name, p in signature.parameters.items()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and name not in taken
        }
        self._any_parameter = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
        positional = [
            p
            for p in signature.parameters.values()
            if p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        ]
        variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values())
        self.inputs = None if variadic else len(positional)
        self._asked = _asked_by(halo)
        self.__signature__ = _public_signature(signature, taken)
        self.__doc__ = call_shown(self)
        for name in self.static:
            if name not in self._parameters and not self._any_parameter:
                raise ValueError(
                    f"static={self.static!r} names {name!r}, which is not a keyword-only parameter of {self.name}."
                )
        for name, kind in self.lengths.items():
            if name not in self._parameters or kind not in KINDS:
                raise ValueError(
                    f"lengths={self.lengths!r} must map keyword-only parameters of {self.name} to one of {', '.join(map(repr, KINDS))}."
                )

    @property
    def name(self) -> str:
        """The name of the body."""
        return getattr(self.body, "__name__", type(self.body).__name__)

    def __repr__(self) -> str:
        return f"<voxel_op {self.name}>"

    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Raise TypeError for a parameter that the body lacks, misses, or cannot take as an
        array.
        """
        for name in parameters:
            if name not in self._parameters and not self._any_parameter and not (self.fit and name == "fold"):
                known = ", ".join(self._parameters) or "none"
                raise TypeError(f"{self.name}() has no parameter {name!r}; its parameters are: {known}.")
        for name, parameter in self._parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in parameters:
                raise TypeError(f"{self.name}() needs the parameter {name!r}; give {name}=...")
        for name in self.static:
            if is_traced(parameters.get(name)):
                raise TypeError(
                    f"{name}={parameters[name]!r} of {self.name}() sets the shape of the computation and cannot be traced; "
                    f"give a Python number."
                )

    def fitted(self, parameters: Mapping[str, Any], shape: Sequence[int], boundary: str) -> dict[str, Any]:
        """Return parameters that give the same on an image of one shape, with a halo that is not
        wider than it has to be.
        """
        refuse_lengths(parameters, self.lengths, self.name)
        changed = None if self.fit is None else self.fit(tuple(shape), boundary, **self._of_halo(parameters))
        return dict(parameters) | (changed or {})

    def in_voxels(self, parameters: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
        """Return the parameters with all lengths in voxels of an image."""
        return lengths_in_voxels(parameters, self.lengths, frame, self.name)

    def _of_halo(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        given = self.with_defaults(parameters)
        return {k: v for k, v in given.items() if self._asked is None or k in self._asked}

    def halos(self, parameters: Mapping[str, Any], inputs: int) -> tuple[Halo, ...]:
        """Return the halo of each input for these parameters."""
        refuse_lengths(parameters, self.lengths, self.name)
        rule = self.halo_rule
        if callable(rule):
            rule = rule(**self._of_halo(parameters))
        return as_halos(rule, inputs, f"halo of {self.name}")

    def with_defaults(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, those not given at their default."""
        defaults = {k: p.default for k, p in self._parameters.items() if p.default is not inspect.Parameter.empty}
        return defaults | dict(parameters)

    def split_arguments(
        self, arguments: tuple[Any, ...], parameters: Mapping[str, Any]
    ) -> tuple[tuple, dict[str, Any]]:
        """Tell arrays from parameters given by position, which follow the arrays in the order of
        the signature.
        """
        count = self.inputs
        if count is None:
            return arguments, dict(parameters)
        if len(arguments) < count:
            raise TypeError(f"{self.name}() takes {count} array(s), got {len(arguments)}.")
        extra = arguments[count:]
        names = list(self._parameters)
        if len(extra) > len(names):
            raise TypeError(
                f"{self.name}() takes {count} array(s) and {len(names)} parameter(s), got {len(arguments)} arguments."
            )
        given = dict(zip(names, extra, strict=False))
        if twice := given.keys() & parameters.keys():
            raise TypeError(f"{self.name}() got {sorted(twice)} both by position and by name.")
        return arguments[:count], given | dict(parameters)

    def __call__(
        self,
        *arrays: Array,
        boundary: str = "reflect",
        boundary_value: Any = 0,
        valid: Array | None = None,
        seed: int = 0,
        **parameters: Any,
    ) -> Any:
        """Apply the operation to whole arrays; see the combinators for images."""
        arrays, parameters = self.split_arguments(arrays, parameters)
        if not arrays:
            raise TypeError(f"{self.name}() takes one array or more, got none.")
        for position, array in enumerate(arrays):
            if not is_array(array):
                raise TypeError(
                    f"argument {position} of {self.name}() is a {type(array).__name__}, not an array; "
                    f"an image goes through lx.chunk_map({self.name}, image, ...), other data through numpy.asarray."
                )
            refuse_masked(array, f"argument {position} of {self.name}()")
            if getattr(array.dtype, "kind", "") in NO_NUMBERS:
                raise TypeError(
                    f"argument {position} of {self.name}() has dtype {array.dtype}; voxels are booleans or numbers."
                )
        step = Step(self, parameters, boundary, boundary_value)
        with gaps_named(f"{self.name}()", *arrays):
            return Program((step,)).on_arrays(*arrays, valid=valid, seed=seed)


def voxel_op(
    body: Callable | None = None,
    *,
    halo: Any = 0,
    static: tuple[str, ...] | str = (),
    masked: Callable | None = None,
    context: bool = False,
    scale: Any = 1,
    host: bool = False,
    fit: Callable | None = None,
    lengths: Mapping[str, str] | None = None,
) -> Any:
    """Make a voxel operation from a body: the padded block in, the core out.

    Parameters
    ----------
    body
        A function of one or more arrays (its positional arguments) and of parameters (its
        keyword-only arguments), written with the array API. Every array comes padded by the halo on
        both sides of every axis.
    halo
        Voxels that the body looks beyond the core: an integer, a tuple of three (per axis), a list
        (per input), or a function of the body's parameters that returns one of these.
    static
        Names of parameters that make a shape and can therefore not be traced.
    masked
        The form for selections: ``masked(*blocks, valid, **parameters)``, with ``valid`` a boolean
        array of the padded shape. Without it, a stencil under ``where=`` is refused.
    context
        Pass the keyword ``block``, a `Context`: offset, image shape, spacing, origin, valid, seed.
    scale
        Voxels of the input per voxel of the output, along each axis: an integer (coarser), a
        `fractions.Fraction` (finer), or a tuple of three.
    host
        The body is a host function: it takes and returns NumPy arrays in host memory under every
        backend, and may call any compiled package (scipy, an extension of your own). It is neither
        compiled nor differentiated.
    fit
        ``fit(shape, boundary, **parameters)`` with the parameters of the halo: parameters that give
        the same on an image of this shape with a smaller halo, or None. A filter wider than the
        image folds itself onto it (``fold=``).
    lengths
        Which parameters are lengths, so that an image's user may say them with a unit ("5 um") and
        the body gets voxels: "width", a real number along each axis; "reach", whole voxels to both
        sides along each axis; "window", the odd edge of a box along each axis; "ball", a real
        number, refused unless voxels are cubes; "scales", a tuple of these; "widths", a tuple of
        widths; "spacing", for which the text "image" becomes the voxel length.

    Examples
    --------
    >>> import numpy as np
    >>> @voxel_op(halo=(1, 0, 0))
    ... def difference(block):
    ...     return block[2:] - block[:-2]
    >>> difference(np.arange(4.0).reshape(4, 1, 1), boundary="nearest")[:, 0, 0]
    array([1., 2., 2., 1.])
    """
    options = {
        "halo": halo,
        "static": (static,) if isinstance(static, str) else tuple(static),
        "masked": masked,
        "context": context,
        "scale": scale,
        "host": host,
        "fit": fit,
        "lengths": lengths,
    }
    if body is None:
        return lambda function: VoxelOp(function, **options)
    return VoxelOp(body, **options)


def _asked_by(rule: Any) -> frozenset[str] | None:
    """Return the parameters that a rule for the halo takes; None: any."""
    if not callable(rule):
        return frozenset()
    accepted = inspect.signature(rule).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return None
    return frozenset(accepted)


def _as_scale(scale: Any) -> tuple[Fraction, Fraction, Fraction]:
    values = tuple(scale) if isinstance(scale, tuple | list) else (scale,) * 3
    try:
        ratios = tuple(Fraction(v).limit_denominator(4096) for v in values)
    except (TypeError, ValueError):
        ratios = ()
    if len(ratios) != 3 or any(r <= 0 or (r.numerator != 1 and r.denominator != 1) for r in ratios):
        raise ValueError(
            f"scale={scale!r} must be a whole number of input voxels per output voxel (or one over a whole number), "
            f"or a tuple of three."
        )
    return ratios


def _public_signature(signature: inspect.Signature, taken: set[str]) -> inspect.Signature:
    kinds = inspect.Parameter
    parameters = [p for p in signature.parameters.values() if p.name not in taken]
    added = [
        kinds("boundary", kinds.KEYWORD_ONLY, default="reflect"),
        kinds("boundary_value", kinds.KEYWORD_ONLY, default=0),
        kinds("valid", kinds.KEYWORD_ONLY, default=None),
    ]
    names = {p.name for p in parameters}
    tail = [p for p in parameters if p.kind is kinds.VAR_KEYWORD]
    head = [p for p in parameters if p.kind is not kinds.VAR_KEYWORD]
    return signature.replace(parameters=[*head, *(p for p in added if p.name not in names), *tail])

"""One step of a program: an operation, or a user's own function, with its parameters and its
boundary rule.
"""

import abc
import functools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lithax.arrays import check_boundary, gaps_named, is_array
from lithax.geometry import Frame
from lithax.grid import Halo, as_halos, triple
from lithax.ops._context import Context
from lithax.typing import Array

if TYPE_CHECKING:
    from lithax.ops._program import Program


class AbstractOperation(abc.ABC):
    """What a step applies to blocks, and what a combinator must know of it."""

    body: Any = None
    halo_rule: Any = 0
    """The halo of one input or, as a list, of each; or a function of the parameters."""
    inputs: int | None = None
    """Number of arrays; None: any."""
    masked: Any = None
    """The form that leaves excluded voxels out."""
    context: bool = False
    """Whether the body asks where its block lies."""
    host: bool = False
    """Whether the body wants NumPy arrays in host memory."""
    scale: tuple[Any, Any, Any] = (1, 1, 1)
    """Input voxels per output voxel."""
    fit: Any = None
    """The form for images that are smaller than the halo."""
    inner: Any = None
    """The program inside; an operation with a body has none."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @abc.abstractmethod
    def halos(self, parameters: Mapping[str, Any], inputs: int) -> tuple[Halo, ...]:
        """Return the halo of each input for these parameters."""

    @abc.abstractmethod
    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Raise TypeError for parameters that the operation does not take."""

    def fitted(self, parameters: Mapping[str, Any], shape: Sequence[int], boundary: str) -> dict[str, Any]:
        """Return parameters that give the same on an image of one shape, with a halo that is not
        wider than it has to be.
        """
        return dict(parameters)

    def in_voxels(self, parameters: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
        """Return the parameters with all lengths in voxels of an image."""
        return dict(parameters)

    def with_defaults(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, those not given at their default."""
        return dict(parameters)


@dataclass(frozen=True, eq=False)
class PlainFunction(AbstractOperation):
    """A user's own function as a step: element-wise, or with a halo (then it returns the core or
    the padded shape).
    """

    function: Callable
    halo_rule: Any = 0
    arguments: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def body(self) -> Callable:
        return self.function

    def halos(self, parameters: Mapping[str, Any], inputs: int) -> tuple[Halo, ...]:
        return as_halos(self.halo_rule, inputs)

    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        pass

    def __repr__(self) -> str:
        return self.name


class AbstractRepetition(AbstractOperation):
    """A program that is repeated, as a step of another one."""

    inner: "Program"
    times: int

    @abc.abstractmethod
    def of(self, inner: "Program") -> "AbstractRepetition":
        """Return as many repetitions of another program."""

    @abc.abstractmethod
    def on_block(
        self, blocks: Sequence[Array], at: Sequence[Any], valid: Array | None, donor: Any, **image: Any
    ) -> Any:
        """Return the core of padded blocks."""

    @abc.abstractmethod
    def on_arrays(self, arrays: Sequence[Array], valid: Array | None, seed: Any) -> Any:
        """Return whole arrays."""


@dataclass(frozen=True, eq=False)
class Step:
    """One operation with its parameters and its boundary rule."""

    op: AbstractOperation
    parameters: Mapping[str, Any] = field(default_factory=dict)
    boundary: str = "reflect"
    boundary_value: Any = 0
    aligned_axes: tuple[bool, bool, bool] = (False, False, False)
    """Along which axes the images are known to hold whole boxes of the scale."""

    def __post_init__(self):
        check_boundary(self.boundary)
        self.op.check_parameters(self.parameters)

    @property
    def inputs(self) -> int:
        """Number of arrays that the operation takes, as far as it says so."""
        rule = self.op.halo_rule
        return len(rule) if isinstance(rule, list) else self.op.inputs or 1

    def halos(self, inputs: int | None = None) -> tuple[Halo, ...]:
        """Return the halo of each input."""
        inputs = self.inputs if inputs is None else inputs
        if inputs not in self._halos:
            self._halos[inputs] = self.op.halos(self.parameters, inputs)
        return self._halos[inputs]

    @functools.cached_property
    def _halos(self) -> dict[int, tuple[Halo, ...]]:
        # A rule for the halo may be long (a Gaussian's, a structure's), and is asked for at every
        # turn.
        return {}

    @property
    def overhang(self) -> Halo:
        """How far a coarser voxel at an upper face lies beyond it; read on both sides, so that its
        rule finds its values.
        """
        x, y, z = (0 if d else math.ceil(s) - 1 for s, d in zip(self.op.scale, self.aligned_axes, strict=True))
        return x, y, z

    @functools.cached_property
    def elementwise(self) -> bool:
        return not any(map(any, self.halos())) and not self.op.context and self.op.scale == (1, 1, 1)

    def __repr__(self) -> str:
        if self.op.inner is not None:
            return repr(self.op)
        given = dict(self.parameters)
        if any(map(any, self.halos())):
            given["boundary"] = self.boundary
        return f"{self.op.name}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    def run(self, blocks: Sequence[Array], halos: Sequence[Halo], valid: Array | None, context: Context | None) -> Any:
        """Call the body on padded blocks; `valid` (of the padded shape) asks for the masked
        form.
        """
        with gaps_named(f"{self.op.name}()", *blocks):
            return self._run(blocks, halos, valid, context)

    def _run(self, blocks: Sequence[Array], halos: Sequence[Halo], valid: Array | None, context: Context | None) -> Any:
        op = self.op
        if isinstance(op, PlainFunction):
            out = op.function(*op.arguments, *blocks, **self.parameters)
            return _crop_to_core(out, blocks[0], halos[0], op)
        assert not isinstance(op, AbstractRepetition)  # it takes whole programs, by an `on_block` of its own
        extra = {"block": context} if op.context else {}
        if valid is not None and op.masked is not None:
            return op.masked(*blocks, valid=valid, **op.with_defaults(self.parameters), **extra)
        return op.body(*blocks, **self.parameters, **extra)


def _crop_to_core(out: Any, block: Array, halo: Halo, op: PlainFunction) -> Any:
    if isinstance(out, tuple | list):
        return tuple(_crop_to_core(o, block, halo, op) for o in out)
    if isinstance(block, tuple):
        return out
    padded = tuple(block.shape)
    core = tuple(n - 2 * h for n, h in zip(padded, halo, strict=True))
    shape = tuple(getattr(out, "shape", ()))
    if shape == core:
        return out
    if shape == padded:
        return crop(out, halo)
    if shape == ():
        found = "a single value" if is_array(out) or isinstance(out, numbers.Number) else f"a {type(out).__name__}"
        raise ValueError(
            f"{op.name} returned {found} for a block of shape {padded}; a function of voxels returns one value per "
            f"voxel. For a number over the image use lx.chunk_reduce."
        )
    raise ValueError(
        f"{op.name} returned shape {shape} for a block of shape {padded} with halo {halo}; return the core {core} or the padded shape."
    )


def crop(x: Array, widths: Sequence[int]) -> Array:
    """Return the inside of an array, `widths` voxels from each of its faces."""
    return x[tuple(slice(w, n - w) for w, n in zip(widths, x.shape, strict=True))] if any(widths) else x


def widest_halo(halos: Sequence[Halo]) -> Halo:
    """Return the largest of several halos, axis by axis."""
    return triple(max(h[a] for h in halos) for a in range(3))

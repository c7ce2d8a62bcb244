"""Arithmetic, comparisons and logic on images that is done when voxels are read: `VoxelImage`
operators.

``scan <= t`` is an `Expression`: an image whose voxels are worked out by NumPy, block by block,
from those of `scan`, by whichever call reads it. Nothing is stored, one pass is enough for any
number of operators, and an image that stands in several places of an expression is read once.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import is_array, is_traced, namespace, to_numpy
from lithax.chunked import ArraySource
from lithax.grid import Box
from lithax.images._derived_array import EvaluatedArray, live_bytes, window
from lithax.images._voxel_image import VoxelImage
from lithax.storage import AbstractStoredArray, UserAttributes, voxel_dtype

_LONGEST = 60
"""Characters of an expression that are shown."""


class Expression(VoxelImage):
    """An image whose voxels follow from those of others; made by operators on images, such as
    ``scan <= t``.

    It is accepted wherever an image is, has shape, data type and geometry, and computes what is
    read of it: ``expression[...]``, `numpy.asarray`. `copy` makes it an image of its own. It is a
    view: what is written to its images later is seen. Its geometry is that of the first image.
    """

    def __init__(self, stored: EvaluatedArray, world: Any, node: Any):
        super().__init__(stored, world)
        self.node = node

    @property
    def levels(self) -> tuple[VoxelImage, ...]:
        """None: coarser levels of an expression are not stored."""
        return ()

    @property
    def attrs(self) -> UserAttributes:
        """Empty, and read-only."""
        return UserAttributes(dict, lambda work: self._stored.check_writable())

    def __iadd__(self, other: Any) -> Any:
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __imul__(self, other: Any) -> Any:
        return self * other

    def __itruediv__(self, other: Any) -> Any:
        return self / other

    def _assign(self, name: str, other: Any) -> Any:
        return combine(name, self, other)

    def __repr__(self) -> str:
        length = " × ".join(f"{h:g}" for h in self.voxel_length)
        unit = f" {self.voxel_unit}" if self.voxel_unit else ""
        return (
            f"<Expression {self._stored.where} {self.shape} {self.dtype}, voxel {length}{unit}, chunks={self.chunks}>"
        )


OPERATORS: dict[str, tuple[Callable[..., Any], str]] = {
    "add": (np.add, "{} + {}"),
    "subtract": (np.subtract, "{} - {}"),
    "multiply": (np.multiply, "{} * {}"),
    "divide": (np.true_divide, "{} / {}"),
    "floor_divide": (np.floor_divide, "{} // {}"),
    "remainder": (np.remainder, "{} % {}"),
    "power": (np.power, "{} ** {}"),
    "bitwise_and": (np.bitwise_and, "{} & {}"),
    "bitwise_or": (np.bitwise_or, "{} | {}"),
    "bitwise_xor": (np.bitwise_xor, "{} ^ {}"),
    "less": (np.less, "{} < {}"),
    "less_equal": (np.less_equal, "{} <= {}"),
    "greater": (np.greater, "{} > {}"),
    "greater_equal": (np.greater_equal, "{} >= {}"),
    "equal": (np.equal, "{} == {}"),
    "not_equal": (np.not_equal, "{} != {}"),
    "invert": (np.invert, "~{}"),
    "negative": (np.negative, "-{}"),
    "positive": (np.positive, "+{}"),
    "absolute": (np.absolute, "abs({})"),
    "where": (np.where, "where({}, {}, {})"),
}
"""What may be done with voxels, by NumPy's names; how it is written."""

_KEEPS_MEANING = ("negative", "positive", "absolute", "astype")


@dataclass(frozen=True, eq=False)
class _Leaf:
    """An array that is read."""

    source: Any
    dtype: np.dtype
    text: str
    atomic = True


@dataclass(frozen=True, eq=False)
class _Node:
    """An operation on leaves, nodes and numbers."""

    name: str
    detail: str
    function: Callable[..., Any]
    operands: tuple[Any, ...]
    dtype: np.dtype
    text: str
    atomic: bool
    """Whether `text` needs no parentheses."""


def combine(name: str, *operands: Any) -> Any:
    """Return the expression ``name(*operands)``; NotImplemented if an operand is no number, array
    or image.

    Raises
    ------
    TypeError
        If NumPy has no such operation of these types.
    ValueError
        If shapes, geometries or worlds differ.
    OverflowError
        If a number does not fit the type of an image.
    """
    function, form = OPERATORS[name]
    return _apply(name, function, form, operands)


def astype(image: VoxelImage, dtype: Any) -> Expression:
    """Return an image with voxels of another type; see `VoxelImage.astype`."""
    target = voxel_dtype(dtype)
    if image.dtype.kind == "c" and target.kind != "c":
        raise TypeError(
            f"dtype={str(target)!r} would drop the imaginary part of an image of {image.dtype}; take abs(image)."
        )

    cast = functools.partial(_cast, dtype=target)  # which can be pickled
    return _apply("astype", cast, f"{{}}.astype({target.name})", (image,), target.str)


def _cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.astype(dtype)


def choose(condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where a condition holds and `b` elsewhere, voxel by voxel; one of the three is an
    image.
    """
    if not any(isinstance(v, VoxelImage) for v in (condition, a, b)):
        if any(is_array(v) for v in (condition, a, b)):
            return namespace(condition, a, b).where(condition, a, b)
        raise TypeError("where(condition, a, b) needs an image or an array among the three.")
    result = combine("where", condition, a, b)
    if result is NotImplemented:
        kinds = ", ".join(type(v).__name__ for v in (condition, a, b))
        raise TypeError(f"where(condition, a, b) was given {kinds}; give images, arrays of their shape, and numbers.")
    return result


def crop_expression(expression: Expression, box: Box) -> Expression:
    """Return a part of an expression: the same of a part of each image."""
    stored = window(expression.stored, box)
    return Expression(stored, expression.world, _Leaf(stored, stored.dtype, stored.where))


def _apply(name: str, function: Callable[..., Any], form: str, operands: Sequence[Any], detail: str = "") -> Any:
    images = [o for o in operands if isinstance(o, VoxelImage)]
    checked = tuple(_operand(o, images[0]) for o in operands)
    if any(o is NotImplemented for o in checked):
        return NotImplemented
    if len({id(i.world) for i in images}) > 1:
        raise ValueError("the images of an expression belong to different worlds; open them with the same world=.")
    bare = name in ("where", "absolute")
    text = form.format(*(_text(o, bare) for o in checked))
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    dtype = _result_type(name, function, checked, text)
    node = _Node(name, detail, function, checked, dtype, text, bare or name == "astype")
    return Expression(_evaluated(node), images[0].world, node)


def _operand(operand: Any, like: VoxelImage) -> Any:
    """Return a number as it is, and how to get at the voxels of an image or an array."""
    if isinstance(operand, VoxelImage):
        _check_shape(operand.shape, like)
        if not operand.frame.same_grid(like.frame):
            raise ValueError(
                f"an image at {operand.voxel_origin} with voxels of {operand.voxel_length} {operand.voxel_unit} cannot be combined "
                f"with one at {like.voxel_origin} with {like.voxel_length} {like.voxel_unit}; correct one with image.update(...)."
            )
        if isinstance(operand, Expression):
            return operand.node
        return _Leaf(operand.stored, operand.dtype, _name_of(operand))
    if isinstance(operand, bool | int | float | complex | np.generic):
        return operand
    if not (hasattr(operand, "shape") and hasattr(operand, "dtype")):
        return NotImplemented
    if is_traced(operand):
        raise TypeError(
            "an image cannot be combined with an array that JAX is tracing: its voxels are not there yet; combine it outside of "
            "jax.jit and jax.grad, or pass the array as a parameter of lx.chunk_map."
        )
    if tuple(operand.shape) == ():
        return to_numpy(operand)[()]
    _check_shape(tuple(operand.shape), like)
    source = ArraySource(operand)
    return _Leaf(source, source.dtype, f"<{source.dtype} array>")


def _check_shape(shape: tuple[int, ...], like: VoxelImage) -> None:
    if shape != like.shape:
        raise ValueError(
            f"an operand has shape {shape}, the image {like.shape}; they must agree (nothing is broadcast but numbers)."
        )


def _name_of(image: VoxelImage) -> str:
    place = "" if image.stored.in_memory else image.stored.where.rstrip("/").rpartition("/")[2].partition(".")[0]
    return (image.field_name or place or "image").replace(" ", "_")


def _text(operand: Any, bare: bool) -> str:
    if isinstance(operand, _Leaf | _Node):
        return operand.text if bare or operand.atomic else f"({operand.text})"
    return repr(operand.item() if isinstance(operand, np.generic) else operand)


def _result_type(name: str, function: Callable[..., Any], operands: Sequence[Any], text: str) -> np.dtype:
    """Return the type of a result, found by doing it to one voxel."""
    arrays = (_Leaf, _Node)
    samples = [np.ones(1, o.dtype) if isinstance(o, arrays) else o for o in operands]
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(*samples)).dtype
    except OverflowError as error:
        raise OverflowError(
            f"{text}: {error}; give the number a wider type, for example numpy.int64(...), or convert the image with astype."
        ) from None
    except TypeError:
        kinds = " and ".join(str(o.dtype) if hasattr(o, "dtype") else type(o).__name__ for o in operands)
        remedy = "use ~ or ^ for booleans" if name in ("negative", "subtract") else "convert one with astype first"
        raise TypeError(f"{text}: NumPy has no {name} of {kinds}; {remedy}.") from None


def _evaluated(root: _Node) -> EvaluatedArray:
    """Return what computes a node: its leaves, each once, and its operations, each once and after
    those that it needs.
    """
    leaves: list[Any] = []
    leaf_at: dict[Any, int] = {}
    nodes: dict[int, int] = {}  # by id: number among the operations
    order: list[_Node] = []
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:  # leaves from left to right: the first image says where the result lies
        operand = waiting.pop()
        if isinstance(operand, _Leaf) and (key := _key(operand.source)) not in leaf_at:
            leaf_at[key] = len(leaves)
            leaves.append(operand.source)
        elif isinstance(operand, _Node) and id(operand) not in seen:
            seen.add(id(operand))
            waiting += reversed(operand.operands)
    stack: list[_Node] = [root]
    while stack:
        node = stack[-1]
        missing = [o for o in node.operands if isinstance(o, _Node) and id(o) not in nodes]
        if missing and id(node) not in nodes:
            stack += missing
            continue
        stack.pop()
        if id(node) in nodes:
            continue
        nodes[id(node)] = len(order)
        order.append(node)

    def place(operand: Any) -> Any:
        if isinstance(operand, _Leaf):
            return [leaf_at[_key(operand.source)]]
        return [len(leaves) + nodes[id(operand)]] if isinstance(operand, _Node) else operand

    placed = [tuple(map(place, node.operands)) for node in order]
    last = {o[0]: n for n, operands in enumerate(placed) for o in operands if isinstance(o, list)}
    done = [tuple(k for k, when in last.items() if when == n) for n in range(len(placed))]
    keeps = len(leaves) == 1 and all(node.name in _KEEPS_MEANING for node in order)
    return EvaluatedArray(
        leaves,
        [(node.function, operands, d) for node, operands, d in zip(order, placed, done, strict=True)],
        dtype=root.dtype,
        bytes_per_voxel=live_bytes(
            [leaf.dtype for leaf in leaves], [(node.dtype, d) for node, d in zip(order, done, strict=True)]
        ),
        where=root.text,
        described_by=0 if keeps else None,
        identity=[
            [node.name, node.detail, *(o if isinstance(o, list) else f"{type(o).__name__} {o!r}" for o in operands)]
            for node, operands in zip(order, placed, strict=True)
        ],
    )


def _key(source: Any) -> Any:
    """Return what is the same for two handles of one stored array."""
    stored = isinstance(source, AbstractStoredArray) and not isinstance(source, EvaluatedArray)
    return source.where if stored and not source.in_memory else id(source)

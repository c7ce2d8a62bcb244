"""What a network reads of an image: followed through its compiled form, layer by layer.

Every value that holds voxels knows which of its axes are x, y, z, how far its voxels are apart, and
how far each of them looks. Layers that look at neighbours (convolutions, pooling windows, padding)
widen that reach; what mixes all voxels of an axis, and what depends on where in the array a voxel
lies, is refused by name. The same walk computes the network on one block of an image: padding
layers then put their zeros at the faces of the image, not at those of the block.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from lithax.typing import Array

_ELEMENTWISE = frozenset(
    """
    abs add and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf erf_inv erfc exp exp2 expm1 floor ge
    gt integer_pow is_finite le log log1p logistic lt max min mul ne neg nextafter not optimization_barrier or pow
    reduce_precision rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor
    """.split()  # noqa: SIM905 (a list of this length is easier to read as words)
)
_REDUCTIONS = frozenset(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin".split()  # noqa: SIM905
)
_WINDOWS = {"reduce_window_max": -math.inf, "reduce_window_min": math.inf, "reduce_window_sum": 0.0}
"""Pooling, and what lies beyond the faces for each."""
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_NAMES = "xyz"

Ends = tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class Reach:
    """Voxels of one value of the network: voxel j along an axis reads from ``lower + step j`` to
    ``upper + step j`` of the array that the network was given.
    """

    axes: tuple[int, ...]
    lower: Ends
    upper: Ends
    step: Ends
    channels: int = 1

    @property
    def finest(self) -> tuple[int, int, int]:
        """Return by how much a block may be moved without moving between voxels of this value."""
        x, y, z = (s.numerator for s in self.step)
        return x, y, z


Extent = tuple[int, ...]


class Walk:
    """One way through a network.

    Parameters
    ----------
    extents
        The lengths of the padded values on the whole image, in their order, as a first walk over
        its shape recorded them; None on that first walk.
    start
        Where on the whole image the block begins [voxel], along each axis; may be traced.
    """

    def __init__(self, extents: Sequence[Extent] | None = None, start: Sequence[Any] = (0, 0, 0)) -> None:
        self.extents, self.start = extents, start
        self.recorded: list[Extent] = []
        self.coarsest = (1, 1, 1)

    def __call__(self, network: Callable[[Array], Array], block: Array) -> tuple[Array, Reach]:
        """Return the network of a block of shape (channels, x, y, z), and what it read."""
        import jax

        closed = jax.make_jaxpr(network)(block)
        nothing, one = Fraction(0), Fraction(1)
        begin = Reach((1, 2, 3), (nothing, nothing, nothing), (nothing, nothing, nothing), (one, one, one))
        varies = [frozenset(a for a, n in enumerate(c.shape) if n != 1) for c in map(jax.numpy.asarray, closed.consts)]
        results, known = self._follow(closed.jaxpr, closed.consts, varies, [block], [begin])
        if len(results) != 1 or not isinstance(known[0], Reach):
            raise ValueError(
                "a network for images takes one array (channels, x, y, z) and returns one; this one returns "
                f"{len(results)} arrays, or one that does not depend on the voxels."
            )
        reach = known[0]
        if results[0].ndim != 4 or reach.axes != (1, 2, 3):
            raise ValueError(
                f"the network returned an array of shape {tuple(results[0].shape)} whose axes are not (channels, x, y, z); return "
                f"one such array."
            )
        return results[0], replace(reach, channels=results[0].shape[0])

    def _follow(self, jaxpr, consts, const_known, values, value_known):
        held = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, values, strict=True))
        known = dict(zip(jaxpr.constvars, const_known, strict=True)) | dict(zip(jaxpr.invars, value_known, strict=True))

        def read(variable):
            if hasattr(variable, "val"):
                return variable.val, frozenset()
            return held[variable], known[variable]

        for equation in jaxpr.eqns:
            arguments = [read(v) for v in equation.invars]
            outs, marks = self._apply(equation, [a for a, _ in arguments], [k for _, k in arguments])
            held |= dict(zip(equation.outvars, outs, strict=True))
            known |= dict(zip(equation.outvars, marks, strict=True))
        results = [read(v) for v in jaxpr.outvars]
        return [r for r, _ in results], [k for _, k in results]

    def _apply(self, equation, values, marks):
        name = equation.primitive.name
        holds = [m for m in marks if isinstance(m, Reach)]
        inner = next((equation.params[key] for key in _INNER if key in equation.params), None)
        inner = None if name in ("while", "scan") else inner
        if inner is not None:
            jaxpr, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", [])
            if holds and not _elementwise(jaxpr):
                blank = [frozenset(range(getattr(c, "ndim", 0))) for c in consts]
                return self._follow(jaxpr, consts, blank, values, marks)
        if not holds:
            outs = _bind(equation, values)
            return outs, [_fixed(equation, marks, out) for out in outs]
        if name in _ELEMENTWISE or inner is not None:  # a call keeps a derivative of its own
            outs = _bind(equation, values)
            return outs, [_joined(equation, marks)] * len(outs)
        if name == "conv_general_dilated":
            return self._convolution(equation, values, marks)
        if name in _WINDOWS:
            return self._window(equation, values, marks)
        if name == "pad":
            return self._pad(equation, values, marks)
        outs = _bind(equation, values)
        return outs, [_moved(equation, marks)] * len(outs)

    def _emptied(self, value, mark: Reach, beyond: Any, extra: Sequence[int] = (0, 0, 0)):
        """Put what a padding layer holds to be outside the image in place of what the block has
        there.
        """
        from jax import numpy as jnp

        if self.extents is None:
            self.recorded.append(tuple(value.shape[a] for a in mark.axes))
            return value
        extent = self.extents[len(self.recorded)]
        self.recorded.append(extent)
        inside: Any = True
        for axis, at in enumerate(mark.axes):
            place = jnp.arange(value.shape[at]) + _divided(self.start[axis], mark.step[axis])
            flag = (place >= extra[axis]) & (place < extent[axis] - extra[axis])
            flag = flag.reshape([-1 if a == at else 1 for a in range(value.ndim)])
            inside = inside & flag
        return jnp.where(inside, value, jnp.asarray(beyond, value.dtype))

    def _windowed(self, mark: Reach, axes, sizes, steps, padding, dilation, spread) -> Reach:
        lower, upper, step = [], [], []
        for axis in range(3):
            s = mark.step[axis] / spread[axis]
            lower.append(mark.lower[axis] - s * padding[axis][0])
            upper.append(mark.upper[axis] + s * (dilation[axis] * (sizes[axis] - 1) - padding[axis][0]))
            step.append(s * steps[axis])
        reach = Reach(tuple(axes), tuple(lower), tuple(upper), tuple(step))
        self.coarsest = tuple(math.lcm(c, f) for c, f in zip(self.coarsest, reach.finest, strict=True))
        return reach

    def _convolution(self, equation, values, marks):
        p = equation.params
        lhs, rhs, out = p["dimension_numbers"]
        mark = marks[0]
        if not isinstance(mark, Reach) or isinstance(marks[1], Reach) or len(lhs) != 5:
            raise _refused(equation, "with weights that depend on the voxels, or of other than three axes")
        if not set(mark.axes) <= set(lhs[2:]):
            raise _refused(equation, "along other axes than x, y, z")
        order = [lhs[2:].index(a) for a in mark.axes]
        pick = lambda name: [p[name][k] for k in order]  # noqa: E731
        padding = pick("padding")
        if any(lo or hi for lo, hi in padding):
            values = [self._emptied(values[0], mark, 0), values[1]]
        sizes = [equation.invars[1].aval.shape[rhs[2 + k]] for k in order]
        reach = self._windowed(
            mark, [out[2 + k] for k in order], sizes, pick("window_strides"), padding, pick("rhs_dilation"),
            pick("lhs_dilation"),
        )  # fmt: skip
        return _bind(equation, values), [reach]

    def _window(self, equation, values, marks):
        p, mark = equation.params, marks[0]
        pick = lambda name: [p[name][a] for a in mark.axes]  # noqa: E731
        padding = pick("padding")
        if any(n != 1 for n in pick("base_dilation")):
            raise _refused(equation, "with a dilated base")
        if any(lo or hi for lo, hi in padding):
            values = [self._emptied(values[0], mark, _WINDOWS[equation.primitive.name])]
        reach = self._windowed(
            mark, mark.axes, pick("window_dimensions"), pick("window_strides"), padding, pick("window_dilation"),
            (1, 1, 1),
        )  # fmt: skip
        return _bind(equation, values), [reach]

    def _pad(self, equation, values, marks):
        mark = marks[0]
        config = [equation.params["padding_config"][a] for a in mark.axes] if isinstance(mark, Reach) else []
        if not config or isinstance(marks[1], Reach) or any(n[2] for n in config):
            raise _refused(equation, "in a way that is not followed")
        outs = _bind(equation, values)
        reach = self._windowed(mark, mark.axes, (1, 1, 1), (1, 1, 1), config, (1, 1, 1), (1, 1, 1))
        if any(lo > 0 or hi > 0 for lo, hi, _ in config):
            if any(lo != hi for lo, hi, _ in config):
                raise _refused(equation, "by different widths on the two sides")
            outs = [self._emptied(outs[0], reach, values[1], [max(lo, 0) for lo, _, _ in config])]
        return outs, [reach]


def _divided(start: Any, step: Fraction) -> Any:
    return start * step.denominator // step.numerator


def _elementwise(jaxpr) -> bool:
    for equation in jaxpr.eqns:
        inner = next((equation.params[key] for key in _INNER if key in equation.params), None)
        if equation.primitive.name in ("while", "scan"):
            return False
        if inner is None and equation.primitive.name not in _ELEMENTWISE:
            return False
        if inner is not None and not _elementwise(getattr(inner, "jaxpr", inner)):
            return False
    return True


def _bind(equation, values):
    found = equation.primitive.get_bind_params(equation.params)
    functions, parameters = found if isinstance(found, tuple) else ((), found)  # before and since JAX 0.10
    out = equation.primitive.bind(*functions, *values, **parameters)
    return list(out) if equation.primitive.multiple_results else [out]


def _fixed(equation, marks, out) -> frozenset:
    """Return the axes along which a value without voxels differs from place to place."""
    name, shape = equation.primitive.name, tuple(getattr(out, "shape", ()))
    if name in _ELEMENTWISE:
        return frozenset().union(*marks)
    if name == "broadcast_in_dim":
        into = equation.params["broadcast_dimensions"]
        before = equation.invars[0].aval.shape
        return frozenset(d for a, d in enumerate(into) if a in marks[0] and before[a] != 1)
    if not any(marks) and name != "iota":
        return frozenset()
    return frozenset(a for a, n in enumerate(shape) if n != 1)


def _joined(equation, marks) -> Reach:
    """Return what an element-wise function of several values reads."""
    holds = [m for m in marks if isinstance(m, Reach)]
    first = holds[0]
    for mark in holds[1:]:
        if mark.axes != first.axes or mark.step != first.step:
            raise _refused(equation, "of values with different voxels")
    for mark in marks:
        if not isinstance(mark, Reach) and mark & set(first.axes):
            raise _refused(equation, "with a constant that differs from place to place")
    return replace(
        first,
        lower=tuple(min(m.lower[a] for m in holds) for a in range(3)),
        upper=tuple(max(m.upper[a] for m in holds) for a in range(3)),
    )


def _moved(equation, marks) -> Reach:
    """Return the place of x, y, z after what only moves, joins or reduces other axes."""
    name, p = equation.primitive.name, equation.params
    mark = next(m for m in marks if isinstance(m, Reach))
    before, after = equation.invars[marks.index(mark)].aval.shape, equation.outvars[0].aval.shape
    axes = None
    if name == "transpose":
        axes = tuple(list(p["permutation"]).index(a) for a in mark.axes)
    elif name == "broadcast_in_dim":
        axes = tuple(p["broadcast_dimensions"][a] for a in mark.axes)
    elif name in _REDUCTIONS:
        gone = {int(a) for a in p["axes"]}
        if gone & set(mark.axes):
            raise _refused(equation, f"over all of {_axes_named(mark, gone)}")
        axes = tuple(a - sum(g < a for g in gone) for a in mark.axes)
    elif name == "squeeze":
        gone = {a % len(before) for a in p["dimensions"]}
        axes = None if gone & set(mark.axes) else tuple(a - sum(g < a for g in gone) for a in mark.axes)
    elif name == "expand_dims":
        new = sorted(p["dimensions"])
        axes = tuple([k for k in range(len(after)) if k not in new][a] for a in mark.axes)
    elif name == "reshape":
        axes = _reshaped(mark, before, after)
    elif name in ("concatenate", "split"):
        along = p["dimension" if name == "concatenate" else "axis"]
        if along in mark.axes:
            raise _refused(equation, f"along {_axes_named(mark, {along})}")
        axes = _joined(equation, [m for m in marks if isinstance(m, Reach)]).axes
        mark = _joined(equation, [m for m in marks if isinstance(m, Reach)])
    elif name == "slice":
        axes = mark.axes
    elif name == "dot_general":
        axes = _contracted(equation, marks, mark)
    if axes is None or any(before[a] != after[b] for a, b in zip(mark.axes, axes, strict=True)):
        raise _refused(equation, "along x, y or z")
    return replace(mark, axes=tuple(axes))


def _reshaped(mark: Reach, before, after) -> tuple[int, ...] | None:
    # An axis stays where as many values lie before it, and it is as long, as it was.
    axes: list[int] = []
    for a in mark.axes:
        found = [
            b
            for b in range(len(after))
            if after[b] == before[a] and math.prod(after[:b]) == math.prod(before[:a]) and b not in axes
        ]
        if not found:
            return None
        axes.append(found[0])
    return tuple(axes)


def _contracted(equation, marks, mark: Reach) -> tuple[int, ...] | None:
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    if all(isinstance(m, Reach) for m in marks):
        return None
    on_left = isinstance(marks[0], Reach)
    contracted, batch = (left, left_batch) if on_left else (right, right_batch)
    if set(contracted) & set(mark.axes) or set(batch) & set(mark.axes):
        return None
    shapes = [v.aval.shape for v in equation.invars]
    free = [a for a in range(len(shapes[not on_left])) if a not in contracted and a not in batch]
    skip = len(batch) + (0 if on_left else len(shapes[0]) - len(left) - len(left_batch))
    return tuple(skip + free.index(a) for a in mark.axes)


def _axes_named(mark: Reach, axes: set[int]) -> str:
    return ", ".join(_NAMES[k] for k, a in enumerate(mark.axes) if a in axes)


def _refused(equation, how: str) -> ValueError:
    place = _line(equation)
    return ValueError(
        f"the network uses '{equation.primitive.name}' {how}{place}, so a voxel of its result depends on the whole image, or on "
        f"where in the array it lies; use layers that look at neighbours alone (convolutions, pooling windows, zero "
        f"padding), without global pooling or statistics over the image."
    )


def _line(equation) -> str:
    from jax._src import source_info_util

    frame = source_info_util.user_frame(equation.source_info.traceback)
    return "" if frame is None else f" ({frame.function_name}, line {frame.start_line} of {frame.file_name})"

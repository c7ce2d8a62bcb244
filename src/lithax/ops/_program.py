"""Operations one after another, on whole arrays and on one padded block.

On a block, step k receives the core widened by its own halo and by those of all later steps. Inside
the image that is enough; outside, each step has a boundary rule of its own, so before every stencil
step what lies outside is filled again by that step's rule, from values inside the image that the
block holds anyway.

"wrap" is the exception: its values come from the far side of the image. When a step wraps, the
block is read as a piece of the periodic image, and up to the last step that wraps every position p
holds the true value at p modulo the image. A step before it with another rule (or one that is told
where it is) sees the faces of each period: it is computed once per period that the block meets
(one, for a block away from the faces), with the outside of that period filled by its rule.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.arrays import (
    boundary_index,
    fence,
    fori_loop,
    is_array,
    is_jax,
    is_traced,
    namespace,
    pad,
    refill,
    to_numpy,
    wide_scope,
)
from lithax.errors import MemoryLimitError
from lithax.geometry import Frame
from lithax.grid import Halo, Index, add_halos, triple
from lithax.ops._context import Context
from lithax.ops._step import AbstractRepetition, PlainFunction, Step, crop, widest_halo
from lithax.ops._whole_jax_arrays import compiled_on_arrays
from lithax.typing import Array

_NONE = (0, 0, 0)
_MOST_VOXELS = 2**40
"""Arrays padded to more are refused before they bring the process down."""


@dataclass(frozen=True, eq=False)
class Program:
    """Steps one after another; the common form of an operation, a chain and a plain function."""

    steps: tuple[Step, ...]

    def __post_init__(self):
        for step in self.steps[:-1]:
            if step.op.scale != (1, 1, 1):
                raise ValueError(f"{step.op.name} changes the grid (scale) and can only be the last step of a chain.")

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.steps))

    def on_images(self, shape: Index) -> "Program":
        """Return the program for images of one shape: where they hold whole boxes of the scale,
        nothing is read beyond them.
        """
        aligned_axes = triple(n % s == 0 for n, s in zip(shape, self.scale, strict=True))
        fitted = self.fitted(shape)
        return Program((*fitted.steps[:-1], replace(fitted.steps[-1], aligned_axes=aligned_axes)))

    def fitted(self, shape: Sequence[int]) -> "Program":
        """Return the program in which filters that are wider than an image of this shape are folded
        onto it.
        """

        def fit(step: Step) -> Step:
            if step.op.fit is None:
                return step
            return replace(step, parameters=step.op.fitted(step.parameters, shape, step.boundary))

        return self.map_leaves(fit) if any(step.op.fit for step in self.leaves) else self

    def in_voxels(self, frame: Frame) -> "Program":
        """Return the program with all lengths in voxels of an image."""
        return self.map_leaves(lambda step: replace(step, parameters=step.op.in_voxels(step.parameters, frame)))

    @functools.cached_property
    def leaves(self) -> tuple[Step, ...]:
        """The steps that are functions, also those inside steps that are repeated."""
        found: list[Step] = []
        for step in self.steps:
            found += [step] if step.op.inner is None else step.op.inner.leaves
        return tuple(found)

    def map_leaves(self, change: Callable[[Step], Step]) -> "Program":
        """Return the program with every step of `leaves` changed."""
        return Program(
            tuple(
                change(step)
                if not isinstance(step.op, AbstractRepetition)
                else replace(step, op=step.op.of(step.op.inner.map_leaves(change)))
                for step in self.steps
            )
        )

    @property
    def scale(self) -> tuple[Any, Any, Any]:
        """Input voxels per output voxel, along each axis."""
        return self.steps[-1].op.scale

    @functools.cached_property
    def elementwise(self) -> bool:
        return all(step.elementwise for step in self.steps)

    @property
    def host(self) -> bool:
        """Whether a step is a host function: then all run on NumPy arrays, under every backend."""
        return any(step.op.host for step in self.steps)

    def halo_after(self, k: int) -> Halo:
        """Halo that the steps after step `k` still need."""
        total = _NONE
        for step in self.steps[k + 1 :]:
            total = add_halos(total, add_halos(widest_halo(step.halos()), step.overhang))
        return total

    def halos(self, inputs: int) -> tuple[Halo, ...]:
        """Halo to read for each input."""
        halo_after = add_halos(self.steps[0].overhang, self.halo_after(0))
        return tuple(add_halos(h, halo_after) for h in self.steps[0].halos(inputs))

    @functools.cached_property
    def last_wrap(self) -> int:
        """Index of the last stencil step that wraps; -1 if none does."""
        return max((k for k, s in enumerate(self.steps) if s.boundary == "wrap" and self._stencil(k)), default=-1)

    @functools.cached_property
    def reading_rule(self) -> tuple[str, Any]:
        """The boundary rule and value by which the blocks of step 0 are to be padded."""
        if self.last_wrap >= 0:
            return "wrap", 0
        for k, step in enumerate(self.steps):
            if self._stencil(k):
                return step.boundary, step.boundary_value
        return "nearest", 0

    def _stencil(self, k: int) -> bool:
        step = self.steps[k]
        return any(map(any, step.halos())) or step.op.scale != (1, 1, 1)

    def _needs_refill(self, k: int) -> bool:
        # What step 0 to k-1 did to the voxels read outside the image is what the rule of step k
        # asks for only if they looked at single voxels, wherever those lie, and the rule copies
        # voxels.
        if k == 0 or not self._stencil(k):
            return False
        before = self.steps[:k]
        return not (all(s.elementwise for s in before) and self.steps[k].boundary != "constant")

    def _rule_applied(self, k: int) -> str | None:
        """How `on_block` applies the rule of step `k` itself; None where reading has applied it
        already.
        """
        last_wrap, step = self.last_wrap, self.steps[k]
        # An operation that knows where it is must find itself in the image, too.
        if k < last_wrap and (step.op.context or (self._stencil(k) and step.boundary != "wrap")):
            return "per period"
        if not self._stencil(k):
            return None
        return "refill" if k > last_wrap and (self._needs_refill(k) or last_wrap >= 0) else None

    def _flags_refilled(self, k: int) -> bool:
        # What is selected outside the image was read by the rule of the first stencil step.
        first = next((j for j in range(len(self.steps)) if self._stencil(j)), k)
        return self._stencil(k) and k > self.last_wrap and (k > first or self.last_wrap >= 0)

    def compiled_rules(self, selects: bool) -> tuple[Any, ...]:
        """Return the boundary rules that are part of what `on_block` computes, per step; None: not
        a part.
        """
        rules = []
        for k, step in enumerate(self.steps):
            how = self._rule_applied(k), selects and self._flags_refilled(k)
            rules.append((*how, step.boundary, step.boundary_value) if any(how) else None)
        return tuple(rules)

    def depends_on_place(self, selects: bool) -> bool:
        """Return whether what `on_block` computes depends on where in the image the block is."""
        asks = any(step.op.context or isinstance(step.op, AbstractRepetition) for step in self.steps)
        return asks or any(self.compiled_rules(selects))

    def check_selection(self) -> None:
        """Raise ValueError if a step looks at neighbours and has no form for excluded voxels."""
        for k, step in enumerate(self.steps):
            if self._stencil(k) and step.op.masked is None:
                raise ValueError(
                    f"where=... is given, but {step.op.name} looks at neighbouring voxels and has no masked form, so voxels "
                    f"left out would influence the result; pass where_input='keep' to restrict the output only."
                )

    def on_block(
        self,
        blocks: Sequence[Array],
        *,
        offset: tuple[Any, Any, Any],
        shape: tuple[Any, Any, Any],
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
        valid: Array | None = None,
        donor_voxel: tuple[Any, Any, Any] | None = None,
        seed: Any = 0,
    ) -> Any:
        """Run all steps on one block.

        Parameters
        ----------
        blocks
            One array per input, the core widened by `halos` and padded by `reading_rule`.
        offset
            Image index of the first voxel of the core; may be traced.
        shape
            Shape of the image of the first step; may be traced.
        valid
            Boolean array over the core widened by the largest of `halos`, True for voxels taken in.
        donor_voxel
            Position in the core of a voxel taken in; with `valid` there must be one.
        """
        values = list(blocks)
        widest = widest_halo(self.halos(len(blocks)))
        out: Any = None
        # Every step takes in a border and gives the core widened by what the later steps still
        # need.
        for k, step in enumerate(self.steps):
            halo_after, overhang = self.halo_after(k), step.overhang
            own = step.halos(len(values))
            around = tuple(add_halos(add_halos(h, overhang), halo_after) for h in own)
            if k > 0 and len(set(own)) > 1:  # the step before gives all of them the widest halo
                values = [crop(v, _minus(widest_halo(own), h)) for v, h in zip(values, own, strict=True)]
            begin = [tuple(o - w for o, w in zip(offset, a, strict=True)) for a in around]
            stencil = self._stencil(k)
            if k > 0 and stencil:
                values = [fence(v) for v in values]
            selected = None
            if valid is not None:
                selected = [crop(valid, _minus(widest, a)) for a in around]
                # Another step before may have filled these by its rule, or not at all.
                if donor_voxel is not None and (step.op.masked is None or not stencil):
                    values = [
                        _replace(v, s, tuple(f + w for f, w in zip(donor_voxel, a, strict=True)))
                        for v, s, a in zip(values, selected, around, strict=True)
                    ]
            fill = tuple(max(h[a] for h in own) + overhang[a] for a in range(3))

            def run(vs, flags, at, step=step, own=own, overhang=overhang, halo_after=halo_after):
                if any(overhang):
                    vs = [crop(v, overhang) for v in vs]
                    at = [tuple(p + b for p, b in zip(a, overhang, strict=True)) for a in at]
                if isinstance(step.op, AbstractRepetition):
                    rest = {"shape": shape, "spacing": spacing, "origin": origin, "seed": seed}
                    donor = None
                    if donor_voxel is not None:
                        donor = tuple(d + r for d, r in zip(donor_voxel, halo_after, strict=True))
                    return step.op.on_block(vs, at[0], None if flags is None else flags[0], donor, **rest)
                masked = flags[0] if flags is not None and any(map(any, own)) and step.op.masked is not None else None
                context = None
                if step.op.context:
                    context = Context(at[0], shape, spacing, origin, _inside(vs[0], at[0], shape, flags), seed)
                return step.run(vs, own, masked, context)

            applied = self._rule_applied(k)
            if applied == "per period":
                out = self._per_period(run, step, values, selected, begin, fill, offset, halo_after, shape)
            else:
                if applied == "refill":
                    values = [
                        refill(v, b, shape, fill, step.boundary, step.boundary_value)
                        for v, b in zip(values, begin, strict=True)
                    ]
                if selected is not None and self._flags_refilled(k):
                    selected = [
                        refill(s, b, shape, fill, step.boundary, True) for s, b in zip(selected, begin, strict=True)
                    ]
                out = run(values, selected, begin)
            if k + 1 < len(self.steps):
                values = self._handed_on(k, out, valid)
        return out

    def _handed_on(self, k: int, out: Any, valid: Array | None) -> list[Any]:
        """Return what step `k` gives to the next one: several arrays, or one tuple of them for a
        function of a tuple.
        """
        if not isinstance(out, tuple | list):
            return [out]
        following = self.steps[k + 1]
        if not isinstance(following.op, PlainFunction) and following.op.inputs in (None, len(out)):
            return list(out)
        if self._stencil(k + 1) or valid is not None:
            raise TypeError(
                f"step {k} of the chain ({self.steps[k].op.name}) returns {len(out)} arrays; only the last step may, "
                f"unless the next one is an operation of as many arrays, or an element-wise function of a tuple."
            )
        return [tuple(out)]

    def _per_period(self, run, step, values, selected, begin, fill, offset, halo_after, shape):
        """Run a step on a block of the periodic image, as if each period were an image of its own.

        `run`, `begin` and `fill` are those of `on_block`; the result is the core widened by
        `halo_after`.
        """
        xp = namespace(*values)
        core = tuple(
            n - 2 * w for n, w in zip(values[0].shape, add_halos(step.halos(len(values))[0], halo_after), strict=True)
        )
        # The step's result goes from `start` to `stop`. Later steps look no further than
        # `halo_after` beyond the image, so that filler above it starts no period of its own.
        start = tuple(o - r for o, r in zip(offset, halo_after, strict=True))
        stop = tuple(
            xp.minimum(xp.asarray(s + c + 2 * r), xp.asarray(n + r))
            for s, c, r, n in zip(start, core, halo_after, shape, strict=True)
        )
        low = tuple(s // n for s, n in zip(start, shape, strict=True))
        count = tuple((e - 1) // n - p + 1 for e, n, p in zip(stop, shape, low, strict=True))

        def one(turn):
            # The block as seen from one period: the same values, at positions counted from that
            # period's first voxel, and with what lies beyond it filled by the step's rule.
            period = (
                turn // (count[1] * count[2]) + low[0],
                turn // count[2] % count[1] + low[1],
                turn % count[2] + low[2],
            )
            moved = [tuple(b - p * n for b, p, n in zip(at, period, shape, strict=True)) for at in begin]
            filled, flags = values, selected
            if step.boundary != "wrap":
                filled = [
                    refill(v, m, shape, fill, step.boundary, step.boundary_value)
                    for v, m in zip(values, moved, strict=True)
                ]
            if selected is not None and step.boundary != "wrap":
                flags = [refill(s, m, shape, fill, step.boundary, True) for s, m in zip(selected, moved, strict=True)]
            return run(filled, flags, moved), period

        def add(turn, state):
            # Of what this period's view gives, only the voxels that lie in the period are right.
            out, period = one(turn)
            here = None
            for axis in range(3):
                position = start[axis] + xp.arange(state.shape[axis])
                flag = xp.reshape(
                    position // shape[axis] == period[axis], tuple(-1 if a == axis else 1 for a in range(3))
                )
                here = flag if here is None else here & flag
            return xp.where(here, out, state)

        # The first view fills the whole result, so the loop begins with arrays of the right type;
        # most blocks meet one period, and for them it is all there is. (`* 0`: traced where `start`
        # is.)
        first, _ = one(start[0] * 0)
        return fori_loop(1, count[0] * count[1] * count[2], add, first)

    def on_arrays(self, *arrays: Array, valid: Array | None = None, seed: Any = 0) -> Any:
        """Apply the steps to whole arrays, literally one after another."""
        if self.host and not all(isinstance(a, np.ndarray) for a in arrays):
            return self._on_host(arrays, valid, seed)
        values: Any = arrays
        out: Any = None
        shape = tuple(arrays[0].shape)
        for array in arrays:
            if array.ndim != 3:
                raise ValueError(
                    f"an array of shape {tuple(array.shape)} was given to {self!r}; voxel operations take three axes, x y z."
                )
            if tuple(array.shape) != shape:
                raise ValueError(
                    f"arrays of shapes {shape} and {tuple(array.shape)} were given to {self!r}; all must agree."
                )
        if valid is not None:
            valid = _selection(valid, arrays[0])
            self.check_selection()
        if (compiled := compiled_on_arrays(self, arrays, valid)) is not None:
            return compiled()
        donor_voxel = None if valid is None else _first_true(valid)
        for k, step in enumerate(self.fitted(shape).steps):
            single = Program((step,))
            if k > 0 and self._stencil(k):
                values = tuple(fence(v) for v in values)
            if isinstance(step.op, AbstractRepetition):
                out = step.op.on_arrays(values, valid, seed)
                if k + 1 < len(self.steps):
                    values = tuple(self._handed_on(k, out, valid))
                continue
            inputs = len(values)
            halos = single.halos(inputs)
            _check_room(step, shape, halos)
            extra = tuple(-n % math.ceil(s) if s > 1 else 0 for n, s in zip(shape, step.op.scale, strict=True))
            padded = (
                [
                    fence(_pad_above(pad(v, h, step.boundary, step.boundary_value), extra, h, shape, step))
                    for v, h in zip(values, halos, strict=True)
                ]
                if single._stencil(0)
                else list(values)
            )
            flags = None
            if valid is not None:
                widest = triple(max(h[a] for h in halos) for a in range(3))
                flags = pad(valid, widest, step.boundary, True)
            out = single.on_block(padded, offset=_NONE, shape=shape, valid=flags, donor_voxel=donor_voxel, seed=seed)
            if k + 1 < len(self.steps):
                values = tuple(self._handed_on(k, out, valid))
        return out

    def _on_host(self, arrays: Sequence[Array], valid: Array | None, seed: Any) -> Any:
        if any(map(is_traced, arrays)):
            raise TypeError(
                f"{self!r} holds a host function (voxel_op(host=True)), which JAX can neither compile nor differentiate; "
                f"call it outside of jax.jit and jax.grad."
            )
        out = self.on_arrays(*map(to_numpy, arrays), valid=None if valid is None else to_numpy(valid), seed=seed)
        xp = namespace(*arrays)
        with wide_scope(*arrays):
            return tuple(map(xp.asarray, out)) if isinstance(out, tuple) else xp.asarray(out)


def _check_room(step: Step, shape: Index, halos: Sequence[Halo]) -> None:
    voxels = max(math.prod(n + 2 * h for n, h in zip(shape, halo, strict=True)) for halo in halos)
    if voxels > _MOST_VOXELS:
        raise MemoryLimitError(
            f"{step!r} looks {widest_halo(halos)} voxels far: the array of shape {shape} would have to be padded to {voxels:.3g} voxels, "
            f"more than any memory holds; use a smaller halo, or a coarser array."
        )


def _minus(a: Halo, b: Halo) -> Halo:
    return triple(p - q for p, q in zip(a, b, strict=True))


def _replace(x: Any, valid: Array, at: tuple[Any, ...]) -> Any:
    if isinstance(x, tuple):
        return tuple(_replace(v, valid, at) for v in x)
    xp = namespace(x)
    return xp.where(valid, x, x[at])


def _inside(x: Array, at: tuple[Any, ...], shape: tuple[Any, ...], flags: Any) -> Array:
    xp = namespace(x)
    inside = None
    for axis in range(3):
        position = xp.arange(x.shape[axis]) + at[axis]
        flag = xp.reshape((position >= 0) & (position < shape[axis]), tuple(-1 if a == axis else 1 for a in range(3)))
        inside = flag if inside is None else inside & flag
    return inside & flags[0] if flags is not None else inside


def _first_true(valid: Array) -> tuple[Any, Any, Any]:
    xp = namespace(valid)
    flat = xp.argmax(xp.astype(xp.reshape(valid, (-1,)), xp.int8))
    _, ny, nz = valid.shape
    return flat // (ny * nz), flat // nz % ny, flat % nz


def _pad_above(x: Array, extra: Sequence[int], halo: Halo, shape: Sequence[int], step: Step) -> Array:
    # A coarser grid whose last voxel reaches beyond the image sees there what the boundary rule
    # says.
    xp = namespace(x)
    for axis, width in enumerate(extra):
        if width:
            size = shape[axis]
            positions = np.arange(-halo[axis], size + halo[axis] + width)
            inner = x[tuple(slice(halo[a], halo[a] + shape[a]) if a == axis else slice(None) for a in range(3))]
            index = boundary_index(positions, size, step.boundary)
            x = xp.take(inner, xp.asarray(index), axis=axis)
            if step.boundary == "constant":
                outside = xp.reshape(
                    xp.asarray((positions < 0) | (positions >= size)), tuple(-1 if a == axis else 1 for a in range(3))
                )
                x = xp.where(outside, xp.asarray(step.boundary_value, dtype=x.dtype), x)
    return x


def _selection(valid: Any, array: Array) -> Array:
    # Which voxels are taken in, in the library of the array: a body meets one library.
    if not is_array(valid):
        raise TypeError(f"valid is a {type(valid).__name__}; give a boolean array, True where a voxel is taken in.")
    if tuple(valid.shape) != tuple(array.shape):
        raise ValueError(f"valid has shape {tuple(valid.shape)}, the array {tuple(array.shape)}; they must agree.")
    if not namespace(valid).isdtype(valid.dtype, "bool"):
        raise TypeError(f"valid has dtype {valid.dtype}; give booleans, True where a voxel is taken in.")
    if not isinstance(valid, np.ndarray) or isinstance(array, np.ndarray):
        return valid
    xp = namespace(array)
    return xp.asarray(valid) if is_jax(array) else xp.asarray(valid, device=array.device, copy=True)

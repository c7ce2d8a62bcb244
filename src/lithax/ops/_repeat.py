"""An operation done again and again, as a loop of the compiled function instead of copies of it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lithax.arrays import fence, pad, refill, repeat_loop
from lithax.grid import Halo, triple
from lithax.ops._chain import Chain, as_steps
from lithax.ops._program import Program
from lithax.ops._step import AbstractRepetition, Step, crop, widest_halo
from lithax.typing import Array

_SETTLED = 3
"""Steps after which an operation gives the type that it takes: integers become floats once."""


class Repeated(AbstractRepetition):
    """Steps that are repeated, as one step of a program; made by `repeat`.

    A block is padded for all repetitions at once. Each makes the voxels right up to one halo less
    from its border, and the rest is filled with something finite that nothing in the core depends
    on, so that the block keeps its shape in the loop.
    """

    def __init__(self, inner: Program, times: int):
        self.inner, self.times = inner, times
        leaves = inner.leaves
        stencils = [step for step in leaves if any(map(any, step.halos()))]
        rules = {step.boundary == "wrap" for step in stencils}
        if len(rules) > 1:
            raise ValueError(
                f"repeat() of {inner!r} mixes boundary='wrap' with other rules, and the far side of the image is not in the "
                f"block after the first repetition; use one kind for all steps."
            )
        if any(step.op.scale != (1, 1, 1) for step in leaves):
            raise ValueError(f"repeat() of {inner!r}: an operation that changes the grid (scale) cannot be repeated.")
        self.inputs = inner.steps[0].inputs
        self.context = any(step.op.context for step in leaves)
        self.host = inner.host
        # The step asks for a masked form before it runs one; the inner steps find their own.
        self.masked = None if any(step.op.masked is None for step in stencils) else self._never

    @property
    def name(self) -> str:
        return f"repeat({' | '.join(step.op.name for step in self.inner.steps)}, {self.times})"

    def __repr__(self) -> str:
        return f"repeat({self.inner!r}, {self.times})"

    def _never(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the masked forms of repeated steps are called by these steps")

    def of(self, inner: Program) -> "Repeated":
        return Repeated(inner, self.times)

    def halos(self, parameters: Mapping[str, Any], inputs: int) -> tuple[Halo, ...]:
        once = self._once(inputs)
        return (triple(self.times * h for h in once),) * inputs

    @functools.lru_cache(8)  # noqa: B019 (lives as long as the operation)
    def _once(self, inputs: int) -> Halo:
        return widest_halo(self.inner.halos(inputs))

    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        pass

    def on_block(
        self, blocks: Sequence[Array], at: Sequence[Any], valid: Array | None, donor: Any, **image: Any
    ) -> Any:
        """Repeat on blocks that are padded by `halos`, with what is outside the image filled by the
        rule of the first step.

        Parameters
        ----------
        at
            Image index of the first voxel of the padded blocks.
        valid, donor
            Of the padded blocks, and the position in their core of a voxel taken in.
        image
            What `Program.on_block` takes: shape, spacing, origin, seed.
        """
        inputs = len(blocks)
        once, halos = self._once(inputs), self.inner.halos(inputs)
        (total, *_) = self.halos({}, inputs)
        rule, value = self.inner.reading_rule
        offset = tuple(a + o for a, o in zip(at, once, strict=True))
        inside = None if donor is None else tuple(d + t - o for d, t, o in zip(donor, total, once, strict=True))

        def step(fields: tuple[Any, ...]) -> tuple[Any, ...]:
            if rule != "wrap":
                fields = tuple(refill(v, at, image["shape"], total, rule, value) for v in fields)
            padded = [
                crop(v, [o - h for o, h in zip(once, halo, strict=True)]) for v, halo in zip(fields, halos, strict=True)
            ]
            out = self.inner.on_block(padded, offset=offset, valid=valid, donor_voxel=inside, **image)
            # What lies in the ring of the halo is not right any more, and nothing in the core will
            # depend on it.
            return tuple(pad(v, once, "nearest") for v in self._fields(out))

        return self._loop(step, tuple(blocks), lambda v: crop(v, total))

    def on_arrays(self, arrays: Sequence[Array], valid: Array | None, seed: Any) -> Any:
        """Repeat on whole arrays."""

        def step(fields: tuple[Any, ...]) -> tuple[Any, ...]:
            return self._fields(self.inner.on_arrays(*fields, valid=valid, seed=seed))

        return self._loop(step, tuple(arrays), lambda v: v)

    def _loop(self, step: Callable, fields: tuple[Any, ...], finish: Callable) -> Any:
        left, results = self.times, 0
        state: tuple[Any, ...] = fields
        while left:  # until every field has the type that it keeps
            made = step(state)
            if len(made) > len(state):
                raise ValueError(
                    f"{self!r} takes {len(state)} arrays and returns {len(made)}; what is repeated returns its first inputs anew."
                )
            state, before, left = (*map(fence, made), *state[len(made) :]), state, left - 1
            results = len(made)
            if all(a.dtype == b.dtype for a, b in zip(state, before, strict=True)):
                break
            if self.times - left >= _SETTLED and left:
                types = ", ".join(str(v.dtype) for v in state)
                raise TypeError(f"{self!r} gives another type each time ({types}); convert inside what is repeated.")
        fixed = state[results:]
        state = repeat_loop(left, lambda s: step((*s, *fixed)), state[:results])
        out = tuple(map(finish, state))
        return out if results > 1 else out[0]

    def _fields(self, out: Any) -> tuple[Any, ...]:
        return tuple(out) if isinstance(out, tuple | list) else (out,)


def repeat(op: Any, times: Any) -> Chain:
    """Do an operation again and again: ``repeat(f, 3)`` means ``f(f(f(x)))`` on the whole array,
    each time with its boundary rule.

    It is compiled as a loop: the time that compiling takes does not depend on `times`, as it does
    for a `chain` of copies. The halo is `times` that of the operation; it is one pass over an
    image.

    Parameters
    ----------
    op
        A voxel operation, a `functools.partial` of one, a chain, or an element-wise function. Of
        several arrays it may return the first ones anew, as a tuple; the others stay as they are:
        ``repeat(diffuse, 50)(field, conductivity)``.
    times
        How often, a whole number from 1.

    Raises
    ------
    ValueError
        If `times` is not such a number, the operation changes the grid, or its steps mix
        boundary="wrap" with other rules.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> import lithax as lx
    >>> x = np.zeros((7, 1, 1), np.float32)
    >>> x[3] = 1
    >>> lx.ops.repeat(partial(lx.ops.dilation, radius=1), 2)(x > 0)[:, 0, 0].astype(int)
    array([0, 1, 1, 1, 1, 1, 0])
    """
    if isinstance(times, bool) or not isinstance(times, int | np.integer) or times < 1:
        raise ValueError(f"times={times!r} must be a whole number >= 1: how often the operation is done.")
    inner = Program(as_steps(op))
    return Chain((repeated_step(inner, int(times)),))


def repeated_step(inner: Program, times: int) -> Step:
    """Return the step that repeats a program; its boundary rule is that by which the blocks are
    read.
    """
    rule, value = inner.reading_rule
    return Step(Repeated(inner, times), {}, rule, value)

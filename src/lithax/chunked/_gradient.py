"""The value of a loss over images of any size, and its gradient by the parameters.

A loss is a measurement: the states s_i of the blocks are combined to S, and L = finish(S). By the chain rule

    dL/dp = sum_i  dL/dS  dS/ds_i  ds_i/dp.

Where states add up, dS/ds_i is the identity: one pass sums the states and their derivatives ds_i/dp, of which there are as
many rows as a state has numbers. Otherwise a first pass gives the states, the derivative of combining them is
taken on the host, and a second pass pulls it back through every block.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from lithax.chunked._device_turns import DeviceTurns, budgets_of, compiled_bytes, on_device
from lithax.chunked._kernel import _COMPILED
from lithax.chunked._reduce import BlockReader, ReadBlock, each_block, to_host
from lithax.geometry import Frame
from lithax.ops import Program, as_steps


class LossOverBlocks:
    """A loss, perhaps with a model of the first image, as functions of the parameters on one block."""

    def __init__(
        self,
        loss: Any,
        model: Callable[[Any], Any] | None,
        reader: BlockReader,
        frame: Frame,
        run: dict[str, Any],
        gather: Callable[[Any], list[Any]] = lambda value: [value],
        devices: Sequence[Any] | None = None,
    ):
        self.loss, self.model, self.reader, self.frame = loss, model, reader, frame
        self.run = run
        # States of all processes, in the order of the blocks: then the bits do not depend on how blocks were dealt out.
        self._gather = gather
        self._devices, self._budgets = devices, budgets_of(devices)
        self._turns: dict[str, DeviceTurns] = {}
        self._lock = threading.Lock()

    def value(self, parameters: Any) -> np.ndarray:
        """Return the loss."""
        states = self._states(parameters, lambda differ, fixed, read: self._call("state", differ, fixed, read))
        total = states[0]
        for state in states[1:]:
            total = self.loss.combine(total, state)
        return self._finish(total)

    def value_and_gradient(self, parameters: Any) -> tuple[np.ndarray, Any]:
        """Return the loss and its gradient, a pytree like `parameters` (None for what is not a real number)."""
        if getattr(self.loss, "additive", False):
            return self._one_pass(parameters)
        return self._two_passes(parameters)

    def _one_pass(self, parameters: Any) -> tuple[np.ndarray, Any]:
        pairs = self._states(parameters, lambda differ, fixed, read: self._call("jacobian", differ, fixed, read))
        total, jacobian = pairs[0]
        for state, rows in pairs[1:]:
            total = self.loss.combine(total, state)
            jacobian = jax.tree_util.tree_map(np.add, jacobian, rows)
        with jax.enable_x64(True):
            value, weights = self._finish_gradient(total)
        gradient = jax.tree_util.tree_map(
            lambda rows: np.tensordot(weights, np.asarray(rows, np.float64), axes=1), jacobian
        )
        return value, _like(gradient, parameters)

    def _two_passes(self, parameters: Any) -> tuple[np.ndarray, Any]:
        states = self._states(parameters, lambda differ, fixed, read: self._call("state", differ, fixed, read))
        real = [eqx.partition(s, eqx.is_inexact_array_like) for s in states]

        def combined(parts: list[Any]) -> Any:
            whole = [eqx.combine(r, rest) for r, (_, rest) in zip(parts, real, strict=True)]
            total = whole[0]
            for state in whole[1:]:
                total = self.loss.combine(total, state)
            return jnp.asarray(self.loss.finish(total))

        with jax.enable_x64(True):
            value, pulled = jax.value_and_grad(combined)([r for r, _ in real])
            cotangents = iter([to_host(p) for p in pulled])
        # Blocks come in the order of the states, which is that of the cotangents.
        by_start = dict(zip(self._starts, cotangents, strict=True))
        gradients: list[Any] = []
        alone = self.run.get("share", (0, 1))[1] == 1

        def add(a: Any, b: Any) -> Any:
            return jax.tree_util.tree_map(np.add, a, b)

        def take(gradient: Any) -> None:
            if alone and gradients:  # what is added at once need not be kept
                gradient = add(gradients.pop(), gradient)
            gradients.append(gradient)

        def work(read: ReadBlock) -> Any:
            differ, fixed = _split(parameters)
            return self._call("pull", differ, fixed, read, by_start[read.start])

        each_block(self.reader, work, take, **self.run)
        every = [gradient for part in self._gather(gradients) for gradient in part]
        total = functools.reduce(add, every)
        return np.asarray(value), _like(total, parameters)

    def _states(self, parameters: Any, of: Callable) -> list[Any]:
        differ, fixed = _split(parameters)
        found: list[Any] = []
        each_block(self.reader, lambda read: (read.start, of(differ, fixed, read)), found.append, **self.run)
        every = [pair for part in self._gather(found) for pair in part]
        if not every:
            raise ValueError("where=... selects no voxel, so there is no loss; check its mask, phases and region.")
        self._starts = [start for start, _ in every]
        return [state for _, state in every]

    def _call(self, what: str, differ: Any, fixed: Any, read: ReadBlock, cotangent: Any = None) -> Any:
        function = self._function(what, fixed)
        offset = np.asarray(read.start, np.int64)
        first = np.asarray(read.first, np.int64)
        arguments = (differ, read.blocks, read.valid, read.around, offset, first)
        arguments += () if cotangent is None else (cotangent,)
        with self._turns_of(what, function, arguments).take(), jax.enable_x64(True):
            return to_host(function(*arguments))

    def _turns_of(self, what: str, function: Any, arguments: tuple[Any, ...]) -> DeviceTurns:
        with self._lock:
            if what not in self._turns:
                needed = 0
                # Only devices that have a budget need be asked how much a block takes there: it costs a compilation.
                if any(budget is not None for budget in self._budgets):
                    with jax.enable_x64(True), on_device((self._devices or (None,))[0]):
                        _, needed = compiled_bytes(function.lower(*arguments).compile())
                self._turns[what] = DeviceTurns(self._devices, needed, self._budgets)
            return self._turns[what]

    def _function(self, what: str, fixed: Any) -> Callable:
        leaves, structure = jax.tree_util.tree_flatten((self.loss, fixed))
        key = (
            "loss",
            what,
            structure,
            tuple((type(v), _key(v)) for v in leaves),
            self.model,
            self.frame,
            self.reader.halos,
        )
        return _COMPILED.get(key, lambda: jax.jit(self._build(what, fixed)))

    def _build(self, what: str, fixed: Any) -> Callable:
        loss, model, frame = self.loss, self.model, self.frame

        def state(differ, blocks, valid, around, offset, first):
            parameters = eqx.combine(differ, fixed)
            if model is not None:
                program = Program(as_steps(model(parameters)))
                predicted = program.on_block(
                    blocks[:1],
                    offset=(offset[0], offset[1], offset[2]),
                    shape=frame.shape,
                    spacing=frame.voxel_length,
                    origin=frame.voxel_origin,
                    valid=around,
                    first_valid=None if around is None else (first[0], first[1], first[2]),
                )
                blocks = [predicted, *blocks[1:]]
            return loss.of(parameters, *blocks, valid=valid)

        if what == "state":
            return state

        def numbers(differ, *block):
            real, rest = eqx.partition(state(differ, *block), eqx.is_inexact_array)
            flat = jax.tree_util.tree_leaves(real)
            vector = jnp.concatenate([jnp.ravel(v).astype(jnp.float64) for v in flat])
            return vector, (real, rest)

        if what == "jacobian":

            def jacobian(differ, *block):
                rows, (real, rest) = jax.jacrev(numbers, has_aux=True)(differ, *block)
                return eqx.combine(real, rest), rows

            return jacobian

        def pull(differ, blocks, valid, around, offset, first, cotangent):
            def of(p):
                real, _ = eqx.partition(state(p, blocks, valid, around, offset, first), eqx.is_inexact_array)
                return real

            real, pullback = jax.vjp(of, differ)
            typed = jax.tree_util.tree_map(lambda c, r: jnp.asarray(c, r.dtype), cotangent, real)
            return pullback(typed)[0]

        return pull

    def _finish(self, total: Any) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(self.loss.finish(jax.tree_util.tree_map(jnp.asarray, total)))

    def _finish_gradient(self, total: Any) -> tuple[np.ndarray, np.ndarray]:
        arrays = jax.tree_util.tree_map(jnp.asarray, total)
        real, rest = eqx.partition(arrays, eqx.is_inexact_array)

        def finish(r):
            return jnp.asarray(self.loss.finish(eqx.combine(r, rest)))

        value, weights = jax.value_and_grad(finish)(real)
        flat = [np.ravel(np.asarray(w, np.float64)) for w in jax.tree_util.tree_leaves(weights)]
        return np.asarray(value), np.concatenate(flat)


def _split(parameters: Any) -> tuple[Any, Any]:
    return eqx.partition(parameters, lambda v: eqx.is_inexact_array_like(v) and not isinstance(v, bool))


def has_real_numbers(parameters: Any) -> bool:
    """Whether there is anything in a pytree that a gradient can be taken by."""
    return bool(jax.tree_util.tree_leaves(_split(parameters)[0]))


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray | jax.Array):
        return (value.shape, str(value.dtype), np.asarray(value).tobytes())
    return repr(value) if isinstance(value, float) else value


def _like(gradient: Any, parameters: Any) -> Any:
    # A gradient has the precision of its parameter; Python numbers count as float64.
    differ, _ = _split(parameters)
    return jax.tree_util.tree_map(
        lambda g, p: np.asarray(g, getattr(p, "dtype", np.float64)).reshape(np.shape(p)), gradient, differ
    )

"""The value of a loss over images of any size, and its gradient by the parameters.

A loss is a measurement: the states s_i of the blocks are combined to S, and L = finish(S). By the
chain rule

    dL/dp = sum_i  dL/dS  dS/ds_i  ds_i/dp.

Where states add up, dS/ds_i is the identity: one pass sums the states and their derivatives
ds_i/dp, of which there are as many rows as a state has numbers. Otherwise a first pass gives the
states, the derivative of combining them is taken on the host, and a second pass pulls it back
through every block. All are joined along one tree (`BlockTree`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import numpy as np
from jax import numpy as jnp

from lithax.chunked._block_function import BlockFunction, to_host
from lithax.chunked._block_reader import BlockReader, ReadBlock
from lithax.chunked._block_tree import BlockTree, Nodes, combine_nodes
from lithax.chunked._function_state import function_state
from lithax.chunked._jaxpr_key import value_key
from lithax.chunked._reduce import each_block
from lithax.chunked._state_function import block_arguments, block_examples, predicted
from lithax.geometry import Frame
from lithax.grid import Share
from lithax.measure import Traits
from lithax.ops import Program, as_steps


class LossOverBlocks:
    """A loss, perhaps with a model of the first image, as functions of the parameters on one
    block.
    """

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
        # What the processes tell each other, in the order of the blocks.
        self._gather = gather
        self._devices = devices
        self._selects = reader.selection is not None

    def value(self, parameters: Any) -> np.ndarray:
        """Return the loss."""
        return self._value(self._combined(parameters, "state", self.loss.combine))

    def value_and_gradient(self, parameters: Any) -> tuple[np.ndarray, Any]:
        """Return the loss and its gradient, a pytree like `parameters` (None for what is not a real
        number).
        """
        if Traits.of(self.loss).additive:
            return self._one_pass(parameters)
        return self._two_passes(parameters)

    def hessian(self, parameters: Any) -> np.ndarray:
        """Return the second derivatives of the loss by all real numbers of the parameters, in the
        order of their leaves.

        With F the finish of the summed states S = sum s_i: H = F'(S) sum s_i'' + (sum s_i')^T
        F''(S) (sum s_i'), in one pass.

        Raises
        ------
        NotImplementedError
            If states do not add up.
        """
        if not Traits.of(self.loss).additive:
            raise NotImplementedError(
                f"{type(self.loss).__name__} is not additive, so it has first derivatives only; use an optimiser that needs no "
                "second ones, such as optimistix.BFGS."
            )

        def join(a: Any, b: Any) -> Any:
            return self.loss.combine(a[0], b[0]), _add(a[1], b[1])

        total, (rows, curvature) = self._combined(parameters, "hessian", join)
        with jax.enable_x64(True):
            weights, second = self._finish_curvature(total)
        return np.tensordot(weights, curvature, axes=1) + rows.T @ second @ rows

    def normal_equations(self, parameters: Any) -> tuple[np.ndarray, float, int]:
        """Return J^T J of the residuals of all voxels, their sum of squares, and their number, in
        one pass.

        J has a row per voxel and a column per real number of the parameters, in the order of their
        leaves; only sums over voxels are kept.
        """
        square, misfit, number = self._combined(parameters, "normal", _add)
        return np.asarray(square), float(misfit), int(number)

    def _one_pass(self, parameters: Any) -> tuple[np.ndarray, Any]:
        def join(a: Any, b: Any) -> Any:
            return self.loss.combine(a[0], b[0]), _add(a[1], b[1])

        total, jacobian = self._combined(parameters, "jacobian", join)
        with jax.enable_x64(True):
            value, weights = self._finish_gradient(total)
        gradient = jax.tree_util.tree_map(
            lambda rows: np.tensordot(weights, np.asarray(rows, np.float64), axes=1), jacobian
        )
        return value, _like(gradient, parameters)

    def _two_passes(self, parameters: Any) -> tuple[np.ndarray, Any]:
        of_block = self._function("state", parameters)
        own: list[tuple[int, Any]] = []
        each_block(
            self.reader,
            lambda read: of_block(*self._arguments(read)),
            lambda position, state: own.append((position, state)),
            **self.run,
        )
        positions = [position for position, _ in own]
        real = [eqx.partition(state, _is_real) for _, state in own]

        def nodes_of(parts: list[Any]) -> Any:
            tree = BlockTree(self.loss.combine, self._own.start)
            for position, part, (_, rest) in zip(positions, parts, real, strict=True):
                tree.add(position, eqx.combine(part, rest))
            nodes = tree.end(self._own.stop)
            split = [eqx.partition(node, _is_real) for _, node in nodes]
            return [r for r, _ in split], [(at, rest) for (at, _), (_, rest) in zip(nodes, split, strict=True)]

        def finished(parts: list[list[Any]]) -> Any:
            whole = [
                [(int(at), eqx.combine(r, rest)) for r, (at, rest) in zip(reals, rests, strict=True)]
                for reals, (_, rests) in zip(parts, every, strict=True)
            ]
            return jnp.asarray(self.loss.finish(combine_nodes(self.loss.combine, whole)))

        # Who holds the states below a node joins them, and takes the derivative back to them; only
        # nodes are told to others.
        with jax.enable_x64(True):
            nodes, pull, places = jax.vjp(nodes_of, [r for r, _ in real], has_aux=True)
            every = self._gather(to_host((nodes, places)))
            _check_any([rests for _, rests in every])
            value, weights = jax.value_and_grad(finished)([reals for reals, _ in every])
            (pulled,) = pull(weights[self.run.get("share", Share()).index])
        cotangents = dict(zip(positions, map(to_host, pulled), strict=True))
        tree = BlockTree(_add, self._own.start)
        if cotangents:  # or no voxel of this process counts
            pull_back = self._function("pull", parameters, next(iter(cotangents.values())))
            place = self.reader.layout.place
            each_block(
                self.reader,
                lambda read: pull_back(*self._arguments(read), cotangents[place(read.start)]),
                tree.add,
                **self.run,
            )
        return np.asarray(value), _like(combine_nodes(_add, self._gather(tree.end(self._own.stop))), parameters)

    @property
    def _own(self) -> range:
        return self.run.get("share", Share()).places(self.reader.layout.grid)

    def _combined(self, parameters: Any, what: str, combine: Callable[[Any, Any], Any]) -> Any:
        """Return what all blocks give together, of a function that `_function` knows."""
        function = self._function(what, parameters)
        tree = BlockTree(combine, self._own.start)
        each_block(self.reader, lambda read: function(*self._arguments(read)), tree.add, **self.run)
        every = self._gather(tree.end(self._own.stop))
        _check_any(every)
        return combine_nodes(combine, every)

    def _arguments(self, read: ReadBlock) -> tuple[Any, ...]:
        return block_arguments(read, self._selects)

    def _function(self, what: str, parameters: Any, *cotangent: Any) -> BlockFunction:
        """Return a function of a block: its "state", the "jacobian" of that too, or what can "pull"
        a cotangent back.
        """
        differ, fixed = _split(parameters)
        leaves, structure = jax.tree_util.tree_flatten((self.loss, fixed))
        key = (
            "loss", what, structure, tuple(map(value_key, leaves)), self.model,
            function_state(leaves, type(self.loss), self.model), self.frame, self.reader.halos,
        )  # fmt: skip
        bodies = {"state": lambda s: s, "jacobian": _jacobian, "hessian": _hessian, "pull": _pull, "normal": _normal}
        body = bodies[what](self._state(fixed, "residuals") if what == "normal" else self._state(fixed))
        examples = (*block_examples(self.reader, self._selects), *cotangent)
        return BlockFunction(body, differ, examples, devices=self._devices, key=key)

    def _state(self, fixed: Any, method: str = "of") -> Callable[..., Any]:
        loss, model, frame = self.loss, self.model, self.frame

        def state(differ, blocks, valid, valid_padded, offset, donor_voxel):
            parameters = eqx.combine(differ, fixed)
            if model is not None:
                at = (offset[0], offset[1], offset[2])
                program = Program(as_steps(model(parameters))).in_voxels(frame).fitted(frame.shape)
                blocks = [predicted(program, blocks[:1], frame, at, valid_padded, donor_voxel), *blocks[1:]]
            if method == "residuals":
                residuals = loss.residuals(parameters, *blocks)
                return jnp.where(valid, residuals, jnp.zeros_like(residuals)), jnp.sum(valid, dtype=jnp.int64)
            return loss.of(parameters, *blocks, valid=valid)

        return state

    def _value(self, total: Any) -> np.ndarray:
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

    def _finish_curvature(self, total: Any) -> tuple[np.ndarray, np.ndarray]:
        arrays = jax.tree_util.tree_map(jnp.asarray, total)
        real, rest = eqx.partition(arrays, eqx.is_inexact_array)
        flat, unravel = jax.flatten_util.ravel_pytree(real)

        def finish(r):
            return jnp.asarray(self.loss.finish(eqx.combine(unravel(r), rest)), jnp.float64)

        return np.asarray(jax.grad(finish)(flat)), np.asarray(jax.hessian(finish)(flat))


def _jacobian(state: Callable[..., Any]) -> Callable[..., Any]:
    def numbers(differ, *block):
        real, rest = eqx.partition(state(differ, *block), eqx.is_inexact_array)
        flat = jax.tree_util.tree_leaves(real)
        vector = jnp.concatenate([jnp.ravel(v).astype(jnp.float64) for v in flat])
        return vector, (real, rest)

    def jacobian(differ, *block):
        rows, (real, rest) = jax.jacrev(numbers, has_aux=True)(differ, *block)
        return eqx.combine(real, rest), rows

    return jacobian


def _hessian(state: Callable[..., Any]) -> Callable[..., Any]:
    def hessian(differ, *block):
        flat, rebuilt = _raveled(differ)

        def numbers(flat):
            real, rest = eqx.partition(state(rebuilt(flat), *block), eqx.is_inexact_array)
            rows = [jnp.ravel(v).astype(jnp.float64) for v in jax.tree_util.tree_leaves(real)]
            return jnp.concatenate(rows), (real, rest)

        rows, (real, rest) = jax.jacrev(numbers, has_aux=True)(flat)
        curvature = jax.jacfwd(jax.jacrev(lambda v: numbers(v)[0]))(flat)
        return eqx.combine(real, rest), (rows, curvature)

    return hessian


def _normal(residuals: Callable[..., Any]) -> Callable[..., Any]:
    def normal(differ, *block):
        flat, rebuilt = _raveled(differ)

        def numbers(flat):
            values, number = residuals(rebuilt(flat), *block)
            return jnp.ravel(values), (values, number)

        columns, (values, number) = jax.jacfwd(numbers, has_aux=True)(flat)
        columns = columns.astype(jnp.float64)
        return columns.T @ columns, jnp.sum(jnp.square(values.astype(jnp.float64))), number

    return normal


def _raveled(differ: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return all numbers of a pytree as one float64 vector, and what makes such a pytree of a
    vector.
    """
    leaves, structure = jax.tree_util.tree_flatten(differ)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])

    def rebuilt(flat):
        pieces = zip(ends[:-1], ends[1:], leaves, strict=True)
        return structure.unflatten([flat[a:b].reshape(leaf.shape).astype(leaf.dtype) for a, b, leaf in pieces])

    return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float64) for leaf in leaves]), rebuilt


def _pull(state: Callable[..., Any]) -> Callable[..., Any]:
    def pull(differ, *block_and_cotangent):
        *block, cotangent = block_and_cotangent

        def of(p):
            real, _ = eqx.partition(state(p, *block), eqx.is_inexact_array)
            return real

        real, pullback = jax.vjp(of, differ)
        typed = jax.tree_util.tree_map(lambda c, r: jnp.asarray(c, r.dtype), cotangent, real)
        return pullback(typed)[0]

    return pull


def _add(a: Any, b: Any) -> Any:
    return jax.tree_util.tree_map(np.add, a, b)


def _is_real(leaf: Any) -> bool:  # equinox's own question does not know what JAX differentiates
    return isinstance(leaf, float | complex) or jnp.issubdtype(getattr(leaf, "dtype", np.int64), np.inexact)


def _check_any(every: list[Nodes]) -> None:
    if not any(every):
        raise ValueError("where=... selects no voxel, so there is no loss; check its mask, phases and region.")


def _split(parameters: Any) -> tuple[Any, Any]:
    return eqx.partition(parameters, lambda v: eqx.is_inexact_array_like(v) and not isinstance(v, bool))


def has_real_numbers(parameters: Any) -> bool:
    """Whether there is anything in a pytree that a gradient can be taken by."""
    return bool(jax.tree_util.tree_leaves(_split(parameters)[0]))


def _like(gradient: Any, parameters: Any) -> Any:
    # A gradient has the precision of its parameter; Python numbers count as float64.
    differ, _ = _split(parameters)
    return jax.tree_util.tree_map(
        lambda g, p: np.asarray(g, getattr(p, "dtype", np.float64)).reshape(np.shape(p)), gradient, differ
    )

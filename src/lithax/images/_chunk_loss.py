"""A loss over images as a function of its parameters, inside whatever JAX and its optimisers do
with functions.

The function is a `jax.custom_jvp`: its tangent is the gradient times the tangent of the parameters,
the gradient's is the matrix of second derivatives times that. From these JAX makes reverse and
forward mode, `linearize` and `hessian`. Where the parameters are known the images are read at once;
where JAX compiles, a callback reads them when the compiled program runs.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.chunked import LossOverBlocks
from lithax.images._call import world_of
from lithax.images._collective import together
from lithax.images._reduce import loss_over
from lithax.images._run import Run


def chunk_loss(
    loss: Any,
    *images: Any,
    model: Callable[[Any], Any] | None = None,
    where: Any = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = False,
    timeout: float = 300.0,
) -> Callable[[Any], Any]:
    """Return a loss over images as a function of the parameters, for JAX's transformations and for
    optimisers.

    Parameters
    ----------
    loss, *images, model, where, memory_limit, workers, world, progress
        As for `chunk_value_and_grad`.
    timeout
        How long one process waits for the others to come to the same evaluation [s].

    Returns
    -------
        ``f(parameters)``. It works under ``jax.grad``, ``value_and_grad``, ``jvp``, ``linearize``
        and ``jit``; under ``vmap`` one set of parameters after the other; under ``hessian`` where
        the loss is `additive`; and so in optax and optimistix. Every evaluation is a pass over the
        images, and so is every gradient (two if the loss is not additive). Numbers have the
        precision that JAX works in: for 64 bits switch on ``jax_enable_x64``.

    Notes
    -----
    In several processes all must make their losses in the same order, and evaluate them in the same
    order and equally often, with the same parameters. Inside ``jax.jit`` the compiler may leave out
    an evaluation whose result nobody uses, so compile the same function everywhere. Before each
    evaluation the processes compare loss, number of the evaluation, what is asked for (value,
    gradient, Hessian) and parameters. Where they differ, all raise ValueError; where one does not
    come within `timeout`, the others raise `lithax.errors.ProcessFailure`, and so does that one
    when it comes to anything that the processes do together. Out of a compiled function JAX raises
    its own ``JaxRuntimeError``, with that error in its message.

    Examples
    --------
    >>> import jax
    >>> import lithax as lx
    >>> x = lx.ones((4, 4, 4), "f4")
    >>> f = lx.chunk_loss(lx.measure.MeanSquaredError(model=lambda p, v: p * v), x, x)
    >>> float(jax.jit(jax.grad(f))(3.0)), float(jax.hessian(f)(3.0))
    (4.0, 2.0)
    """
    return LossFunction(loss, images, model, where, memory_limit, workers, world, progress, timeout)


class LossFunction:
    """What `chunk_loss` returns: call it with the parameters."""

    def __init__(
        self,
        loss: Any,
        images: tuple[Any, ...],
        model: Callable[[Any], Any] | None,
        where: Any,
        memory_limit: Any,
        workers: int | None,
        world: Any,
        progress: bool,
        timeout: float,
    ):
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r} must be a positive number of seconds; math.inf waits forever.")
        self._loss, self._images, self._model = loss, images, model
        self._options = (where, memory_limit, workers)
        self._progress = progress
        self._world = world_of("chunk_loss", images, world)
        self._timeout = timeout
        self._number = self._world.next_number()
        self._evaluations = 0
        # Several processes can agree on one evaluation at a time, of whatever loss.
        self._one_at_a_time = self._world.turn if self._world.count > 1 else threading.RLock()

    def __repr__(self) -> str:
        return f"chunk_loss({type(self._loss).__name__}, {len(self._images)} images)"

    def __call__(self, parameters: Any) -> Any:
        """Return the loss, a scalar of JAX."""
        leaves, structure = jax.tree_util.tree_flatten(parameters)
        moving = [_is_real(leaf) for leaf in leaves]
        real = [jnp.asarray(leaf) for leaf, moves in zip(leaves, moving, strict=True) if moves]
        fixed = [None if moves else leaf for leaf, moves in zip(leaves, moving, strict=True)]
        if any(map(is_traced, fixed)):
            raise TypeError(
                f"parameters={parameters!r} hold integers or booleans that JAX is tracing, which a loss cannot be differentiated by; "
                "make them floats, or pass them outside of the parameters."
            )
        # Python's floats count as the float that JAX works in; what the loss is told of them is the
        # same.
        hosts = [leaf if isinstance(leaf, float) else None for leaf, moves in zip(leaves, moving, strict=True) if moves]

        def rebuilt(values: Any) -> Any:
            each = iter(zip(values, hosts, strict=True))
            filled = []
            for moves, other in zip(moving, fixed, strict=True):
                if moves:
                    value, plain = next(each)
                    filled.append(float(value) if plain is not None and np.shape(value) == () else np.asarray(value))
                else:
                    filled.append(other)
            return jax.tree_util.tree_unflatten(structure, filled)

        return _differentiable(self, rebuilt)(real)

    def evaluate(self, what: str, parameters: Any) -> Any:
        """Return the "value", the value with its "gradient", or the matrix of second derivatives
        ("hessian") at parameters.
        """
        where, memory_limit, workers = self._options
        with self._one_at_a_time, together(self._world):
            self._evaluations += 1
            with self._world.patience(self._timeout, "chunk_loss()"):
                over: LossOverBlocks = loss_over(
                    "chunk_loss", self._loss, parameters, self._images, self._model, where,
                    Run("jax", None, memory_limit, workers, self._world, self._progress),
                    evaluation=f"{what} of loss {self._number}, evaluation {self._evaluations}",
                )  # fmt: skip
            if what == "value":
                return over.value(parameters)
            if what == "gradient":
                value, gradient = over.value_and_gradient(parameters)
                return value, jax.tree_util.tree_leaves(gradient)
            return over.hessian(parameters)


def _differentiable(function: LossFunction, rebuilt: Callable[[Any], Any]) -> Callable[[Any], Any]:
    scalar = jax.ShapeDtypeStruct((), jnp.result_type(float))

    @jax.custom_jvp
    def value(real: list[Any]) -> Any:
        return _computed(function, "value", rebuilt, real, scalar)

    def value_and_gradient(real: list[Any]) -> Any:
        like = [jax.ShapeDtypeStruct(r.shape, r.dtype) for r in real]
        return _computed(function, "gradient", rebuilt, real, (scalar, like))

    @jax.custom_jvp
    def both(real: list[Any]) -> Any:
        return value_and_gradient(real)

    @value.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (real,), (moved,) = primals, tangents
        result, gradient = both(real)
        return result, _along(gradient, moved, scalar.dtype)

    @both.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (real,), (moved,) = primals, tangents
        result, gradient = both(real)
        size = sum(r.size for r in real)
        matrix = second(real, size)
        step = jnp.concatenate([jnp.ravel(m).astype(scalar.dtype) for m in moved])
        change, turned, at = matrix @ step, [], 0
        for r in real:
            turned.append(change[at : at + r.size].reshape(r.shape).astype(r.dtype))
            at += r.size
        return (result, gradient), (_along(gradient, moved, scalar.dtype), turned)

    def second(real: list[Any], size: int) -> Any:
        square = jax.ShapeDtypeStruct((size, size), scalar.dtype)

        @jax.custom_jvp
        def matrix(real: list[Any]) -> Any:
            return _computed(function, "hessian", rebuilt, real, square)

        @matrix.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            raise NotImplementedError("a loss over images has first and second derivatives only.")

        return matrix(real)

    return value


def _along(gradient: list[Any], moved: list[Any], dtype: Any) -> Any:
    return sum((jnp.vdot(g, m).astype(dtype) for g, m in zip(gradient, moved, strict=True)), jnp.zeros((), dtype))


def _computed(function: LossFunction, what: str, rebuilt: Callable[[Any], Any], real: list[Any], like: Any) -> Any:
    """Return what `LossFunction.evaluate` does: now if the parameters are known, otherwise when the
    program runs.
    """

    def shaped(found: Any) -> Any:
        return jax.tree_util.tree_map(lambda f, s: np.asarray(f, s.dtype).reshape(s.shape), found, like)

    def on_host(*values: Any) -> Any:
        return shaped(_elsewhere(lambda: function.evaluate(what, rebuilt(list(values)))))

    if any(map(is_traced, real)):
        return jax.pure_callback(on_host, like, *real, vmap_method="sequential")
    return jax.tree_util.tree_map(jnp.asarray, shaped(function.evaluate(what, rebuilt([np.asarray(r) for r in real]))))


def _elsewhere(work: Callable[[], Any]) -> Any:
    # A thread of its own: that of the callback belongs to the program that waits for it, and to its
    # settings.
    with ThreadPoolExecutor(1, thread_name_prefix="lithax-loss") as pool:
        return pool.submit(work).result()


def _is_real(leaf: Any) -> bool:
    if isinstance(leaf, bool | np.bool_):
        return False
    return isinstance(leaf, float) or jnp.issubdtype(getattr(leaf, "dtype", np.int64), jnp.floating)

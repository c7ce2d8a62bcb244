"""What a measurement is: a summary of voxels that can be taken block by block."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax

from lithax.arrays import gaps_named, is_traced, namespace, order_shift, pad, to_numpy, wide_scope
from lithax.grid import Halo, as_halo
from lithax.typing import Array

State = Any
"""A pytree of arrays, of a size that does not depend on the number of voxels."""


class AbstractMeasurement(eqx.Module):
    """A summary of voxels as a monoid: measure blocks, combine the states in any grouping, finish
    once.

    ``measurement(array)`` measures a whole array; ``image.reduce(measurement)`` an image of any
    size, where `of` is compiled and runs on every block, and `combine` and `finish` run on the
    host. Sums are kept in float64, counts in int64; on JAX that needs an x64 scope around `of`,
    which the callers here open.
    """

    context: ClassVar[bool] = False
    """Whether `of` also takes ``block``, a `lithax.ops.Context`: where the block lies in the image.
    """

    additive: ClassVar[bool] = False
    """Whether `finish` is a mean over voxels, so that one pass gives its gradient as well."""

    exact: ClassVar[bool] = False
    """Whether `combine` gives the same bits however states are grouped, as counts and extremes do:
    then a process tells the others one state instead of a few, which matters where states are long.
    """

    halo: ClassVar[Any] = 0
    """How far `of` looks beyond the voxels that it measures [voxel]: an integer, or one per axis.
    Blocks and `valid` then come with so many voxels more on every side. Beyond the image the
    nearest voxels are repeated, and `valid` is False."""

    host: ClassVar[bool] = False
    """Whether `of` takes and returns NumPy arrays in host memory under every backend, and may call
    any compiled package.
    """

    @abc.abstractmethod
    def of(self, *blocks: Any, **keywords: Any) -> State:
        """Summarise one block: ``of(*blocks, valid=None)``.

        Voxels that are not `valid`, a boolean array of the shape of the blocks, never influence the
        state; None means that all are. Where `context` is set there is also ``block=``. Pure
        array-API code: NumPy, JAX (also traced), PyTorch, CuPy, array-api-strict.
        """

    @abc.abstractmethod
    def combine(self, a: State, b: State) -> State:
        """Join the states of two sets of voxels, NumPy arrays in host memory. Associative; up to
        rounding for floats.
        """

    @abc.abstractmethod
    def finish(self, state: State) -> Any:
        """Turn the state of all voxels, NumPy arrays in host memory, into the result."""

    def __call__(self, *arrays: Any, valid: Array | None = None) -> Any:
        """Measure whole arrays of one shape.

        Parameters
        ----------
        arrays
            One array per input of `of`, of any array-API library.
        valid
            Boolean array of the same shape, True where voxels are taken in.

        Raises
        ------
        TypeError
            Inside a function that JAX is tracing: the result lives on the host.
        ValueError
            If shapes differ, or there is no voxel.
        """
        check_shapes(*arrays, valid=valid)
        if any(is_traced(array) for array in arrays):
            raise TypeError(
                f"{type(self).__name__} was called on an array that JAX is tracing, but its result is made on the "
                "host; call `.of(array)` inside the compiled function, and `.finish(state)` outside."
            )
        if any(order_shift(array) for array in arrays):  # a library that stores them, and has no arithmetic for them
            arrays = tuple(to_numpy(array) for array in arrays)
            valid = None if valid is None else to_numpy(valid)
        with wide_scope(*arrays, valid), gaps_named(type(self).__name__, *arrays):
            if any(halo := as_halo(self.halo, f"halo of {type(self).__name__}")):
                arrays, valid = _padded(arrays, valid, halo)
            state = self.of(*arrays, valid=valid)
        return self.finish(jax.tree.map(to_numpy, state))


def _padded(arrays: Sequence[Array], valid: Array | None, halo: Halo) -> tuple[tuple[Array, ...], Array]:
    xp = namespace(arrays[0])
    valid = xp.ones_like(arrays[0], dtype=xp.bool) if valid is None else valid
    return tuple(pad(array, halo, "nearest") for array in arrays), pad(valid, halo, "constant", False)


def check_shapes(*arrays: Array, valid: Array | None = None) -> None:
    """Raise ValueError unless the arrays, and `valid`, have one shape and hold a voxel."""
    shape = tuple(arrays[0].shape)
    if 0 in shape:
        raise ValueError(f"The array has shape {shape} and holds no voxel; there is nothing to measure.")
    for array in arrays[1:]:
        if tuple(array.shape) != shape:
            raise ValueError(
                f"Arrays of shapes {shape} and {tuple(array.shape)} are measured together, voxel by voxel; "
                "give arrays of one shape."
            )
    if valid is None:
        return
    if tuple(valid.shape) != shape:
        raise ValueError(f"valid (shape {tuple(valid.shape)}) must have the shape of the array, {shape}.")
    if not namespace(valid).isdtype(valid.dtype, "bool"):
        raise TypeError(f"valid has dtype {valid.dtype}; give booleans, True where a voxel is taken in.")

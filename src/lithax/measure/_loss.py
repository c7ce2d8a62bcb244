"""Losses: means over voxels of what a model gets wrong, measured like anything else and
differentiable.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax

from lithax.arrays import as_real, lookup, namespace, wide_scope
from lithax.measure._measurement import AbstractMeasurement, State, check_shapes
from lithax.measure._numbers import as_sum, constant, total, voxels
from lithax.measure._state import combine_states
from lithax.typing import Array


class AbstractLoss(AbstractMeasurement):
    """The mean over the voxels taken in of a number per voxel, as a function of parameters.

    ``loss(parameters, *arrays)`` is differentiable by JAX. Numbers per voxel are computed in the
    dtypes of the blocks and summed in float64 (float32 inside a function that JAX traces outside an
    x64 scope). Voxels left out are replaced by a voxel taken in before the model sees them: a NaN
    there reaches neither the value nor a gradient.
    """

    additive: ClassVar[bool] = True

    @abc.abstractmethod
    def voxelwise(self, parameters: Any, *blocks: Array) -> Array:
        """Return the number per voxel, an array of the shape of the blocks."""

    def of(self, parameters: Any, *blocks: Array, valid: Array | None = None) -> State:
        if valid is not None:
            blocks = tuple(_filled(block, valid) for block in blocks)
        values = self.voxelwise(parameters, *blocks)
        if tuple(values.shape) != tuple(blocks[0].shape):
            raise ValueError(
                f"{type(self).__name__}: the function returned shape {tuple(values.shape)} for blocks of shape "
                f"{tuple(blocks[0].shape)}; return one number per voxel, the mean is taken here."
            )
        values = as_sum(values)
        if valid is not None:
            values = namespace(values).where(valid, values, constant(0, values.dtype, like=values))
        return {"sum": total(values), "count": voxels(blocks[0], valid)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> Array:
        """Return the mean as a 0-d array of the library of the state; NaN over no voxel. May be
        traced.
        """
        value, count = state["sum"], state["count"]
        xp = namespace(value, count)
        count = xp.astype(xp.asarray(count), value.dtype)
        none = xp.where(count > 0, xp.zeros_like(count), xp.full_like(count, float("nan")))
        return value / xp.maximum(count, xp.ones_like(count)) + none

    def __call__(self, *arguments: Any, valid: Array | None = None) -> Array:
        """Return the loss on whole arrays, ``loss(parameters, *arrays)``.

        The result is a 0-d array of their library, differentiable where the library is.
        """
        parameters, *arrays = arguments
        check_shapes(*arrays, valid=valid)
        with wide_scope(*arrays, *jax.tree.leaves(parameters)):
            return self.finish(self.of(parameters, *arrays, valid=valid))


class MeanLoss(AbstractLoss):
    """Mean of any function of the voxels: ``MeanLoss(lambda parameters, x, y: abs(parameters * x -
    y))``.

    Parameters
    ----------
    function
        ``function(parameters, *blocks)`` returns one number per voxel; voxel by voxel, it must not
        look at neighbours.
    """

    function: Callable[..., Array]

    def voxelwise(self, parameters: Any, *blocks: Array) -> Array:
        return self.function(parameters, *blocks)


class MeanSquaredError(AbstractLoss):
    """Mean of the squared difference between a model and the last block, the target.

    Parameters
    ----------
    model
        ``model(parameters, *inputs)`` predicts the target voxel by voxel. None: the only input is
        the prediction itself, and the parameters are not used.
    """

    model: Callable[..., Array] | None = None

    def voxelwise(self, parameters: Any, *blocks: Array) -> Array:
        residual = self.residuals(parameters, *blocks)
        return residual * residual

    def residuals(self, parameters: Any, *blocks: Array) -> Array:
        """Return the prediction minus the target, per voxel."""
        *inputs, target = blocks
        if self.model is None:
            if len(inputs) != 1:
                raise ValueError(
                    f"MeanSquaredError without a model compares two arrays, and got {len(blocks)}; "
                    "give model= or two arrays."
                )
            prediction = inputs[0]
        else:
            prediction = self.model(parameters, *inputs)
        prediction = as_real(prediction)  # differences of integers would wrap
        return prediction - namespace(prediction).astype(target, prediction.dtype)


def _filled(block: Array, valid: Array) -> Array:
    # With no valid voxel at all, one takes the place of everything: a number that most functions
    # bear.
    xp = namespace(block)
    first = xp.argmax(xp.astype(xp.reshape(valid, (-1,)), xp.uint8))
    value = lookup(xp.reshape(block, (-1,)), first)
    value = xp.where(xp.any(valid), value, xp.ones_like(value))
    return xp.where(valid, block, value)

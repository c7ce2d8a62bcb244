"""The inverse problem "make this measurement equal that": a misfit in standard deviations, and what
is known beforehand.
"""

from typing import Any

import equinox as eqx
import jax

from lithax.arrays import is_array, namespace, wide_scope
from lithax.measure._loss import AbstractLoss, MeanLoss
from lithax.measure._measurement import AbstractMeasurement, State, check_shapes
from lithax.measure._numbers import as_sum, constant, total, voxels
from lithax.measure._porosity import Porosity
from lithax.measure._state import combine_states
from lithax.measure._sum import Mean
from lithax.measure._traits import Traits
from lithax.typing import Array


class Match(AbstractMeasurement):
    """The squared misfit ``((measured - value) / standard_deviation)**2`` of one number, a loss for
    `lithax.chunk_loss`.

    It is minus twice the logarithm of a Gaussian likelihood, up to a constant: misfits of
    independent numbers, and of a `Prior`, add up.

    Parameters
    ----------
    measurement
        What is measured. `Mean`; `Porosity`: the mean of a *soft* segmentation, real numbers from 0
        (grain) to 1 (pore). A function ``f(parameters, *blocks)`` of one number per voxel, or a
        loss such as `MeanLoss`: their mean. Or any object with ``of``, ``combine`` and ``finish``
        whose `finish` gives one number that JAX can differentiate; its `of` takes ``(*blocks,
        valid)``.
    value
        What it should be, in the unit of the measurement.
    standard_deviation
        How well that is known, in the same unit.

    Raises
    ------
    TypeError, ValueError
        If `measurement` is none, or `standard_deviation` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> loss = Match(lambda threshold, v: v / threshold, value=0.3, standard_deviation=0.1)
    >>> round(float(loss(2.0, np.ones((3, 3, 3)))), 12)
    4.0
    """

    measurement: Any
    value: float
    standard_deviation: float

    def __init__(self, measurement: Any, value: float, standard_deviation: float) -> None:
        if isinstance(measurement, Porosity):
            measurement = _SoftPorosity(measurement)
        elif isinstance(measurement, Mean):
            measurement = MeanLoss(_second)
        elif callable(measurement) and not hasattr(measurement, "of"):
            measurement = MeanLoss(measurement)
        for method in ("of", "combine", "finish"):
            if not callable(getattr(measurement, method, None)):
                raise TypeError(
                    f"measurement is a {type(measurement).__name__} without the method {method!r}; give lx.measure.Porosity(), a function "
                    "of parameters and voxels, or an object with of, combine and finish."
                )
        if not float(standard_deviation) > 0:
            raise ValueError(
                f"standard_deviation={standard_deviation!r} must be positive: how well the value is known, in its unit."
            )
        self.measurement, self.value = measurement, float(value)
        self.standard_deviation = float(standard_deviation)

    @property
    def additive(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the states of the measurement add up."""
        return Traits.of(self.measurement).additive

    def of(self, parameters: Any, *blocks: Any, valid: Any = None) -> State:
        if isinstance(self.measurement, AbstractLoss | _SoftPorosity):
            return self.measurement.of(parameters, *blocks, valid=valid)
        return self.measurement.of(*blocks, valid=valid)

    def combine(self, a: State, b: State) -> State:
        return self.measurement.combine(a, b)

    def finish(self, state: State) -> Any:
        """Return the squared misfit [-]."""
        deviation = self.deviation(state)
        return deviation * deviation

    def deviation(self, state: State) -> Any:
        """Return by how many standard deviations the measurement is too large [-]."""
        try:
            measured = self.measurement.finish(state)
        except (jax.errors.JAXTypeError, TypeError) as error:
            raise TypeError(_no_number(self.measurement, "cannot be differentiated")) from error
        if not (is_array(measured) and measured.shape == ()) and not isinstance(measured, float | int):
            raise TypeError(_no_number(self.measurement, f"gives a {type(measured).__name__}"))
        return (measured - self.value) / self.standard_deviation

    @property
    def residual(self) -> "Residual":
        """The misfit without the square, for optimisers that take residuals
        (`optimistix.least_squares`).
        """
        return Residual(self)

    def __call__(self, *arguments: Any, valid: Array | None = None) -> Any:
        """Return the misfit of whole arrays, ``match(parameters, *arrays)``; differentiable where
        their library is.
        """
        return _on_arrays(self, *arguments, valid=valid)


class Residual(AbstractMeasurement):
    """``(measured - value) / standard_deviation`` of a `Match`; made by `Match.residual`."""

    match: Match

    @property
    def additive(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the states of the measurement add up."""
        return self.match.additive

    def of(self, parameters: Any, *blocks: Any, valid: Any = None) -> State:
        return self.match.of(parameters, *blocks, valid=valid)

    def combine(self, a: State, b: State) -> State:
        return self.match.combine(a, b)

    def finish(self, state: State) -> Any:
        return self.match.deviation(state)

    def __call__(self, *arguments: Any, valid: Array | None = None) -> Any:
        return _on_arrays(self, *arguments, valid=valid)


class Prior(eqx.Module):
    """What is known of parameters beforehand: the sum of ``((parameter - mean) /
    standard_deviation)**2``.

    Add it to a loss: ``lambda p: f(p) + prior(p)``.

    Parameters
    ----------
    mean
        Like the parameters: numbers, arrays, or a dict or tuple of them.
    standard_deviation
        Of the same structure, or one number for all.
    """

    mean: Any
    standard_deviation: Any

    def __check_init__(self):
        for spread in jax.tree_util.tree_leaves(self.standard_deviation):
            if not bool(namespace(spread).all(spread > 0) if is_array(spread) else spread > 0):
                raise ValueError(f"standard_deviation={self.standard_deviation!r} must be positive.")

    def residuals(self, parameters: Any) -> Any:
        """Return by how many standard deviations each parameter is too large [-], like the
        parameters.
        """
        spread = self.standard_deviation
        if isinstance(spread, float | int):
            return jax.tree_util.tree_map(lambda p, m: (p - m) / spread, parameters, self.mean)
        return jax.tree_util.tree_map(lambda p, m, s: (p - m) / s, parameters, self.mean, spread)

    def __call__(self, parameters: Any) -> Any:
        """Return the sum of the squares [-]."""
        squares = (r * r for r in jax.tree_util.tree_leaves(self.residuals(parameters)))
        return sum(namespace(s).sum(s) if is_array(s) else s for s in squares)


def _second(parameters: Any, values: Any) -> Any:
    return values


class _SoftPorosity(AbstractMeasurement):
    """The mean of a soft segmentation; of booleans and phases, the porosity itself, which has no
    derivative.
    """

    hard: Porosity
    additive = True

    def of(self, parameters: Any, *blocks: Any, valid: Any = None) -> State:
        (block,) = blocks
        xp = namespace(block)
        if not xp.isdtype(block.dtype, "real floating"):
            state = self.hard.of(block, valid=valid)
            return {"sum": as_sum(xp.asarray(state["pore"])), "count": state["voxels"]}
        if self.hard.pore_phases is not None:
            raise ValueError(
                f"Porosity(pore_phase=...) names phases, and the voxels are {block.dtype}; of a soft segmentation (1 in pores) "
                "give Porosity() without phases."
            )
        values = as_sum(block)
        if valid is not None:
            values = xp.where(valid, values, constant(0, values.dtype, like=values))
        return {"sum": total(values), "count": voxels(block, valid)}

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> Any:
        return state["sum"] / state["count"]


def _on_arrays(loss: Any, *arguments: Any, valid: Array | None) -> Any:
    parameters, *arrays = arguments
    check_shapes(*arrays, valid=valid)
    with wide_scope(*arrays, *jax.tree.leaves(parameters)):
        return loss.finish(loss.of(parameters, *arrays, valid=valid))


def _no_number(measurement: Any, what: str) -> str:
    return (
        f"Match: finish() of {type(measurement).__name__} {what}; it must return one number that JAX can differentiate. Give a "
        "function of parameters and voxels, whose mean is taken: Match(lambda parameters, v: ..., value, standard_deviation)."
    )

"""How well parameters are known that were fitted to images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.flatten_util
import numpy as np

from lithax.chunked import has_real_numbers
from lithax.images._call import refuse_tracers, world_of
from lithax.images._collective import together
from lithax.images._reduce import loss_over
from lithax.images._run import Run
from lithax.measure import Match, Prior, Residual


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of fitted parameters; rows and columns are their real numbers, in the order of
    the leaves.
    """

    matrix: np.ndarray
    """[unit of one parameter times unit of the other]"""
    standard_deviation: Any
    """Like the parameters: one standard deviation of each, in its unit."""
    residual_variance: float | None
    """Mean square of what a voxelwise fit leaves over, in the unit of the voxels squared; None for
    matched numbers.
    """

    @property
    def correlation(self) -> np.ndarray:
        """The covariance over the standard deviations [-]."""
        spread = np.sqrt(np.diag(self.matrix))
        return self.matrix / np.outer(spread, spread)

    def __str__(self) -> str:
        return f"standard deviation {self.standard_deviation}"


def chunk_covariance(
    loss: Any,
    parameters: Any,
    *images: Any,
    model: Callable[[Any], Any] | None = None,
    where: Any = None,
    prior: Prior | None = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> Covariance:
    """Return the covariance of parameters at the minimum of a loss, as Gauss and Newton have it:
    the inverse of ``J^T J``.

    J are the derivatives of the residuals by the parameters: linear near the minimum, and Gaussian.

    Parameters
    ----------
    loss
        `lithax.measure.MeanSquaredError`: the residuals are those of the voxels, of unknown
        variance, which is what the fit leaves over; ``J^T J`` is summed in one pass. They are taken
        to be independent: of a filtered image they are not, and the result is too small by the
        square root of the voxels that share noise. Or a `lithax.measure.Match`, or several of them:
        residuals in standard deviations, one pass for each.
    parameters
        Where the minimum is: any pytree with real numbers.
    *images, model, where, memory_limit, workers, world, progress
        As for `chunk_value_and_grad`.
    prior
        What was known beforehand; for `Match` losses.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read; if the parameters cannot be told apart by what
        is measured.

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), sec. 10.2. doi:10.1007/978-0-387-40065-5
    """
    refuse_tracers("chunk_covariance", parameters)
    if not has_real_numbers(parameters):
        raise ValueError(f"parameters={parameters!r} holds no real number; make them floats.")
    several = list(loss) if isinstance(loss, Sequence) else [loss]
    matches = [one for one in several if isinstance(one, Match | Residual)]
    if len(matches) not in (0, len(several)) or (not matches and len(several) != 1):
        raise TypeError(
            "loss must be one voxelwise loss, or lx.measure.Match losses only; they are weighed differently."
        )
    if not matches and not callable(getattr(loss, "residuals", None)):
        raise TypeError(
            f"loss is a {type(loss).__name__}, which has no residuals; give lx.measure.MeanSquaredError(...) or lx.measure.Match(...)."
        )
    if prior is not None and not matches:
        raise ValueError(
            "prior= is weighed against lx.measure.Match losses; a voxelwise loss does not say how large its noise is."
        )
    world = world_of("chunk_covariance", images, world)
    variance: float | None = None
    with together(world):

        def over(one: Any) -> Any:
            run = Run("jax", None, memory_limit, workers, world, progress)
            return loss_over("chunk_covariance", one, parameters, images, model, where, run)

        if matches:
            rows = []
            for one in matches:
                residual = one if isinstance(one, Residual) else one.residual
                _, gradient = over(residual).value_and_gradient(parameters)
                leaves = jax.tree_util.tree_leaves(gradient)
                rows.append(np.concatenate([np.ravel(np.asarray(g, np.float64)) for g in leaves]))
            information = np.asarray(rows).T @ np.asarray(rows)
        else:
            information, misfit, number = over(loss).normal_equations(parameters)
            if number <= len(information):
                raise ValueError(f"{number} voxels count, which cannot determine {len(information)} parameters.")
            variance = misfit / (number - len(information))
    if prior is not None:
        slope = _slope(prior, parameters)
        information = information + slope.T @ slope
    if np.linalg.matrix_rank(_scaled(information)) < len(information):
        raise ValueError(
            f"what is measured does not tell the {len(information)} parameters apart; fix some, measure more, or give prior=."
        )
    matrix = np.linalg.inv(information) * (1.0 if variance is None else variance)
    return Covariance(matrix, _like(np.sqrt(np.diag(matrix)), parameters), variance)


def _slope(prior: Prior, parameters: Any) -> np.ndarray:
    """Return the derivatives of the residuals of a prior by all real numbers of the parameters."""
    flat, rebuilt = jax.flatten_util.ravel_pytree(parameters)
    return np.asarray(
        jax.jacfwd(lambda v: jax.flatten_util.ravel_pytree(prior.residuals(rebuilt(v)))[0])(flat), np.float64
    )


def _scaled(information: np.ndarray) -> np.ndarray:
    # Parameters have units of their own: whether they can be told apart must not depend on them.
    size = np.sqrt(np.diag(information))
    size = np.where(size > 0, size, 1.0)
    return information / np.outer(size, size)


def _like(values: np.ndarray, parameters: Any) -> Any:
    leaves, structure = jax.tree_util.tree_flatten(parameters)
    filled, at = [], 0
    for leaf in leaves:
        if not has_real_numbers(leaf):
            filled.append(None)
            continue
        size = int(np.size(leaf))
        filled.append(values[at : at + size].reshape(np.shape(leaf)) if np.shape(leaf) else float(values[at]))
        at += size
    return structure.unflatten(filled)

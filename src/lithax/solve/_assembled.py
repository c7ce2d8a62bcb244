"""What the two drivers of a conduction solve return, made of what they found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_jax
from lithax.solve._conduction_notes import range_note, way_out
from lithax.solve._conduction_setup import Boundaries
from lithax.solve._conductivity import Conductivity, Porosities
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._medium import Medium


def assembled(
    values: Sequence[Any],
    stats: Any,
    share: Any,
    scales: Sequence[Any],
    porosity: Any,
    limits: Any,
    *,
    axis: str,
    boundaries: Boundaries,
    medium: Medium,
    fluid: Any,
    tolerance: float,
    most: int,
    unit: str,
    notes: tuple[str, ...] = (),
) -> Conductivity:
    """Return the result, still without fields.

    Parameters
    ----------
    values
        Of each operator: one for all axes where the boundaries allow it, then a tensor; one a
        number otherwise. NumPy's where they are known; JAX's then come out all the same.
    stats
        How the solves ended, with a leading axis over what drove the current.
    share
        Total, accessible and percolating share of the volume, shape (operators, 3).
    scales
        Of each operator the conductivity that the solve was relative to.
    """
    several = axis == "all"
    xp = jnp if any(is_jax(v) for v in values) else np
    tensor = values[0] if several and boundaries.whole else None
    value = xp.diagonal(tensor) if tensor is not None else xp.stack(values) if several else values[0]
    scale = xp.stack([xp.asarray(v) for v in scales])
    if not several:
        stats, share, scale = jax.tree.map(lambda v: v[0], stats), share[0], scale[0]
    kept = _in_range(scale)
    # Beside contrasts of which the squares are no numbers any more, errors are not seen.
    least = scale * (100 * np.sqrt(np.finfo(np.dtype(scale.dtype)).tiny))
    flows, joins = (value if tensor is None else xp.max(value)) > least, share[..., 2] > 0
    sound = kept & xp.isfinite(value) & (flows | ~joins)
    stats = replace(stats, error=xp.where(sound, stats.error, np.inf).astype(stats.error.dtype))
    notes = (*notes, *range_note(scale, kept))
    notes = (*notes, *way_out(stats.converged(tolerance), stats.iterations, tolerance, most))
    total, accessible, percolating = (share[..., n] for n in range(3))
    if tensor is not None:
        accessible, percolating = accessible[0], percolating[0]
    total = total[0] if several else total
    ends = (value, tensor, stats.converged(tolerance), stats, xp.sqrt(stats.error))
    value, tensor, converged, stats, slope_error = jax.tree.map(jnp.asarray, ends)
    return Conductivity(
        value=value,
        tensor=tensor,
        porosity=porosity,
        porosities=Porosities(total, accessible, percolating),
        bounds=limits,
        fluid=fluid,
        converged=converged,
        iterations=stats.iterations,
        residual=stats.residual,
        balance=stats.balance,
        solver_error=stats.error,
        gradient_error=slope_error,
        error_budget=ErrorBudget(solver=stats.error, balance=stats.balance),
        axis=axis,
        ends="linear" if boundaries.linear else boundaries.ends,
        sides="linear" if boundaries.linear else boundaries.sides,
        unit=unit,
        meaning=medium.meaning,
        insulating_grains=medium.insulating_grains,
        notes=notes,
    )


def _in_range(scale: Any) -> Any:
    """Return whether numbers of this type are kept to their last digit some way below and above a
    scale.
    """
    limits = np.finfo(np.dtype(scale.dtype))
    return (scale >= 1e8 * limits.tiny) & (scale <= 1e-8 * limits.max)

"""What the result of a conduction solve says of the voxels: the same words, wherever these lie."""

from typing import Any

import numpy as np

from lithax.arrays import is_traced
from lithax.solve._conduction_setup import AXES


def corners_warning(axis: int) -> str:
    """Say that something joins the ends through edges and corners only."""
    return (
        f"nothing joins the ends along {AXES[axis]} through voxel faces, but something does through edges and "
        "corners: throats are at the limit of the voxels; scan or segment at a finer resolution."
    )


CORNERS = "paths through edges and corners of voxels were not counted: throats at the voxel limit"


def level_note(level: float, above: float, joining: float, axis: int | None) -> str:
    """Say what share of a field is at or above a level, and what share joins the ends there."""
    along = "" if axis is None else f" along {AXES[axis]}"
    text = f"every voxel conducts; of at least {level:.4g} are {100 * above:.3g} % of the sample"
    return f"{text}, and {100 * joining:.3g} % join the ends{along}"


def way_out(converged: Any, iterations: Any, tolerance: float, most: int) -> list[str]:
    """Say what may be done where a solve did not converge."""
    if is_traced(converged):
        return []
    taken = np.atleast_1d(np.asarray(iterations))[~np.atleast_1d(np.asarray(converged))]
    notes = []
    if (taken >= most).any():
        notes.append(
            f"{most} steps did not reach the tolerance of {tolerance:g}; ask for a larger one; or pass a larger "
            "max_iterations="
        )
    if (taken < most).any():
        notes.append(
            f"rounding ended the steps before the tolerance of {tolerance:g} was reached; ask for a larger one; "
            "or pass a float64 field, image.astype('f8')"
        )
    return notes


def range_note(scale: Any, kept: Any) -> list[str]:
    """Say that conductivities are too small or too large for their type (not `kept`)."""
    if is_traced(kept) or np.all(np.asarray(kept)):
        return []
    return [
        f"conductivities of {float(np.max(np.asarray(scale))):.2g} lie at the end of what {np.asarray(scale).dtype} holds; give them "
        "in another unit"
    ]


def refuse_unconverged(converged: Any, error: Any, tolerance: float, most: int) -> None:
    """Raise RuntimeError if one of the solves did not converge, which `throw` asks for."""
    if not bool(np.all(np.asarray(converged))):
        error = float(np.max(np.asarray(error)))
        raise RuntimeError(f"{not_converged(tolerance, most)} The best estimate of the error is {error:.2g}.")


def not_converged(tolerance: float, most: int) -> str:
    """Return what an error says that `throw` asks for."""
    return (
        f"conductivity() did not converge to tolerance={tolerance:g} in max_iterations={most} steps; ask for less "
        "accuracy, allow more steps, or pass a float64 field if rounding is the limit."
    )

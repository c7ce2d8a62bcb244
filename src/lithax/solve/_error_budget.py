"""Where the error of a computed property comes from: lines that are never merged into one
number.
"""

from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import is_traced


class ErrorBudget(eqx.Module):
    """Relative errors of the value, each by its own cause [-]; None is "not estimated".

    For three axes each line is an array of three, NaN along an axis where nothing joins the ends.
    """

    solver: Any = None
    """The iterations. Of a conductivity: the larger of the estimated rest of their series, and how
    far energy and mean current disagree. Of a permeability: the larger of ``|k_F − k_L| / k_L`` and
    ``|k_E − k_L| / k_L``.
    """
    balance: Any = None
    """Spread of the current, or largest departure of the flux, over the planes across the axis,
    after the last step.
    """
    grid: Any = None
    """Change of the value with the same voxel shapes on voxels split in two: a staircase."""
    resolution: Any = None
    """Change of the value on the image coarsened two- and three-fold, by the factor."""
    segmentation: Any = None
    """From the uncertainty of a threshold, by the derivative of the value in it."""
    sample_size: Any = None
    """Standard deviation between sub-volumes of this size."""

    def __str__(self) -> str:
        names = {
            "solver": "solver (rest of the iterations)",
            "balance": "solver (spread of the flux over slices)",
            "grid": "grid (same shapes on split voxels)",
            "resolution": "resolution (image coarsened)",
            "segmentation": "segmentation (threshold)",
            "sample_size": "sample size",
        }
        lines = [f"  {text}: {_written(getattr(self, name))}" for name, text in names.items()]
        return "\n".join(["error budget (relative, not to be added):", *lines])

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return the cause and the size of every line, as text."""
        found = (line.strip().partition(": ") for line in str(self).splitlines()[1:])
        return tuple((cause, size) for cause, _, size in found)


def _written(value: Any) -> str:
    if value is None or (isinstance(value, dict) and not value):
        return "not estimated"
    if is_traced(value):
        return "traced"
    if isinstance(value, dict):
        return "; ".join(f"{factor}×: {_written(change)}" for factor, change in value.items())
    numbers = np.atleast_1d(np.asarray(value, float))
    if np.isnan(numbers).all():
        return "not estimated"
    return ", ".join(
        "not estimated" if np.isnan(v) else f"{100 * v:+.2g} %" if v < 0 else f"{100 * v:.2g} %" for v in numbers
    )

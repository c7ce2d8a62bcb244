"""What two scans of one rock must have in common before their voxels are compared."""

from typing import Any


def check_same_shape(low: Any, high: Any, axes: int | None = None) -> None:
    """Refuse two scans of different shapes, or of another number of axes.

    Parameters
    ----------
    low, high
        Images or arrays.
    axes
        How many they must have; None: any number.
    """
    if tuple(low.shape) != tuple(high.shape) or axes not in (None, len(low.shape)):
        raise ValueError(
            f"low has shape {tuple(low.shape)}, high {tuple(high.shape)}; give two scans of one shape"
            f"{', x y z' if axes == 3 else ''}."
        )

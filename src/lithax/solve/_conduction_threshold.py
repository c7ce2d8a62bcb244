"""What a threshold's uncertainty does to a conductivity, from the derivative for every voxel."""

from collections.abc import Callable
from typing import Any

import numpy as np

Slope = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Takes a field of conductivities between 0 and 1; returns the value and its derivative for every
voxel."""


ONE_PHASE = (
    "segmentation= is the threshold between one conducting phase and grains that insulate, outside of compiled functions; "
    "leave it out here."
)


def check_segmentation(segmentation: Any, shape: tuple[int, ...]) -> tuple[Any, float, float] | None:
    """Return grey levels as they are, threshold and its uncertainty.

    Raises
    ------
    TypeError, ValueError
        If it is no such triple, the grey levels have another shape, or the uncertainty is not
        positive.
    """
    if segmentation is None:
        return None
    if not isinstance(segmentation, tuple | list) or len(segmentation) != 3:
        raise TypeError(
            "segmentation= must be (grey levels, threshold, uncertainty), such as (scan, 112.0, 2.5); pores are darker."
        )
    grey, threshold, uncertainty = segmentation
    size = getattr(grey, "shape", None)
    if size is None or tuple(size) != shape:
        raise ValueError(
            f"segmentation= has grey levels of shape {size}, the image {shape}; give the scan that was segmented."
        )
    for name, number in (("threshold", threshold), ("uncertainty", uncertainty)):
        if not isinstance(number, int | float | np.number):
            raise TypeError(f"segmentation= has the {name} {number!r}; it must be a number of grey levels.")
    if not np.isfinite(threshold):
        raise ValueError(f"segmentation= has the threshold {threshold!r}; it must be a finite grey level.")
    if not 0 < float(uncertainty) < np.inf:
        raise ValueError(
            f"segmentation= has the uncertainty {uncertainty!r}; it must be a positive difference of grey levels."
        )
    return grey, float(threshold), float(uncertainty)


def check_same_pores(grey: np.ndarray, threshold: float, pores: np.ndarray, inside: Any) -> None:
    """Raise ValueError if what is darker than the threshold is not nearly the pore space: brighter
    pores, or other grey levels.

    Parameters
    ----------
    grey, threshold
        As `check_segmentation` returns them.
    pores
        Boolean, the pore space that is solved in.
    inside
        The sample's voxels, boolean, or True for all.
    """
    refuse_other_pores(threshold, *pores_apart(grey, threshold, pores, inside))


def pores_apart(grey: np.ndarray, threshold: float, pores: np.ndarray, inside: Any) -> tuple[int, int]:
    """Return in how many voxels the pore space is not what is darker than the threshold, and how
    many it has; see `check_same_pores`.
    """
    apart = ((grey <= threshold) != pores) & inside
    return int(np.count_nonzero(apart)), int(np.count_nonzero(pores & inside))


def refuse_other_pores(threshold: float, apart: int, count: int) -> None:
    """Raise ValueError if two pore spaces are too far `apart` [voxel] for one that has `count`."""
    # Filters and what is cleaned up afterwards move walls; they leave most pores where they were.
    if 3 * apart > count:
        raise ValueError(
            f"segmentation= says that pores are not above {threshold:g}, but {apart} voxels are otherwise in image, which has "
            f"{count} of pore; give the grey levels that it was made of, with their signs and the threshold's turned where pores "
            "are brighter."
        )


def soft_pores(grey: np.ndarray, threshold: float, width: float) -> np.ndarray:
    """Return the pore fraction of a softened segmentation, s = 1 / (1 + exp((g − threshold) /
    width)).
    """
    # Beyond 30 widths the exponential says nothing more in float32.
    return (1 / (1 + np.exp(np.clip((grey - threshold) / width, -30, 30)))).astype(np.float32)


def threshold_slope(grey: np.ndarray, threshold: float, width: float, solve: Slope) -> float:
    """Return d ln σ / d threshold [1/grey level] of a scan whose pores are darker.

    The segmentation is softened (`soft_pores`), so that ds/d threshold = s (1 − s) / width: one
    solve of the soft field, and none for the derivative.
    """
    s = soft_pores(grey, threshold, width)
    value, slopes = solve(s)
    if value == 0:
        return 0.0
    return float(np.sum(slopes * (s * (1 - s)), dtype=np.float64) / width / value)

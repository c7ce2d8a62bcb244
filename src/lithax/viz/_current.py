"""Where a current runs, over the image."""

from typing import Any

import numpy as np

from lithax.viz._figure import drawing


def draw_current(
    scan: np.ndarray,
    strength: np.ndarray,
    *,
    names: tuple[str, str],
    along: str,
    lengths: tuple[float, float] = (1.0, 1.0),
) -> Any:
    """Draw a slice of an image, and over it how strong the current is in its pores.

    Parameters
    ----------
    scan
        Grey levels or phases of the slice, shape (n, m).
    strength
        Current density over its mean [-]; 0 where none runs, and the image is seen.
    names
        Of the two axes of the slice.
    along
        The axis of the current.
    lengths
        Of a voxel along the two axes of the slice, of which the picture keeps the ratio.
    """
    from matplotlib.colors import LogNorm

    scan = np.asarray(scan, float)  # phases may be booleans
    low, high = np.percentile(scan, (0.5, 99.5))
    if low == high:
        low, high = low - 1, high + 1
    top = max(float(strength.max()), 1e-6)
    shown = np.ma.masked_less_equal(strength, top * 1e-3)
    aspect = lengths[1] / lengths[0]
    with drawing(7.0, min(max(5.2 * aspect * scan.shape[1] / scan.shape[0], 2.4), 6.5)) as figure:
        axes = figure.subplots()
        axes.imshow(
            scan.T,
            origin="lower",
            cmap="gray",
            vmin=low - 0.4 * (high - low),
            vmax=high,
            interpolation="nearest",
            aspect=aspect,
        )
        drawn = axes.imshow(
            shown.T, origin="lower", cmap="inferno", norm=LogNorm(top * 1e-3, top), interpolation="nearest", alpha=0.9,
            aspect=aspect,
        )  # fmt: skip
        axes.set_xlabel(f"{names[0]} [voxel]")
        axes.set_ylabel(f"{names[1]} [voxel]")
        figure.colorbar(drawn, ax=axes, label=f"current density along {along} over mean")
    return figure

"""A slice through a flow: where the fluid passes."""

from contextlib import nullcontext
from typing import Any

import numpy as np

from lithax.viz._figure import drawing

AXES = ("x", "y", "z")


def flow_slice(found: Any, *, across: str = "z", position: int | None = None, direction: str | None = None,
               axes: Any = None) -> Any:  # fmt: skip
    """Draw the speed in a slice of a solved permeability, over the mean velocity of the image.

    Colours are logarithmic over three decades: a few throats carry most of the flux. Voxels without
    flow stay white.

    Parameters
    ----------
    found
        What `lithax.solve.permeability` returns with ``fields=True``.
    across
        Axis that the slice is normal to.
    position
        Which voxel along it; by default the middle.
    direction
        Of the flow, where `found` has three.
    axes
        Matplotlib axes to draw in; new ones by default.

    Returns
    -------
        The axes.

    Raises
    ------
    ValueError
        If `found` holds no velocity, an axis is unknown, or the slice lies outside of the image.
    """
    if across not in AXES:
        raise ValueError(f"across={across!r} must be 'x', 'y' or 'z'.")
    if found.velocity is None or (found.axis == "all" and found.velocity[0] is None):
        raise ValueError("found holds no velocity; solve with lx.solve.permeability(..., fields=True).")
    velocity, along = found.velocity, found.axis
    if found.axis == "all":
        if direction not in AXES:
            raise ValueError(f"direction={direction!r} must say which of the three flows: 'x', 'y' or 'z'.")
        velocity, along = found.velocity[AXES.index(direction)], direction
    parts = [np.asarray(part[...], float) for part in velocity]
    normal = AXES.index(across)
    count = parts[0].shape[normal]
    place = count // 2 if position is None else position
    if not 0 <= place < count:
        raise ValueError(f"position={position!r} must be from 0 to {count - 1}, the voxels along {across}.")
    mean = parts[AXES.index(along)].mean()
    cut = [np.take(part, place, normal) / mean for part in parts]
    speed = np.sqrt(sum(part**2 for part in cut))
    from matplotlib.colors import LogNorm

    top = max(speed.max(), 1e-30)
    shown = np.ma.masked_where(speed <= 0, speed)
    first, second = (name for name in AXES if name != across)
    lengths = getattr(velocity[0], "voxel_length", (1.0, 1.0, 1.0))
    aspect = lengths[AXES.index(second)] / lengths[AXES.index(first)]
    with drawing(6.0, 4.8) if axes is None else nullcontext(axes.figure) as figure:
        axes = figure.subplots() if axes is None else axes
        norm = LogNorm(1e-3 * top, top)
        drawn = axes.imshow(shown.T, origin="lower", cmap="viridis", norm=norm, interpolation="nearest", aspect=aspect)
        figure.colorbar(drawn, ax=axes, label="speed / mean velocity [-]")
        axes.set(xlabel=f"{first} [voxel]", ylabel=f"{second} [voxel]", title=f"Flow along {along}, {across} = {place}")
    return axes

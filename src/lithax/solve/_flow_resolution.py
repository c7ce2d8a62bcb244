"""How well voxels resolve the flow: wall area, and the share of flux through the narrowest
throats.
"""

from typing import Any

import numpy as np

from lithax.solve._mac_walls import run_lengths


def wall_area(open_voxels: np.ndarray) -> float:
    """Return the area of the walls [voxel²]: faces between open and closed voxels, times 2/3.

    A sphere's staircase has 3/2 of its area, as has that of any isotropic surface.
    """
    faces = sum(int(np.count_nonzero(np.diff(open_voxels, axis=axis))) for axis in range(3))
    return 2 / 3 * faces


def narrow_share(velocity: np.ndarray, axis: int, voxels: int = 2) -> float:
    """Return the largest share of the flux of a slice that passes openings of up to `voxels` voxels
    [-].

    Parameters
    ----------
    velocity
        Velocity along `axis` on faces, 0 where a face carries no flow.
    axis
        Of the flow.
    voxels
        Width of an opening, along either direction across.
    """
    active = velocity != 0
    narrow = np.zeros(active.shape, bool)
    for across in range(3):
        if across != axis and active.shape[across] > 1:
            narrow |= run_lengths(active, across, "wall") <= voxels
    others: Any = tuple(a for a in range(3) if a != axis)
    passed, through = np.abs(np.where(narrow, velocity, 0)).sum(others), np.abs(velocity).sum(others)
    return float((passed / np.where(through > 0, through, 1)).max())

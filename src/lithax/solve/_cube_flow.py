"""The permeability of one cube among many, where a cube without pores, or without solid, is a
finding and no mistake.
"""

from typing import Any

import numpy as np

from lithax.solve._area_unit import check_has_length, permeability_quantity
from lithax.solve._flow_input import area_of
from lithax.solve._permeability import permeability


def plain_phases(phases: Any, voxel_unit: str) -> Any:
    """Return the permeabilities of porous phases as numbers in the square of the image's unit of
    length, for cubes without geometry.
    """
    if not isinstance(phases, dict):
        return phases
    found, length = {}, area_of(voxel_unit)
    for value, given in phases.items():
        number, area = permeability_quantity(given, f"permeability[{value}]")
        check_has_length(value, given, area, voxel_unit)
        found[value] = number if area is None or length is None else number * area / length
    return found


def cube_permeability(cube: Any, axis: str, options: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Return the permeability along each axis [length²], and whether all solves converged.

    Parameters
    ----------
    cube
        Voxels, as for `permeability`.
    axis
        "x", "y", "z" or "all".
    options
        Of `permeability`. Porous phases that the cube does not hold are left out.

    Returns
    -------
        0 where nothing joins the ends, infinite where nothing is solid and sides let slip.
    """
    count = 3 if axis == "all" else 1
    phases, values = options.get("permeability"), np.asarray(cube)
    if isinstance(phases, dict):
        options = options | {"permeability": {v: k for v, k in phases.items() if (values == v).any()}}
    alike = _all_open(values, options, bool(phases))
    if alike is False or (alike and options.get("sides") != "no_slip"):
        return np.full(count, np.inf if alike else 0.0), True
    made = permeability(cube, axis=axis, **options)
    return np.broadcast_to(np.asarray(made.value, float), (count,)), bool(np.all(np.asarray(made.converged)))


def _all_open(values: np.ndarray, options: dict[str, Any], porous: bool) -> bool | None:
    """Return whether all voxels are open where they are all open or all solid, None otherwise."""
    if values.dtype.kind == "f":
        low, high = values.min(), values.max()
        return None if low != high or high not in (0, 1) else bool(high)
    pore = options.get("pore")
    if options.get("permeability") or (pore is None and values.dtype.kind != "b" and not porous):
        return None  # a porous phase is neither; without a meaning it is refused with more care
    if pore is not None:
        values = np.isin(values, np.atleast_1d(np.asarray(pore)))
    elif values.dtype.kind != "b":
        return False  # no free pores, and none of the porous phases
    return bool(values.all()) if values.all() or not values.any() else None

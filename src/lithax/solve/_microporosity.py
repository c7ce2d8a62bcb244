"""Porosity inside voxels, from grey levels."""

import math
from typing import Any

import numpy as np

from lithax.arrays import as_real, is_array, is_traced, namespace
from lithax.typing import Array


def microporosity(grey: Any, *, solid: Any, pore: Any) -> Array:
    """Return the porosity of each voxel, linear in its grey level between those of solid and pore
    [-].

    φ = (g_solid − g) / (g_solid − g_pore), cut to 0 … 1. It holds where attenuation is that of a
    mixture of one mineral and one fluid, and says nothing of voxels that hold another mineral.

    Parameters
    ----------
    grey
        Grey levels: an array, or an image.
    solid, pore
        Grey level of the mineral, and of the fluid in open pores.

    Raises
    ------
    TypeError, ValueError
        If the two levels are equal, or no finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> microporosity(np.array([[[100.0, 150, 250]]]), solid=200, pore=100).tolist()
    [[[1.0, 0.5, 0.0]]]
    """
    _check_levels(solid=solid, pore=pore)
    if not (is_traced(solid) or is_traced(pore)) and solid == pore:
        raise ValueError(f"solid={solid!r} and pore={pore!r} must be different grey levels.")
    return _cut((solid - _floats(grey)) / (solid - pore))


def microporosity_of_scans(dry: Any, wet: Any, *, contrast: Any) -> Array:
    """Return the porosity of each voxel from a scan of the dry and one of the saturated rock [-].

    φ = (g_wet − g_dry) / contrast, cut to 0 … 1: minerals cancel.

    Parameters
    ----------
    dry, wet
        Grey levels before and after, voxel on voxel.
    contrast
        The difference where a voxel is all fluid.

    Raises
    ------
    TypeError, ValueError
        If the contrast is zero or no finite number, or the shapes differ.
    """
    _check_levels(contrast=contrast)
    if not is_traced(contrast) and contrast == 0:
        raise ValueError("contrast=0 must be the difference of grey level between wet and dry in an open pore.")
    if tuple(dry.shape) != tuple(wet.shape):
        raise ValueError(f"dry has shape {tuple(dry.shape)}, wet {tuple(wet.shape)}; they must lie voxel on voxel.")
    return _cut((_floats(wet) - _floats(dry)) / contrast)


def _check_levels(**given: Any) -> None:
    """Refuse what is no finite number; one that is traced is known when the compiled function
    runs.
    """
    for name, value in given.items():
        if is_traced(value):
            continue
        if not isinstance(value, int | float | np.number) and getattr(value, "shape", None) != ():
            raise TypeError(f"{name}={value!r} must be a grey level: one number.")
        if not math.isfinite(value):
            raise ValueError(f"{name}={value!r} must be a finite grey level.")


def _floats(grey: Any) -> Array:
    return as_real(grey if is_array(grey) else grey[...])


def _cut(values: Array) -> Array:
    return namespace(values).clip(values, 0.0, 1.0)

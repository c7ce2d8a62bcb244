"""What goes wrong in a scanner: rings, cupping, drift and shot noise, as functions of the voxel."""

import math
from typing import Any

import numpy as np

from lithax.arrays import namespace
from lithax.generate._noise import hash_noise
from lithax.typing import Array


def ct_artefacts(
    grey: Array,
    i: Array,
    j: Array,
    k: Array,
    *,
    shape: tuple[int, int, int],
    seed: Any,
    center: tuple[float, float] | None = None,
    rings: float = 0.0,
    cupping: float = 0.0,
    drift: float = 0.0,
    photons: float | None = None,
) -> Array:
    """Add a scanner's artefacts to grey levels: slices across z, turned about an axis along z.

    In this order, on the grey level g of a voxel at distance r from the axis, R half the shorter
    side of a slice:

    - shot noise: ``g + sqrt(g / photons) n``, Poisson's for many photons, n standard normal per
      voxel;
    - cupping, as beam hardening leaves it: ``g * (1 - cupping * (1 - (r / R)²))``;
    - drift of the tube along z: ``g * (1 + drift * (z / (nz - 1) - 1/2))``;
    - rings: ``g + rings * n(r)``, the same in every slice, one value per voxel of radius.

    Parameters
    ----------
    grey
        Grey levels, floating point.
    i, j, k
        Global indices of the voxels, integer arrays that broadcast to the shape of `grey`.
    shape
        Shape of the whole image [voxel].
    seed
        Integer that noise and rings belong to.
    center
        Where the axis cuts a slice, indices along x and y [voxel]; by default the middle.
    rings
        Standard deviation of the rings [grey level].
    cupping
        How much darker than its rim the middle is [-], from 0 to 1.
    drift
        Relative change of the grey levels from the first slice to the last [-].
    photons
        Photons that a grey level of 1 stands for: the noise has the variance ``g / photons``. None:
        no shot noise.

    Returns
    -------
        The grey levels, in the dtype of `grey`.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    check_artefacts(rings, cupping, drift, photons)
    xp = namespace(grey, i, j, k)
    dtype = grey.dtype
    cx, cy = (0.5 * (n - 1) for n in shape[:2]) if center is None else center
    x, y, z = (xp.astype(index, dtype) for index in (i, j, k))
    squared = (x - cx) ** 2 + (y - cy) ** 2
    if photons is not None:
        noise = hash_noise(_seed(seed, 1), i, j, k, dtype=dtype)
        grey = grey + xp.sqrt(xp.where(grey > 0, grey, xp.zeros_like(grey)) / photons) * noise
    if cupping:
        reach = 0.5 * min(shape[:2])
        grey = grey * (1.0 - cupping * (1.0 - squared / reach**2))
    if drift:
        grey = grey * (1.0 + drift * (z / max(shape[2] - 1, 1) - 0.5))
    if rings:
        radius = xp.astype(xp.floor(xp.sqrt(squared) + 0.5), xp.int32)
        zero = xp.zeros_like(radius)
        grey = grey + rings * hash_noise(_seed(seed, 2), radius, zero, zero, dtype=dtype)
    return grey


def check_artefacts(rings: float, cupping: float, drift: float, photons: float | None) -> None:
    """Raise ValueError if a parameter of `ct_artefacts` is out of range."""
    for name, value in (("rings", rings), ("cupping", cupping), ("drift", drift)):
        if not math.isfinite(value):
            raise ValueError(f"{name}={value!r} must be finite.")
    if rings < 0 or not 0 <= cupping < 1 or not -2 < drift < 2:
        raise ValueError(
            f"rings={rings!r}, cupping={cupping!r}, drift={drift!r}: rings must not be negative, cupping lie from 0 to 1 and "
            f"drift between -2 and 2, or grey levels would change their sign."
        )
    if photons is not None and not photons > 0:
        raise ValueError(f"photons={photons!r} must be positive; None leaves the shot noise out.")


def _seed(seed: Any, number: int) -> Any:
    # Another stream of the same seed; the lowest 64 bits count.
    return (int(seed) + number * 0x9E3779B97F4A7C15) % 2**64 if isinstance(seed, int | np.integer) else seed + number

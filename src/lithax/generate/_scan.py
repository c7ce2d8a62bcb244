"""What a CT scanner would see, as far as it is a function of one voxel: grey levels and noise."""

from typing import Any

from lithax.arrays import namespace
from lithax.generate._noise import hash_noise
from lithax.typing import Array


def simulated_ct(
    fraction: Array,
    i: Array,
    j: Array,
    k: Array,
    *,
    seed: Any,
    pore: Any = 0.0,
    grain: Any = 1.0,
    noise: Any = 0.1,
    dtype: Any = None,
) -> Array:
    """Return the grey levels of a scan of grains in pores, with white Gaussian noise.

    ``pore + (grain - pore) * (fraction + noise * n)``, with n the `hash_noise` of the voxel. The
    blur of the scanner is that of `fraction`, smoothed before; the noise is not smoothed.

    Parameters
    ----------
    fraction
        Solid fraction of every voxel [-]: 0 in pores, 1 in grains, between where the scanner blurs
        them; floating point or boolean.
    i, j, k
        Global indices of the voxels, integer arrays that broadcast to the shape of `fraction`.
    seed
        Integer that the noise belongs to.
    pore, grain
        Grey levels of the two [grey level].
    noise
        Standard deviation of the noise over the contrast, ``abs(grain - pore)`` [-].
    dtype
        Type of the result. The default is that of `fraction`, or float32. Integers are rounded, and
        kept within the range of the type as a detector's values are.

    Returns
    -------
        The grey levels [grey level].
    """
    xp = namespace(fraction, i, j, k)
    real = fraction.dtype if xp.isdtype(fraction.dtype, "real floating") else xp.float32
    real = xp.float64 if real == xp.float64 else xp.float32
    deviation = hash_noise(seed, i, j, k, dtype=real)
    grey = pore + (grain - pore) * (xp.astype(fraction, real) + noise * deviation)
    return detected(grey, real if dtype is None else dtype)


def detected(grey: Array, dtype: Any) -> Array:
    """Return grey levels in a dtype: integers are rounded, and kept within their range as a
    detector's values are.
    """
    xp = namespace(grey)
    real = grey.dtype
    if not xp.isdtype(dtype, "integral"):
        return xp.astype(grey, dtype)
    info = xp.iinfo(dtype)
    # The largest integer of the type that the floating type has too: beyond it, rounding would lead
    # out of the range.
    spare = max(0, int(info.max).bit_length() - (53 if real == xp.float64 else 24))
    highest = (int(info.max) >> spare) << spare
    return xp.astype(xp.clip(xp.round(grey), float(info.min), float(highest)), dtype)

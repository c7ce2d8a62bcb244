"""Detail strengthened, and single bright voxels removed."""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace
from lithax.grid import Halo, as_halo
from lithax.ops._gaussian import gaussian, gaussian_radius
from lithax.ops._masked import where_present
from lithax.ops._median import median
from lithax.ops._parameters import cast, is_number, per_axis
from lithax.ops._separable import shifted
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def _core(x: Array, halo: Halo) -> Array:
    for axis, reach in enumerate(halo):
        x = shifted(x, axis, reach, x.shape[axis] - 2 * reach)
    return x


def unsharp_halo(radius: Any = 1.0) -> Halo:
    """Return the reach of the Gaussian."""
    if any(is_number(r) and not (r >= 0 and math.isfinite(r)) for r in per_axis(radius, "radius")):
        raise ValueError(
            f"radius={radius!r} must be a finite number of voxels >= 0, the standard deviation of the Gaussian."
        )
    return gaussian_radius(radius)


def _unsharp_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, radius: Any = 1.0, amount: Any = 1.0
) -> Float[Any, "_ _ _"]:
    x = as_real(block)
    assert gaussian.masked is not None
    smooth = gaussian.masked(x, valid, sigma=radius)
    core, present = _core(x, unsharp_halo(radius)), _core(valid, unsharp_halo(radius))
    xp = namespace(x)
    core = xp.where(present, core, xp.zeros_like(core))
    return where_present(present, core + cast(amount, x.dtype, "amount") * (core - smooth))


@voxel_op(halo=unsharp_halo, static="radius", masked=_unsharp_masked, lengths={"radius": "width"})
def unsharp_mask(block: Shaped[Any, "x y z"], *, radius: Any = 1.0, amount: Any = 1.0) -> Float[Any, "_ _ _"]:
    """Add what a Gaussian takes away: ``x + amount (x - gaussian(x))``;
    `skimage.filters.unsharp_mask`.

    With ``preserve_range=True`` there; nothing is cut off to an interval. Noise is strengthened as
    well: smooth it before.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by the reach of the Gaussian, four standard deviations.
    radius
        Standard deviation of the Gaussian [voxel], one or three.
    amount
        How much is added [-]; negative values smooth. May be traced.

    Returns
    -------
        The sharpened field, in the unit of `block`. Masked: with the Gaussian of the voxels taken
        in; NaN where the voxel itself is left out.

    Raises
    ------
    ValueError
        If `radius` is negative.
    """
    x = as_real(block)
    core = _core(x, unsharp_halo(radius))
    return core + cast(amount, x.dtype, "amount") * (core - gaussian.body(x, sigma=radius))


def _zinger(block: Array, valid: Array | None, threshold: Any, radius: Any) -> Array:
    if is_number(threshold) and not (threshold >= 0 and math.isfinite(threshold)):
        raise ValueError(
            f"threshold={threshold!r} must be a difference of grey levels, not negative; five times the noise is usual."
        )
    xp = namespace(block)
    halo = as_halo(radius, "radius")
    core = _core(block, halo)
    if valid is None:
        middle = median.body(block, radius=radius)
    else:
        assert median.masked is not None
        middle = median.masked(block, valid, radius=radius, footprint="cube")
    real = as_real(core)
    spike = real - as_real(middle) > cast(threshold, real.dtype, "threshold")
    if valid is None:
        return xp.where(spike, middle, core)
    return where_present(_core(valid, halo), xp.where(spike, middle, core))


def _zingers_masked(
    block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, threshold: Any, radius: Any = 1
) -> Shaped[Any, "_ _ _"]:
    return _zinger(block, valid, threshold, radius)


def zinger_halo(radius: Any = 1) -> Halo:
    """Return the reach of the median."""
    return as_halo(radius, "radius")


@voxel_op(halo=zinger_halo, static="radius", masked=_zingers_masked, lengths={"radius": "reach"})
def remove_zingers(block: Shaped[Any, "x y z"], *, threshold: Any, radius: Any = 1) -> Shaped[Any, "_ _ _"]:
    """Replace voxels far brighter than the median of their surroundings by that median; others stay
    as they are.

    Zingers are X-rays that hit the detector itself, or hot pixels. ImageJ's "Remove Outliers",
    bright ones.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by `radius`. The dtype is kept.
    threshold
        Difference beyond which a voxel is replaced, in the unit of `block`; may be traced.
    radius
        Radius of the cube of the median [voxel], one or three.

    Returns
    -------
        The field without zingers, in the unit of `block`. Masked: against the median of the voxels
        taken in.

    Raises
    ------
    ValueError
        If `threshold` is negative.
    """
    return _zinger(block, None, threshold, radius)

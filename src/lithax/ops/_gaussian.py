"""Gaussian smoothing, and the weights of a sampled Gaussian and its derivatives."""

import math
from typing import Any

from jaxtyping import Bool, Inexact, Shaped

from lithax.arrays import as_real, is_traced, namespace
from lithax.grid import Halo, as_halo
from lithax.ops._folded import fold as fold_weights
from lithax.ops._folded import folded_radii, folding
from lithax.ops._masked import normalised, weighted
from lithax.ops._parameters import cast, is_number, per_axis
from lithax.ops._separable import along_axes, correlate
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

LARGEST_RADIUS = 10**6
"""No axis of an image is longer, and a filter folded onto a shorter one is flat long before."""


def gaussian_radius(sigma: Any, radius: Any = None, truncate: float | int = 4.0, fold: Any = None) -> Halo:
    """Return where the sampled Gaussian is cut off along each axis [voxel].

    Parameters
    ----------
    sigma
        Standard deviation [voxel], one or three.
    radius
        The answer, where it is known already; needed when `sigma` is an array.
    truncate
        Cut-off [standard deviation]: the radius is ``int(truncate * sigma + 0.5)``, as in
        scipy.ndimage.
    fold
        The rows of an image onto which the filter is folded, where it is wider than the image.

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite, or an array without `radius`; if `truncate` is not
        positive; if the radius exceeds 10⁶ voxels.
    """
    sigmas = per_axis(sigma, "sigma")
    if any(is_number(s) and not (s >= 0 and math.isfinite(s)) for s in sigmas):
        raise ValueError(f"sigma={sigma!r} must be a finite number of voxels >= 0; sigma=0 leaves an axis as it is.")
    if radius is not None:
        return folded_radii(_checked(as_halo(radius, "radius"), sigma), fold)
    if not all(map(is_number, sigmas)):
        raise ValueError(
            f"sigma={sigma!r} is {'traced' if any(map(is_traced, sigmas)) else 'an array'}, so the width of the filter is "
            f"unknown before it runs; give radius=, or sigma as a Python number."
        )
    if not (truncate > 0 and math.isfinite(truncate)):
        raise ValueError(f"truncate={truncate!r} must be a positive number of standard deviations; the usual one is 4.")
    x, y, z = (int(truncate * float(s) + 0.5) for s in sigmas)
    return folded_radii(_checked((x, y, z), sigma), fold)


def _checked(radii: Halo, sigma: Any) -> Halo:
    if max(radii) > LARGEST_RADIUS:
        raise ValueError(
            f"sigma={sigma!r} gives a filter that reaches {max(radii)} voxels; at most {LARGEST_RADIUS} are possible. "
            f"Over so wide a window the mean of the image is the answer, or a smaller radius= cuts it off."
        )
    return radii


def gaussian_weights(sigma: Any, radius: int, order: int, dtype: Any) -> list[Any]:
    """Return the weights of the centre and of the neighbours outwards, for `correlate`.

    The Gaussian is sampled at the voxel centres and normalised to sum 1; its derivative of order n
    is the same samples times the polynomial P_n with P_0 = 1 and P_{n+1}(k) = P_n'(k) - k P_n(k) /
    sigma**2, as in scipy.ndimage.

    A number as `sigma` gives numbers, computed in double precision; an array gives 0-d arrays of
    `dtype`.
    """
    if is_number(sigma) and sigma < 1e-15:
        return [1.0 if order == 0 else 0.0] + [0.0] * radius
    sigma = cast(sigma, dtype, "sigma")
    exp = math.exp if is_number(sigma) else namespace(sigma).exp
    inverse = 1.0 / (sigma * sigma)
    samples = [exp(-0.5 * k * k * inverse) for k in range(radius + 1)]
    total = samples[0]
    for sample in samples[1:]:
        total = total + 2.0 * sample
    polynomial = [1.0]
    for _ in range(order):
        slope = [*(m * c for m, c in enumerate(polynomial) if m), 0.0, 0.0]
        shrunk = [0.0, *(-inverse * c for c in polynomial)]
        polynomial = [a + b for a, b in zip(slope, shrunk, strict=True)]
    sign = -1.0 if order % 2 else 1.0
    values = [sum((c * float(k) ** m for m, c in enumerate(polynomial)), 0.0) for k in range(radius + 1)]
    return [sign * value * (sample / total) for value, sample in zip(values, samples, strict=True)]


def folded_weights(sigma: Any, radius: int, order: int, dtype: Any, row: Any = None) -> list[Any]:
    """Return `gaussian_weights`, folded onto a row (its length and boundary rule) if one is
    given.
    """
    weights = gaussian_weights(sigma, radius, order, dtype)
    return weights if row is None else fold_weights(weights, *row, odd=order % 2 == 1)


def _smooth(x: Array, sigma: Any, radii: Halo, fold: Any = None) -> Array:
    sigmas, rows = per_axis(sigma, "sigma"), fold or (None,) * 3
    taps = [2 * r + 1 for r in radii]
    return along_axes(x, taps, lambda v, a: correlate(v, folded_weights(sigmas[a], radii[a], 0, v.dtype, rows[a]), a))


def _gaussian_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    sigma: Any,
    radius: Any = None,
    truncate: float | int = 4.0,
    fold: Any = None,
) -> Inexact[Any, "_ _ _"]:
    # Normalised convolution: the weights of the voxels left out are shared among the others.
    radii = gaussian_radius(sigma, radius, truncate)
    x, weight = weighted(as_real(block), valid)
    return normalised(_smooth(x, sigma, radii, fold), _smooth(weight, sigma, radii, fold))


@voxel_op(
    halo=gaussian_radius,
    static=("radius", "truncate"),
    masked=_gaussian_masked,
    fit=folding(gaussian_radius),
    lengths={"sigma": "width", "radius": "reach"},
)
def gaussian(
    block: Shaped[Any, "x y z"], *, sigma: Any, radius: Any = None, truncate: float | int = 4.0, fold: Any = None
) -> Inexact[Any, "_ _ _"]:
    """Smooth with a Gaussian, sampled at the voxel centres and cut off;
    `scipy.ndimage.gaussian_filter`.

    Integers and booleans are smoothed as floats (see `lithax.arrays.real_dtype`). NaN and infinity
    spread over the window.

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by `gaussian_radius(sigma, radius, truncate)`.
    sigma
        Standard deviation [voxel], one or three, one per axis. As an array it can be traced, and
        needs `radius`.
    radius
        Cut-off [voxel], one or three; by default ``int(truncate * sigma + 0.5)``.
    truncate
        Cut-off [standard deviation], where `radius` is not given.

    Returns
    -------
        The smoothed field, in the unit of `block`. Masked: the weighted mean of the voxels taken in
        (normalised convolution), NaN where the window holds none.

    Raises
    ------
    ValueError
        If `sigma` is negative, or an array without `radius`.

    References
    ----------
    Masked form: Knutsson and Westin, Normalized and differential convolution, CVPR (1993), eq. 4.
    doi:10.1109/CVPR.1993.341081
    """
    x = as_real(block)
    return _smooth(x, sigma, gaussian_radius(sigma, radius, truncate), fold)

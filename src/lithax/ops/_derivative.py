"""Derivatives of the field along the axes: central differences, Sobel, Gaussian, and the
Laplacian.
"""

from typing import Any

from jaxtyping import Inexact, Shaped

from lithax.arrays import as_real, axis_number
from lithax.grid import Halo, as_halo
from lithax.ops._folded import folded_radii, folding
from lithax.ops._gaussian import folded_weights, gaussian_radius
from lithax.ops._parameters import cast, is_number, per_axis, spacing_per_axis
from lithax.ops._separable import AXES, along_axes, correlate, shifted
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def derivative_halo(axis: Any) -> Halo:
    """Return one voxel along `axis`, none along the others."""
    reach = [0, 0, 0]
    reach[axis_number(axis)] = 1
    return reach[0], reach[1], reach[2]


def central_difference(x: Array, axis: int, spacing: Any) -> Array:
    """Return (x[i+1] - x[i-1]) / (2 spacing) along `axis`."""
    return correlate(x, (0.0, 0.5 / cast(spacing, x.dtype, "spacing")), axis, odd=True)


@voxel_op(halo=derivative_halo, static="axis", lengths={"spacing": "spacing"})
def derivative(block: Shaped[Any, "x y z"], *, axis: Any, spacing: Any = 1.0) -> Inexact[Any, "_ _ _"]:
    """Take the first derivative along an axis by central differences, of second order;
    `numpy.gradient` away from the faces.

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by one voxel along `axis`.
    axis
        0, 1, 2 or "x", "y", "z".
    spacing
        Distance between voxel centres, one or three; 1 by default, which gives the derivative per
        voxel.

    Returns
    -------
        The derivative, in the unit of `block` per unit of `spacing`.

    Raises
    ------
    ValueError
        If there is no such axis, or `spacing` is not positive.
    """
    x = as_real(block)
    return central_difference(x, axis_number(axis), spacing_per_axis(spacing)[axis_number(axis)])


def sobel_component(x: Array, axis: int) -> Array:
    """Difference along `axis`, smoothed by 1, 2, 1 along the others."""
    for other in AXES:
        x = correlate(x, (0.0, 1.0) if other == axis else (2.0, 1.0), other, odd=other == axis)
    return x


@voxel_op(halo=1, static="axis")
def sobel(block: Shaped[Any, "x y z"], *, axis: Any) -> Inexact[Any, "x-2 y-2 z-2"]:
    """Take Sobel's difference along an axis; `scipy.ndimage.sobel`.

    The weights are scipy's and not normalised: a ramp of 1 per voxel gives 32. Integers are taken
    as floats (scipy wraps them).

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by one voxel.
    axis
        0, 1, 2 or "x", "y", "z".

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    return sobel_component(as_real(block), axis_number(axis))


@voxel_op(halo=1, lengths={"spacing": "spacing"})
def laplacian(block: Shaped[Any, "x y z"], *, spacing: Any = 1.0) -> Inexact[Any, "x-2 y-2 z-2"]:
    """Sum the second differences along the axes (7 points); `scipy.ndimage.laplace`.

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by one voxel.
    spacing
        Distance between voxel centres, one or three; 1 by default, which is scipy's.

    Returns
    -------
        The Laplacian, in the unit of `block` per squared unit of `spacing`; of second order.

    Raises
    ------
    ValueError
        If `spacing` is not positive.
    """
    x = as_real(block)
    total = None
    for axis, h in enumerate(spacing_per_axis(spacing)):
        inner = x
        for other in range(3):
            if other != axis:
                inner = shifted(inner, other, 1, x.shape[other] - 2)
        weight = 1.0 / cast(h, x.dtype, "spacing") ** 2
        part = correlate(inner, (-2.0 * weight, weight), axis)
        total = part if total is None else total + part
    return total


def smoothing_radius(sigma: Any, radius: Any = None, truncate: float | int = 4.0, fold: Any = None) -> Halo:
    """Return `gaussian_radius` for a derivative, which needs a Gaussian of some width along every
    axis.
    """
    if any(is_number(s) and s == 0 for s in per_axis(sigma, "sigma")):
        raise ValueError(
            f"sigma={sigma!r} must be positive along every axis; for differences without smoothing use derivative."
        )
    radii = gaussian_radius(sigma, radius, truncate)
    if min(radii) < 1:
        raise ValueError(
            f"sigma={sigma!r}, radius={radius!r}: cut off at {radii} voxels, no neighbour is left to take a difference with."
        )
    return folded_radii(radii, fold)


def gaussian_pass(x: Array, sigma: Any, radius: int, axis: int, order: int, spacing: Any, fold: Any = None) -> Array:
    """Smooth along one axis with the derivative of a Gaussian of the given order, per `spacing` to
    that power.
    """
    weights = folded_weights(sigma, radius, order, x.dtype, None if fold is None else fold[axis])
    if order:
        scale = cast(spacing, x.dtype, "spacing") ** order
        weights = [w / scale for w in weights]
    return correlate(x, weights, axis, odd=order % 2 == 1)


@voxel_op(
    halo=smoothing_radius,
    static=("order", "radius", "truncate"),
    fit=folding(smoothing_radius),
    lengths={"sigma": "width", "radius": "reach", "spacing": "spacing"},
)
def gaussian_derivative(
    block: Shaped[Any, "x y z"],
    *,
    order: Any,
    sigma: Any,
    spacing: Any = 1.0,
    radius: Any = None,
    truncate: float | int = 4.0,
    fold: Any = None,
) -> Inexact[Any, "_ _ _"]:
    """Take a derivative of the field smoothed by a Gaussian; `scipy.ndimage.gaussian_filter` with
    `order`.

    Parameters
    ----------
    block
        Any field, one value per voxel; padded by `gaussian_radius(sigma, radius, truncate)`.
    order
        Order of the derivative along each axis: ``(1, 0, 0)`` is d/dx, ``(1, 1, 0)`` is d2/dxdy.
    sigma
        Standard deviation [voxel], one or three, positive. As an array it can be traced, and needs
        `radius`.
    spacing
        Distance between voxel centres, one or three; 1 by default, which gives the derivative per
        voxel.
    radius
        Cut-off [voxel], one or three; by default ``int(truncate * sigma + 0.5)``.
    truncate
        Cut-off [standard deviation], where `radius` is not given.

    Returns
    -------
        The derivative, in the unit of `block` per unit of `spacing`, to the power of the orders'
        sum.

    Raises
    ------
    ValueError
        If `sigma` is not positive, or an array without `radius`; if `order` is negative; if
        `spacing` is not positive.
    """
    x = as_real(block)
    radii = smoothing_radius(sigma, radius, truncate)
    sigmas, steps, orders = per_axis(sigma, "sigma"), spacing_per_axis(spacing), as_halo(order, "order")
    taps = [2 * r + 1 for r in radii]
    return along_axes(x, taps, lambda v, a: gaussian_pass(v, sigmas[a], radii[a], a, orders[a], steps[a], fold))

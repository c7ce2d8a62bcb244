"""The shape of the field around a voxel: eigenvalues of its Hessian and of its structure tensor."""

import functools
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from lithax.arrays import as_real, fence, namespace
from lithax.grid import Halo
from lithax.ops._derivative import sobel_component
from lithax.ops._gaussian import gaussian, gaussian_radius
from lithax.ops._parameters import per_axis, spacing_per_axis
from lithax.ops._separable import AXES, correlate
from lithax.ops._symmetric_eigenvalues import PAIRS, symmetric_eigenvalues
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

Eigenvalues = tuple[Float[Any, "_ _ _"], Float[Any, "_ _ _"], Float[Any, "_ _ _"]]


def hessian_halo(sigma: Any, truncate: float | int = 6.0) -> Halo:
    """Return where the Gaussian is cut off.

    Raises
    ------
    ValueError
        If `sigma` is not a positive number along every axis.
    """
    try:
        sigmas = tuple(map(float, per_axis(sigma, "sigma")))
    except TypeError:
        raise ValueError(f"sigma={sigma!r} sets the width of the window; give numbers, it cannot be traced.") from None
    if any(not (s > 0 and math.isfinite(s)) for s in sigmas):
        raise ValueError(f"sigma={sigma!r} must be positive along every axis [voxel].")
    x, y, z = gaussian_radius(sigmas, None, truncate)
    return max(1, x), max(1, y), max(1, z)


@functools.lru_cache(maxsize=256)
def _weights(sigma: float, radius: int, order: int) -> tuple[float, ...]:
    """Return the weights of a derivative of order 0, 1 or 2: from the centre outwards.

    A Gaussian of sigma / √2 and its first derivative are sampled and convolved with one another.
    Sampling the second derivative itself is off for narrow Gaussians.
    """
    narrow = sigma / math.sqrt(2.0)
    reach = max(int(8.0 * narrow + 0.5), radius)
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    smooth = np.exp(-0.5 * (x / narrow) ** 2)
    smooth /= smooth.sum()
    slope = x / narrow**2 * smooth
    twice = np.convolve(slope if order > 1 else smooth, slope if order else smooth)
    return tuple(twice[2 * reach : 2 * reach + radius + 1].tolist())


def hessian(x: Array, sigma: Any, truncate: Any, spacing: Any = 1.0) -> list[Array]:
    """Return the six second derivatives of the smoothed field, in the order of `PAIRS`."""
    radii, sigmas = hessian_halo(sigma, truncate), tuple(map(float, per_axis(sigma, "sigma")))
    steps = spacing_per_axis(spacing)

    def along(field: Array, axis: int, order: int) -> Array:
        weights = [w / steps[axis] ** order for w in _weights(sigmas[axis], radii[axis], order)]
        return fence(correlate(field, weights, axis, odd=order == 1))

    entries = []
    done: dict[tuple[int, ...], Array] = {}
    for pair in PAIRS:
        orders = [pair.count(axis) for axis in range(3)]
        field, key = x, ()
        for axis in AXES:
            key = (*key, orders[axis])
            if key not in done:
                done[key] = along(field, axis, orders[axis])
            field = done[key]
        entries.append(field)
    return entries


def _real(block: Array) -> Array:
    if namespace(block).isdtype(block.dtype, "complex floating"):
        raise TypeError(f"an array of {block.dtype} has no ridges; take its real part or its modulus first.")
    return as_real(block)


@voxel_op(halo=hessian_halo, static=("sigma", "truncate"), lengths={"sigma": "width", "spacing": "spacing"})
def hessian_eigenvalues(
    block: Shaped[Any, "x y z"], *, sigma: Any, spacing: Any = 1.0, truncate: float | int = 6.0
) -> Eigenvalues:
    """Take the eigenvalues of the second derivatives of the smoothed field, the largest first.

    `skimage.feature.hessian_matrix_eigvals` of `skimage.feature.hessian_matrix` with
    ``use_gaussian_derivatives=True``: two first derivatives, each of a Gaussian of ``sigma / √2``.
    There the image is padded again between the two, so values differ within reach of the faces,
    except with ``boundary="wrap"``. Across a dark sheet the largest is positive and the other two
    are small; across a dark tube two are positive; in a dark blob all three.

    Differentiable in the voxels; where two eigenvalues are equal, as if they stayed so. NaN reaches
    every voxel whose window contains it. There is no masked form.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by ``int(truncate * sigma + 0.5)``.
    sigma
        Standard deviation of the Gaussian [voxel], one or three, positive: the scale of what is
        looked for. Cannot be traced.
    spacing
        Distance between voxel centres, one or three; 1 by default, which gives derivatives per
        voxel.
    truncate
        Cut-off [standard deviation].

    Returns
    -------
        Three arrays, in the unit of `block` per squared unit of `spacing`.

    Raises
    ------
    ValueError
        If `sigma` or `spacing` is not positive.
    """
    return symmetric_eigenvalues(hessian(_real(block), sigma, truncate, spacing))


def structure_halo(sigma: Any = 1.0) -> Halo:
    """Return the reach of the Gaussian, and one voxel for the derivatives."""
    x, y, z = gaussian_radius(sigma)
    return x + 1, y + 1, z + 1


@voxel_op(halo=structure_halo, static="sigma", lengths={"sigma": "width"})
def structure_tensor_eigenvalues(block: Shaped[Any, "x y z"], *, sigma: Any = 1.0) -> Eigenvalues:
    """Take the eigenvalues of the smoothed products of the gradient's components, the largest
    first.

    `skimage.feature.structure_tensor_eigenvalues` of `skimage.feature.structure_tensor`: Sobel's
    differences (not normalised, 32 times the slope), their products smoothed by a Gaussian. There
    the image is padded again between the two, so values differ within reach of the faces, except
    with ``boundary="wrap"``. One large value: an edge or layers; two: fibres, or a tube's wall;
    three: corners, noise.

    Differentiable in the voxels; where two eigenvalues are equal, as if they stayed so. NaN reaches
    every voxel whose window contains it. There is no masked form.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by the reach of the Gaussian and one.
    sigma
        Standard deviation of the Gaussian [voxel], one or three. Cannot be traced.

    Returns
    -------
        Three arrays, in the squared unit of `block`.

    Raises
    ------
    ValueError
        If `sigma` is negative.
    """
    x = _real(block)
    slopes = [fence(sobel_component(x, axis)) for axis in range(3)]
    return symmetric_eigenvalues([fence(gaussian.body(slopes[p] * slopes[q], sigma=sigma)) for p, q in PAIRS])

"""The shape of the field around a voxel: eigenvalues of its Hessian and of its structure tensor."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, namespace
from lithax.grid import Halo
from lithax.ops._derivative import sobel_component
from lithax.ops._gaussian import gaussian, gaussian_radius
from lithax.ops._masked import where_present
from lithax.ops._masked_derivatives import derivatives_within
from lithax.ops._parameters import per_axis, spacing_per_axis
from lithax.ops._separable import AXES, correlate
from lithax.ops._step import crop
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


def _smoothing(sigma: Any, truncate: Any, spacing: Any) -> Callable[[Array, tuple[int, int, int]], Array]:
    """Return the filter by a derivative of a Gaussian. Of one field the passes that several
    derivatives share are done once.
    """
    radii, sigmas = hessian_halo(sigma, truncate), tuple(map(float, per_axis(sigma, "sigma")))
    steps = spacing_per_axis(spacing)
    done: dict[tuple[Any, ...], Array] = {}

    def along(field: Array, axis: int, order: int) -> Array:
        weights = [w / steps[axis] ** order for w in _weights(sigmas[axis], radii[axis], order)]
        return fence(correlate(field, weights, axis, odd=order == 1))

    def smooth(field: Array, orders: tuple[int, int, int]) -> Array:
        key: tuple[Any, ...] = (id(field),)
        done.setdefault(key, field)  # kept, so that no other field has its id
        for axis in AXES:
            key = (*key, orders[axis])
            if key not in done:
                done[key] = along(field, axis, orders[axis])
            field = done[key]
        return field

    return smooth


def hessian(x: Array, sigma: Any, truncate: Any, spacing: Any = 1.0) -> list[Array]:
    """Return the six second derivatives of the smoothed field, in the order of `PAIRS`."""
    smooth = _smoothing(sigma, truncate, spacing)

    def second(p: int, q: int) -> Array:
        a, b, c = ((p, q).count(axis) for axis in range(3))
        return smooth(x, (a, b, c))

    return [second(*pair) for pair in PAIRS]


def _real(block: Array) -> Array:
    if namespace(block).isdtype(block.dtype, "complex floating"):
        raise TypeError(f"an array of {block.dtype} has no ridges; take its real part or its modulus first.")
    return as_real(block)


def _hessian_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    sigma: Any,
    spacing: Any = 1.0,
    truncate: float | int = 6.0,
) -> Eigenvalues:
    smooth = _smoothing(sigma, truncate, spacing)
    entries, present = derivatives_within(_real(block), valid, smooth, PAIRS)
    return _eigenvalues_where(present, entries)


def _eigenvalues_where(present: Array, entries: list[Array]) -> Eigenvalues:
    xp = namespace(present)
    a, b, c = symmetric_eigenvalues([xp.where(present, v, xp.zeros_like(v)) for v in entries])
    return where_present(present, a), where_present(present, b), where_present(present, c)


@voxel_op(
    halo=hessian_halo,
    static=("sigma", "truncate"),
    masked=_hessian_masked,
    lengths={"sigma": "width", "spacing": "spacing"},
)
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
    every voxel whose window contains it.

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
        Three arrays, in the unit of `block` per squared unit of `spacing`. Masked: of the field
        smoothed over the voxels taken in; where there is none, NaN.

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


def _structure_masked(block: Shaped[Any, "x y z"], valid: Bool[Any, "x y z"], *, sigma: Any = 1.0) -> Eigenvalues:
    def smooth(field: Array, orders: tuple[int, int, int]) -> Array:
        if any(orders):
            return sobel_component(field, orders.index(1))
        for axis in AXES:
            field = correlate(field, (0.5, 0.25), axis)
        return field

    slopes, present = derivatives_within(_real(block), valid, smooth, [(0,), (1,), (2,)])
    # Of voxels left out nothing is known, though the voxels around them have a slope there.
    counted = crop(valid, (1, 1, 1)) & present
    smoothed = [gaussian.masked(fence(slopes[p] * slopes[q]), valid=counted, sigma=sigma) for p, q in PAIRS]  # pyright: ignore[reportOptionalCall]
    return _eigenvalues_where(
        gaussian.body(namespace(counted).astype(counted, slopes[0].dtype), sigma=sigma) > 0, smoothed
    )


@voxel_op(halo=structure_halo, static="sigma", masked=_structure_masked, lengths={"sigma": "width"})
def structure_tensor_eigenvalues(block: Shaped[Any, "x y z"], *, sigma: Any = 1.0) -> Eigenvalues:
    """Take the eigenvalues of the smoothed products of the gradient's components, the largest
    first.

    `skimage.feature.structure_tensor_eigenvalues` of `skimage.feature.structure_tensor`: Sobel's
    differences (not normalised, 32 times the slope), their products smoothed by a Gaussian. There
    the image is padded again between the two, so values differ within reach of the faces, except
    with ``boundary="wrap"``. One large value: an edge or layers; two: fibres, or a tube's wall;
    three: corners, noise.

    Differentiable in the voxels; where two eigenvalues are equal, as if they stayed so. NaN reaches
    every voxel whose window contains it.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by the reach of the Gaussian and one.
    sigma
        Standard deviation of the Gaussian [voxel], one or three. Cannot be traced.

    Returns
    -------
        Three arrays, in the squared unit of `block`. Masked: of the differences between voxels
        taken in, smoothed over these; where there is none, NaN.

    Raises
    ------
    ValueError
        If `sigma` is negative.
    """
    x = _real(block)
    slopes = [fence(sobel_component(x, axis)) for axis in range(3)]
    return symmetric_eigenvalues([fence(gaussian.body(slopes[p] * slopes[q], sigma=sigma)) for p, q in PAIRS])

"""The magnitude of the gradient: where the edges are."""

from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence
from lithax.grid import Halo
from lithax.ops._derivative import central_difference, gaussian_pass, smoothing_radius, sobel_component
from lithax.ops._folded import folding
from lithax.ops._masked import where_present
from lithax.ops._masked_derivatives import derivatives_within, difference_within
from lithax.ops._parameters import per_axis, spacing_per_axis
from lithax.ops._separable import shifted
from lithax.ops._smooth_root import smooth_root
from lithax.ops._step import crop
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array


def gradient_halo(sigma: Any = None, radius: Any = None, truncate: float | int = 4.0, fold: Any = None) -> Halo:
    """Return the halo of the gradient: one voxel for central differences, the Gaussian's radius
    otherwise.
    """
    return (1, 1, 1) if sigma is None else smoothing_radius(sigma, radius, truncate, fold)


def _magnitude(x: Array, y: Array, z: Array) -> Array:
    return smooth_root(x * x + y * y + z * z)


def _gradient_magnitude_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    sigma: Any = None,
    spacing: Any = 1.0,
    radius: Any = None,
    truncate: float | int = 4.0,
    fold: Any = None,
) -> Float[Any, "_ _ _"]:
    x, steps = as_real(block), spacing_per_axis(spacing)
    if sigma is None:
        inner = lambda field, axis: crop(field, [int(a != axis) for a in range(3)])  # noqa: E731
        slopes = [difference_within(inner(x, a), inner(valid, a), a, steps[a]) for a in range(3)]
        return where_present(crop(valid, (1, 1, 1)), _magnitude(*slopes))
    radii, sigmas = smoothing_radius(sigma, radius, truncate), per_axis(sigma, "sigma")

    def smooth(field: Array, orders: tuple[int, int, int]) -> Array:
        for axis in (2, 1, 0):
            field = fence(gaussian_pass(field, sigmas[axis], radii[axis], axis, orders[axis], steps[axis], fold))
        return field

    slopes, present = derivatives_within(x, valid, smooth, [(0,), (1,), (2,)])
    return where_present(present, _magnitude(*slopes))


@voxel_op(
    halo=gradient_halo,
    static=("radius", "truncate"),
    masked=_gradient_magnitude_masked,
    fit=folding(gradient_halo),
    lengths={"sigma": "width", "radius": "reach", "spacing": "spacing"},
)
def gradient_magnitude(
    block: Shaped[Any, "x y z"],
    *,
    sigma: Any = None,
    spacing: Any = 1.0,
    radius: Any = None,
    truncate: float | int = 4.0,
    fold: Any = None,
) -> Float[Any, "_ _ _"]:
    """Take the length of the gradient of the smoothed field;
    `scipy.ndimage.gaussian_gradient_magnitude`.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by `gaussian_radius(sigma, radius,
        truncate)`, or by one voxel.
    sigma
        Standard deviation of the Gaussian [voxel], one or three, positive. As an array it can be
        traced, and needs `radius`. Without it nothing is smoothed, and the gradient is made of
        central differences.
    spacing
        Distance between voxel centres, one or three; 1 by default, which gives the gradient per
        voxel.
    radius
        Cut-off [voxel], one or three; by default ``int(truncate * sigma + 0.5)``.
    truncate
        Cut-off [standard deviation], where `radius` is not given.

    Returns
    -------
        The magnitude, in the unit of `block` per unit of `spacing`; its own derivative is 0 where
        the gradient vanishes. Masked: that of the field smoothed over the voxels taken in; without
        `sigma` of the differences between them. Where there is none, NaN.

    Raises
    ------
    ValueError
        If `sigma` is not positive, or an array without `radius`; if `spacing` is not positive.
    """
    x = as_real(block)
    steps = spacing_per_axis(spacing)
    if sigma is None:
        inner = [shifted(x, axis, 1, x.shape[axis] - 2) for axis in range(3)]
        core = [n - 2 for n in x.shape]
        return _magnitude(
            central_difference(shifted(inner[1], 2, 1, core[2]), 0, steps[0]),
            central_difference(shifted(inner[0], 2, 1, core[2]), 1, steps[1]),
            central_difference(shifted(inner[0], 1, 1, core[1]), 2, steps[2]),
        )
    radii, sigmas = smoothing_radius(sigma, radius, truncate), per_axis(sigma, "sigma")

    def along(field: Array, axis: int, order: int) -> Array:
        return gaussian_pass(field, sigmas[axis], radii[axis], axis, order, steps[axis], fold)

    smooth, slope = fence(along(x, 2, 0)), fence(along(x, 2, 1))  # eight passes instead of nine
    return _magnitude(
        along(fence(along(smooth, 1, 0)), 0, 1),
        along(fence(along(smooth, 1, 1)), 0, 0),
        along(fence(along(slope, 1, 0)), 0, 0),
    )


@voxel_op(halo=1)
def sobel_magnitude(block: Shaped[Any, "x y z"]) -> Float[Any, "x-2 y-2 z-2"]:
    """Take the length of Sobel's differences; `scipy.ndimage.generic_gradient_magnitude` with
    `sobel`.

    Not normalised: a ramp of 1 per voxel along an axis gives 32.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by one voxel.
    """
    x = as_real(block)
    return _magnitude(*(sobel_component(x, axis) for axis in range(3)))

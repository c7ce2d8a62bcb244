"""Ridge measures: sheets and tubes of one or several widths, such as fractures and channels."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from jaxtyping import Float, Shaped

from lithax.arrays import fence, namespace
from lithax.grid import Halo
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._smooth_root import smooth_root
from lithax.ops._structure import _real, hessian, hessian_halo
from lithax.ops._symmetric_eigenvalues import symmetric_eigenvalues
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

TRUNCATE = 6.0
SIGMAS = (1.0, 3.0)
_LEAST = 1e-10


def ridge_halo(sigmas: Any = SIGMAS) -> Halo:
    """Return the reach of the widest Gaussian.

    Raises
    ------
    ValueError
        If there is none, or one is not positive.
    """
    halos = [hessian_halo(sigma, TRUNCATE) for sigma in _scales(sigmas)]
    x, y, z = (max(halo[axis] for halo in halos) for axis in range(3))
    return x, y, z


def _scales(sigmas: Any) -> tuple[Any, ...]:
    scales = tuple(sigmas) if isinstance(sigmas, Iterable) else (sigmas,)
    if not scales:
        raise ValueError("sigmas=() holds no scale; give at least one standard deviation [voxel].")
    if not all(_is_width(s) or (isinstance(s, tuple) and len(s) == 3 and all(map(_is_width, s))) for s in scales):
        raise ValueError(
            f"sigmas={sigmas!r} must be numbers, one standard deviation [voxel] per scale, or tuples of one per axis."
        )
    return scales


def _is_width(sigma: Any) -> bool:
    return is_number(sigma) and not isinstance(sigma, bool)


def _in_cubes(sigma: Any) -> tuple[float, Any]:
    """Return a scale in cubes as large as the voxels, and the edges of a voxel in theirs."""
    if not isinstance(sigma, tuple):
        return float(sigma), 1.0
    own = math.prod(map(float, sigma)) ** (1.0 / 3.0)
    return own, tuple(own / float(s) for s in sigma)


def _eigenvalues(block: Array, sigmas: Any, black_ridges: bool) -> Iterator[tuple[float, tuple[Array, Array, Array]]]:
    x = _real(block)
    x = x if black_ridges else -x
    widest = ridge_halo(sigmas)
    for sigma in _scales(sigmas):
        inner = x
        for axis, (most, own) in enumerate(zip(widest, hessian_halo(sigma, TRUNCATE), strict=True)):
            inner = shifted(inner, axis, most - own, x.shape[axis] - 2 * (most - own))
        scale, spacing = _in_cubes(sigma)
        a, b, c = symmetric_eigenvalues(hessian(inner, sigma, TRUNCATE, spacing))
        yield scale, (fence(a), fence(b), fence(c))


def _larger(a: Array | None, b: Array) -> Array:
    return b if a is None else namespace(a).maximum(a, b)


@voxel_op(halo=ridge_halo, static=("sigmas", "black_ridges"), lengths={"sigmas": "widths"})
def sato(block: Shaped[Any, "x y z"], *, sigmas: Any = SIGMAS, black_ridges: bool = True) -> Float[Any, "_ _ _"]:
    """Measure how much of a tube there is: sigma² times the geometric mean of the two largest
    eigenvalues of the Hessian, the largest over all scales; `skimage.filters.sato`.

    Negative eigenvalues count as 0. scikit-image pads the image again between derivatives, so
    values differ within reach of the faces, except with ``boundary="wrap"``; its default scales are
    1, 3, 5, 7, 9. Differentiable in the voxels where both are positive. NaN reaches every voxel
    whose window contains it. There is no masked form.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by six times the largest of `sigmas`.
    sigmas
        Standard deviations of the Gaussians [voxel], about the half widths looked for; a tuple of
        three is one scale in voxels that are no cubes.
    black_ridges
        Whether dark tubes are looked for, or bright ones.

    Returns
    -------
        The measure, in the unit of `block`.

    Raises
    ------
    ValueError
        If one of `sigmas` is not positive, or there is none.

    References
    ----------
    Sato et al., Three-dimensional multi-scale line filter for segmentation and visualization of
    curvilinear structures in medical images, Medical Image Analysis 2 (1998) 143-168.
    doi:10.1016/S1361-8415(98)80009-1
    """
    best = None
    for sigma, (first, second, _) in _eigenvalues(block, sigmas, black_ridges):
        xp = namespace(first)
        zero = xp.zeros_like(first)
        product = smooth_root(xp.maximum(first, zero) * xp.maximum(second, zero))
        best = _larger(best, sigma * sigma * product)
    assert best is not None
    return best


@voxel_op(halo=ridge_halo, static=("sigmas", "black_ridges"), lengths={"sigmas": "widths"})
def frangi(
    block: Shaped[Any, "x y z"],
    *,
    gamma: Any,
    sigmas: Any = SIGMAS,
    alpha: Any = 0.5,
    beta: Any = 0.5,
    black_ridges: bool = True,
) -> Float[Any, "_ _ _"]:
    """Measure how much of a tube there is by ratios of the Hessian's eigenvalues, from 0 to 1, the
    largest over all scales; `skimage.filters.frangi`.

    `gamma` must be given: scikit-image takes half of the largest norm of the Hessian in the image
    at its first scale, which no block knows. It pads the image again between derivatives, so values
    differ within reach of the faces, except with ``boundary="wrap"``; its default scales are 1, 3,
    5, 7, 9. Sheets have a measure of 0 and tubes of 1; a `beta` and `alpha` that are larger let
    blobs, or fewer plates, pass. NaN reaches every voxel whose window contains it. There is no
    masked form. Differentiable in the voxels and in the three constants where the eigenvalues
    differ in magnitude.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by six times the largest of `sigmas`.
    gamma
        Norm of the Hessian below which a structure counts as noise, in the unit of `block` per
        squared voxel; about half of that of the clearest one. May be traced.
    sigmas
        Standard deviations of the Gaussians [voxel], about the half widths looked for; a tuple of
        three is one scale in voxels that are no cubes, and squared voxels are then those of cubes
        of the same volume.
    alpha, beta
        Sensitivity to plates and to blobs [-]; may be traced.
    black_ridges
        Whether dark tubes are looked for, or bright ones.

    Returns
    -------
        The measure [-].

    Raises
    ------
    ValueError
        If one of `sigmas` is not positive, or there is none; if `gamma`, `alpha` or `beta` is not
        positive.

    References
    ----------
    Frangi et al., Multiscale vessel enhancement filtering, MICCAI (1998) 130-137, eqs. 10-13.
    doi:10.1007/BFb0056195
    """
    scales = {"alpha": alpha, "beta": beta, "gamma": gamma}
    for name, value in scales.items():
        if is_number(value) and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value!r} must be positive.")
    best = None
    for _, values in _eigenvalues(block, sigmas, black_ridges):
        xp = namespace(values[0])
        smallest, middle, largest = _by_magnitude(values)
        least = xp.full_like(middle, _LEAST)
        second, third = xp.maximum(middle, least), xp.maximum(largest, least)
        plate = second / third
        blob = smallest * smallest / (second * third)
        strength = values[0] * values[0] + values[1] * values[1] + values[2] * values[2]
        a, b, c = (2.0 * cast(v, values[0].dtype, name) ** 2 for name, v in scales.items())
        measure = (1.0 - xp.exp(-(plate * plate) / a)) * xp.exp(-blob / b) * (1.0 - xp.exp(-strength / c))
        best = _larger(best, measure)
    assert best is not None
    return best


def _by_magnitude(values: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    xp = namespace(values[0])
    a, b, c = values

    def swap(p: Array, q: Array) -> tuple[Array, Array]:
        late = xp.abs(p) > xp.abs(q)
        return xp.where(late, q, p), xp.where(late, p, q)

    a, b = swap(a, b)
    b, c = swap(b, c)
    a, b = swap(a, b)
    return a, b, c

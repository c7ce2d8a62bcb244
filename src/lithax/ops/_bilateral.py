"""Smoothing that stops at edges: neighbours count by their distance and by how alike their grey
level is.
"""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fold_taps, namespace
from lithax.grid import Halo, as_halo
from lithax.ops._masked import where_present
from lithax.ops._neighbourhood import neighbourhood_offsets
from lithax.ops._parameters import cast, is_number, per_axis
from lithax.ops._separable import shifted
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import odd_size
from lithax.typing import Array


def bilateral_radius(sigma_spatial: Any = 1.0, win_size: Any = None, radius: Any = None) -> Halo:
    """Return half the window along each axis [voxel].

    Raises
    ------
    ValueError
        If `sigma_spatial` is not positive, `win_size` is even, or both `win_size` and `radius` are
        given.
    """
    sigmas = per_axis(sigma_spatial, "sigma_spatial")
    if any(is_number(s) and not (s > 0 and math.isfinite(s)) for s in sigmas):
        raise ValueError(f"sigma_spatial={sigma_spatial!r} must be a positive number of voxels.")
    if win_size is not None and radius is not None:
        raise ValueError(
            f"win_size={win_size!r} and radius={radius!r} both set the window; give one (win_size = 2 * radius + 1)."
        )
    if radius is not None:
        return as_halo(radius, "radius")
    if win_size is not None:
        x, y, z = (n // 2 for n in odd_size(win_size, "win_size"))
        return x, y, z
    if not all(map(is_number, sigmas)):
        raise ValueError(
            "sigma_spatial is an array, so the width of the window is unknown before it runs; give radius=."
        )
    x, y, z = (max(2, math.ceil(3 * s)) for s in sigmas)
    return x, y, z


def _bilateral(
    block: Array, valid: Array | None, sigma_color: Any, sigma_spatial: Any, win_size: Any, radius: Any
) -> Array:
    if is_number(sigma_color) and not (sigma_color > 0 and math.isfinite(sigma_color)):
        raise ValueError(
            f"sigma_color={sigma_color!r} must be a positive difference of grey levels, in the unit of the image; two to "
            f"three times the standard deviation of the noise is usual (lx.measure.noise)."
        )
    xp = namespace(block)
    if xp.isdtype(block.dtype, "complex floating"):
        raise TypeError(
            f"an array of {block.dtype} has no edges of one kind; smooth its real and imaginary parts apart."
        )
    radii = bilateral_radius(sigma_spatial, win_size, radius)
    sigmas = [cast(s, block.dtype, "sigma_spatial") for s in per_axis(sigma_spatial, "sigma_spatial")]
    core = [n - 2 * r for n, r in zip(block.shape, radii, strict=True)]
    offsets = neighbourhood_offsets(None, radii, "cube")
    if valid is not None:
        block = xp.where(valid, block, xp.zeros_like(block))
    centre = block
    for axis in range(3):
        centre = shifted(centre, axis, radii[axis], core[axis])
    width = cast(sigma_color, block.dtype, "sigma_color")
    color = 0.5 / (width * width)
    spatial = [0.5 / (s * s) for s in sigmas]

    def add(state: Any, parts: Any, *squares: Any) -> Any:
        total, weight = state
        difference = parts[0] - centre
        exponent = difference * difference * color
        for square, scale in zip(squares, spatial, strict=True):
            exponent = exponent + square * scale
        w = xp.exp(-exponent)
        if valid is not None:
            w = xp.where(parts[1], w, xp.zeros_like(w))
        return total + w * parts[0], weight + w

    zero = xp.zeros_like(centre)
    squares = [[float(d[axis] ** 2) for d in offsets] for axis in range(3)]
    arrays = [block] if valid is None else [block, valid]
    starts = [(radii[0] + i, radii[1] + j, radii[2] + k) for i, j, k in offsets]
    total, weight = fold_taps(add, (zero, zero), arrays, starts, core, *squares)
    if valid is None:
        return total / weight
    here = valid
    for axis in range(3):
        here = shifted(here, axis, radii[axis], core[axis])
    return where_present(here, total / xp.where(here, weight, xp.ones_like(weight)))


def _bilateral_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    sigma_color: Any,
    sigma_spatial: Any = 1.0,
    win_size: Any = None,
    radius: Any = None,
) -> Float[Any, "_ _ _"]:
    return _bilateral(as_real(block), valid, sigma_color, sigma_spatial, win_size, radius)


@voxel_op(
    halo=bilateral_radius,
    static=("win_size", "radius"),
    masked=_bilateral_masked,
    lengths={"sigma_spatial": "width", "win_size": "window", "radius": "reach"},
)
def bilateral(
    block: Shaped[Any, "x y z"],
    *,
    sigma_color: Any,
    sigma_spatial: Any = 1.0,
    win_size: Any = None,
    radius: Any = None,
) -> Float[Any, "_ _ _"]:
    """Average neighbours that are near and of similar grey level;
    `skimage.restoration.denoise_bilateral`, in 3-D.

    The weight of a neighbour is ``exp(-d²/(2 sigma_spatial²) - g²/(2 sigma_color²))``, with its
    distance d and the difference g of the two grey levels. scikit-image filters planes only
    (``radius=(r, r, 0)`` here), looks the weight of g up in a table of `bins` entries, and takes
    the standard deviation of the image where `sigma_color` is not given; here it must be given. For
    windows of an odd edge scikit-image (0.26) reads its table of distances with the wrong stride,
    so its spatial weights are not those of the formula; the two agree where distances count alike.
    Integers and booleans are filtered as floats; NaN reaches every voxel whose window contains it.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by half the window.
    sigma_color
        Standard deviation of the weight of a difference in grey level, in the unit of `block`; may
        be traced.
    sigma_spatial
        Standard deviation of the weight of a distance [voxel], one or three, one per axis. As an
        array it can be traced, and needs `radius`.
    win_size
        Edge of the window [voxel], odd, one or three; by default ``2 * max(2, ceil(3 *
        sigma_spatial)) + 1``, as in scikit-image.
    radius
        The same as a radius: ``win_size = 2 * radius + 1``.

    Returns
    -------
        The smoothed field, in the unit of `block`. Masked: over the voxels taken in; NaN where the
        voxel itself is left out, as there is nothing that its neighbours could be like.

    Raises
    ------
    ValueError
        If a standard deviation is not positive, the window is even, or is given twice.

    References
    ----------
    Tomasi and Manduchi, Bilateral filtering for gray and color images, ICCV (1998) 839-846, eqs.
    5-8. doi:10.1109/ICCV.1998.710815
    """
    return _bilateral(as_real(block), None, sigma_color, sigma_spatial, win_size, radius)

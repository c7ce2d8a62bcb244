"""Thresholds that follow the surroundings: for scans whose grey levels drift over more than a
window.
"""

import math
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace
from lithax.grid import Halo
from lithax.ops._gaussian import gaussian
from lithax.ops._local_standard_deviation import local_standard_deviation
from lithax.ops._median import median
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import shifted
from lithax.ops._uniform import uniform
from lithax.ops._voxel_op import VoxelOp, voxel_op
from lithax.ops._window import odd_size
from lithax.typing import Array

ADAPTIVE = ("gaussian", "mean", "median")
METHODS = ("adaptive", "niblack", "sauvola")


def local_halo(window_size: Any = 15) -> Halo:
    """Return half the window along each axis; it must be odd."""
    x, y, z = odd_size(window_size, "window_size")
    return x // 2, y // 2, z // 2


def adaptive_halo(block_size: Any = 3, method: str = "gaussian", sigma: Any = None) -> Halo:
    """Return how far the mean looks: half the window, or the reach of the Gaussian, at most half a
    window more.
    """
    sizes = odd_size(block_size, "block_size")
    if method not in ADAPTIVE:
        raise ValueError(f"method={method!r} is not known; use one of {', '.join(map(repr, ADAPTIVE))}.")
    if sigma is not None and method != "gaussian":
        raise ValueError(f"sigma={sigma!r} is that of method='gaussian'; leave it out.")
    if method == "gaussian":
        return gaussian.halos({"sigma": _sigma(sizes, sigma)}, 1)[0]
    return sizes[0] // 2, sizes[1] // 2, sizes[2] // 2


def _sigma(sizes: Halo, sigma: Any) -> Any:
    # A sixth of the window holds 99 % of the Gaussian: the rule of scikit-image.
    return tuple((n - 1) / 6.0 for n in sizes) if sigma is None else sigma


def _apply(op: VoxelOp, block: Array, valid: Array | None, **parameters: Any) -> Array:
    if valid is None:
        return op.body(block, **parameters)
    assert op.masked is not None
    return op.masked(block, valid, **op.with_defaults(parameters))


# These are the masked forms; without `valid` they are the bodies.


def _adaptive(block: Array, valid: Array | None, block_size: Any, method: str, offset: Any, sigma: Any) -> Array:
    sizes = odd_size(block_size, "block_size")
    if method == "gaussian":
        level = _apply(gaussian, block, valid, sigma=_sigma(sizes, sigma))
    elif method == "mean":
        level = _apply(uniform, block, valid, size=sizes)
    else:
        level = _apply(median, as_real(block), valid, radius=tuple(n // 2 for n in sizes))
    return level - cast(offset, level.dtype, "offset")


def _mean_and_deviation(block: Array, valid: Array | None, window_size: Any) -> tuple[Array, Array]:
    sizes = odd_size(window_size, "window_size")
    x = as_real(block)
    return _apply(uniform, x, valid, size=sizes), _apply(local_standard_deviation, x, valid, size=sizes)


def _niblack(block: Array, valid: Array | None, window_size: Any, k: Any) -> Array:
    mean, deviation = _mean_and_deviation(block, valid, window_size)
    return mean - cast(k, mean.dtype, "k") * deviation


def _sauvola(block: Array, valid: Array | None, window_size: Any, k: Any, r: Any) -> Array:
    if r is None:
        xp = namespace(block)
        if not xp.isdtype(block.dtype, "integral"):
            if not xp.isdtype(block.dtype, "bool"):
                raise ValueError(
                    "r=None: the range of standard deviations is unknown for floats; give r=, about half the range of grey "
                    "levels."
                )
            r = 0.5
        else:
            limits = xp.iinfo(block.dtype)
            r = 0.5 * (int(limits.max) - int(limits.min))
    if is_number(r) and not (r > 0 and math.isfinite(r)):
        raise ValueError(
            f"r={r!r} must be positive: the largest standard deviation to be expected, in the unit of the image."
        )
    mean, deviation = _mean_and_deviation(block, valid, window_size)
    return mean * (1.0 + cast(k, mean.dtype, "k") * (deviation / cast(r, mean.dtype, "r") - 1.0))


@voxel_op(
    halo=adaptive_halo,
    static=("block_size", "method", "sigma"),
    masked=_adaptive,
    lengths={"block_size": "window", "sigma": "width"},
)
def adaptive(
    block: Shaped[Any, "x y z"],
    *,
    block_size: Any = 3,
    method: str = "gaussian",
    offset: Any = 0,
    sigma: Any = None,
) -> Float[Any, "_ _ _"]:
    """Return a threshold per voxel, the mean of its surroundings less an offset;
    `skimage.filters.threshold_local`.

    ``x > ops.adaptive(x)`` is the upper phase; in one pass over an image, `local_threshold`.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by the reach of the mean.
    block_size
        Edge of the window [voxel], odd, one or three, one per axis.
    method
        "gaussian" (weighted), "mean" or "median".
    offset
        Subtracted from the mean, in the unit of `block`; may be traced.
    sigma
        Standard deviation of the Gaussian [voxel] (scikit-image's `param`); by default
        ``(block_size - 1) / 6``, cut off at four of them.

    Returns
    -------
        The threshold, in the unit of `block`, as floats. Masked: of the voxels taken in, NaN where
        there are none.

    Raises
    ------
    ValueError
        If the window is even, or the method not known.
    """
    return _adaptive(block, None, block_size, method, offset, sigma)


@voxel_op(halo=local_halo, static="window_size", masked=_niblack, lengths={"window_size": "window"})
def niblack(block: Shaped[Any, "x y z"], *, window_size: Any = 15, k: Any = 0.2) -> Float[Any, "_ _ _"]:
    """Return the threshold ``m - k s`` per voxel, m and s the mean and deviation of a box;
    `skimage.filters.threshold_niblack`.

    scikit-image mirrors the image at its faces: ``boundary="mirror"`` here. ``x > ops.niblack(x)``
    is the upper phase; in one pass over an image, `local_threshold`.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by half the window.
    window_size
        Edge of the box [voxel], odd, one or three, one per axis.
    k
        Weight of the standard deviation [-]; may be traced.

    Returns
    -------
        The threshold, in the unit of `block`, as floats. Masked: of the voxels taken in, NaN where
        there are none.

    Raises
    ------
    ValueError
        If the window is even.

    References
    ----------
    Niblack, An introduction to digital image processing, Prentice-Hall (1986), p. 115.
    """
    return _niblack(block, None, window_size, k)


@voxel_op(halo=local_halo, static="window_size", masked=_sauvola, lengths={"window_size": "window"})
def sauvola(block: Shaped[Any, "x y z"], *, window_size: Any = 15, k: Any = 0.2, r: Any = None) -> Float[Any, "_ _ _"]:
    """Return the threshold ``m (1 + k (s/r - 1))`` per voxel; `skimage.filters.threshold_sauvola`.

    m and s are mean and standard deviation of a box. scikit-image mirrors the image at its faces:
    ``boundary="mirror"`` here. ``x > ops.sauvola(x)`` is the upper phase; in one pass over an
    image, `local_threshold`.

    Parameters
    ----------
    block
        Grey levels, one per voxel, not negative; padded by half the window.
    window_size
        Edge of the box [voxel], odd, one or three, one per axis.
    k
        Weight of the standard deviation [-]; may be traced.
    r
        The largest standard deviation to be expected, in the unit of `block`; may be traced. None:
        half the range of an integer type. For floats it must be given (scikit-image takes 1).

    Returns
    -------
        The threshold, in the unit of `block`, as floats. Masked: of the voxels taken in, NaN where
        there are none.

    Raises
    ------
    ValueError
        If the window is even, or `r` is missing or not positive.

    References
    ----------
    Sauvola and Pietikäinen, Adaptive document image binarization, Pattern Recognition 33 (2000)
    225-236, eq. 5. doi:10.1016/S0031-3203(99)00055-2
    """
    return _sauvola(block, None, window_size, k, r)


def local_threshold_halo(method: str = "adaptive", window_size: Any = 15) -> Halo:
    """Return the halo of the threshold of this method."""
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not known; use one of {', '.join(map(repr, METHODS))}.")
    return adaptive_halo(odd_size(window_size, "window_size")) if method == "adaptive" else local_halo(window_size)


def _above(block: Array, valid: Array | None, method: str, window_size: Any, k: Any, r: Any, offset: Any) -> Array:
    if method == "adaptive":
        level = _adaptive(block, valid, window_size, "gaussian", offset, None)
    elif method == "niblack":
        level = _niblack(block, valid, window_size, k)
    else:
        level = _sauvola(block, valid, window_size, k, r)
    x = as_real(block)
    for axis, reach in enumerate(local_threshold_halo(method, window_size)):
        x = shifted(x, axis, reach, x.shape[axis] - 2 * reach)
    return x > level


@voxel_op(
    halo=local_threshold_halo,
    static=("method", "window_size"),
    masked=_above,
    lengths={"window_size": "window"},
)
def local_threshold(
    block: Shaped[Any, "x y z"],
    *,
    method: str = "adaptive",
    window_size: Any = 15,
    k: Any = 0.2,
    r: Any = None,
    offset: Any = 0,
) -> Bool[Any, "_ _ _"]:
    """Tell the voxels above the threshold of their surroundings from the others.

    The result has no derivative. NaN is above nothing, and nothing is above a threshold that is
    NaN.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by the reach of the threshold.
    method
        "adaptive" (Gaussian mean less `offset`), "niblack" or "sauvola": the thresholds of these
        names.
    window_size
        Edge of the window [voxel], odd, one or three, one per axis.
    k, r
        As in `niblack` and `sauvola`.
    offset
        As in `adaptive`.

    Raises
    ------
    ValueError
        If the method is not known or the window even.
    """
    return _above(block, None, method, window_size, k, r, offset)

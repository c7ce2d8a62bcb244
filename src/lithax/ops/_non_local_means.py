"""Averages over voxels whose surroundings look alike, wherever in a search window they are."""

import math
import operator
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, fence, fold_taps, is_array, namespace
from lithax.grid import Halo, as_halo
from lithax.ops._masked import where_present
from lithax.ops._parameters import cast, is_number
from lithax.ops._separable import AXES, CHEAP, shifted, windows
from lithax.ops._threefold_difference import NORMAL_MEDIAN, threefold_difference
from lithax.ops._voxel_op import VoxelOp
from lithax.ops._window import odd_size
from lithax.typing import Array

CUTOFF = 5.0
"""Patches further apart than this many squared `h` have no weight, as in scikit-image: exp(-5) =
0.007.
"""


def non_local_halo(patch_size: Any = 3, patch_distance: Any = 5) -> Halo:
    """Return how far patches around the furthest voxels of the search window reach."""
    x, y, z = (
        n // 2 + d
        for n, d in zip(odd_size(patch_size, "patch_size"), as_halo(patch_distance, "patch_distance"), strict=True)
    )
    return x, y, z


def _strength(h: Any, sigma: Any) -> tuple[Any, Any]:
    if h is None and sigma is None:
        raise ValueError(
            "h=None, sigma=None: the strength of the filter is unknown; give sigma=lx.measure.noise(image), the standard "
            "deviation of the noise, or h."
        )
    if sigma is not None and is_number(sigma) and not (sigma >= 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma={sigma!r} must be a standard deviation of the noise, not negative.")
    sigma = 0.0 if sigma is None else sigma
    h = 0.8 * sigma if h is None else h
    if is_number(h) and not (h > 0 and math.isfinite(h)):
        raise ValueError(f"h={h!r} must be positive, in the unit of the image; 0.8 times the noise is usual.")
    return h, sigma


def _sums(x: Array, size: int, axis: int) -> Array:
    if size > CHEAP:
        return windows(x, size, axis, operator.add)
    length = x.shape[axis] - size + 1
    total = shifted(x, axis, 0, length)
    for k in range(1, size):
        total = total + shifted(x, axis, k, length)
    return total


def _box(x: Array, sizes: Halo) -> Array:
    # Sums of three along z and y are cheaper made again than stored; fenced before x, and not after
    # it: what makes weights of the sums belongs into the same loop (0.9 ns per voxel and shift;
    # without the fence 4, with one after every axis 2.7).
    for number, axis in enumerate(axis for axis in AXES if sizes[axis] > 1):
        cheap = number == 0 or (axis != 0 and sizes[axis] <= 3)
        x = _sums(x if cheap else fence(x), sizes[axis], axis)
    return x


def _filtered(block: Array, valid: Array | None, patch_size: Any, patch_distance: Any, h: Any, sigma: Any) -> Array:
    xp = namespace(block)
    if xp.isdtype(block.dtype, "complex floating"):
        raise TypeError(
            f"an array of {block.dtype} has no noise of one kind; smooth its real and imaginary parts apart."
        )
    strength = zip(("h", "sigma"), _strength(h, sigma), strict=True)
    h, sigma = (cast(v, block.dtype, name) for name, v in strength)
    sizes, reach = odd_size(patch_size, "patch_size"), as_halo(patch_distance, "patch_distance")
    if valid is not None:
        block = xp.where(valid, block, xp.zeros_like(block))
    # Every patch of the core, about its own voxels and about those of one shift.
    around = [n - 2 * d for n, d in zip(block.shape, reach, strict=True)]
    core = [n - 2 * (s // 2) for n, s in zip(around, sizes, strict=True)]

    def middle(x: Array) -> Array:
        for axis in range(3):
            x = shifted(x, axis, sizes[axis] // 2, core[axis])
        return x

    def own(x: Array) -> Array:
        for axis in range(3):
            x = shifted(x, axis, reach[axis], around[axis])
        return x

    here, flags = own(block), None if valid is None else own(valid)
    scale = 1.0 / (h * h)
    voxels = float(math.prod(sizes))

    def add(state: Any, parts: Any) -> Any:
        total, weight = state
        difference = here - parts[0]
        square = difference * difference - 2.0 * (sigma * sigma)
        if flags is None:
            distance = _box(square, sizes) * (scale / voxels)
        else:
            both = flags & parts[1]
            count = _box(xp.astype(both, block.dtype), sizes)
            distance = _box(xp.where(both, square, xp.zeros_like(square)), sizes) * scale
            distance = distance / xp.where(count > 0, count, xp.ones_like(count))
        distance = xp.where(distance < 0, xp.zeros_like(distance), distance)
        w = xp.exp(-distance)
        # Written so that NaN passes on.
        w = xp.where(distance > CUTOFF, xp.zeros_like(w), w)
        if flags is not None:
            w = xp.where(middle(parts[1]), w, xp.zeros_like(w))
        return total + w * middle(parts[0]), weight + w

    zero = xp.zeros_like(middle(here))
    starts = [
        tuple(r + d for r, d in zip(reach, shift, strict=True)) for shift in product(*(range(-r, r + 1) for r in reach))
    ]
    arrays = [block] if valid is None else [block, valid]
    total, weight = fold_taps(add, (zero, zero), arrays, starts, around, group=1)
    if flags is None:
        return total / weight
    present = middle(flags)
    return where_present(present, total / xp.where(present, weight, xp.ones_like(weight)))


def _non_local_means_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    patch_size: Any = 3,
    patch_distance: Any = 5,
    h: Any = None,
    sigma: Any = None,
) -> Float[Any, "_ _ _"]:
    return _filtered(as_real(block), valid, patch_size, patch_distance, h, sigma)


FAINTEST = 1e-15
"""Noise of an image that shows none: its square is a number in float32, too."""


def _noise(x: Array, valid: Array | None) -> Array:
    """Estimate the noise of a whole array, as `lithax.measure.noise` does, without its bins."""
    xp = namespace(x)
    differences = threefold_difference(as_real(x), boundary="mirror", valid=valid)
    values = xp.reshape(differences, (-1,))
    known = xp.isfinite(values)
    values = xp.sort(xp.where(known, values, xp.full_like(values, float("inf"))))
    count = xp.sum(xp.astype(known, xp.int32))
    middle = xp.clip(xp.stack([(count - 1) // 2, count // 2]), 0, values.shape[0] - 1)
    return xp.mean(xp.take(values, middle)) / NORMAL_MEDIAN


class _NoiseEstimated(VoxelOp):
    """An operation that estimates the noise of a whole array or image where it is not told."""

    def __call__(self, *arrays: Array, **parameters: Any) -> Any:
        given, parameters = self.split_arguments(arrays, parameters)
        if given and is_array(given[0]) and given[0].ndim == 3 and min(given[0].shape) > 1:
            self.halos(parameters, 1)
            parameters = self.with_noise(parameters, lambda: _noise(given[0], parameters.get("valid")))
        return super().__call__(*given, **parameters)

    def with_noise(self, parameters: Mapping[str, Any], noise: Callable[[], Any]) -> dict[str, Any]:
        """Return the parameters with the noise as strength, if none is given."""
        if parameters.get("h") is not None or parameters.get("sigma") is not None:
            return dict(parameters)
        found = noise()
        if is_array(found):
            xp = namespace(found)
            return dict(parameters) | {"sigma": xp.maximum(found, xp.full_like(found, FAINTEST))}
        return dict(parameters) | {"sigma": max(found, FAINTEST)}


def _estimating(body: Callable[..., Any]) -> VoxelOp:
    return _NoiseEstimated(
        body,
        halo=non_local_halo,
        static=("patch_size", "patch_distance"),
        masked=_non_local_means_masked,
        lengths={"patch_size": "window", "patch_distance": "reach"},
    )


@_estimating
def non_local_means(
    block: Shaped[Any, "x y z"],
    *,
    patch_size: Any = 3,
    patch_distance: Any = 5,
    h: Any = None,
    sigma: Any = None,
) -> Float[Any, "_ _ _"]:
    """Average the voxels of a search window, weighted by how alike their patches are.

    The weight of a voxel is ``exp(-max(d² - 2 sigma², 0) / h²)``, d² the mean squared difference of
    the two patches, and 0 beyond an exponent of 5: `skimage.restoration.denoise_nl_means` with
    ``fast_mode=True``. Differences: there the patches of an odd `patch_size` are one voxel smaller
    along every axis than it says (yet divided by their full number of voxels) and the exponential
    is approximated to 3 %; here patches are as large as they are said to be, about their voxel, and
    the exponential is exact. Other boundary rules than scikit-image's (here ``boundary="mirror"``)
    are at hand, and the defaults are smaller, since a search window of 23³ voxels has 12 167 of
    them.

    Integers and booleans are filtered as floats; NaN reaches every voxel whose search window or
    patches contain it.

    Parameters
    ----------
    block
        Grey levels, one per voxel; padded by ``patch_size // 2 + patch_distance``.
    patch_size
        Edge of the patches that are compared [voxel], odd, one or three.
    patch_distance
        Radius of the search window [voxel], one or three: (2 r + 1)³ patches are compared.
    h
        Strength, in the unit of `block`; by default ``0.8 * sigma``. May be traced.
    sigma
        Standard deviation of the noise, in the unit of `block`; its part in d² is subtracted. 0
        where only `h` is given. Without either it is estimated, of a whole array or of the first
        image of `lithax.chunk_map`, by ``lx.measure.noise``; as a later step of a chain the
        filter has to be told. May be traced.

    Returns
    -------
        The smoothed field, in the unit of `block`. Masked: patches are compared over the voxels
        that both have, and only voxels taken in are averaged; NaN where the voxel itself is left
        out.

    Raises
    ------
    ValueError
        If `patch_size` is even, `patch_distance` negative, `h` not positive, or neither `h` nor
        `sigma` is known and can be estimated.

    References
    ----------
    Buades, Coll and Morel, A non-local algorithm for image denoising, CVPR (2005) 60-65.
    doi:10.1109/CVPR.2005.38. Box sums per shift: Darbon et al., Fast nonlocal filtering applied to
    electron cryomicroscopy, ISBI (2008) 1331-1334. doi:10.1109/ISBI.2008.4541250
    """
    return _filtered(as_real(block), None, patch_size, patch_distance, h, sigma)

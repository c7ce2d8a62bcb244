"""How many grey levels a neighbourhood holds: texture."""

import math
import operator
from typing import Any

from jaxtyping import Bool, Float, Shaped

from lithax.arrays import as_real, namespace, repeat_loop
from lithax.grid import Halo
from lithax.ops._masked import where_present
from lithax.ops._separable import AXES, windows
from lithax.ops._voxel_op import voxel_op
from lithax.ops._window import trim, window_halo, window_size
from lithax.typing import Array


def _checked(bins: Any, range: Any) -> tuple[int, float, float]:
    if isinstance(bins, bool) or not isinstance(bins, int) or not 2 <= bins <= 1024:
        raise ValueError(f"bins={bins!r} must be a whole number of grey levels, from 2 to 1024.")
    try:
        low, high = (float(v) for v in range)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"range={range!r} must be the lowest and the highest grey level, two finite numbers.")
    return bins, low, high


def _boxes(x: Array, sizes: Halo) -> Array:
    for axis in AXES:
        if sizes[axis] > 1:
            x = windows(x, sizes[axis], axis, operator.add)
    return x


def _entropy(block: Array, valid: Array | None, range: Any, bins: Any, sizes: Halo) -> Array:
    xp = namespace(block)
    if xp.isdtype(block.dtype, "complex floating"):
        raise TypeError(f"an array of {block.dtype} has no grey levels; take its real part or its modulus first.")
    bins, low, high = _checked(bins, range)
    x = trim(as_real(block), sizes)
    flags = None if valid is None else trim(valid, sizes)
    if flags is not None:
        x = xp.where(flags, x, xp.full_like(x, low))
    unknown = xp.isnan(x)
    level = xp.floor((xp.where(unknown, xp.zeros_like(x), x) - low) * (bins / (high - low)))
    level = xp.clip(level, 0.0, bins - 1.0)
    here = xp.ones_like(x) if flags is None else xp.astype(flags, x.dtype)
    count = _boxes(here, sizes)
    present = count > 0
    share_of = 1.0 / xp.where(present, count, xp.ones_like(count))

    def add(state: Any) -> Any:
        index, total = state
        share = _boxes(xp.where(level == index, here, xp.zeros_like(here)), sizes) * share_of
        some = share > 0
        part = xp.where(some, share * xp.log2(xp.where(some, share, xp.ones_like(share))), xp.zeros_like(share))
        return index + 1.0, total - part

    first = xp.zeros_like(level[:1, :1, :1])
    _, total = repeat_loop(bins, add, (first, xp.zeros_like(count)))
    total = xp.where(_boxes(xp.astype(unknown, x.dtype), sizes) > 0, xp.full_like(total, float("nan")), total)
    return total if valid is None else where_present(present, total)


def _entropy_masked(
    block: Shaped[Any, "x y z"],
    valid: Bool[Any, "x y z"],
    *,
    range: Any,
    bins: Any = 16,
    size: Any = None,
    radius: Any = None,
) -> Float[Any, "_ _ _"]:
    return _entropy(block, valid, range, bins, window_size(size, radius))


@voxel_op(
    halo=window_halo,
    static=("range", "bins", "size", "radius"),
    masked=_entropy_masked,
    lengths={"size": "window", "radius": "reach"},
)
def local_entropy(
    block: Shaped[Any, "x y z"], *, range: Any, bins: Any = 16, size: Any = None, radius: Any = None
) -> Float[Any, "_ _ _"]:
    """Take the entropy of the grey levels in a box: minus the sum of p log2 p over bins.

    `skimage.filters.rank.entropy` of 8-bit images with ``range=(0, 256)``, ``bins=256`` and the
    same box as footprint; there neighbours outside the image are left out, here the boundary rule
    says what they are. High where grey levels are many: noise, microporosity, edges; 0 where all
    are in one bin. NaN reaches every voxel whose box contains it. The derivative is 0 everywhere.

    Parameters
    ----------
    block
        Any field of real numbers, one value per voxel; padded by half the box.
    range
        Lowest and highest grey level of the bins; what lies outside counts in the first or the
        last.
    bins
        Number of bins of equal width; the time grows with it.
    size
        Edge of the box [voxel], one or three; 3 by default. An even box holds one voxel more on the
        lower side.
    radius
        The same as a radius: ``size = 2 * radius + 1``.

    Returns
    -------
        The entropy [bit]. Masked: of the voxels taken in, NaN where the box holds none.

    Raises
    ------
    ValueError
        If `range` is not two numbers in their order, `bins` not from 2 to 1024, or the box is given
        twice.
    """
    return _entropy(block, None, range, bins, window_size(size, radius))

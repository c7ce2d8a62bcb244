"""Rings, cupping and drift of a CT scan measured, and the operations that take them out."""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from lithax.arrays import as_real, bincount, namespace, to_numpy
from lithax.geometry import check_center
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement
from lithax.measure._numbers import as_sum, sequence
from lithax.measure._profile import check_axis, profile
from lithax.measure._radial_profile import RadialProfile, middle
from lithax.measure._source import Source
from lithax.measure._state import combine_states
from lithax.ops import VoxelOp, divide_cupping, median, normalise_slices, subtract_rings, voxel_op
from lithax.typing import Array

FEWEST = 24
"""Voxels on a circle, in all slices that are averaged, below which nothing is subtracted."""

SLICES = 16
"""Slices, evenly spread, in which the axis of rings is looked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rings:
    """Rings about an axis: what each distance from it is brighter than its surroundings."""

    axis: int
    center: tuple[float, float]
    """Where the axis cuts a slice, two voxel indices."""
    table: np.ndarray
    """Shape (1 or slices, distances), in the unit of the image."""

    @property
    def remove(self) -> Any:
        """The operation that subtracts them: ``rings.remove(array)``, or
        ``lx.chunk_map(rings.remove, image)``.
        """
        return partial(subtract_rings, table=self.table, center=self.center, axis=self.axis)


@dataclasses.dataclass(frozen=True, eq=False)
class Cupping:
    """How the mean grey level depends on the distance from an axis and on the slice; 1 on the
    average.
    """

    axis: int
    center: tuple[float, float]
    """Where the axis cuts a slice, two voxel indices."""
    scale: float
    """Unit of the distance r in the polynomial [voxel]."""
    coefficients: np.ndarray
    """c0, c1, ... of ``c0 + c1 (r/scale)² + c2 (r/scale)⁴ + ...`` [-]."""
    along: np.ndarray
    """One factor per slice [-]."""

    @property
    def depth(self) -> float:
        """How much darker than its rim, at ``r = scale``, the middle is [-]; 0 without cupping."""
        return 1.0 - float(self.coefficients[0] / self.coefficients.sum())

    @property
    def remove(self) -> Any:
        """The operation that divides it out: ``cupping.remove(array)``, or
        ``lx.chunk_map(cupping.remove, image)``.
        """
        return partial(
            divide_cupping,
            coefficients=self.coefficients,
            center=self.center,
            scale=self.scale,
            along=self.along,
            axis=self.axis,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceLevels:
    """Grey levels of two reference materials, slice by slice."""

    axis: int
    low: np.ndarray
    high: np.ndarray

    @property
    def normalise(self) -> Any:
        """The operation that moves them to 0 and 1; other targets with ``partial(levels.normalise,
        targets=(a, b))``.
        """
        return partial(normalise_slices, low=self.low, high=self.high, axis=self.axis)


@measures_images
def reference_levels(image: Any, low: Any, high: Any, *, axis: int = 2) -> ReferenceLevels:
    """Measure the mean grey level of two reference materials in every slice.

    Parameters
    ----------
    image
        An image, or a three-dimensional array of any array-API library.
    low, high
        Where the references are: boolean arrays for an array; for an image, anything that `where=`
        of `chunk_reduce` accepts, such as regions.
    axis
        Axis across which the slices lie.

    Returns
    -------
        The levels; in slices without a reference voxel they are interpolated from the neighbouring
        slices.

    Raises
    ------
    ValueError
        If a reference has no voxel, or both have the same level in a slice.
    """
    number = check_axis(axis)
    levels = [_filled(profile(image, number, where), name) for where, name in ((low, "low"), (high, "high"))]
    if np.any(levels[0] == levels[1]):
        at = int(np.flatnonzero(levels[0] == levels[1])[0])
        raise ValueError(
            f"low and high have the same grey level, {levels[0][at]:g}, in slice {at}; choose other references."
        )
    return ReferenceLevels(number, *levels)


def _filled(found: Any, name: str) -> np.ndarray:
    present = np.flatnonzero(found.count > 0)
    if not present.size:
        raise ValueError(f"{name} takes in no voxel, so the grey level of this reference is unknown.")
    return np.interp(np.arange(found.mean.size), present, found.mean[present])


@measures_images
def rings(
    image: Any, where: Any = None, *, axis: int = 2, center: Any = None, width: int = 3, per_slice: bool = False
) -> Rings:
    """Find rings about an axis, on reconstructed slices.

    What the median of a square window in the slice leaves is averaged over circles about the axis,
    so that grains and pores, which are larger than rings are wide, hardly count. NaN and infinite
    voxels, and those whose window holds a NaN, do not count at all.

    Parameters
    ----------
    image
        An image, or a three-dimensional array of any array-API library.
    where
        Voxels taken in; the core without its holder, for example.
    axis
        Axis about which the scanner turned: 0, 1, 2 for x, y, z.
    center
        Where it cuts a slice, two voxel indices along the other axes; None looks for it, to a
        quarter of a voxel, up to a tenth of the width of a slice from the middle: in 16 slices, or,
        with `where`, in what it takes in of all, which reads the image once more.
    width
        Radius of the window [voxel]: rings up to so many voxels wide are found.
    per_slice
        Whether every slice has rings of its own; else the mean over all slices, whose noise is less
        by far.

    Returns
    -------
        The rings; ``rings.remove`` is the operation that subtracts them.

    References
    ----------
    Sijbers and Postnov, Reduction of ring artefacts in high resolution micro-CT reconstructions,
    Physics in Medicine and Biology 49 (2004) N247-N253. doi:10.1088/0031-9155/49/14/N06 (the same
    idea in polar coordinates).
    """
    number = check_axis(axis)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"width={width!r} must be a whole number of voxels, at least 1: the radius of the window.")
    source = Source(image, where)
    shape = tuple(source.data.shape)
    residual = _residual(number, width)
    if center is None:
        center = _find_center(source, shape, number, width)
    center = check_center(center)
    found = source.reduce(RadialProfile(number, center), fn=residual)
    if per_slice:
        table, count = np.nan_to_num(found.mean), found.count
    else:
        count = found.count.sum(axis=0, keepdims=True)
        sums = np.nansum(found.mean * found.count, axis=0, keepdims=True)
        table = np.divide(sums, count, out=np.zeros(count.shape), where=count > 0)
    # The median of two phases is not their mean: what all circles share is no ring. Of a circle of
    # few voxels the mean is noise.
    enough = count >= FEWEST
    shared = np.average(table, weights=count, axis=1, keepdims=True)
    return Rings(number, center, np.where(enough, table - shared, 0.0))


def _residual(axis: int, width: int) -> VoxelOp:
    radius = tuple(0 if a == axis else width for a in range(3))

    @voxel_op(halo=radius, masked=lambda block, valid: _less_median(block, valid, radius))
    def less_median(block: Array) -> Array:
        return _less_median(block, None, radius)

    return less_median


def _less_median(block: Array, valid: Any, radius: tuple[int, ...]) -> Array:
    x = as_real(block)
    middle = median.body(x, radius=radius) if valid is None else median.masked(x, valid, radius=radius)
    core = tuple(slice(r, n - r) for r, n in zip(radius, x.shape, strict=True))
    return x[core] - middle


class _OverSlices(AbstractMeasurement):
    """Sum over all slices, one value for each voxel of a slice; what is not finite does not
    count.
    """

    axis: int = eqx.field(static=True)
    context: ClassVar[bool] = True

    def of(self, image: Array, *, valid: Array | None = None, block: Any = None) -> Any:
        xp = namespace(image)
        offset, whole = ((0, 0, 0), tuple(image.shape)) if block is None else (block.offset, block.shape)
        a, b = (number for number in range(3) if number != self.axis)
        counted = xp.isfinite(image) if valid is None else valid & xp.isfinite(image)
        total = xp.sum(xp.where(counted, as_sum(image), 0.0), axis=self.axis)
        # What a block reaches beyond the image does not count, wherever it is put.
        row = xp.clip(sequence(image.shape[a], like=image) + offset[a], 0, whole[a] - 1)
        column = xp.clip(sequence(image.shape[b], like=image) + offset[b], 0, whole[b] - 1)
        index = xp.astype(row[:, None] * whole[b] + column[None, :], xp.int32)
        return {"sum": xp.reshape(bincount(index, whole[a] * whole[b], total), (whole[a], whole[b]))}

    def combine(self, a: Any, b: Any) -> Any:
        return combine_states(a, b)

    def finish(self, state: Any) -> np.ndarray:
        return np.asarray(state["sum"])


def _over_slices(source: Source, shape: tuple[int, ...], axis: int, width: int) -> np.ndarray:
    """Return what the median leaves, summed over some slices, or over what is taken in of all."""
    if source.where is not None:
        return source.reduce(_OverSlices(axis), fn=_residual(axis, width))
    places = np.unique(np.linspace(0, shape[axis] - 1, SLICES).round().astype(int))
    cut = lambda n: tuple(slice(n, n + 1) if a == axis else slice(None) for a in range(3))  # noqa: E731
    total = np.zeros([1 if a == axis else n for a, n in enumerate(shape)])
    for place in places:
        values = to_numpy(source.data[cut(int(place))]).astype(np.float64)
        radius = tuple(0 if a == axis else width for a in range(3))
        with np.errstate(invalid="ignore"):  # infinite voxels less an infinite median
            part = _less_median(np.pad(values, [(r, r) for r in radius], mode="edge"), None, radius)
        total += np.where(np.isfinite(part), part, 0.0)
    return np.squeeze(total, axis=axis)


def _find_center(source: Source, shape: tuple[int, ...], axis: int, width: int) -> tuple[float, float]:
    flat = _over_slices(source, shape, axis, width)
    flat = np.clip(flat, *(np.array([-3.0, 3.0]) * np.std(flat)))
    x, y = (np.arange(n, dtype=np.float64) for n in flat.shape)

    def energy(at: tuple[float, float]) -> float:
        r = np.hypot((x - at[0])[:, None], (y - at[1])[None, :])
        number = (r + 0.5).astype(np.int64).ravel()
        count = np.bincount(number)
        sums = np.bincount(number, flat.ravel())
        return float(
            np.sum(sums[24:] ** 2 / np.maximum(count[24:], 1))
            if count.size > 48
            else np.sum(sums**2 / np.maximum(count, 1))
        )

    best = begin = middle(shape, axis)
    reach = 0.1 * max(flat.shape)
    step = max(reach / 4.0, 1.0)
    while step >= 0.25:
        span = np.arange(-4, 5) * step
        around = ((best[0] + a, best[1] + b) for a in span for b in span)
        best = max((at for at in around if max(abs(at[0] - begin[0]), abs(at[1] - begin[1])) <= reach), key=energy)
        step /= 2.0
    return float(best[0]), float(best[1])


@measures_images
def cupping(
    image: Any, where: Any = None, *, axis: int = 2, center: Any = None, degree: int = 2, along: bool = True
) -> Cupping:
    """Fit how the mean grey level depends on the distance from an axis, as beam hardening makes it,
    and on the slice.

    The mean over circles is fitted by an even polynomial, weighted by their voxels, and the mean
    over slices is taken as it is; the product is 1 on the average over the voxels. NaN and infinite
    voxels do not count. The fit takes
    the rock for the same near the axis and near the rim: in a layered one, leave `along` out, or
    say with `where` which material to look at.

    Parameters
    ----------
    image
        An image, or a three-dimensional array of any array-API library.
    where
        Voxels taken in: the core without its holder and the air around it.
    axis
        Axis of the core: 0, 1, 2 for x, y, z.
    center
        Where it cuts a slice, two voxel indices along the other axes; None is the middle.
    degree
        Number of even powers: 2 is ``c0 + c1 r² + c2 r⁴``.
    along
        Whether a factor per slice is fitted as well.

    Returns
    -------
        The fit; ``cupping.remove`` is the operation that divides it out.

    Raises
    ------
    ValueError
        If too few distances are taken in, or the fit changes its sign.
    """
    number = check_axis(axis)
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= 6:
        raise ValueError(f"degree={degree!r} must be a number of even powers from 1 to 6.")
    source = Source(image, where)
    shape = tuple(source.data.shape)
    center = middle(shape, number) if center is None else check_center(center)
    found = source.reduce(RadialProfile(number, center))
    sums = np.where(found.count > 0, found.mean * found.count, 0.0)
    count = found.count.sum(axis=0)
    taken = np.flatnonzero(count)
    if taken.size <= degree + 1:
        raise ValueError(
            f"{taken.size} distances from the axis are taken in, too few for degree={degree}; take in more voxels."
        )
    scale = float(taken[-1]) or 1.0
    powers = (taken[:, None] / scale) ** (2 * np.arange(degree + 1))
    weights = np.sqrt(count[taken])
    fit = np.linalg.lstsq(powers * weights[:, None], sums.sum(axis=0)[taken] / count[taken] * weights, rcond=None)[0]
    curve = powers @ fit
    if np.any(curve <= 0) == np.any(curve >= 0):
        raise ValueError(
            "The fitted grey level changes its sign, so nothing can be divided by it; use grey levels of one sign."
        )
    fit = fit / np.average(curve, weights=count[taken])
    factors = np.ones(shape[number])
    if along:
        # The part of the radial profile in a slice depends on which voxels it takes in.
        expected = (found.count[:, taken] * (powers @ fit)).sum(axis=1)
        measured = sums.sum(axis=1)
        present = np.flatnonzero(expected)
        level = measured[present] / expected[present]
        level = level / (measured.sum() / expected.sum())
        factors = np.interp(np.arange(shape[number]), present, level)
    return Cupping(number, center, scale, fit, factors)

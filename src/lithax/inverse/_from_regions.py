"""Standards measured in the scan itself: their distributions, and how well their means are
known.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lithax.arrays import namespace
from lithax.geometry import AbstractRegion
from lithax.images import VoxelImage, chunk_map, domain
from lithax.inverse._gaussian_fit import fit_gaussians
from lithax.measure import ProfileResult, histogram, profile
from lithax.models import AbstractDistribution, Calibration, Gaussian, Histogram, Material, Standard, material
from lithax.ops import minimum
from lithax.typing import Array

WINDOWS = 6
"""Sub-volumes in which the correlation of the noise is measured."""
WINDOW = 48
"""Their edge [voxel]."""


class Eroded(AbstractRegion):
    """A region without the points nearer to its surface than a margin."""

    region: AbstractRegion
    margin: float

    def contains(self, x: Any, y: Any, z: Any) -> Array:
        """Tell which points lie in the region, at least the margin away from its surface."""
        return self.signed_distance(x, y, z) <= 0

    def signed_distance(self, x: Any, y: Any, z: Any) -> Array:
        """Return the distance to the region's surface, plus the margin."""
        return self.region.signed_distance(x, y, z) + self.margin


def from_regions(
    low: VoxelImage,
    high: VoxelImage,
    regions: Mapping[str, Any],
    *,
    air: str = "air",
    materials: Mapping[str, Material] | None = None,
    segmentation: VoxelImage | None = None,
    margin: float | None = None,
    distribution: str = "histogram",
    energy_names: Sequence[str] = ("low", "high"),
) -> Calibration:
    """Measure how empty space and the standards look in a dual-energy scan.

    ``lx.dect.from_regions(low, high, {"air": Cylinder(...), "water": Cylinder(...), "quartz": 3},
    segmentation=phases)``

    Parameters
    ----------
    low, high
        The scans at the two energies.
    regions
        By name of the material: a region of `lithax.regions`, or a phase (or several) of the
        segmentation.
    air
        Which of the names is empty space.
    materials
        Composition and density by name; names that are missing are looked up in the catalogue,
        `materials()`.
    segmentation
        Image whose phases are named in `regions`.
    margin
        What is left out at the surface of every region and phase, where neighbours shine in [unit
        of the voxel length]. None: twice the longest edge of a voxel.
    distribution
        "histogram": the voxels as they are. "gaussian": a bell curve fitted to their histogram,
        which a few stray voxels do not widen.
    energy_names
        From low to high.

    Returns
    -------
        Empty space and standards, ready for `draw_coefficients`. The effective count of each is its
        number of voxels divided by the sum of the noise's correlations, so that
        ``calibration="mean"`` works.

    Raises
    ------
    ValueError
        If air is missing, a material is unknown, a phase has no segmentation, or a region holds no
        voxel behind the margin.
    """
    if air not in regions:
        raise ValueError(f"air={air!r} is none of the regions {tuple(regions)}; one of them must be empty space.")
    if distribution not in ("histogram", "gaussian"):
        raise ValueError(f"distribution={distribution!r} must be 'histogram' or 'gaussian'.")
    known = dict(materials or {})
    stuff = {name: known.get(name) or material(name) for name in regions if name != air}
    measured = {
        name: measure_standard(
            (low, high),
            region,
            stuff.get(name),
            segmentation=segmentation,
            margin=margin,
            distribution=distribution,
            name=name,
        )
        for name, region in regions.items()
    }
    return Calibration(measured[air], [measured[name] for name in stuff], energy_names=energy_names)


def measure_standard(
    images: Sequence[VoxelImage],
    region: Any,
    material: Material | None = None,
    *,
    segmentation: VoxelImage | None = None,
    margin: float | None = None,
    distribution: str = "histogram",
    name: str = "",
) -> Standard:
    """Measure the attenuation of one material in scans of any number of energies.

    Parameters
    ----------
    images
        One per energy, from low to high.
    region
        Where it is: a region, or a phase (or several) of the segmentation.
    material
        What it is; None for empty space.
    segmentation, margin, distribution
        As for `from_regions`.
    name
        What error messages call it.
    """
    name = name or ("empty space" if material is None else material.name)
    where, contains = _place(images[0], region, segmentation, margin, name)
    distributions: list[AbstractDistribution] = []
    counts: list[float] = []
    for image in images:
        found = histogram(image, "values" if _few_values(image) else 1024, where=where)
        if found.total < 2:
            raise ValueError(
                f"{name}: {found.total} voxels are left in {region!r} behind the margin; make the region larger, shift it "
                "onto the material, or give a smaller margin=."
            )
        made = Histogram(found.edges, found.counts)
        if distribution == "gaussian":
            made = _bell(made)
        distributions.append(made)
        correlation = _sum_of_correlations(image, contains, made.mean, found.total)
        counts.append(max(1.0, found.total / correlation))
    return Standard(material, distributions, effective_count=counts)


def standard_profiles(
    images: Sequence[VoxelImage],
    regions: Mapping[str, Any],
    axis: int = 2,
    *,
    segmentation: VoxelImage | None = None,
    margin: float | None = None,
) -> dict[str, tuple[ProfileResult, ...]]:
    """Return the mean attenuation of every standard slice by slice: drift and cupping show here.

    Parameters
    ----------
    images
        One per energy, from low to high.
    regions, segmentation, margin
        As for `from_regions`.
    axis
        Across which the slices lie: 2 for z.

    Returns
    -------
        By name one profile per energy.
    """
    result = {}
    for name, region in regions.items():
        where, _ = _place(images[0], region, segmentation, margin, name)
        result[name] = tuple(profile(image, axis, where=where) for image in images)
    return result


def _place(
    image: Any, region: Any, segmentation: VoxelImage | None, margin: float | None, name: str
) -> tuple[Any, Any]:
    """Return the domain of a region or of phases, and a function that says which voxels of a box
    are in it.
    """
    if not isinstance(image, VoxelImage):
        raise TypeError(
            f"A scan is a {type(image).__name__}; give images, such as lx.from_array(array, voxel_length=...)."
        )
    lengths = tuple(float(length) for length in image.voxel_length)
    margin = 2 * max(lengths) if margin is None else float(margin)
    if not margin >= 0:
        raise ValueError(f"margin={margin!r} must not be negative.")
    if isinstance(region, AbstractRegion):
        inner = Eroded(region, margin)

        def in_region(box: tuple[slice, ...]) -> np.ndarray:
            grids = np.ogrid[box]
            return np.asarray(inner.contains(*image.index_to_coordinate(*grids)))

        return domain(region=inner), in_region
    if segmentation is None:
        raise ValueError(
            f"{name}: {region!r} is no region of lithax.regions; phases are values of a segmentation, give segmentation=."
        )
    phases = tuple(region) if isinstance(region, tuple | list | set) else (region,)
    for phase in phases:
        if isinstance(phase, bool) or not isinstance(phase, int | np.integer):
            raise TypeError(f"{name}: {phase!r} is neither a region of lithax.regions nor a phase, an integer.")

    def chosen(labels: Array) -> Array:
        xp = namespace(labels)
        result = xp.zeros_like(labels, dtype=xp.bool)
        for phase in phases:
            result = result | (labels == phase)
        return result

    include = chunk_map(chosen, segmentation, progress=False)
    size = tuple(1 + 2 * math.ceil(margin / length) for length in lengths)
    if max(size) > 1:
        include = chunk_map(minimum, include, size=size, progress=False)
    return domain(include=include), lambda box: include[box]


def _few_values(image: VoxelImage) -> bool:
    dtype = np.dtype(image.dtype)
    return dtype.kind in "iu" and dtype.itemsize <= 2


def _bell(found: Histogram) -> Gaussian:
    # As many bins as a bell curve needs: the histogram of a scan may have one per grey level.
    cumulative = np.concatenate([[0.0], np.cumsum(found.counts)])
    edges = np.linspace(found.edges[0], found.edges[-1], 129)
    density = np.diff(np.interp(edges, found.edges, cumulative)) / np.diff(edges)
    fit = fit_gaussians(0.5 * (edges[1:] + edges[:-1]), density)
    return fit.distributions()[0]


def _sum_of_correlations(image: VoxelImage, contains: Any, mean: float, total: int) -> float:
    """Return Σ ρ(lag) over all lags within a few voxels, at least 1: white noise has 1, blurred
    noise more.

    The variance of a mean of N voxels is σ²/N times this sum.
    """
    windows = _windows(image.shape)
    numerator: Any = 0.0
    denominator: Any = 0.0
    reach = None
    taken = 0
    for box in windows:
        inside = contains(box)
        if inside.sum() < 64:
            continue
        if reach is None:  # so many voxels per lag that the sum itself is known to some per cent
            number = min(total, WINDOWS * int(inside.sum()))
            reach = int(np.clip((number ** (1 / 3) / 4 - 1) / 2, 1, 5))
        deviation = np.where(inside, np.asarray(image[box], np.float64) - mean, 0.0)
        numerator = numerator + _lagged(deviation, reach)
        denominator = denominator + _lagged(inside.astype(np.float64), reach)
        taken += 1
        if taken == WINDOWS:
            break
    if not taken:
        return 1.0
    pairs = np.round(denominator)
    covariance = np.where(pairs > 0, numerator / np.maximum(pairs, 1.0), 0.0)
    variance = covariance.ravel()[covariance.size // 2]
    return max(1.0, float(covariance.sum() / variance)) if variance > 0 else 1.0


def _windows(shape: tuple[int, int, int]) -> list[tuple[slice, ...]]:
    """Return boxes that tile the image, in an order that is spread over it, the same every time."""
    starts = [range(0, size, WINDOW) for size in shape]
    boxes = [
        tuple(slice(start, min(start + WINDOW, size)) for start, size in zip(corner, shape, strict=True))
        for corner in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3).tolist()
    ]
    return [boxes[index] for index in np.random.default_rng(0).permutation(len(boxes))]


def _lagged(values: np.ndarray, reach: int) -> np.ndarray:
    """Return Σ v(x) v(x + lag) for lags up to `reach` along each axis, the middle one at lag 0."""
    padded = tuple(size + reach for size in values.shape)
    axes = tuple(range(values.ndim))
    spectrum = np.fft.rfftn(values, padded, axes=axes)
    lagged = np.fft.irfftn(np.abs(spectrum) ** 2, padded, axes=axes)
    index = np.arange(-reach, reach + 1)
    return lagged[np.ix_(*(index % size for size in padded))]

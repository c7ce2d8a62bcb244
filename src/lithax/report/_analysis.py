"""From an image to everything that a report says of it: measured once, drawn and written
elsewhere.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lithax.chunked import MeasurementPass, OperationPass
from lithax.geometry import AbstractRegion
from lithax.images import (
    Connectivity,
    Passes,
    VoxelImage,
    WholeImage,
    chunk_map,
    chunk_reduce,
    connectivity,
    run_passes,
)
from lithax.measure import (
    Cells,
    CellSums,
    DepthProfile,
    GreyByDepth,
    HistogramResult,
    Moments,
    MomentsResult,
    Profile,
    ProfileResult,
    RepresentativeVolume,
    SpecificSurface,
    noise,
    specific_surface,
)
from lithax.ops import square_depth, threshold
from lithax.report._grey_levels import REACH, Balance, Edge, Interior, balance, edge, interior
from lithax.report._number import grouped
from lithax.report._region_of_interest import AIR, CELLS, border_air, find_core, largest_cylinder
from lithax.report._segmentation import (
    Thresholds,
    choose_threshold,
    follows_noise,
    grey_histogram,
    make_filter,
    segment,
    values_of,
)
from lithax.report._settings import Settings
from lithax.report._steps import Steps


@dataclass
class Region:
    """The region of interest."""

    region: AbstractRegion | None
    name: str
    """In words, as it stands behind "voxels of"."""
    how: str
    """Why it is this one."""


@dataclass
class GreyLevels:
    """What the grey levels of a scan say: all that a segmented image cannot."""

    raw: HistogramResult
    filtered: HistogramResult
    thresholds: Thresholds
    moments: MomentsResult
    """Of the scan as it is, not filtered."""
    profile: DepthProfile
    pore: Interior | None
    grain: Interior | None
    edge: Edge | None
    balance: Balance | None


@dataclass
class PoreSpace:
    """What the segmented pores say."""

    pores: VoxelImage
    connectivity: Connectivity
    profiles: tuple[ProfileResult, ...]
    cells: Cells
    representative: RepresentativeVolume
    surface: SpecificSurface

    @property
    def porosity(self) -> float:
        """Total porosity [-]."""
        return self.connectivity.total / self.connectivity.selected


@dataclass
class Analysis:
    """Everything measured on one image."""

    image: VoxelImage
    settings: Settings
    region: Region
    space: PoreSpace
    grey: GreyLevels | None = None
    """None for an image that was segmented already."""
    pore_phase: int | None = None
    """Value of the pores in an image that was segmented already."""
    phases: tuple[int, ...] = ()
    """Values of an image that was segmented already."""
    warnings: list[str] = field(default_factory=list)


def analyse(image: VoxelImage, settings: Settings, folder: Path, steps: Steps, *, overwrite: bool = False) -> Analysis:
    """Measure an image: a scan, or one that is segmented already.

    Parameters
    ----------
    image
        Real numbers: a scan; booleans, or integers of few values: segmented.
    settings
        Choices of the user.
    folder
        Where the segmentation (``pores.zarr``) and, for a while, the depths are stored.
    steps
        Told of what begins.
    overwrite
        Replace a segmentation that is there.

    Raises
    ------
    TypeError
        If the voxels are complex.
    ValueError
        If all voxels are alike.
    """
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"image has dtype {image.dtype}; a report needs real grey levels or phases, so take its magnitude first."
        )
    show: dict[str, Any] = {"progress": steps.show}
    steps("Grey levels: histogram")
    raw = grey_histogram(image, None, None, **show)
    if raw.total == 0 or raw.minimum == raw.maximum:
        raise ValueError(
            f"All voxels of the image have the value {raw.minimum:g}, so there is nothing to tell apart; check shape, dtype, "
            "byte order and offset of the file."
        )
    phases = values_of(raw)
    if phases is not None:
        return _of_phases(image, phases, settings, folder, steps, overwrite)
    steps("Region of interest")
    region, warnings = _region_of_scan(image, settings, show)
    where = region.region
    fn = make_filter(settings.filter, _noise_for(settings.filter, image, region.region))
    if where is not None:
        raw = grey_histogram(image, None, where, **show)
    steps(f"Filter ({settings.filter}): histogram of what it leaves")
    filtered = grey_histogram(image, fn, where, **show)
    found = choose_threshold(filtered, settings.threshold)
    steps(f"Filter and segment in one pass: pore up to grey level {found.used:g} ({found.name})")
    pores = segment(image, fn, found.used, where, store=folder / "pores.zarr", overwrite=overwrite, **show)
    grey, more = _grey_levels(image, pores, raw, filtered, found, where, folder, steps)
    space = _pore_space(pores, where, steps)
    warnings += more
    if settings.pore_phase is not None:
        warnings.append(
            f"pore_phase={settings.pore_phase!r} (--pore-phase) is for images that are segmented already; this one is a scan, and it was "
            "not used."
        )
    if raw.nan:
        warnings.append(
            f"{grouped(raw.nan)} voxels are NaN, which is neither dark nor bright: they and what a filter makes of their neighbours count as "
            "grain. Fill them, or keep them out by a region of interest."
        )
    if where is None:
        warnings += _border_warning(space)
    return Analysis(image, settings, region, space, grey, warnings=warnings)


def _noise_for(name: str, image: VoxelImage, where: Any) -> float:
    if not follows_noise(name):
        return 1.0
    found = noise(image, where)
    if found > 0:
        return found
    raise ValueError(
        f"filter={name!r} takes its strength from the noise of the scan, and half of the scan has none; use 'median' or 'none'."
    )


def _of_phases(
    image: VoxelImage, phases: list[int], settings: Settings, folder: Path, steps: Steps, overwrite: bool
) -> Analysis:
    """Measure an image that is segmented already: no filter, no threshold."""
    phase = settings.pore_phase
    if phase is None:
        phase = 1 if image.dtype.kind == "b" else phases[0]
    elif phase not in phases:
        raise ValueError(
            f"pore_phase={phase!r} does not occur in the image; its values are {', '.join(map(str, phases))}."
        )
    names = ", ".join(map(str, phases))
    warnings = [
        f"The image has the {len(phases)} values {names} and is taken as segmented already: it is neither filtered nor thresholded."
    ]
    for name in ("filter", "threshold"):
        if (given := getattr(settings, name)) != getattr(Settings, name):
            warnings.append(f"{name}={given!r} (--{name}) does not apply to a segmented image, and was not used.")
    if settings.pore_phase is None:
        warnings.append(f"Pore is assumed to be the value {phase}; choose another one with pore_phase (--pore-phase).")
    region = Region(None, "the whole image", "no region was asked for")
    if settings.roi == "cylinder":
        cylinder = largest_cylinder(image.frame)
        region = Region(cylinder, f"the largest cylinder along z, {_size(cylinder, image)}", "asked for")
    elif settings.roi == "auto":
        region.how = "in a segmented image no core is looked for"
    steps(f"Pores: the value {phase}")
    is_pore = partial(threshold, lower=phase, upper=phase)
    options = {"store": folder / "pores.zarr", "overwrite": overwrite, "field_name": "pore", "progress": steps.show}
    pores = chunk_map(is_pore, image, where=region.region, **options)
    space = _pore_space(pores, region.region, steps)
    if region.region is None:
        warnings += _border_warning(space)
    return Analysis(image, settings, region, space, None, phase, tuple(phases), warnings)


def _region_of_scan(image: VoxelImage, settings: Settings, show: dict[str, Any]) -> tuple[Region, list[str]]:
    whole = Region(None, "the whole image", "asked for" if settings.roi == "none" else "the image shows no core in air")
    if settings.roi == "none":
        return whole, []
    cells = chunk_reduce(CellSums.dividing(image.shape, CELLS), image, **show)
    core = find_core(cells, image.frame)
    if core is not None:
        name = f"a cylinder along {'xyz'[core.axis]}, {_size(core.region, image)}"
        how = f"the image shows a core; disc and bright part agree to {100 * core.agreement:.0f} %"
        return Region(core.region, name, how), []
    if settings.roi == "auto":
        return whole, []
    cylinder = largest_cylinder(image.frame)
    return Region(
        cylinder, f"the largest cylinder along z, {_size(cylinder, image)}", "asked for, and no core was found"
    ), ["No core was found in the image; the region of interest is the largest cylinder along z that fits in."]


def _size(cylinder: Any, image: VoxelImage) -> str:
    unit = image.frame.unit_name
    many = "" if image.voxel_unit else "s"
    return f"diameter {2 * float(cylinder.radius):.4g} and length {float(cylinder.length):.4g} {unit}{many}"


def _grey_levels(
    image: VoxelImage,
    pores: VoxelImage,
    raw: HistogramResult,
    filtered: HistogramResult,
    found: Thresholds,
    where: Any,
    folder: Path,
    steps: Steps,
) -> tuple[GreyLevels, list[str]]:
    show: dict[str, Any] = {"progress": steps.show}
    steps("Grey levels by their distance from the segmented surface")
    options = {"overwrite": True, "resume": True, "resume_key": "grey levels by depth"}
    _, profile = run_passes(
        _by_depth, image, pores, where=where, store=folder / ".depth.zarr", used=float(found.used), **options, **show
    )
    first_moments = chunk_reduce(Moments(skip_nan=True), image, where=where, **show)
    pore, grain = interior(profile, -1), interior(profile, 1)
    warnings = []
    if max(image.voxel_length) > 1.001 * min(image.voxel_length):
        warnings.append(
            "Voxels are not cubes: edge width, rise and offset, and the edges of sub-cubes, are counted in voxels along each axis, "
            "which are different lengths; the specific surface is not affected."
        )
    if pore is None or grain is None or not grain.level > pore.level:
        missing = "pore" if pore is None else "grain" if grain is None else "contrast"
        warnings.append(
            f"Too few voxels lie away from the edges to know the grey levels of both phases ({missing} is missing): there is no "
            "porosity by grey-level balance and no edge width."
        )
        return GreyLevels(raw, filtered, found, first_moments, profile, pore, grain, None, None), warnings
    fitted = edge(profile, pore, grain)
    by_balance = balance(first_moments.mean, pore, grain)
    if fitted is not None and fitted.width > 1.5:
        warnings.append(
            f"Edges are {fitted.rise:.1f} voxels wide from 10 % to 90 %: a threshold moves surfaces of so blurred a scan, most in "
            "narrow pores. Prefer the porosity by grey-level balance."
        )
    if fitted is not None and fitted.overshoot:
        warnings.append(
            f"Near edges grey levels overshoot by {100 * fitted.overshoot:.0f} % of the contrast, as phase contrast and sharpening make them: "
            "a histogram shows rims instead of materials, and thresholds follow it."
        )
    if fitted is None:
        warnings.append("The transition from pore to grain is no blurred step, so that no edge width is given.")
    if fitted is not None and abs(fitted.offset) > 0.25:
        side = "grains" if fitted.offset < 0 else "pores"
        warnings.append(
            f"The segmented surface lies {abs(fitted.offset):.2f} voxels inside the {side}, off the middle between the two grey "
            "levels: the threshold shifts the porosity."
        )
    return GreyLevels(raw, filtered, found, first_moments, profile, pore, grain, fitted, by_balance), warnings


def _by_depth(whole: WholeImage, *, used: float) -> Passes:
    """Yield the passes of a profile of grey levels over the depth from the surface."""
    image, pores = whole.images
    (depth,) = yield OperationPass("depth", partial(square_depth, reach=REACH), (pores,), scratch=True)
    profile = yield MeasurementPass("grey levels by depth", GreyByDepth(REACH, used), (image, depth))
    return profile


def _pore_space(pores: VoxelImage, where: Any, steps: Steps) -> PoreSpace:
    show: dict[str, Any] = {"progress": steps.show}
    steps("Pores: what is connected")
    joined = connectivity(pores, where=where, **show)
    steps("Pores: profiles, sub-cubes, surface")
    profiles = tuple(chunk_reduce(Profile(axis), pores, where=where, **show) for axis in range(3))
    cells = chunk_reduce(CellSums.dividing(pores.shape), pores, where=where, **show)
    surface = specific_surface(pores, where, **show)
    return PoreSpace(pores, joined, profiles, cells, RepresentativeVolume.of(cells), surface)


def _border_warning(space: PoreSpace) -> list[str]:
    share = border_air(space.cells)
    if share < AIR:
        return []
    return [
        f"An edge of the image is {100 * share:.0f} % pore: that looks like air outside of the sample, which is counted as pore here. "
        "Cut it off, or choose a region of interest (roi='cylinder')."
    ]

"""The numbers of a report, each with what it means and where it comes from."""

import math
from collections.abc import Iterable
from dataclasses import replace

from lithax.images import VoxelImage
from lithax.report._analysis import Analysis, GreyLevels
from lithax.report._finney_demo import Continuous, specific_surface
from lithax.report._number import Number, grouped
from lithax.report._porosity import porosity_numbers
from lithax.report._segmentation import SENSITIVITY, share_up_to
from lithax.report._truth import Comparison

GREY = "grey level"


def image_numbers(image: VoxelImage, simulated: bool) -> list[Number]:
    """Return size and voxel length: given with the image, not measured."""
    kind = "simulated" if simulated else "assumed"
    source = (
        "set when the scan was made" if simulated else "stated by the file or the user; the image cannot confirm it"
    )
    shape = " × ".join(map(str, image.shape))
    numbers = [Number("image.shape", "Voxels", shape, "voxel", "measured", method="along x, y and z")]
    from lithax.viz import unit_symbol

    unit = unit_symbol(str(image.voxel_unit))
    lengths = image.voxel_length
    cubic = lengths[0] == lengths[1] == lengths[2]
    if not unit and cubic and lengths[0] == 1:
        why = "the file does not say it (voxel_length, voxel_unit); lengths are in voxels"
        return [*numbers, Number("image.voxel_length", "Voxel length", "not known", "", "assumed", method=why)]
    length = f"{lengths[0]:.6g}" if cubic else " × ".join(f"{h:.6g}" for h in lengths)
    edges = " × ".join(f"{d:.6g}" for d in image.dimensions)
    numbers += [
        Number("image.voxel_length", "Voxel length", f"{length} {unit}".strip(), unit, kind, method=source),
        Number(
            "image.dimensions", "Dimensions", f"{edges} {unit}".strip(), unit, kind, method="voxels times voxel length"
        ),
    ]
    return numbers


def grey_numbers(analysis: Analysis) -> list[Number]:
    """Return thresholds, grey levels, noise, edge width, and the porosities that follow from grey
    levels.
    """
    grey = analysis.grey
    if grey is None:
        return []
    of = f"voxels of {analysis.region.name}"
    found = grey.thresholds
    numbers = [
        Number("grey.mean", "Mean grey level", grey.moments.mean, GREY, "measured", denominator=of, method="of the scan, unfiltered"),
        Number(
            "threshold.used",
            "Threshold used",
            found.used,
            GREY,
            "assumed" if found.name == "given" else "measured",
            method=f"{found.name}; filtered voxels up to this grey level are pore",
            evidence=f"histogram of {grouped(grey.filtered.total)} voxels after the filter {analysis.settings.filter}",
        ),
        Number("threshold.otsu", "Otsu's threshold", found.otsu, GREY, "measured", method="largest variance between two classes of the filtered histogram"),
        Number(
            "threshold.half_contrast",
            "Half-contrast threshold",
            found.half_contrast,
            GREY,
            "measured",
            method="midway between the two peaks of the filtered histogram",
            evidence="the filtered histogram has no two peaks" if found.peaks is None else f"peaks at {found.peaks.low:.0f} and {found.peaks.high:.0f}",
        ),
    ]  # fmt: skip
    numbers += _interior_numbers(grey)
    numbers += _porosities_by_grey_level(analysis, grey, of)
    return numbers


def _interior_numbers(grey: GreyLevels) -> list[Number]:
    numbers = []
    for key, name, part in (("pore", "pore", grey.pore), ("grain", "grain", grey.grain)):
        if part is None:
            numbers.append(
                Number(
                    f"grey.{key}",
                    f"Grey level of {name}",
                    None,
                    GREY,
                    "measured",
                    evidence="too few voxels lie away from its surface",
                )
            )
            continue
        evidence = f"{grouped(part.voxels)} voxels at least {part.depth} voxels from the surface"
        numbers.append(
            Number(
                f"grey.{key}",
                f"Grey level of {name}",
                part.level,
                GREY,
                "measured",
                uncertainty=part.uncertainty,
                method="mean deep inside the phase, where neither blur nor the other phase reaches",
                evidence=f"{evidence}; changes by {part.drift:.2g} with a voxel of depth",
            )
        )
        numbers.append(
            Number(
                f"grey.{key}.noise",
                f"Noise in {name}",
                part.noise,
                GREY,
                "measured",
                method="standard deviation of the unfiltered grey levels deep inside the phase (noise and what differs from place to place)",
                evidence=evidence,
            )
        )
    if grey.pore is not None and grey.grain is not None:
        contrast = grey.grain.level - grey.pore.level
        noise = math.sqrt(0.5 * (grey.pore.noise**2 + grey.grain.noise**2))
        numbers.append(
            Number(
                "grey.contrast_to_noise",
                "Contrast to noise",
                contrast / noise if noise else None,
                "-",
                "measured",
                method="difference of the two grey levels over the root mean square of their noise",
                evidence=f"contrast {contrast:.0f}, noise {noise:.0f} {GREY}s"
                if noise >= 10
                else f"contrast {contrast:.4g}, noise {noise:.4g} {GREY}s",
            )
        )
    if grey.edge is not None:
        shells = f"{len(grey.edge.shells)} shells of one voxel around the segmented surface; root mean square misfit {100 * grey.edge.misfit:.1f} % of the step"
        numbers += [
            Number("grey.edge_width", "Edge width", grey.edge.width, "voxel", "measured", method="standard deviation of the Gaussian whose integral fits the mean transition from pore to grain", evidence=shells),
            Number("grey.edge_rise", "Edge, 10 % to 90 %", grey.edge.rise, "voxel", "measured", method="2.563 edge widths: details finer than this are not resolved", evidence=shells),
            Number("grey.surface_offset", "Offset of half contrast from the surface", grey.edge.offset, "voxel", "measured", method="where the mean transition crosses the middle of the two grey levels, positive into the grains", evidence=shells),
        ]  # fmt: skip
        if grey.edge.overshoot:
            numbers.append(
                Number("grey.overshoot", "Overshoot near edges", grey.edge.overshoot, "-", "measured", method="grey levels near edges beyond those deep inside, as a share of the contrast: phase contrast or sharpening", evidence=f"from {grey.edge.low:.0f} to {grey.edge.high:.0f}", percent=True)
            )  # fmt: skip
    return numbers


def _porosities_by_grey_level(analysis: Analysis, grey: GreyLevels, of: str) -> list[Number]:
    found, levels = grey.thresholds, grey.filtered
    numbers = [
        Number("porosity.otsu", "Porosity by Otsu's threshold", share_up_to(levels, found.otsu), "-", "measured", denominator=of, method="filtered voxels up to Otsu's threshold", percent=True),
        Number(
            "porosity.half_contrast",
            "Porosity by half contrast",
            None if found.half_contrast is None else share_up_to(levels, found.half_contrast),
            "-",
            "measured",
            denominator=of,
            method="filtered voxels up to the half-contrast threshold",
            percent=True,
        ),
    ]  # fmt: skip
    if grey.balance is not None:
        assert grey.pore is not None
        assert grey.grain is not None
        numbers.append(
            Number(
                "porosity.balance",
                "Porosity by grey-level balance",
                grey.balance.porosity,
                "-",
                "measured",
                uncertainty=grey.balance.uncertainty,
                denominator=of,
                method="(g_grain − ⟨g⟩) / (g_grain − g_pore): no voxel is assigned to a phase; holds for two uniform materials, whatever the blur",
                evidence=f"⟨g⟩ = {grey.moments.mean:.1f}, g_pore = {grey.pore.level:.1f}, g_grain = {grey.grain.level:.1f}",
                percent=True,
            )
        )
        delta = SENSITIVITY * (grey.grain.level - grey.pore.level)
        where = f"{100 * SENSITIVITY:g} % of the contrast, {delta:.4g} {GREY}s"
    elif found.peaks is not None:
        delta = SENSITIVITY * found.peaks.contrast
        where = f"{100 * SENSITIVITY:g} % of the distance between the peaks, {delta:.4g} {GREY}s"
    else:
        delta = SENSITIVITY * (levels.maximum - levels.minimum)
        where = f"{100 * SENSITIVITY:g} % of the range, {delta:.4g} {GREY}s"
    low, high = (share_up_to(levels, found.used + sign * delta) for sign in (-1, 1))
    numbers += [
        Number("sensitivity.low", "Porosity, threshold lowered", low, "-", "measured", denominator=of, method=f"threshold lowered by {where}", percent=True),
        Number("sensitivity.high", "Porosity, threshold raised", high, "-", "measured", denominator=of, method=f"threshold raised by {where}", percent=True),
        Number("sensitivity.span", "Sensitivity to the threshold", high - low, "-", "measured", denominator=of, method=f"porosity with the threshold raised minus lowered, each by {where}", difference=True),
    ]  # fmt: skip
    return numbers


def space_numbers(analysis: Analysis) -> list[Number]:
    """Return the porosities by connectivity, the representative volume and the specific surface."""
    space, image = analysis.space, analysis.image
    numbers = porosity_numbers(space.connectivity, analysis.region.name)
    unit = image.frame.unit_name
    numbers.append(
        Number(
            "surface.specific",
            "Specific surface",
            space.surface.value,
            f"1/{unit}",
            "measured",
            denominator=f"volume of {analysis.region.name}",
            method="twice the crossings of pore and grain per length, mean of the three axes; misses what is thinner than a voxel"
            + (
                ""
                if unit != "length unit"
                else "; lengths are counted as the voxel length was given, whose unit is not known"
            ),
            evidence=f"{grouped(space.surface.faces)} voxel faces",
        )
    )
    numbers += _representative_numbers(analysis, unit)
    return numbers


def _representative_numbers(analysis: Analysis, unit: str) -> list[Number]:
    volume = analysis.space.representative
    largest = next((s for s in volume.sizes if s.edge == volume.largest), None)
    if largest is None:
        evidence = f"no size has {volume.fewest} sub-cubes in the region of interest"
    else:
        evidence = f"{largest.number} sub-cubes of {largest.edge} voxels: {100 * largest.mean:.2f} ± {100 * largest.deviation:.2f} %"
    fitted: list[Number] = []
    if math.isfinite(volume.fitted_edge):
        beyond = "; beyond the largest sub-cubes, so an extrapolation" if volume.fitted_edge > volume.largest else ""
        fitted.append(
            Number(
                "rev.fitted",
                "Representative edge, from all large sizes",
                volume.fitted_edge,
                "voxel",
                "measured",
                uncertainty=volume.fitted_uncertainty,
                method="where the line edge^(−3/2) through the spread of the larger sub-cubes meets "
                f"{100 * volume.limit:g} % of the mean{beyond}",
                evidence="± from the number of sub-cubes; the line holds for rock without a trend",
            )
        )
    method = f"smallest edge of sub-cubes whose porosities have a standard deviation below {100 * volume.limit:g} % of their mean, of at least {volume.fewest} that do not overlap"
    if volume.edge is None:
        return [
            Number(
                "rev.edge", "Representative edge", "not reached", "voxel", "measured", method=method, evidence=evidence
            ),
            *fitted,
        ]
    reached = next(s for s in volume.sizes if s.edge == volume.edge)
    shown = f"{reached.number} sub-cubes: {100 * reached.mean:.2f} ± {100 * reached.deviation:.2f} %"
    numbers = [
        Number("rev.edge", "Representative edge", volume.edge, "voxel", "measured", method=method, evidence=shown),
        *fitted,
    ]
    lengths = analysis.image.voxel_length
    if analysis.image.voxel_unit and max(lengths) - min(lengths) < 1e-9 * max(lengths):
        numbers.append(
            Number(
                "rev.length",
                "Representative edge, length",
                volume.edge * lengths[0],
                unit,
                "measured",
                method="the same in voxel lengths",
            )
        )
    return numbers


def truth_numbers(comparison: Comparison, continuous: Iterable[Continuous] = ()) -> list[Number]:
    """Return the known answers of a simulated scan, and how far the segmentation is from them."""
    of = f"voxels of {comparison.analysis.region.name}"
    numbers = []
    for number, one in enumerate(continuous):
        numbers.append(
            Number(
                "truth.continuous" if number == 0 else "truth.continuous.fine_grid",
                "(a) Porosity of the spheres",
                one.porosity,
                "-",
                "simulated",
                uncertainty=one.uncertainty,
                denominator="volume of the cube",
                method=one.how,
                percent=True,
            )
        )
    numbers.append(
        Number(
            "truth.voxelised",
            "(b) Porosity of the voxels",
            comparison.voxelised,
            "-",
            "simulated",
            denominator=of,
            method="share of the voxels whose centre lies outside of all spheres",
            evidence=f"{grouped(comparison.truth.true_pore + comparison.truth.false_grain)} of {grouped(comparison.truth.voxels)} voxels",
            percent=True,
        )
    )
    names = (
        ("otsu", "(c) Otsu", comparison.otsu),
        ("half_contrast", "(d) Half contrast", comparison.half_contrast),
        ("balance", "(e) Grey-level balance", comparison.balance),
    )
    for key, name, value in names:
        numbers.append(
            Number(
                f"error.{key}",
                f"{name}, minus (b)",
                None if value is None else value - comparison.voxelised,
                "-",
                "measured",
                denominator=of,
                method="porosity minus the voxelised truth",
                difference=True,
            )
        )
    continuous = list(continuous)
    for number, one in enumerate(continuous):
        numbers.append(
            Number(
                "split.discretisation" if number == 0 else "split.discretisation.fine_grid",
                "Discretisation, (b) minus (a)",
                comparison.voxelised - one.porosity,
                "-",
                "simulated",
                uncertainty=one.uncertainty,
                method=f"voxelised truth minus that of the spheres ({one.how})",
                difference=True,
            )
        )
    numbers += [
        Number("split.segmentation", "Segmentation, (c) minus (b)", comparison.otsu - comparison.voxelised, "-", "measured", method="porosity by Otsu's threshold minus the voxelised truth", difference=True),
        Number("truth.misclassified", "Misclassified voxels", comparison.truth.misclassified, "-", "measured", denominator=of, method="voxels in the wrong phase", evidence=f"{grouped(comparison.truth.false_pore)} grain taken for pore, {grouped(comparison.truth.false_grain)} pore taken for grain", percent=True),
        Number("truth.dice", "Dice coefficient of the pores", comparison.truth.dice, "-", "measured", method="twice the overlap of segmented and true pores over the sum of both"),
    ]  # fmt: skip
    exact = specific_surface(next(iter(continuous)).porosity if continuous else comparison.voxelised)
    numbers += [
        Number("truth.specific_surface", "Specific surface of the spheres", exact, "1/um", "simulated", denominator="volume of the cube", method="3 (1 − porosity) / R"),
        Number("truth.specific_surface.voxelised", "Specific surface of the voxels", comparison.surface.value, "1/um", "simulated", denominator="volume of the cube", method="counted on the voxelised truth as on the segmentation", evidence=f"{grouped(comparison.surface.faces)} voxel faces"),
    ]  # fmt: skip
    return numbers


def prefixed(prefix: str, label: str, numbers: Iterable[Number]) -> list[Number]:
    """Return the numbers of another scan, told apart by key and name."""
    return [replace(n, key=f"{prefix}.{n.key}", name=f"{n.name} ({label})") for n in numbers]

"""The pictures of a report, as bytes."""

import numpy as np

from lithax.report._analysis import Analysis
from lithax.report._finney_demo import Continuous
from lithax.report._grey_levels import transition
from lithax.report._picture import Picture
from lithax.report._segmentation import SENSITIVITY, share_up_to
from lithax.report._truth import OTSU_TOLERANCE, Comparison
from lithax.viz import (
    Estimate,
    Mark,
    draw_comparison,
    draw_edge,
    draw_histogram,
    draw_profiles,
    draw_representative_volume,
    draw_sensitivity,
    encode,
    orthogonal,
)

OTSU, HALF, PORE, GRAIN = "#d1495b", "#e09f3e", "#1f77b4", "#8d8478"


def pictures(analysis: Analysis) -> dict[str, Picture]:
    """Draw everything that one image has to show."""
    found = [_slices(analysis), _profiles(analysis), _sub_cubes(analysis)]
    if analysis.grey is not None:
        found += [_histogram(analysis), _sensitivity(analysis)]
        if analysis.grey.edge is not None:
            found.append(_edge(analysis))
    return {picture.name: picture for picture in found if picture is not None}


def _slices(analysis: Analysis) -> Picture:
    grey = analysis.grey
    if grey is not None:
        low, high = grey.raw.percentile([0.1, 99.9])
        limits = (float(low), float(high))
    else:  # phases in middle greys, so that the picture does not end where the paper begins
        values = analysis.phases
        margin = 0.3 * max(max(values) - min(values), 1)
        limits = (min(values) - margin, max(values) + margin)
    figure = orthogonal(analysis.image, overlay=analysis.space.pores, region=analysis.region.region, limits=limits)
    words = "Three orthogonal slices through the middle of the image; below, the same with the pores in blue."
    return Picture("slices", words, "png", encode(figure, "png", dpi=130))


def _histogram(analysis: Analysis) -> Picture:
    grey = analysis.grey
    assert grey is not None
    found = grey.thresholds
    marks = [Mark(found.otsu, f"Otsu {found.otsu:.0f}", OTSU)]
    if found.half_contrast is not None:
        marks.append(Mark(found.half_contrast, f"half contrast {found.half_contrast:.0f}", HALF))
    if found.name == "given":
        marks.append(Mark(found.used, f"used {found.used:.0f}", "black"))
    for part, name, color in ((grey.pore, "pore", PORE), (grey.grain, "grain", GRAIN)):
        if part is not None:
            marks.append(Mark(part.level, f"{name} {part.level:.0f}", color, "--"))
    labels = (f"after filter: {analysis.settings.filter}", "as scanned")
    figure = draw_histogram(grey.filtered, behind=grey.raw, marks=marks, labels=labels)
    return Picture(
        "histogram", "Histogram of grey levels before and after the filter, with thresholds.", "svg", encode(figure)
    )


def _sensitivity(analysis: Analysis) -> Picture:
    grey = analysis.grey
    assert grey is not None
    found, levels = grey.thresholds, grey.filtered
    low, high = levels.percentile([0.5, 99.5])
    if grey.pore is not None and grey.grain is not None:
        low, high = grey.pore.level, grey.grain.level
    thresholds = np.linspace(low, high, 201)
    porosity = np.array([share_up_to(levels, t) for t in thresholds])
    delta = SENSITIVITY * (high - low)
    figure = draw_sensitivity(
        thresholds,
        porosity,
        used=(found.used, share_up_to(levels, found.used)),
        band=(found.used - delta, found.used + delta),
    )
    words = "Porosity against the threshold, between the grey levels of pore and grain."
    return Picture("sensitivity", words, "svg", encode(figure))


def _edge(analysis: Analysis) -> Picture:
    grey = analysis.grey
    assert grey is not None
    assert grey.edge is not None
    assert grey.pore is not None
    assert grey.grain is not None
    position = [shell.position for shell in grey.edge.shells]
    fine = np.linspace(*grey.edge.span, 201)
    low, high = grey.edge.low, grey.edge.high
    fitted = low + (high - low) * transition(fine, grey.edge.offset, grey.edge.width)
    means = [shell.mean for shell in grey.edge.shells]
    figure = draw_edge(position, means, (fine, fitted), pore=grey.pore.level, grain=grey.grain.level)
    return Picture("edge", "Mean grey level against the distance from the segmented surface.", "svg", encode(figure))


def _profiles(analysis: Analysis) -> Picture:
    figure = draw_profiles(analysis.space.profiles, analysis.space.pores.frame, mean=analysis.space.porosity)
    return Picture("profiles", "Porosity of the slices along x, y and z.", "svg", encode(figure))


def _sub_cubes(analysis: Analysis) -> Picture | None:
    volume = analysis.space.representative
    if not volume.sizes:
        return None
    figure = draw_representative_volume(volume, analysis.image.frame)
    return Picture("sub_cubes", "Porosity of sub-cubes against their size.", "svg", encode(figure))


def comparison(continuous: Continuous, comparisons: tuple[Comparison, ...]) -> Picture:
    """Draw the porosities of all methods beside the truth, one panel per scan."""
    panels = []
    for one in comparisons:
        estimates = [
            Estimate("(a) spheres", continuous.porosity, continuous.uncertainty, "truth"),
            Estimate("(b) voxels", one.voxelised, 0.0, "truth"),
            Estimate("(c) Otsu", one.otsu),
        ]
        if one.half_contrast is not None:
            estimates.append(Estimate("(d) half contrast", one.half_contrast))
        if one.balance is not None:
            found = one.analysis.grey
            assert found is not None
            assert found.balance is not None
            estimates.append(Estimate("(e) grey-level balance", one.balance, found.balance.uncertainty))
        panels.append((f"blur {one.blur:g} voxel, noise {one.noise:g} of the contrast", estimates))
    figure = draw_comparison(panels, comparisons[0].voxelised, OTSU_TOLERANCE)
    words = "Porosity by each method for the sharp and the blurred scan, with a band of half a porosity unit around the truth."
    return Picture("comparison", words, "svg", encode(figure))

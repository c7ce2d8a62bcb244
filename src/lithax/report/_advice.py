"""Which of the porosities to quote, with what uncertainty, and why: the question that a page of
numbers leaves open.
"""

from lithax.measure import porosity
from lithax.report._analysis import Analysis
from lithax.report._number import Number, grouped

BLURRED_EDGE = 1.5
"""Edge width beyond which a threshold moves surfaces noticeably [voxel]."""

SHIFTED_SURFACE = 0.25
"""Distance of the segmented surface from half contrast beyond which the threshold is off [voxel].
"""


def advice_numbers(analysis: Analysis) -> list[Number]:
    """Return the porosity to quote: its uncertainty is the spread of the methods, which is larger
    than chance alone.

    Of a segmented image there is one porosity, and nothing is known of the error of the
    segmentation. Of a scan, the threshold is taken where edges are sharp and the surface lies at
    half contrast, because flow and connectivity belong to the same segmentation; where not, the
    balance of grey levels, which no blur moves.
    """
    joined, grey = analysis.space.connectivity, analysis.grey
    total = joined.total / joined.selected
    of = f"{grouped(joined.selected)} voxels of {analysis.region.name}"
    if grey is None:
        why = "the only one: the image came segmented, and how well is not known here"
        return [
            Number("porosity.recommended", "Porosity to quote", total, "-", "measured", denominator=of, method=why, percent=True)
        ]  # fmt: skip
    value, spread, reasons = total, [], []
    if grey.balance is not None:
        difference = grey.balance.porosity - total
        width = 0.0 if grey.edge is None else grey.edge.width
        blurred = width > BLURRED_EDGE
        shifted = grey.edge is not None and abs(grey.edge.offset) > SHIFTED_SURFACE
        if blurred or shifted:
            value = grey.balance.porosity
            what = f"edges are {width:.1f} voxels wide" if blurred else "the segmented surface is off half contrast"
            reasons.append(
                f"by grey-level balance, because {what}, which moves a porosity by threshold and not this one"
            )
        else:
            reasons.append("by threshold, because edges are sharp and the surface lies at half contrast")
        spread.append(abs(difference))
        if abs(difference) > max(2 * grey.balance.uncertainty, 0.01):
            side = (
                "grey levels between pore and grain (pores below the resolution, a third material) count for the balance alone"
                if difference > 0
                else "bright grains (heavy minerals) lower the balance alone"
            )
            reasons.append(f"the two differ by {100 * abs(difference):.1f} porosity units, more than chance: {side}")
    else:
        reasons.append("by threshold: the grey levels of both phases are not known, so there is no other")
    low, high = _sensitivity(analysis)
    spread.append(0.5 * (high - low))
    return [
        Number(
            "porosity.recommended",
            "Porosity to quote",
            value,
            "-",
            "measured",
            uncertainty=max(spread),
            denominator=of,
            method="; ".join(reasons),
            evidence="± is the larger of the difference between threshold and balance, and half of what ± 5 % of the contrast in the "
            "threshold decides; the ± of the balance itself is statistical",
            percent=True,
        )
    ]


def _sensitivity(analysis: Analysis) -> tuple[float, float]:
    from lithax.report._numbers import grey_numbers

    found = {n.key: n.value for n in grey_numbers(analysis)}
    low, high = found["sensitivity.low"], found["sensitivity.high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


def phase_numbers(analysis: Analysis) -> list[Number]:
    """Return the share of every phase of an image that came with three or more; the phase taken for
    pore is named.
    """
    if analysis.grey is not None or len(analysis.phases) < 3:
        return []
    found = {v: porosity(analysis.image == v, where=analysis.region.region) for v in analysis.phases}
    of = f"{grouped(analysis.space.connectivity.selected)} voxels of {analysis.region.name}"
    return [
        Number(
            f"phase.{phase}",
            f"Phase {phase}" + (", taken for pore" if phase == analysis.pore_phase else ""),
            share.porosity,
            "-",
            "measured",
            denominator=of,
            method="voxels of this value over all voxels",
            evidence=f"{grouped(share.pore_voxels)} voxels",
            percent=True,
        )
        for phase, share in found.items()
    ]

"""Formation factor in a report: values, bounds, error budget, and where the current runs."""

from typing import Any

import numpy as np

from lithax.geometry import inscribed_cuboid
from lithax.images import VoxelImage, chunk_map
from lithax.report._analysis import Analysis
from lithax.report._number import Number
from lithax.report._picture import Picture
from lithax.report._segmentation import make_filter
from lithax.report._steps import Steps
from lithax.report._transport_part import TransportPart
from lithax.solve import Conductivity, conductivity
from lithax.viz import draw_current, encode

_MOST = 320**3
"""Voxels that a report solves for, at most: a cube in the middle of a larger image."""
TITLE = "Formation factor"


def conduction_part(analysis: Analysis, steps: Steps) -> TransportPart:
    """Solve for the conductivity of the pores along the three axes."""
    steps("Conduction: formation factor along x, y and z")
    pores, scan, sample = _sample(analysis)
    voxels = np.asarray(pores[...], bool)
    segmentation, said = _threshold(analysis, scan)
    if not voxels.any() or min(voxels.shape) < 2:
        return TransportPart(TITLE, f"Nothing to solve: {sample} holds no pore, or is one voxel thick.")
    budget = ("resolution", "sample_size")
    found = conductivity(
        voxels, axis="all", spacing=pores.voxel_length, fields=True, budget=budget, segmentation=segmentation
    )
    text = (
        f"Electrical current through the imaged pores alone, filled with a fluid of conductivity σ_w; grains insulate, and so do clay and "
        f"whatever lies below the resolution. Solved on {sample}: potentials on the two ends, insulating sides, energy of the current to "
        f"0.5 %. F = σ_w/σ_eff; m by Archie's law with a = 1. Diffusion without sorption has the same numbers: D_eff/D₀ = 1/F."
    )
    notes = (
        "The rock is imaged without stress. Laboratory values under confining stress are usually larger; "
        "compare at the porosity of the image.",
        said,
        *found.notes,
    )
    return TransportPart(TITLE, text, tuple(_numbers(found)), _pictures(found, scan, pores), _budget(found), notes)


def _sample(analysis: Analysis) -> tuple[VoxelImage, VoxelImage, str]:
    """Return the pores and the image in a box inside the region of interest, and its name."""
    pores, scan, name = analysis.space.pores, analysis.image, "the whole image"
    if analysis.region.region is not None:
        box = inscribed_cuboid(analysis.region.region)
        pores, scan, name = pores.crop(box), scan.crop(box), "the box inside the region of interest"
    if np.prod(pores.shape) > _MOST:
        edge = round(_MOST ** (1 / 3))
        middle = tuple(slice((n - min(n, edge)) // 2, (n - min(n, edge)) // 2 + min(n, edge)) for n in pores.shape)
        pores, scan, name = pores.crop(*middle), scan.crop(*middle), f"the middle of {name}"
    return pores, scan, f"{name}, {' × '.join(map(str, pores.shape))} voxels"


def _threshold(analysis: Analysis, scan: VoxelImage) -> tuple[Any, str]:
    """Return grey levels, threshold and its uncertainty: half of what two operators differ by."""
    grey = analysis.grey
    if grey is None or grey.thresholds.half_contrast is None:
        return None, "The uncertainty of the threshold is not known, and with it that of F."
    found = grey.thresholds
    uncertainty = 0.5 * abs(found.otsu - found.half_contrast)
    if uncertainty == 0:
        return None, "Otsu's threshold and half contrast agree, so they do not say how uncertain the threshold is."
    fn = make_filter(analysis.settings.filter)
    levels = scan if fn is None else chunk_map(fn, scan, progress=False)
    said = (
        f"Error of the segmentation: the derivative of the value in the threshold times {uncertainty:.3g} grey levels, half of what Otsu's "
        "threshold and half contrast differ by."
    )
    return (levels, found.used, uncertainty), said


def _numbers(found: Conductivity) -> Any:
    p = found.porosities
    yield Number(
        "transport.porosity", "Porosity of what was solved", float(np.asarray(found.porosity)), "-", "measured",
        denominator="voxels that were solved", percent=True, method="pore voxels over all voxels",
    )  # fmt: skip
    factors = [
        np.asarray(v, float) for v in (found.formation_factor, found.tortuosity_factor, found.cementation_exponent)
    ]
    for n, axis in enumerate("xyz"):
        factor, tau, m = (float(v[n]) for v in factors)
        through = float(np.asarray(p.percolating)[n])
        evidence = (
            f"{100 * through:.3g} % of the volume joins the ends; {int(np.asarray(found.iterations)[n])} iterations"
        )
        if not np.isfinite(factor):
            yield Number(
                f"transport.formation_factor.{axis}", f"F along {axis}", None, "-", "measured",
                method="nothing joins the two ends through voxel faces", evidence="F is infinite",
            )  # fmt: skip
            continue
        yield Number(
            f"transport.formation_factor.{axis}", f"F along {axis}", factor, "-", "measured", method="σ_w/σ_eff",
            evidence=evidence,
        )  # fmt: skip
        yield Number(
            f"transport.tortuosity_factor.{axis}", f"Tortuosity factor along {axis}", tau, "-", "measured", method="φF"
        )
        yield Number(
            f"transport.cementation_exponent.{axis}",
            f"Archie's m along {axis}",
            m,
            "-",
            "measured",
            method="−ln F/ln φ, a = 1",
        )
    upper = float(np.asarray(found.bounds.hashin_shtrikman[1]))
    if upper > 0:
        yield Number(
            "transport.formation_factor.bound", "F at least", 1 / upper, "-", "measured",
            method="Hashin & Shtrikman's bound for isotropic rock of this porosity",
        )  # fmt: skip


def _budget(found: Conductivity) -> tuple[tuple[str, str], ...]:
    lines = (line.partition(": ") for line in str(found.error_budget).splitlines()[1:])
    return tuple((cause.strip(), size) for cause, _, size in lines)


def _pictures(found: Conductivity, scan: VoxelImage, pores: VoxelImage) -> tuple[tuple[Picture, str], ...]:
    values = np.asarray(found.value, float)
    if values.max() == 0:
        return ()
    axis = int(values.argmax())
    assert found.flux is not None
    x, y, z = (np.asarray(part, float) for part in found.flux[axis])
    strength = np.sqrt(x**2 + y**2 + z**2) / values[axis]
    across = 2 if axis != 2 else 1
    middle = tuple(slice(n // 2, n // 2 + 1) if a == across else slice(None) for a, n in enumerate(pores.shape))
    figure = draw_current(
        np.asarray(scan[middle]).squeeze(across), strength[middle].squeeze(across),
        names=tuple("xyz"[a] for a in range(3) if a != across), along="xyz"[axis],
    )  # fmt: skip
    words = f"Current density along {'xyz'[axis]} in a slice through the middle, over the image."
    caption = (
        f"Where the current along {'xyz'[axis]} runs, in the slice through the middle: its density over the mean, over the image. Bright "
        "spots are throats that carry more than their share."
    )
    return ((Picture("current", words, "png", encode(figure, "png", dpi=130)), caption),)

"""Formation factor in a report: values, bounds, error budget, and where the current runs."""

from typing import Any

import numpy as np

from lithax.errors import MemoryLimitError
from lithax.images import VoxelImage
from lithax.report._number import Number
from lithax.report._picture import Picture
from lithax.report._steps import Steps
from lithax.report._transport_part import TransportPart
from lithax.report._transport_sample import TransportSample
from lithax.solve import Conductivity, conductivity
from lithax.viz import draw_current, encode

TITLE = "Formation factor"


def conduction_part(sample: TransportSample, steps: Steps) -> TransportPart:
    """Solve for the conductivity of the pores along the three axes."""
    steps("Conduction: formation factor along x, y and z")
    if sample.empty:
        return TransportPart(TITLE, f"Nothing to solve: {sample.name} holds no pore, or is one voxel thick.")
    budget = ("resolution", "sample_size")
    try:
        found = conductivity(
            sample.voxels, axis="all", spacing=sample.pores.voxel_length, fields=True, budget=budget,
            segmentation=sample.segmentation,
        )  # fmt: skip
    except MemoryLimitError as error:
        return TransportPart(TITLE, f"Not solved: {error}")
    text = (
        f"Electrical current through the imaged pores alone, filled with a fluid of conductivity σ_w; grains insulate, and so do clay and "
        f"whatever lies below the resolution. Solved on {sample.name}: potentials on the two ends, insulating sides, energy of the current to "
        f"0.5 %. F = σ_w/σ_eff; m by Archie's law with a = 1. Diffusion without sorption has the same numbers: D_eff/D₀ = 1/F."
    )
    unfinished = ("Not converged: the lines of the solver say how far the values may be off.",)
    notes = (
        *(() if np.all(np.asarray(found.converged)) else unfinished),
        "The rock is imaged without stress. Laboratory values under confining stress are usually larger; "
        "compare at the porosity of the image.",
        sample.said,
        *found.notes,
    )
    return TransportPart(
        TITLE,
        text,
        tuple(_numbers(found)),
        _pictures(found, sample.scan, sample.pores),
        found.error_budget.lines(),
        notes,
    )


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


def _pictures(found: Conductivity, scan: VoxelImage, pores: VoxelImage) -> tuple[tuple[Picture, str], ...]:
    values = np.asarray(found.value, float)
    if values.max() == 0:
        return ()
    axis = int(values.argmax())
    assert found.flux is not None
    x, y, z = (np.asarray(part, float) for part in found.flux[axis])
    strength = np.sqrt(x**2 + y**2 + z**2) / values[axis]
    across = 2 if axis != 2 else 1
    first, second = "xyz".replace("xyz"[across], "")
    middle = tuple(slice(n // 2, n // 2 + 1) if a == across else slice(None) for a, n in enumerate(pores.shape))
    lengths = pores.voxel_length
    figure = draw_current(
        np.asarray(scan[middle]).squeeze(across), strength[middle].squeeze(across),
        names=(first, second), along="xyz"[axis], lengths=(lengths["xyz".index(first)], lengths["xyz".index(second)]),
    )  # fmt: skip
    words = f"Current density along {'xyz'[axis]} in a slice through the middle, over the image."
    caption = (
        f"Where the current along {'xyz'[axis]} runs, in the slice through the middle: its density over the mean, over the image. Bright "
        "spots are throats that carry more than their share."
    )
    return ((Picture("current", words, "png", encode(figure, "png", dpi=130)), caption),)

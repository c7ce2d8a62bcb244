"""What an inversion returns."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx

from lithax.inverse._statistics import SPREAD, StatisticsRequest


class Spread(eqx.Module):
    """How one quantity is spread over the draws of a voxel: arrays, or images, of one value per
    voxel.
    """

    minimum: Any
    """The smallest value that is not below Q1 - whis (Q3 - Q1)."""
    lower_quartile: Any
    median: Any
    upper_quartile: Any
    maximum: Any
    """The largest value that is not above Q3 + whis (Q3 - Q1)."""
    quantiles: Mapping[float, Any]
    """Further quantiles that were asked for, by probability."""
    mean: Any = None
    standard_deviation: Any = None


class Inversion(eqx.Module):
    """Electron density and effective atomic number of every voxel, and what became of the draws."""

    electron_density: Spread
    """ρ_e [g/cm³, electron-equivalent]."""
    atomic_number: Spread
    """Z [-]."""
    valid: Any
    """Draws with a result, which alone make the statistics."""
    below_air: Any
    """Draws whose air is not darker than the voxel at both energies."""
    no_root: Any
    """Draws in whose model no atomic number from 1 to 118 has the voxel's ratio of attenuations."""
    ambiguous: Any
    """Draws with two roots, of which the one nearest the density line was taken; most of them are
    valid.
    """
    status: Any
    """0: there is a result; else why there is none: 1 below air, 2 no root, 3 bad calibration (of
    most draws), 4 the voxel is not finite.
    """
    draws: int = eqx.field(static=True)
    """Draws of the coefficients."""
    bad_calibration: int = eqx.field(static=True)
    """Draws without a calibration, the same for all voxels."""

    def __repr__(self) -> str:
        return f"Inversion(shape {tuple(self.valid.shape)}, {self.draws} draws, {self.bad_calibration} of them without a calibration)"


def pack(results: Sequence[Any], wanted: StatisticsRequest, draws: int, usable: int) -> Inversion:
    """Put the results of `statistics`, in their order, where they belong."""
    named = dict(zip(wanted.names, results, strict=True))

    def of(quantity: str) -> Spread:
        return Spread(
            **{name: named[f"{quantity}_{name}"] for name in SPREAD},
            quantiles={q: named[f"{quantity}_quantile_{q:g}"] for q in wanted.quantiles},
            mean=named.get(f"{quantity}_mean"),
            standard_deviation=named.get(f"{quantity}_standard_deviation"),
        )

    counts = {name: named[name] for name in ("valid", "below_air", "no_root", "ambiguous", "status")}
    return Inversion(
        of("electron_density"), of("atomic_number"), **counts, draws=draws, bad_calibration=draws - usable
    )  # fmt: skip

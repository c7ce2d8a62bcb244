"""A segmentation compared with the image it was simulated from, and the difference split into its
causes.
"""

from dataclasses import dataclass
from typing import Any

from lithax.images import VoxelImage, chunk_reduce
from lithax.measure import SpecificSurface, ValueCounts, specific_surface
from lithax.report._analysis import Analysis
from lithax.report._segmentation import share_up_to

OTSU_TOLERANCE = 0.005
"""How far the porosity by Otsu's threshold may be from that of the voxelised truth [-]: half a
porosity unit.
"""

BALANCE_TOLERANCE = 0.001
"""The same for the grey-level balance."""


@dataclass(frozen=True)
class Agreement:
    """Voxels by their true and their segmented phase."""

    true_pore: int
    """Pore in both."""
    false_pore: int
    """Grain that was taken for pore."""
    false_grain: int
    """Pore that was taken for grain."""
    true_grain: int

    @property
    def voxels(self) -> int:
        """All of them."""
        return self.true_pore + self.false_pore + self.false_grain + self.true_grain

    @property
    def porosity(self) -> float:
        """True porosity [-]."""
        return (self.true_pore + self.false_grain) / self.voxels

    @property
    def misclassified(self) -> float:
        """Share of voxels in the wrong phase [-]."""
        return (self.false_pore + self.false_grain) / self.voxels

    @property
    def dice(self) -> float:
        """Dice's coefficient of the pores: twice the overlap over the sum of both [-]."""
        return 2 * self.true_pore / (2 * self.true_pore + self.false_pore + self.false_grain)


def agreement(pores: VoxelImage, grains: VoxelImage, where: Any = None, **options: Any) -> Agreement:
    """Compare a boolean pore image with the true phases, 1 in the grains and 0 in the pores."""
    counts = chunk_reduce(ValueCounts(0, 1, phases=[0, 1]), pores, grains, where=where, **options)
    in_pore, in_grain = (counts.phases[phase].counts for phase in (0, 1))
    return Agreement(int(in_pore[1]), int(in_grain[1]), int(in_pore[0]), int(in_grain[0]))


@dataclass(frozen=True)
class Comparison:
    """One analysis of a simulated scan beside the truth. Porosities [-]."""

    blur: float
    """Standard deviation [voxel]."""
    noise: float
    """Standard deviation over contrast [-]."""
    truth: Agreement
    surface: SpecificSurface
    """Of the voxelised truth, counted as on the segmentation."""
    analysis: Analysis
    otsu: float
    """(c) by Otsu's threshold."""
    half_contrast: float | None
    """(d) by the threshold midway between the peaks of the histogram."""
    balance: float | None
    """(e) by the balance of grey levels."""

    @property
    def voxelised(self) -> float:
        """(b) of the true image."""
        return self.truth.porosity


def compare_with_truth(analysis: Analysis, grains: VoxelImage, blur: float, noise: float, **options: Any) -> Comparison:
    """Hold the analysis of a simulated scan against the phases it was made of."""
    grey = analysis.grey
    assert grey is not None  # a simulated scan has grey levels
    compared = agreement(analysis.space.pores, grains, analysis.region.region, **options)
    found = grey.thresholds
    half = None if found.half_contrast is None else share_up_to(grey.filtered, found.half_contrast)
    by_balance = None if grey.balance is None else grey.balance.porosity
    surface = specific_surface(grains == 1, analysis.region.region, **options)
    return Comparison(
        blur, noise, compared, surface, analysis, share_up_to(grey.filtered, found.otsu), half, by_balance
    )


@dataclass(frozen=True)
class Criterion:
    """Something that must hold for the demo to pass."""

    name: str
    value: float | None
    """What was found [unit]."""
    limit: float
    """[unit]"""
    passed: bool
    unit: str = "porosity units"
    """Percentage points of the porosity, if not said otherwise."""

    @property
    def text(self) -> str:
        """The value as people read it, with unit."""
        return "not available" if self.value is None else f"{self.value:.3f} {self.unit}"

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.text}"


def criteria(sharp: Comparison, blurred: Comparison) -> tuple[Criterion, ...]:
    """Return what the demo must show: both methods hold on the sharp scan, on the blurred one only
    the balance does.
    """

    def within(name: str, found: float | None, truth: float, limit: float) -> Criterion:
        off = None if found is None else 100 * abs(found - truth)
        return Criterion(name, off, 100 * limit, off is not None and off <= 100 * limit)

    otsu_fails = 100 * abs(blurred.otsu - blurred.voxelised)
    return (
        within(
            f"blur {sharp.blur:g}: Otsu's threshold within {100 * OTSU_TOLERANCE:g} of the voxelised truth, |c − b|",
            sharp.otsu,
            sharp.voxelised,
            OTSU_TOLERANCE,
        ),
        within(
            f"blur {sharp.blur:g}: grey-level balance within {100 * BALANCE_TOLERANCE:g}, |e − b|",
            sharp.balance,
            sharp.voxelised,
            BALANCE_TOLERANCE,
        ),
        within(
            f"blur {blurred.blur:g}: grey-level balance still within {100 * BALANCE_TOLERANCE:g}, |e − b|",
            blurred.balance,
            blurred.voxelised,
            BALANCE_TOLERANCE,
        ),
        Criterion(
            f"blur {blurred.blur:g}: Otsu's threshold fails, |c − b| above {100 * OTSU_TOLERANCE:g}",
            otsu_fails,
            100 * OTSU_TOLERANCE,
            otsu_fails > 100 * OTSU_TOLERANCE,
        ),
    )

"""How much of the volume each phase takes."""

import dataclasses
from typing import Any

import numpy as np

from lithax.arrays import bincount, namespace
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import constant
from lithax.measure._phases import Phases, check_phases, check_segmentation, find_phases, phase_row
from lithax.measure._result import Result
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseFractionsResult(Result):
    """Voxels of each phase, and their share of all voxels taken in."""

    counts: dict[int, int]
    """Voxels per phase."""
    other: int
    """Voxels taken in that belong to none of the phases."""

    @property
    def total(self) -> int:
        """Voxels taken in: the denominator of the fractions."""
        return sum(self.counts.values()) + self.other

    @property
    def fractions(self) -> dict[int, float]:
        """Volume fraction per phase [-]; NaN if no voxel was taken in."""
        return {phase: count / self.total if self.total else float("nan") for phase, count in self.counts.items()}

    def __getitem__(self, phase: int) -> float:
        return self.fractions[phase]


class PhaseFractions(AbstractMeasurement):
    """Count the voxels of each of the given phases of a segmentation.

    Parameters
    ----------
    phases
        Values of the segmentation (unsigned integers, or booleans as 0 and 1).
    """

    phases: Array

    def __init__(self, phases: Phases) -> None:
        self.phases = check_phases(phases)

    def of(self, segmentation: Array, *, valid: Array | None = None) -> State:
        rows = self.phases.shape[0] + 1

        def of_piece(labels: Array, valid: Array | None) -> State:
            row = phase_row(labels, self.phases)
            if valid is not None:
                row = namespace(row).where(valid, row, constant(rows, row.dtype, like=row))
            return {"count": bincount(row, rows + 1)[:rows]}

        return by_pieces(of_piece, segmentation, valid, counters=rows)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> PhaseFractionsResult:
        *counts, other = np.asarray(state["count"], np.int64).tolist()
        return PhaseFractionsResult(dict(zip(np.asarray(self.phases).tolist(), counts, strict=True)), other)


@measures_images
def phase_fractions(image: Any, where: Any = None, *, phases: Phases | None = None) -> PhaseFractionsResult:
    """Return voxels and volume fraction of each phase of a segmentation.

    Parameters
    ----------
    image
        Segmentation, image or array: unsigned integers or booleans.
    where
        Voxels taken in, the denominator: a boolean array for an array; for an image also a region,
        an image or a `domain`, as for `chunk_reduce`.
    phases
        The phases to count; None finds those that occur, in one pass more (two for 32-bit labels).
    """
    source = Source(image, where)
    check_segmentation(source.dtype, "image")
    found = find_phases(image, where) if phases is None else check_phases(phases)
    if found.size == 0:
        return PhaseFractionsResult({}, 0)
    return source.reduce(PhaseFractions(found))

"""Porosity: the share of pore voxels, with its denominator."""

import dataclasses
import math
from typing import Any

import numpy as np

from lithax.arrays import namespace
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import count, voxels
from lithax.measure._phases import Phases, check_phases, check_segmentation, phase_row
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True)
class PorosityResult:
    """Pore voxels and all voxels of the region of interest. ``float(result)`` is the porosity."""

    pore_voxels: int
    voxels: int
    """Voxels taken in: the denominator."""

    @property
    def porosity(self) -> float:
        """Pore volume over total volume [-]; NaN if no voxel was taken in."""
        return self.pore_voxels / self.voxels if self.voxels else math.nan

    def __float__(self) -> float:
        return self.porosity

    def __str__(self) -> str:
        return f"{self.porosity:.6g} ({self.pore_voxels} of {self.voxels} voxels)"


class Porosity(AbstractMeasurement):
    """Total porosity of a segmentation: voxels of the pore phases over voxels taken in.

    Parameters
    ----------
    pore_phase
        Value, or values, of the segmentation that are pore. None: True of a boolean image.
    """

    pore_phases: Array | None

    def __init__(self, pore_phase: Phases | None = None) -> None:
        self.pore_phases = None if pore_phase is None else check_phases(pore_phase)

    def of(self, segmentation: Array, *, valid: Array | None = None) -> State:
        if self.pore_phases is None and not namespace(segmentation).isdtype(segmentation.dtype, "bool"):
            raise unnamed_pores(segmentation.dtype)

        def of_piece(labels: Array, valid: Array | None) -> State:
            pore = labels
            if self.pore_phases is not None:
                pore = phase_row(labels, self.pore_phases) < self.pore_phases.shape[0]
            return {"pore": count(pore if valid is None else pore & valid), "voxels": voxels(labels, valid)}

        return by_pieces(of_piece, segmentation, valid)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> PorosityResult:
        return PorosityResult(int(state["pore"]), int(state["voxels"]))


@measures_images
def porosity(image: Any, pore_phase: Phases | None = None, where: Any = None) -> PorosityResult:
    """Return the total porosity of a segmentation, with the two numbers of voxels it is made of.

    Parameters
    ----------
    image
        Segmentation, image or array: booleans, True in the pores, or unsigned integers.
    pore_phase
        The value, or values, that are pore; needed for integers.
    where
        Voxels taken in, the denominator: a boolean array for an array; for an image also a region,
        an image or a `domain`, as for `chunk_reduce`.
    """
    source = Source(image, where)
    dtype = check_segmentation(source.dtype, "image")
    if pore_phase is None and dtype != np.bool_:
        raise unnamed_pores(dtype)
    return source.reduce(Porosity(pore_phase))


def unnamed_pores(dtype: Any) -> ValueError:
    """Return the error for a segmentation that does not say which of its values is pore."""
    return ValueError(
        f"pore_phase is missing: a segmentation of dtype {dtype} does not say which of its values is pore. "
        "Give pore_phase=0 or whichever it is (only of booleans, True is pore)."
    )

"""What a soft segmentation promises, and what is left of it when it is made hard."""

import dataclasses
import math
import warnings
from typing import Any

from lithax.arrays import namespace
from lithax.measure._image_options import measures_images
from lithax.measure._measurement import AbstractMeasurement, State
from lithax.measure._numbers import as_sum, constant, count, total, voxels
from lithax.measure._source import Source
from lithax.measure._state import by_pieces, combine_states
from lithax.typing import Array


@dataclasses.dataclass(frozen=True)
class SoftPorosityResult:
    """The porosity of a soft segmentation, and that of the hard one it becomes."""

    soft: float
    """Mean of the soft segmentation [-]."""
    hard: float
    """Share of voxels above one half [-]."""
    voxels: int

    @property
    def gap(self) -> float:
        """What is lost on the way, ``soft - hard`` [-]."""
        return self.soft - self.hard

    def __str__(self) -> str:
        return f"soft {self.soft:.6g}, hard {self.hard:.6g}, gap {100 * self.gap:+.3g} porosity units ({self.voxels} voxels)"


class SoftPorosity(AbstractMeasurement):
    """Mean of a soft segmentation (0 in grains, 1 in pores) and share of its voxels above one
    half.
    """

    def of(self, segmentation: Array, *, valid: Array | None = None) -> State:
        def of_piece(x: Array, valid: Array | None) -> State:
            xp = namespace(x)
            values, pore = as_sum(x), x > constant(0.5, x.dtype, like=x)
            if valid is not None:
                values = xp.where(valid, values, constant(0, values.dtype, like=values))
                pore = pore & valid
            return {"sum": total(values), "hard": count(pore), "voxels": voxels(x, valid)}

        return by_pieces(of_piece, segmentation, valid)

    def combine(self, a: State, b: State) -> State:
        return combine_states(a, b)

    def finish(self, state: State) -> SoftPorosityResult:
        number = int(state["voxels"])
        soft, hard = (float(state[name]) / number if number else math.nan for name in ("sum", "hard"))
        return SoftPorosityResult(soft, hard, number)


@measures_images
def porosity_gap(image: Any, where: Any = None, tolerance: float = 0.002) -> SoftPorosityResult:
    """Return the porosity of a soft segmentation beside that of the hard one, and warn if they
    differ.

    A soft segmentation that was fitted to a porosity need not have it any more once its voxels are
    decided: those between 0 and 1 count as what they are nearer to. Anneal it (fit again with half
    the `width` of `lithax.ops.soft_threshold`, starting from the last result) until the gap is
    small.

    Parameters
    ----------
    image
        Real numbers from 0 (grain) to 1 (pore), an image or an array.
    where
        Voxels taken in: a boolean array for an array; for an image as for `lithax.chunk_reduce`.
    tolerance
        A UserWarning is given where the gap is larger [-].
    """
    source = Source(image, where)
    if source.dtype.kind != "f":
        raise TypeError(
            f"image has dtype {source.dtype}; a soft segmentation has real numbers from 0 to 1. Of a hard one take "
            "lx.measure.porosity(image)."
        )
    found = source.reduce(SoftPorosity())
    if abs(found.gap) > tolerance:
        warnings.warn(
            f"the soft porosity is {found.soft:.4f}, but decided voxel by voxel it is {found.hard:.4f}, a gap of "
            f"{100 * found.gap:+.2f} porosity units; fit again with a narrower soft_threshold before you report either.",
            UserWarning,
            stacklevel=2,
        )
    return found

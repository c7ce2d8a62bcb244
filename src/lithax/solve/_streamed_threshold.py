"""What a threshold's uncertainty does to the conductivity of an image larger than memory: the
derivative of `_conduction_threshold`, a few planes at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.grid import Index
from lithax.solve._conduction_threshold import pores_apart, refuse_other_pores, soft_pores
from lithax.solve._scratch import ScratchVolume
from lithax.solve._streamed_solve import StreamedSolve
from lithax.solve._streamed_voxels import StreamedImage, conducting_in, pieces
from lithax.solve._voxel_meaning import Meaning


@dataclass(frozen=True, eq=False)
class SoftImage:
    """Pore fractions of a softened segmentation; sliced, grey levels are read."""

    grey: Any
    threshold: float
    width: float

    @property
    def shape(self) -> Index:
        x, y, z = (int(n) for n in self.grey.shape)
        return x, y, z

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def chunks(self) -> Any:
        """Of what is read."""
        return getattr(self.grey, "shards", None) or getattr(self.grey, "chunks", None)

    def __getitem__(self, box: Any) -> np.ndarray:
        return soft_pores(np.asarray(self.grey[box], np.float32), self.threshold, self.width)


def check_same_pores_on_disk(
    image: StreamedImage, raw: ScratchVolume, meaning: Meaning, grey: Any, threshold: float
) -> None:
    """Raise what `check_same_pores` raises for grey levels of other pores."""
    apart = count = 0
    axis = image.order[0]
    for begin, voxels, mask in pieces(image, raw):
        box = tuple(slice(begin, begin + len(voxels)) if a == axis else slice(None) for a in range(3))
        levels = np.asarray(grey[box], np.float32).transpose(image.order)
        here = pores_apart(levels, threshold, conducting_in(meaning, voxels, mask), True if mask is None else mask)
        apart, count = apart + here[0], count + here[1]
    refuse_other_pores(threshold, apart, count)


def slope_in_threshold(solve: StreamedSolve, power: float, scale: float, width: float) -> float:
    """Return d ln σ / d threshold [1/grey level] of a solve of a `SoftImage`, given its power and
    what the voxels' conductivities are relative to.
    """
    slopes = solve.slopes()
    total = sum(float(np.sum(z * (s * (1 - s)), dtype=np.float64)) for z, s in _together(slopes, solve.voxels, scale))
    return total / (scale * width * power) if power > 0 else 0.0


_AT_ONCE = 2**25
"""Voxels."""


def _together(slopes: ScratchVolume, voxels: ScratchVolume, scale: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    _, y, z = slopes.shape
    for places in slopes.pieces(max(1, _AT_ONCE // (y * z))):
        yield slopes.read(places), voxels.read(places) * np.float32(scale)

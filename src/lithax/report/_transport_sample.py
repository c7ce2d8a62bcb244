"""What the solvers of a report solve: a box of voxels, the same one for all of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lithax.geometry import inscribed_cuboid
from lithax.images import VoxelImage, chunk_map
from lithax.report._analysis import Analysis
from lithax.report._segmentation import make_filter

_MOST = 320**3
"""Voxels that a report solves for, at most: a cube in the middle of a larger image."""


@dataclass(frozen=True)
class TransportSample:
    """Pores and image of a box inside the region of interest."""

    pores: VoxelImage
    scan: VoxelImage
    name: str
    segmentation: tuple[Any, float, float] | None
    """Filtered grey levels, threshold, and its uncertainty [grey level]; None if not known."""
    said: str
    """How the uncertainty of the threshold was found, or why it was not."""

    @cached_property
    def voxels(self) -> np.ndarray:
        """True in the pores."""
        return np.asarray(self.pores[...], bool)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to solve: no pore, or no length."""
        return not self.voxels.any() or min(self.voxels.shape) < 2


def transport_sample(analysis: Analysis) -> TransportSample:
    """Choose the voxels to solve: the box inside the region of interest, of large ones the
    middle.
    """
    pores, scan, name = analysis.space.pores, analysis.image, "the whole image"
    if analysis.region.region is not None:
        box = inscribed_cuboid(analysis.region.region)
        pores, scan, name = pores.crop(box), scan.crop(box), "the box inside the region of interest"
    if np.prod(pores.shape) > _MOST:
        edge = round(_MOST ** (1 / 3))
        middle = tuple(slice((n - min(n, edge)) // 2, (n - min(n, edge)) // 2 + min(n, edge)) for n in pores.shape)
        pores, scan, name = pores.crop(*middle), scan.crop(*middle), f"the middle of {name}"
    segmentation, said = _threshold(analysis, scan)
    return TransportSample(pores, scan, f"{name}, {' × '.join(map(str, pores.shape))} voxels", segmentation, said)


def _threshold(analysis: Analysis, scan: VoxelImage) -> tuple[tuple[Any, float, float] | None, str]:
    """Return grey levels, threshold and its uncertainty: half of what two operators differ by."""
    grey = analysis.grey
    if grey is None or grey.thresholds.half_contrast is None:
        return None, "The uncertainty of the threshold is not known, and with it its part of the error."
    found = grey.thresholds
    uncertainty = 0.5 * abs(found.otsu - grey.thresholds.half_contrast)
    if uncertainty == 0:
        return None, "Otsu's threshold and half contrast agree, so they do not say how uncertain the threshold is."
    fn = make_filter(analysis.settings.filter)
    levels = scan if fn is None else chunk_map(fn, scan, progress=False)
    said = (
        f"Error of the segmentation: the derivative of the value in the threshold times {uncertainty:.3g} grey levels, half of what Otsu's "
        "threshold and half contrast differ by."
    )
    return (levels, found.used, uncertainty), said

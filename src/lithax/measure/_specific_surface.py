"""The surface between pores and grains, counted by the voxel faces that lie in it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.measure._image_options import measures_images
from lithax.measure._source import Source
from lithax.measure._value_counts import ValueCounts
from lithax.ops import neighbour_pairs


@dataclass(frozen=True)
class SpecificSurface:
    """Pore surface over total volume."""

    value: float
    """[1/unit of length]"""
    faces: int
    """Voxel faces between pore and grain."""
    length_unit: str
    """Unit of length of `value`: the image's; without one "voxel" where voxels are 1 long, as for
    arrays, otherwise "length unit".
    """

    def __str__(self) -> str:
        return f"{self.value:.6g} 1/{self.length_unit} ({self.faces} voxel faces)"


@measures_images
def specific_surface(image: Any, where: Any = None) -> SpecificSurface:
    """Return the pore surface per volume by counting where lines along the axes cross it.

    Lines of all directions cross a surface S in a volume V on average S / (2 V) times per length.
    Lines along three axes only give the same for a surface without preferred direction; a plane
    across an axis they miss by a factor of up to 1.5.

    Parameters
    ----------
    image
        Boolean image, or array of any library: True in the pores, or in the grains.
    where
        Region of interest: a boolean array for an array; for an image anything that `where=` of
        `chunk_reduce` accepts. Pairs of voxels count where both lie in it.

    Returns
    -------
        The surface per volume [1/unit of length] (per voxel for an array), and the voxel faces
        counted.

    Raises
    ------
    TypeError
        If the image is not boolean.

    References
    ----------
    Underwood, Quantitative Stereology, Addison-Wesley (1970), eq. 2.2, S_V = 2 P_L.

    Examples
    --------
    >>> import numpy as np, lithax as lx
    >>> slit = np.zeros((4, 4, 4), bool)
    >>> slit[1:3] = True
    >>> print(lx.measure.specific_surface(slit))
    0.444444 1/voxel (32 voxel faces)
    """
    source = Source(image, where)
    if source.dtype.kind != "b":
        raise TypeError(
            f"image has dtype {source.dtype}; a surface parts two phases: give booleans, such as image == 0 (lx.ops.threshold)."
        )
    counts = np.asarray(source.reduce(ValueCounts(0, 63), fn=neighbour_pairs).counts)
    lengths = image.voxel_length if source.is_image else (1.0, 1.0, 1.0)
    number = np.arange(64)
    crossings, per_length = 0, []
    for axis, length in enumerate(lengths):
        pairs = int(counts[(number >> axis) & 1 == 1].sum())
        faces = int(counts[(number >> (axis + 3)) & 1 == 1].sum())
        crossings += faces
        if pairs:
            per_length.append(faces / (pairs * length))
    value = 2 * sum(per_length) / len(per_length) if per_length else math.nan
    return SpecificSurface(value, crossings, image.frame.unit_name if source.is_image else "voxel")

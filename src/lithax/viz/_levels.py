"""Coarser levels of an image: the seam between those who build pyramids and those who draw.

Levels are images of the same space with larger voxels, each with its own `frame`; an OME-Zarr
pyramid is a sequence of them. An image that has a pyramid knows its own: ``image.levels``.
"""

from collections.abc import Sequence

from lithax.geometry import Frame
from lithax.images import VoxelImage


def levels_of(image: VoxelImage, levels: Sequence[VoxelImage] | None = None) -> tuple[VoxelImage, ...]:
    """Return an image and its coarser levels, the finest first.

    Parameters
    ----------
    image
        Any image.
    levels
        Its coarser levels, in any order, with or without the image itself; by default
        ``image.levels`` where there is such a property, and otherwise none.

    Raises
    ------
    ValueError
        If a level lies elsewhere in space than the image: their extents must agree within one voxel
        of the level.
    """
    given: Sequence[VoxelImage] = (getattr(image, "levels", None) or ()) if levels is None else levels
    coarser = [level for level in given if level is not image and tuple(level.shape) != tuple(image.shape)]
    for level in coarser:
        difference = _elsewhere(image.frame, level.frame)
        if difference:
            raise ValueError(
                f"levels holds an image of shape {tuple(level.shape)} that {difference}; the levels of an image cover the "
                "same space with larger voxels."
            )
    return (image, *sorted(coarser, key=lambda level: -level.size))


def sharp_enough(levels: Sequence[VoxelImage], axes: tuple[int, int], pixel: tuple[float, float]) -> int:
    """Return the number of the coarsest level that still shows a slice sharply.

    Parameters
    ----------
    levels
        As `levels_of` returns them.
    axes
        The two axes of the slice.
    pixel
        Length that a pixel of the screen covers along each of them [voxel_unit of the first level].
    """
    lengths = [_in_unit_of(levels[0].frame, level.frame).voxel_length for level in levels]
    best = 0
    for number, length in enumerate(lengths):
        # A voxel may be a little larger than a pixel: a third is hardly seen, and the next level
        # costs eight times as much.
        if all(length[axis] <= max(1.34 * size, lengths[0][axis]) for axis, size in zip(axes, pixel, strict=True)):
            best = number
    return best


def _in_unit_of(frame: Frame, other: Frame) -> Frame:
    return other if str(other.voxel_unit) == str(frame.voxel_unit) else other.to(str(frame.voxel_unit))


def _elsewhere(frame: Frame, level: Frame) -> str:
    """Say how the space that a level covers differs; "" if it does not."""
    try:
        other = _in_unit_of(frame, level)
    except ValueError:
        return f"is in {str(level.voxel_unit)!r}, the image in {str(frame.voxel_unit)!r}"
    for side, mine, theirs in zip(("begins", "ends"), frame.extent, other.extent, strict=True):
        if any(abs(a - b) > 1.001 * h for a, b, h in zip(mine, theirs, other.voxel_length, strict=True)):
            return f"{side} at {theirs}, the image at {mine}"
    return ""

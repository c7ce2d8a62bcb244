"""A part of an image that knows where it lies."""

import math
from typing import Any

import numpy as np

from lithax.geometry import AbstractRegion, Frame
from lithax.grid import Box, Index, triple
from lithax.images._derived_array import window
from lithax.images._expression import Expression, crop_expression
from lithax.images._voxel_image import VoxelImage
from lithax.storage import UserAttributes

_CELLS = 48
"""Along each axis: a region is looked at in so many cells before any voxel is."""


def crop(image: VoxelImage, selection: tuple[Any, ...]) -> VoxelImage:
    """Return a part of an image; see `VoxelImage.crop`."""
    box = crop_box(image.frame, selection)
    if isinstance(image, Expression):
        return crop_expression(image, box)
    return Crop(window(image.stored, box), image.world)


class Crop(VoxelImage):
    """A part of another image, made by `VoxelImage.crop`."""

    @property
    def levels(self) -> tuple[VoxelImage, ...]:
        """None: coarser levels of a part are not stored."""
        return ()

    @property
    def attrs(self) -> UserAttributes:
        """What the whole image has, read-only."""
        return UserAttributes(self.stored.free_attributes, lambda work: self.stored.check_writable())


def crop_box(frame: Frame, selection: tuple[Any, ...]) -> Box:
    """Return the box of voxels that a region lies in, or that slices name.

    Raises
    ------
    TypeError, ValueError
        If the selection is of another kind, has a step, or holds no voxel.
    """
    if len(selection) == 1 and isinstance(selection[0], tuple | list):
        selection = tuple(selection[0])
    if len(selection) == 1 and isinstance(selection[0], AbstractRegion):
        return _box_of_region(frame, selection[0])
    shown = selection[0] if len(selection) == 1 else selection
    if sum(item is Ellipsis for item in selection) > 1 or len([s for s in selection if s is not Ellipsis]) > 3:
        raise ValueError(f"crop({shown!r}) has too many slices; an image has three axes, x, y and z.")
    for item in selection:
        if item is Ellipsis:
            continue
        if not isinstance(item, slice):
            one = isinstance(item, int | np.integer) and not isinstance(item, bool)
            got = f"the number {item}" if one else f"an object of type {type(item).__name__}"
            hint = f"slice({item}, {item + 1}) for one layer" if one else "for example np.s_[10:50, :, 20:]"
            raise TypeError(f"crop() got {got}; give a region, or slices of a range of voxels along each axis, {hint}.")
        for bound in (item.start, item.stop, item.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise TypeError(
                    f"crop({shown!r}) has the bound {bound!r}; slices count whole voxels. For lengths give a region: "
                    "crop(lx.regions.Box(lower, upper))."
                )
    at = next((n for n, item in enumerate(selection) if item is Ellipsis), len(selection))
    given = [item for item in selection if item is not Ellipsis]
    slices = [*given[:at], *[slice(None)] * (3 - len(given)), *given[at:]]
    ranges = [range(n)[s] for n, s in zip(frame.shape, slices, strict=True)]
    for axis, r, s in zip("xyz", ranges, slices, strict=True):
        if r.step != 1:
            raise ValueError(
                f"crop({shown!r}) has the step {s.step} along {axis}; a crop keeps every voxel. For fewer and larger ones use "
                "lx.chunk_map(lx.ops.coarsen, image)."
            )
        if not len(r):
            raise ValueError(
                f"crop({shown!r}) holds no voxel along {axis}, of which there are {frame.shape['xyz'.index(axis)]}."
            )
    return triple(slice(r.start, r.stop) for r in ranges)


def _box_of_region(frame: Frame, region: AbstractRegion) -> Box:
    """Return the smallest box that holds every voxel whose centre lies in a region.

    A signed distance is never larger than the true one. So where it is larger than half the
    diagonal of a cell of voxels, the cell lies inside or outside as a whole; the voxels of the
    others are asked one by one, unless the box holds them already.
    """
    edge: Index = triple(max(1, -(-n // _CELLS)) for n in frame.shape)
    counts = triple(-(-n // e) for n, e in zip(frame.shape, edge, strict=True))
    centers = []
    for axis in range(3):
        index = np.arange(counts[axis]) * edge[axis] + 0.5 * (edge[axis] - 1)
        line = frame.voxel_origin[axis] + index * frame.voxel_length[axis]
        centers.append(line.reshape(tuple(-1 if a == axis else 1 for a in range(3))))
    distance = np.broadcast_to(np.asarray(region.signed_distance(*centers), np.float64), counts)
    reach = 0.5 * math.hypot(*((e - 1) * h for e, h in zip(edge, frame.voxel_length, strict=True)))
    reach += 1e-9 * (reach + max(map(abs, (*frame.bounding_box[0], *frame.bounding_box[1]))))

    low, high = np.array(frame.shape), np.zeros(3, int)
    inside = np.argwhere(distance < -reach)
    if inside.size:
        low = inside.min(axis=0) * edge
        high = np.minimum((inside.max(axis=0) + 1) * edge, frame.shape)
    cells = np.argwhere(np.abs(distance) <= reach)
    # Those furthest out first: most of the others then lie in the box that they make.
    outward = np.abs(cells - np.array(counts) / 2).max(axis=1) if cells.size else np.zeros(0)
    for cell in cells[np.argsort(-outward, kind="stable")]:
        start = cell * edge
        stop = np.minimum(start + edge, frame.shape)
        if np.all(start >= low) and np.all(stop <= high):
            continue
        points = frame.coordinates(tuple(map(slice, start, stop)))
        found = np.argwhere(np.broadcast_to(np.asarray(region.contains(*points)), tuple(stop - start)))
        if found.size:
            low = np.minimum(low, start + found.min(axis=0))
            high = np.maximum(high, start + found.max(axis=0) + 1)
    if np.any(high <= low):
        raise ValueError(
            f"crop({region!r}) holds no voxel centre of the image, whose extent is {frame.extent}"
            + (f" {frame.voxel_unit}." if frame.voxel_unit else ".")
        )
    return triple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

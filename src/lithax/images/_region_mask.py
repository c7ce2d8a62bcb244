"""Regions as boolean images."""

from typing import Any

import numpy as np

from lithax.geometry import AbstractRegion
from lithax.images._chunk_map import chunk_map
from lithax.images._described import geometry_of
from lithax.images._voxel_image import VoxelImage
from lithax.storage import Metadata, create_array, locate


def inside(image: VoxelImage, region: AbstractRegion, store: Any = None, **options: Any) -> VoxelImage:
    """Return the boolean image of which voxel centres lie in a region, its boundary included.

    Parameters
    ----------
    image
        Gives shape, chunks and geometry; its voxels are not read.
    region
        A region, in the coordinates of the image.
    store, **options
        As for `chunk_map`.
    """
    return _region_image(image, region, True, store, options)


def mask(image: VoxelImage, region: AbstractRegion, store: Any = None, **options: Any) -> VoxelImage:
    """Return the exclusion mask of a region: True *outside*, for ``domain(exclude=...)``; otherwise
    as `inside`.
    """
    return _region_image(image, region, False, store, options)


def _region_image(
    image: VoxelImage, region: AbstractRegion, value: bool, store: Any, options: dict[str, Any]
) -> VoxelImage:
    if not isinstance(image, VoxelImage):
        raise TypeError(f"image is a {type(image).__name__}; give an image, whose geometry says where its voxels are.")
    if not isinstance(region, AbstractRegion):
        raise TypeError(
            f"region is a {type(region).__name__}; give a region such as lx.regions.Sphere(center, radius)."
        )
    # An image that was never written holds its fill value everywhere and takes no memory.
    blank = VoxelImage(
        create_array(
            locate(None),
            shape=image.shape,
            dtype=np.dtype(bool),
            chunks=image.chunks,
            shards=image.shards,
            metadata=Metadata(**geometry_of(image.frame)),
        ),
        image.world,
    )
    given: dict[str, Any] = {"field_name": "inside" if value else "outside"} | options
    return chunk_map(
        _all_true if value else _all_false, blank, where=region, fill_value=not value, store=store, **given
    )


def _all_true(block: Any) -> Any:
    return block | True


def _all_false(block: Any) -> Any:
    return block & False

"""Scans and their labels: what patches are cut from and classifiers are trained with."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.grid import Box, Index, triple
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import as_source

TILE = 64
"""Edge of the tiles in which labels are counted [voxel]: the same for every chunking."""


class Scan:
    """One scan: its channels, and its labels."""

    def __init__(self, images: Any, labels: Any, number: int, shape: Index):
        self.images = tuple(images) if isinstance(images, tuple) else (images,)
        self.labels = labels
        for name, image in [*((f"images[{number}]", i) for i in self.images), (f"labels[{number}]", labels)]:
            if image is None:
                continue
            if not hasattr(image, "shape") or len(image.shape) != 3:
                raise TypeError(
                    f"{name} is a {type(image).__name__}; give an image (lx.open), or an array with three axes."
                )
            if tuple(image.shape) != tuple(self.images[0].shape):
                raise ValueError(
                    f"{name} has shape {tuple(image.shape)}, the first channel {tuple(self.images[0].shape)}; crop one of them."
                )
            if isinstance(self.images[0], VoxelImage) and isinstance(image, VoxelImage):
                as_source(image, self.images[0].frame, name, f"the first channel of images[{number}] has")
        self.shape = triple(self.images[0].shape)
        if any(n > size for n, size in zip(shape, self.shape, strict=True)):
            raise ValueError(
                f"shape={shape} is larger than images[{number}] of shape {self.shape}; use smaller patches."
            )
        if any(np.dtype(i.dtype).kind not in "buif" for i in self.images):
            raise TypeError(f"images[{number}] is {self.images[0].dtype}; grey levels are real numbers.")
        if labels is not None and np.dtype(labels.dtype).kind not in "bui":
            raise TypeError(f"labels[{number}] is {labels.dtype}; labels are integers, or booleans.")

    @property
    def frame(self) -> Frame:
        """Where the voxels are; for arrays without a unit."""
        first = self.images[0]
        return first.frame if isinstance(first, VoxelImage) else Frame(self.shape)


def pair_scans(images: Any, labels: Any, shape: Index = (1, 1, 1)) -> list[Scan]:
    """Return the scans that a user gives as one or as a list, each with its labels.

    Raises
    ------
    TypeError, ValueError
        If one is no image or smaller than `shape`, or they do not go together.
    """
    given = list(images) if isinstance(images, list) else [images]
    truths = list(labels) if isinstance(labels, list) else [labels] * (1 if isinstance(images, list) else len(given))
    if isinstance(images, list) and labels is None:
        truths = [None] * len(given)
    if not given or len(given) != len(truths):
        raise ValueError(
            f"{len(given)} images and {len(truths)} labels were given; give one image of labels for each scan."
        )
    scans = [Scan(image, truth, k, shape) for k, (image, truth) in enumerate(zip(given, truths, strict=True))]
    if len({len(scan.images) for scan in scans}) != 1:
        raise ValueError("the scans have different numbers of channels; give the same channels for each.")
    return scans


class LabelCounts:
    """How many voxels of each label every tile holds: one pass over the labels, shared by the
    processes.
    """

    def __init__(self, scans: Sequence[Scan], world: Any):
        self.scans = scans
        self.tiles: list[tuple[int, Box]] = []
        for number, scan in enumerate(scans):
            ranges = [range(0, n, TILE) for n in scan.shape]
            for x, y, z in itertools.product(*ranges):
                self.tiles.append((number, (slice(x, x + TILE), slice(y, y + TILE), slice(z, z + TILE))))
        own = {k: _counted(self._values(k)) for k in range(world.index, len(self.tiles), world.count)}
        found: dict[int, dict[int, int]] = {}
        for part in world.gather(own):
            found |= part
        self._counts = [found[k] for k in range(len(self.tiles))]
        self.labels = sorted({value for tile in self._counts for value in tile})

    def _values(self, tile: int) -> np.ndarray:
        number, box = self.tiles[tile]
        return np.asarray(self.scans[number].labels[box])

    def up_to(self, label: int) -> np.ndarray:
        """Return how many voxels of a label lie in each tile and those before it."""
        return np.cumsum([tile.get(label, 0) for tile in self._counts])

    def places(self, tile: int, label: int, ranks: Any) -> np.ndarray:
        """Return the indices in its tile of voxels of a label, which are counted in C order from 0;
        shape (ranks, 3).
        """
        values = self._values(tile)
        return np.stack(np.unravel_index(np.flatnonzero(values == label)[ranks], values.shape), axis=-1)


def _counted(labels: Any) -> dict[int, int]:
    values, counts = np.unique(np.asarray(labels), return_counts=True)
    return {int(v): int(c) for v, c in zip(values, counts, strict=True)}

"""The histogram that a viewer shows, without reading a large image for it and without asking other
processes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.grid import ChunkGrid, Index
from lithax.images import VoxelImage, domain
from lithax.measure import HistogramResult, histogram
from lithax.runtime import SerialWorld
from lithax.storage import map_threads
from lithax.viz._view_state import ViewState

SMALL = 1 << 24
"""An image of no more voxels is counted whole: about a tenth of a second."""

SAMPLE_CHUNKS = 12
"""Chunks that a sample reads."""

SAMPLE_VOXELS = 1 << 22
"""Voxels of these that it counts, about."""

MANY_PHASES = 24
"""With more phases there is no histogram of each."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """A histogram and what it was made of."""

    histogram: HistogramResult
    note: str
    """What a reader of the picture must know: "" where all voxels were counted."""


def distribution(state: ViewState) -> Distribution:
    """Count the voxels that are neither masked nor outside of the region, for all of them and for
    each phase.

    Only this process reads, whatever world the image belongs to. Of a large image, unless "full" is
    asked for, a sample is counted: some chunks spread evenly over it.
    """
    if isinstance(state.histogram, HistogramResult):
        return Distribution(state.histogram, "")
    whole = state.histogram == "full" or (state.histogram == "auto" and state.image.size <= SMALL)
    if whole and state.image.size > SMALL and state.part is None:
        return Distribution(_full(state), "")
    values, valid, labels, chunks = _gather(state, whole)
    counted = _count(state, values, valid, labels)
    if whole:
        return Distribution(counted, "")
    total = ChunkGrid(state.image.shape, state.image.chunks)
    return Distribution(counted, f"sample: {chunks} of {len(total)} chunks")


def _full(state: ViewState) -> HistogramResult:
    """Count all voxels block by block."""

    world = SerialWorld()

    def alone(value: Any) -> Any:
        # The image of one process: its combinators wait for nobody.
        if hasattr(value, "stored"):
            return VoxelImage(value.stored, world)
        return value.read(tuple(slice(0, n) for n in value.shape))  # in memory already

    where = None
    if state.mask is not None or state.region is not None:
        where = domain(exclude=None if state.mask is None else alone(state.mask), region=state.region)
    labels = None if state.segmentation is None else alone(state.segmentation)
    return histogram(alone(state.image), state.histogram_bins, where=where, segmentation=labels)


def _count(state: ViewState, values: np.ndarray, valid: np.ndarray, labels: np.ndarray | None) -> HistogramResult:
    where = None if valid.all() else valid
    if labels is not None and np.unique(labels).size > MANY_PHASES:
        labels = None
    return histogram(values, state.histogram_bins, where=where, segmentation=labels)


def _gather(state: ViewState, whole: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int]:
    """Return values, whether they are taken in, phases, and from how many chunks they are."""
    source = state.image.stored
    grid = ChunkGrid(source.shape, source.chunks)
    chosen = list(grid) if whole else spread(grid, SAMPLE_CHUNKS)
    voxels = sum(int(np.prod([s.stop - s.start for s in grid.box(index)])) for index in chosen)
    step = 1 if whole else max(1, round((voxels / SAMPLE_VOXELS) ** (1 / 3)))
    thin = (slice(None, None, step),) * 3
    overlays = [None if v is None else getattr(v, "stored", v) for v in (state.mask, state.segmentation)]

    def read(index: Index) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        box = grid.box(index)
        values = np.asarray(source.read(box))[thin]
        mask, labels = (None if v is None else np.asarray(v.read(box))[thin] for v in overlays)
        valid = np.ones(values.shape, bool) if mask is None else ~mask
        if state.region is not None:
            x, y, z = state.frame.coordinates(box)
            valid = valid & np.asarray(state.region.contains(x[::step], y[:, ::step], z[:, :, ::step]))
        return state.shown_part(values).ravel(), valid.ravel(), None if labels is None else labels.ravel()

    parts = map_threads(read, chosen, source.workers)
    values = np.concatenate([part[0] for part in parts]).reshape(-1, 1, 1)
    valid = np.concatenate([part[1] for part in parts]).reshape(-1, 1, 1)
    labels = None
    if state.segmentation is not None:
        labels = np.concatenate([part[2] for part in parts if part[2] is not None]).reshape(-1, 1, 1)
    return values, valid, labels, len(chosen)


def spread(grid: ChunkGrid, count: int) -> list[Index]:
    """Return some chunks spread evenly over an image: the points of Halton's sequence, the same
    every time.

    Reference: Halton, Algorithm 247, Communications of the ACM 7, 701 (1964), with the bases 2, 3
    and 5.
    """
    if len(grid) <= count:
        return list(grid)
    found: dict[Index, None] = {}
    number = 1
    while len(found) < count:
        index = tuple(int(_radical_inverse(number, base) * n) for base, n in zip((2, 3, 5), grid.counts, strict=True))
        found[index[0], index[1], index[2]] = None
        number += 1
    return list(found)


def _radical_inverse(number: int, base: int) -> float:
    value, share = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value += digit * share
        share /= base
    return value

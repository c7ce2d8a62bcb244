"""How an image larger than memory is cut, and what its conduction takes of memory and disk: said
before any voxel is read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lithax.arrays import is_traced
from lithax.geometry import Frame
from lithax.grid import Index
from lithax.solve._conduction_setup import AXES, Boundaries, Run, plan_run
from lithax.solve._multigrid import FEW_CELLS, coarsening
from lithax.solve._scratch import scratch_folder
from lithax.solve._slab_layout import Slabs
from lithax.solve._solve_memory import LABELS, PROGRAMS
from lithax.solve._source import source_of
from lithax.solve._streamed_levels import LevelOnDisk, cuts_of

LEVEL, CYCLE = 24, 44
"""Of a cell of the levels in memory while a slab is computed, and what it adds while they are
visited, in single precision [byte].
"""
SLAB, SLAB_BELOW = 90, 100
"""Of a voxel of a slab of the finest level and its skirts, of which three are held, and of a cell
of those below that lie on disk, in single precision [byte].
"""
KEPT, MOST_KEPT = 120, 256 * 2**20
"""What `malloc` keeps of freed slabs [byte], per voxel of one and in all."""
MOST_PLANES = 32
"""Of a slab: its skirts are a quarter of it then; twice as many take a quarter longer, since fewer
arrays lie in a processor's cache.
"""
AT_ONCE = 128
"""Planes that are copied and labelled at once, at most."""
PLANE, SIDE, MET = 60, 8, 2
"""Of a voxel of a plane between two pieces that are labelled one after the other; of a row of
voxels on the sides of the image, whose labels are kept; and, of the voxels on all planes between
pieces, what is kept of the components that lie on them [byte].
"""
READ = 8
"""How many readings of an array from memory take as long as one from disk."""


@dataclass(frozen=True)
class Cut:
    """How the run along an axis is cut, and what that takes."""

    thicknesses: tuple[int, ...]
    """Planes of a slab of each level on disk, the finest first."""
    levels: int
    """Of the multigrid, in memory and on disk."""
    at_once: int
    """Planes that are copied and labelled at once."""
    memory: int
    """At its peak, besides what the process holds [byte]."""
    scratch: int
    """On disk [byte], besides what a checkpoint keeps."""
    kept: int
    """That [byte]."""
    traffic: int
    """Written and read there in each step [byte]."""


@dataclass(frozen=True)
class StreamPlan:
    """How an image is cut along each axis that is driven, and where files are made."""

    cuts: Mapping[int, Cut]
    folder: Path

    @property
    def thickness(self) -> int:
        """Planes of the thinnest slab of the finest level."""
        return min(cut.thicknesses[0] for cut in self.cuts.values())

    @property
    def at_once(self) -> int:
        """Planes that are read at once, whatever the axis."""
        return min(cut.at_once for cut in self.cuts.values())

    @property
    def deepest(self) -> Cut:
        """That with the most levels on disk."""
        return max(self.cuts.values(), key=lambda cut: len(cut.thicknesses))

    @property
    def memory(self) -> int:
        """At its peak, besides what the process holds [byte]."""
        return max(cut.memory for cut in self.cuts.values())

    @property
    def scratch(self) -> int:
        """On disk [byte], besides what a checkpoint keeps."""
        return max(cut.scratch for cut in self.cuts.values())

    @property
    def kept(self) -> int:
        """What a checkpoint keeps on disk [byte]."""
        return max(cut.kept for cut in self.cuts.values())

    @property
    def traffic(self) -> int:
        """Written and read there in each step [byte]."""
        return max(cut.traffic for cut in self.cuts.values())


def plan_streaming(
    image: Any,
    axis: str,
    boundaries: Boundaries,
    spacing: Any,
    reservoir: int,
    scratch: Any,
    kept: bool,
    soft: bool,
    allowed: int,
) -> StreamPlan | None:
    """Return how an image is cut so that it takes no more than is allowed [byte], or the least that
    it can; None for what is no image, or array of NumPy, of three axes. `kept`: whether there is a
    checkpoint; `soft`: whether a field of single precision is solved for besides a segmentation,
    too.
    """
    frame = getattr(image, "frame", None)
    shape = tuple(int(n) for n in getattr(image, "shape", ()))
    known = isinstance(frame, Frame) or isinstance(image, np.ndarray)
    if not known or len(shape) != 3 or math.prod(shape) <= FEW_CELLS:
        return None
    lengths = source_of(image, spacing).spacing
    whole = (shape[0], shape[1], shape[2])
    kind, tensor = np.dtype(image.dtype), axis == "all" and boundaries.whole
    runs = {
        a: plan_run(whole, a, boundaries, lengths, 1.0, reservoir)
        for a in (range(3) if axis == "all" else (AXES.index(axis),))
    }
    cuts = {a: _cut(run, kind, kept, soft, tensor, allowed) for a, run in runs.items()}
    return StreamPlan(cuts, scratch_folder(scratch))


def _cut(run: Run, dtype: np.dtype, kept: bool, soft: bool, tensor: bool, allowed: int) -> Cut:
    """Return how a run is cut: that which is quickest of those that are allowed."""
    width = 8 if dtype == np.float64 else 4
    voxel = width if dtype.kind == "f" or soft else min(dtype.itemsize, 4)
    shapes, _ = coarsening(run.settings.layout.shape, run.settings.strengths)
    levels = cuts_of(run, [2] * (len(shapes) - 1))
    found = [_with_levels(levels, shapes, depth, width, allowed) for depth in range(1, len(shapes))]
    fitting = [f for f in found if f[1] <= allowed]
    least = min(found, key=lambda f: (f[1], len(f[0])))
    cuts, memory = min(fitting, key=lambda f: _cost(f[0], levels[len(f[0]) :]), default=least)
    at_once, labelled = _at_once(run, width, allowed)
    cells, below = math.prod(shapes[0]), cuts[1:]
    return Cut(
        tuple(slabs.thickness for slabs in cuts),
        len(shapes),
        at_once,
        max(memory, labelled),
        # z beside what is kept, or all vectors, with the residuals along two axes for the tensor;
        # the image before.
        cells * (voxel + max((1 if kept else 6 if tensor else 4) * width, dtype.itemsize))
        + width * sum(map(LevelOnDisk.kept, below)),
        6 * cells * width if kept else 0,
        # u, r, q, z and voxels, then u, r, q; r and voxels, then z.
        cells * (9 * width + 2 * voxel)
        + width * sum(2**depth * LevelOnDisk.moved(slabs) for depth, slabs in enumerate(below)),
    )


def _with_levels(
    levels: Sequence[Slabs], shapes: Sequence[Index], depth: int, width: int, allowed: int
) -> tuple[tuple[Slabs, ...], int]:
    """Return slabs as thick as is allowed with so many levels on disk, and the memory of it."""
    cells = sum(map(math.prod, shapes[depth:])) * width // 4
    held = PROGRAMS + cells * LEVEL

    def memory(slabs: Slabs, level: int) -> int:
        _, *across = slabs.layout.shape
        voxels = (slabs.thickness + 2 * slabs.up) * math.prod(across) * width // 4
        return voxels * (SLAB_BELOW if level else SLAB) + min(voxels * KEPT, MOST_KEPT)

    def chosen(slabs: Slabs, level: int) -> tuple[Slabs, int]:
        least = 2 if level else slabs.up + slabs.up % 2  # what is written over what was read: see `Sweeper.sweep`
        most = max(least, min(MOST_PLANES, slabs.layout.shape[0]) // 2 * 2)
        tried = [replace(slabs, thickness=planes) for planes in range(most, least - 1, -2)]
        sizes = [(slabs, memory(slabs, level)) for slabs in tried]
        return next((found for found in sizes if held + found[1] <= allowed), sizes[-1])

    cuts, sizes = zip(*(chosen(slabs, level) for level, slabs in enumerate(levels[:depth])), strict=True)
    return cuts, held + max(cells * CYCLE, *sizes)


def _cost(cuts: Sequence[Slabs], others: Sequence[Slabs]) -> float:
    """Return how long a step takes, in sweeps over the finest level; `others` are in memory."""
    total = 0.0
    for depth, slabs in enumerate((*cuts, *others)):
        count, in_memory = len(slabs.weights), depth >= len(cuts)
        down, up = (1 if in_memory else 1 + 2 * skirt / slabs.thickness for skirt in (slabs.down, slabs.up))
        sweeps = (count + 1) * down + 2 * count * up + (0 if in_memory else READ)
        total += 2**depth * math.prod(slabs.layout.shape) * sweeps
    return total / math.prod(cuts[0].layout.shape)


def _at_once(run: Run, width: int, allowed: int) -> tuple[int, int]:
    """Return how many planes are copied and labelled at once, and the memory of it: the fewer, the
    more faces there are between them.
    """
    n, y, z = run.settings.layout.shape

    def memory(planes: int) -> int:
        met = -(-n // planes) * 2 * y * z * MET
        return PROGRAMS + y * z * (planes * (LABELS + 2 * width) + PLANE) + n * (y + z) * SIDE + met

    tried = [(planes, memory(planes)) for planes in range(min(AT_ONCE, n), 0, -1)]
    return next((t for t in tried if t[1] <= allowed), min(tried, key=lambda t: t[1]))


def not_from_disk(boundaries: Boundaries, options: Mapping[str, Any]) -> str | None:
    """Return which of the options of `conductivity` keeps an image from being solved from disk, and
    what to do instead; None if none does.
    """
    if options.get("axis") == "all" and boundaries.whole and options.get("checkpoint") is not None:
        return "checkpoint= (a tensor needs the potentials of three solves at once; one axis at a time is kept)"
    if options.get("gradient") is True:
        return "gradient=True (a store is not kept in memory)"
    if options.get("fields") is True:
        return "fields=True (a store is not kept in memory)"
    if options.get("shape") is not None:
        return "shape= (crop the array to the image)"
    if "grid" in options.get("budget", ()):
        return "'grid' of budget= (it takes eight times the disk and the work; ask it of a part that fits into memory)"
    values, fluid = options.get("values"), options.get("fluid")
    entries = list(values.values()) if isinstance(values, Mapping) else []
    # Within jax.jit even a new array of zeros is traced, whatever the arguments are.
    if any(map(is_traced, (*entries, fluid, jax.device_put(np.zeros((), np.float32))))):
        return "the transformation of JAX"
    return None

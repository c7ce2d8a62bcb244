"""How an image larger than memory is cut, and what its conduction takes of memory and disk: said
before any voxel is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lithax.arrays import is_traced
from lithax.geometry import Frame
from lithax.solve._conduction_setup import AXES, Boundaries, Run, plan_run
from lithax.solve._multigrid import FEW_CELLS, coarsening
from lithax.solve._scratch import scratch_folder
from lithax.solve._solve_memory import LABELS, PROGRAMS
from lithax.solve._source import source_of
from lithax.solve._streamed_solve import slabs_of

LEVEL, CYCLE, SLAB = 24, 44, 130
"""Of a cell of the coarser levels while a slab is computed, what it adds while they are visited,
and of a voxel of a slab and its skirts, of which three are held, in single precision [byte].
"""
KEPT, MOST_KEPT = 60, 256 * 2**20
"""What `malloc` keeps of freed slabs [byte], per voxel of one and in all."""
MOST_PLANES = 32
"""Of a slab: its skirts are a quarter of it then; twice as many take a quarter longer, since fewer
arrays lie in a processor's cache.
"""
AT_ONCE = 128
"""Planes that are copied and labelled at once, at most."""


@dataclass(frozen=True)
class StreamPlan:
    """How an image is cut, and what that takes."""

    thickness: int
    """Planes of a slab."""
    at_once: int
    """Planes that are copied and labelled at once."""
    slabs: int
    memory: int
    """At its peak, besides what the process holds [byte]."""
    scratch: int
    """On disk [byte]."""
    traffic: int
    """Written and read there in each step [byte]."""
    folder: Path


def plan_streaming(
    image: Any, axis: str, boundaries: Boundaries, spacing: Any, reservoir: int, scratch: Any, allowed: int
) -> StreamPlan | None:
    """Return how an image is cut so that it takes no more than is allowed [byte], or the least that
    it can; None for what is no image, or array of NumPy, of three axes.
    """
    frame = getattr(image, "frame", None)
    shape = tuple(int(n) for n in getattr(image, "shape", ()))
    known = isinstance(frame, Frame) or isinstance(image, np.ndarray)
    if not known or len(shape) != 3 or math.prod(shape) <= FEW_CELLS:
        return None
    lengths = source_of(image, spacing).spacing
    dtype = np.dtype(image.dtype)
    width = 8 if dtype == np.float64 else 4
    voxel = width if dtype.kind == "f" else min(dtype.itemsize, 4)
    plans = [
        _of_run(plan_run((shape[0], shape[1], shape[2]), a, boundaries, lengths, 1.0, reservoir), width, allowed)
        for a in (range(3) if axis == "all" else (AXES.index(axis),))
    ]
    cells = max(math.prod(run.settings.layout.shape) for run, *_ in plans)
    thickness, at_once = min(p[1] for p in plans), min(p[2] for p in plans)
    return StreamPlan(
        thickness,
        at_once,
        -(-max(shape) // thickness),
        max(p[3] for p in plans),
        cells * (voxel + max(4 * width, dtype.itemsize)),
        # u, r, q, z and voxels, then u, r, q; r and voxels, then z.
        cells * (9 * width + 2 * voxel),
        scratch_folder(scratch),
    )


def _of_run(run: Run, width: int, allowed: int) -> tuple[Run, int, int, int]:
    """Return a run with its thickness, the planes labelled at once, and the memory of it."""
    n, *across = run.settings.layout.shape
    plane = math.prod(across)
    slabs = slabs_of(run, 2)
    shapes, _ = coarsening(run.settings.layout.shape, run.settings.strengths)
    cells = sum(map(math.prod, shapes[1:])) * width // 4
    least = slabs.up + slabs.up % 2  # a skirt is no thicker than a slab
    most = max(least, min(MOST_PLANES, n) // 2 * 2)

    def memory(thickness: int) -> int:
        voxels = (thickness + 2 * slabs.up) * plane * width // 4
        return PROGRAMS + cells * LEVEL + max(cells * CYCLE, voxels * SLAB + min(voxels * KEPT, MOST_KEPT))

    thickness = next((t for t in range(most, least, -2) if memory(t) <= allowed), least)
    each = plane * (LABELS + 2 * width)
    at_once = int(min(max((allowed - PROGRAMS) // each, 1), AT_ONCE, n))
    return run, thickness, at_once, max(memory(thickness), PROGRAMS + at_once * each)


def not_from_disk(boundaries: Boundaries, options: Mapping[str, Any]) -> str | None:
    """Return which of the options of `conductivity` keeps an image from being solved from disk;
    None if none does.
    """
    if options.get("axis") == "all" and boundaries.whole:
        return "axis='all' (one axis at a time is: its value is on the tensor's diagonal)"
    if options.get("gradient") is True:
        return "gradient=True (a store is not kept in memory)"
    for name in ("shape", "x0", "fields", "budget", "segmentation", "checkpoint"):
        given = options.get(name)
        if given is not None and not (isinstance(given, bool | tuple) and not given):
            return f"{name}="
    values, fluid = options.get("values"), options.get("fluid")
    entries = list(values.values()) if isinstance(values, Mapping) else []
    # Within jax.jit even a new array of zeros is traced, whatever the arguments are.
    if any(map(is_traced, (*entries, fluid, jax.device_put(np.zeros((), np.float32))))):
        return "the transformation of JAX"
    return None

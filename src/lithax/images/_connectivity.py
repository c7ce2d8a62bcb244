"""How much of a phase hangs together, reaches a face, or spans the image."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.chunked import EDGE, StateFunction, find_components, spanning
from lithax.grid import triple
from lithax.images._call import gather_inputs, world_of
from lithax.images._collective import check_same, together
from lithax.images._identity import call_of
from lithax.images._reduce import PreparedReduce, make_reader
from lithax.images._run import Run


@dataclass(frozen=True)
class Connectivity:
    """The parts of a phase by how they are connected (through voxel faces, 6 neighbours).

    All fractions have the same denominator, `selected`: the voxels of the region of interest.
    """

    selected: int
    """Voxels of the region of interest."""
    components: int
    """Number of connected components of the phase."""
    total: int
    """Voxels of the phase."""
    connected: int
    """Voxels in components that touch the border of the region of interest."""
    isolated: int
    """Voxels in components that do not."""
    percolating: tuple[int, int, int]
    """Voxels in components that reach from the first to the last layer of the image, along x, y and
    z.
    """
    largest: int
    """Voxels of the largest component."""

    def fraction(self, name: str) -> Any:
        """Return one of the counts divided by `selected` [-]."""
        value = getattr(self, name)
        return tuple(v / self.selected for v in value) if isinstance(value, tuple) else value / self.selected


def connectivity(
    image: Any,
    *,
    phases: int | Collection[int] | None = None,
    where: Any = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> Connectivity:
    """Find how a phase is connected; blocks are labelled apart and joined across their faces, in
    bounded memory.

    Parameters
    ----------
    image
        Boolean image of the phase, or a segmentation.
    phases
        The values of a segmentation that make the phase; without them, everything but 0 or False.
    where
        The region of interest, as for `chunk_map`. Its border counts as a face: a component that
        touches it may go on outside.
    memory_limit, workers, world, progress
        As for `chunk_map`.

    Raises
    ------
    TypeError
        If the image is neither boolean nor of integers.
    ValueError
        If `where` selects no voxel.
    """
    world = world_of("connectivity", (image,), world)
    with together(world):
        prepared = prepare_connectivity(
            "connectivity",
            image,
            where=where,
            memory_limit=memory_limit,
            workers=workers,
            world=world,
            progress=progress,
        )
        prepared.check_memory()
        inputs, run = prepared.inputs, prepared.run
        wanted = None if phases is None else tuple(np.atleast_1d(np.asarray(phases)).tolist())
        check_same(world, "connectivity", lambda: call_of(inputs, phases=phases))

        def phase(values: np.ndarray) -> np.ndarray:
            return values != 0 if wanted is None else np.isin(values, wanted)

        found = find_components(
            prepared.reader,
            phase,
            world,
            workers=run.workers,
            label="connected components",
            show_progress=run.progress and world.first,
        )
    if found.selected == 0:
        raise ValueError(f"where={inputs.where!r} selects no voxel, so there is nothing to connect.")
    total, connected = int(found.voxels.sum()), found.touching(EDGE)
    return Connectivity(
        selected=found.selected,
        components=int(found.count.sum()),
        total=total,
        connected=connected,
        isolated=total - connected,
        percolating=triple(found.touching(spanning(axis)) for axis in range(3)),
        largest=int(found.largest.max()),
    )


def prepare_connectivity(
    name: str,
    image: Any,
    *,
    phases: Any = None,
    where: Any = None,
    memory_limit: Any = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> PreparedReduce:
    """Check a call of `connectivity` and choose its blocks."""
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "biu":
        raise TypeError(
            f"image has dtype {dtype}; give a boolean image or a segmentation (make one with lx.ops.threshold)."
        )
    inputs = gather_inputs(name, (image,), where, world)
    run = Run("jax", None, memory_limit, workers, world, progress).settled(inputs.world)
    halo = (1, 1, 1) if inputs.selection is not None else (0, 0, 0)
    reader = make_reader(inputs, (halo,), run)
    # Labels, sizes and what they touch, while a block is labelled.
    labels = StateFunction(lambda read: None, 16 * math.prod(reader.layout.block))
    return PreparedReduce("connectivity", inputs, reader, labels, False, replace(run, backend="numpy"))

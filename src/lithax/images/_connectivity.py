"""How much of a phase hangs together, reaches a face, or spans the image."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.chunked import EDGE, components_pass, spanning
from lithax.grid import triple
from lithax.images._pass_driver import run_algorithm
from lithax.images._plan import Plan, plans
from lithax.images._plan_passes import Algorithm, ImageCall, Passes, plan_algorithm
from lithax.images._prepare_pass import WholeImage
from lithax.images._run import Run, pop_fields


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
    call, algorithm = _call(image, phases, where, Run("numpy", None, memory_limit, workers, world, progress))
    _, found = run_algorithm(call, (image,), algorithm)
    if found.selected == 0:
        raise ValueError(f"where={where!r} selects no voxel, so there is nothing to connect.")
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


def _call(image: Any, phases: Any, where: Any, run: Run) -> tuple[ImageCall, Algorithm]:
    """Check a call of `connectivity`; return it with its one pass."""
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise TypeError(f"image is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array.")
    dtype = np.dtype(str(image.dtype).rsplit(".", 1)[-1])
    if dtype.kind not in "biu":
        raise TypeError(
            f"image has dtype {dtype}; give a boolean image or a segmentation (make one with lx.ops.threshold)."
        )
    wanted = None if phases is None else tuple(np.atleast_1d(np.asarray(phases)).tolist())

    def phase(values: np.ndarray) -> np.ndarray:
        return values != 0 if wanted is None else np.isin(values, wanted)

    def algorithm(whole: WholeImage) -> Passes:
        selects = whole.inputs.selection is not None
        found = yield components_pass("connected components", whole.image, phase, whole.layout(), selects)
        return found

    return ImageCall("connectivity", {"phases": wanted}, where, run=run), algorithm


@plans(connectivity)
def _plan(image: Any, *, phases: Any = None, where: Any = None, **options: Any) -> Plan:
    run = pop_fields(Run, options)
    if options:
        raise TypeError(f"connectivity() got the unexpected keyword {min(options)!r}.")
    call, algorithm = _call(image, phases, where, run)
    return plan_algorithm(call, (image,), algorithm)

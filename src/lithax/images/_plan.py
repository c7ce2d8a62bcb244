"""What a call would do: blocks, bytes and memory, before any voxel is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.images._call import merge_parameters, size_text
from lithax.images._chunk_map import chunk_map
from lithax.images._outputs import Output
from lithax.images._prepare_map import prepare_map
from lithax.images._reduce import PreparedReduce, chunk_reduce, measured_at_random, prepare_reduce, random_voxels
from lithax.images._run import Run, pop_fields
from lithax.images._voxel_image import VoxelImage


@dataclass(frozen=True)
class Plan:
    """A call of a combinator, worked out."""

    function: str
    image_shape: tuple[int, int, int]
    block_shape: tuple[int, int, int]
    """Voxels of the result that one block computes."""
    halos: tuple[tuple[int, int, int], ...]
    """Voxels read beyond the block, per input."""
    blocks: int
    workers: int
    compilations: int
    bytes_read: int
    """Bytes of voxels that blocks ask for, halos included; chunks read again come from memory as
    far as they fit.
    """
    bytes_written: int
    """Bytes of voxels of the results, before compression."""
    memory: int
    """Upper bound of the memory in use besides what the program holds already [byte]."""
    memory_limit: int
    blocks_on_devices: int | None = None
    """Blocks that the devices hold at a time, by their memory budgets; None: as many as there are
    workers.
    """
    state_bytes: int | None = None
    """Length of what a measurement keeps of a block, before states are joined [byte]; None for a
    map, or if not known.
    """
    bytes_exchanged: int = 0
    """What each process receives from all others at the end of a measurement, at most [byte]."""
    seconds: float | None = None
    """What the call is expected to take [s]; None: not known."""
    scratch: int = 0
    """Bytes on disk while a solve goes on that does not fit into memory; `memory` is then what it
    takes all the same.
    """
    scratch_traffic: int = 0
    """Bytes read and written there in each of its steps."""

    @property
    def fits(self) -> bool:
        """Whether the call would be let through."""
        return self.memory <= self.memory_limit

    def __str__(self) -> str:
        rows = [
            ("function", self.function),
            ("image", f"{' x '.join(map(str, self.image_shape))} voxels"),
            ("blocks", f"{self.blocks} of {' x '.join(map(str, self.block_shape))}, {self.workers} at a time"),
            ("halo", ", ".join(map(str, self.halos))),
            ("compilations", str(self.compilations)),
            ("to read", size_text(self.bytes_read)),
            ("to write", size_text(self.bytes_written)),
            ("memory", f"at most {size_text(self.memory)} (limit {size_text(self.memory_limit)})"),
        ]
        if self.blocks_on_devices is not None:
            rows.append(("on devices", f"{self.blocks_on_devices} blocks at a time"))
        if self.bytes_exchanged:
            rows.append(("to exchange", f"at most {size_text(self.bytes_exchanged)} between processes"))
        if self.scratch:
            each = size_text(self.scratch_traffic)
            rows.append(("scratch", f"{size_text(self.scratch)} on disk, {each} read and written in a step"))
        if self.seconds is not None:
            rows.append(("time", f"about {self.seconds:.3g} s"))
        return "\n".join(f"{name:<13} {value}" for name, value in rows)


_RULES = ("where", "where_input", "boundary", "boundary_value", "halo", "geometry", "seed")
_PLANNERS: dict[Callable[..., Any], Callable[..., Plan]] = {}


def plans(function: Callable[..., Any]) -> Callable[[Callable[..., Plan]], Callable[..., Plan]]:
    """Let `plan` answer for `function` by what is decorated, which takes the same arguments."""

    def register(planner: Callable[..., Plan]) -> Callable[..., Plan]:
        _PLANNERS[function] = planner
        return planner

    return register


def plan(combinator: Callable[..., Any], /, *images: Any, **options: Any) -> Plan:
    """Work out what ``combinator(*images, **options)`` would do. Reads no voxel and writes nothing;
    compiles.

    Parameters
    ----------
    combinator
        `chunk_map`, `chunk_reduce`, `connectivity`, `pyramid`, `verify`, a function of
        `lithax.measure` or of `lithax.fields`, the methods `copy` and `content_hash` of an image;
        or `lithax.dect.invert`, whose time is predicted as well, for which it does read a few
        blocks and invert a part of them. How many passes a measurement takes may depend on the
        voxels; it is planned as for voxels of random values.
    *images, **options
        As for the function itself: its function or its measurement, the images, and the rest.
    """
    if (owner := getattr(combinator, "__self__", None)) is not None:
        combinator, images = getattr(combinator, "__func__", combinator), (owner, *images)
    if not images:
        raise TypeError("plan() needs the arguments of the function that is planned, too.")
    if getattr(combinator, "measures_images", False):
        return plan_measurement(combinator, images, options)
    if combinator in _PLANNERS:
        return _PLANNERS[combinator](*images, **options)
    known = ", ".join(sorted(f.__qualname__ for f in _PLANNERS))
    raise TypeError(f"plan() knows the functions of lx.measure, {known}; not {combinator!r}.")


@plans(chunk_map)
def plan_map(first: Any, /, *images: Any, **options: Any) -> Plan:
    output, run = pop_fields(Output, options), pop_fields(Run, options)
    rules = {name: options.pop(name) for name in _RULES if name in options}
    parameters = merge_parameters(options.pop("parameters", None), options)
    prepared = prepare_map("plan", first, images, parameters, output=output, run=run, **rules)
    blocks = len(prepared.layout.grid)
    return Plan(
        function=repr(prepared.program),
        image_shape=prepared.inputs.frame.shape,
        block_shape=prepared.layout.block,
        halos=prepared.program.halos(len(images)),
        blocks=blocks,
        workers=min(prepared.run.workers, blocks),
        compilations=1 if prepared.backend == "jax" else 0,
        bytes_read=prepared.bytes_read,
        bytes_written=sum(form.nbytes for form in prepared.forms),
        memory=prepared.working_bytes + prepared.held,
        memory_limit=prepared.run.memory_limit,
        blocks_on_devices=prepared.function.at_once,
    )


@plans(chunk_reduce)
def _plan_reduce(measure: Any, /, *images: Any, **options: Any) -> Plan:
    run = pop_fields(Run, options)
    return plan_of_reduce(prepare_reduce("plan", measure, images, run=run, **options))


def plan_of_reduce(prepared: PreparedReduce) -> Plan:
    """Return the plan of a measurement that is prepared."""
    grid = prepared.reader.layout.grid
    return Plan(
        function=prepared.name,
        image_shape=prepared.inputs.frame.shape,
        block_shape=prepared.reader.layout.block,
        halos=prepared.reader.halos,
        blocks=len(grid),
        workers=min(prepared.run.workers, len(grid)),
        compilations=1 if prepared.run.backend == "jax" else 0,
        bytes_read=len(grid) * prepared.block_bytes,
        bytes_written=0,
        memory=prepared.memory,
        memory_limit=prepared.run.memory_limit,
        blocks_on_devices=prepared.state.at_once,
        state_bytes=prepared.state.state_bytes,
        bytes_exchanged=prepared.bytes_exchanged,
    )


def plan_measurement(function: Callable[..., Any], images: Sequence[Any], options: Mapping[str, Any]) -> Plan:
    """Plan a function of `lithax.measure`: it is run on an image whose passes are planned instead
    of made.
    """
    first, *rest = images
    if not isinstance(first, VoxelImage):
        raise TypeError(f"the image of plan() is a {type(first).__name__}; give an image (lx.open, lx.from_array).")
    rehearsed = _Rehearsed(first)
    try:
        function(rehearsed, *rest, **options)
    except (ValueError, ArithmeticError):
        # Random voxels may have no second peak. What the call itself is refused for is refused
        # before its first pass.
        if not rehearsed.passes:
            raise
    return joined_plan(f"{function.__name__} in {len(rehearsed.passes)} passes", rehearsed.passes)


def joined_plan(name: str, passes: Sequence[Plan]) -> Plan:
    """Return the plan of several passes one after the other: their bytes add up, the largest needs
    the memory.
    """
    largest = max(passes, key=lambda p: p.memory)
    return replace(
        largest,
        function=name,
        blocks=sum(p.blocks for p in passes),
        compilations=sum(p.compilations for p in passes),
        bytes_read=sum(p.bytes_read for p in passes),
        bytes_written=sum(p.bytes_written for p in passes),
        bytes_exchanged=sum(p.bytes_exchanged for p in passes),
    )


class _Rehearsed:
    """Stands for an image in a measurement: each pass is planned, and a few random voxels are
    measured in its place.
    """

    def __init__(self, image: VoxelImage):
        self.image, self.passes = image, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.image, name)

    def __getitem__(self, selection: Any) -> np.ndarray:
        none = np.broadcast_to(np.empty(()), self.image.shape)[selection]
        return random_voxels(none.shape, self.image.dtype)

    def reduce(self, measurement: Any, *others: Any, where: Any = None, fn: Any = None, **options: Any) -> Any:
        self.passes.append(_plan_reduce(measurement, self.image, *others, where=where, fn=fn, **options))
        return measured_at_random(measurement, (self.image, *others), fn)

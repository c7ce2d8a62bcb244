"""What a call would do: blocks, bytes and memory, before any voxel is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lithax.chunked import ALLOCATOR_OVERHEAD, ANY_MACHINE, CACHE_OVERHEAD, FIXED_BYTES, choose_layout
from lithax.images._call import cache_bytes, gather_inputs, limit_or_default, merge_parameters, workers_or_default
from lithax.images._chunk_map import chunk_map, prepare_map, size_text
from lithax.images._reduce import chunk_reduce
from lithax.ops import Program, as_steps


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
    """Bytes of voxels that blocks ask for, halos included; chunks read again come from memory as far as they fit."""
    bytes_written: int
    """Bytes of voxels of the results, before compression."""
    memory: int
    """Upper bound of the memory in use besides what the program holds already [byte]."""
    memory_limit: int

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
        return "\n".join(f"{name:<13} {value}" for name, value in rows)


def plan(combinator: Callable[..., Any], first: Any, /, *images: Any, **options: Any) -> Plan:
    """Work out what ``combinator(first, *images, **options)`` would do. Reads no voxel and writes nothing; compiles.

    Parameters
    ----------
    combinator
        `chunk_map` or `chunk_reduce`.
    first, *images, **options
        As for the combinator itself: its function or its measurement, the images, and the rest.
    """
    if combinator is chunk_reduce:
        return _plan_reduce(first, images, **options)
    if combinator is not chunk_map:
        raise TypeError(f"plan() knows lx.chunk_map and lx.chunk_reduce, not {combinator!r}.")
    for name in ("path", "overwrite", "field_name", "field_unit", "progress", "resume", "resume_key", "hash_inputs"):
        options.pop(name, None)
    own = [
        "where",
        "where_input",
        "out",
        "store",
        "chunks",
        "shards",
        "dtype",
        "fill_value",
        "boundary",
        "boundary_value",
        "halo",
        "seed",
        "backend",
        "device",
        "memory_limit",
        "workers",
        "world",
    ]
    known = {k: options.pop(k) for k in own if k in options}
    parameters = merge_parameters(options.pop("parameters", None), options)
    prepared = prepare_map("plan", first, images, parameters, **known)
    request = prepared.request
    blocks = len(prepared.layout.grid)
    return Plan(
        function=repr(prepared.program),
        image_shape=prepared.inputs.frame.shape,
        block_shape=prepared.layout.block,
        halos=prepared.program.halos(len(images)),
        blocks=blocks,
        workers=min(prepared.workers, blocks),
        compilations=1 if prepared.backend == "jax" else 0,
        bytes_read=blocks
        * sum(math.prod(s) * d.itemsize for s, d in zip(request.block_shapes, request.dtypes, strict=True)),
        bytes_written=math.prod(prepared.layout.shape) * sum(d.itemsize for d in prepared.kernel.out_dtypes),
        memory=prepared.working_bytes + prepared.held,
        memory_limit=prepared.limit,
    )


def _plan_reduce(
    measure: Any,
    images: tuple[Any, ...],
    *,
    fn: Callable[..., Any] | None = None,
    where: Any = None,
    memory_limit: Any = None,
    workers: Any = None,
    world: Any = None,
    **_: Any,
) -> Plan:
    inputs = gather_inputs("plan", images, where, world)
    count = workers_or_default(workers)
    limit = limit_or_default(memory_limit)
    halos = [(0, 0, 0)] * len(images)
    name = type(measure).__name__
    if fn is not None:
        program = Program(as_steps(fn))
        halos[0] = program.halos(1)[0]
        name = f"{name} of {program!r}"
    chunks = inputs.sources[0].chunks
    layout = choose_layout(inputs.frame.shape, [chunks], [chunks], ANY_MACHINE)
    sources = inputs.sources + (inputs.selection.sources if inputs.selection is not None else ())
    every = halos + [max(halos)] * (len(sources) - len(halos))
    padded = [math.prod(b + 2 * h for b, h in zip(layout.block, halo, strict=True)) for halo in every]
    # A block, its decoded chunk and one intermediate for each image; flags; what a filter returns and works with.
    each = sum(3 * n * s.dtype.itemsize for n, s in zip(padded, sources, strict=True)) + 8 * padded[0]
    each += 0 if fn is None else 16 * padded[0]
    blocks = len(layout.grid)
    at_once = min(count, blocks)
    cache = cache_bytes(sources, every, layout.block, limit)
    return Plan(
        function=name,
        image_shape=inputs.frame.shape,
        block_shape=layout.block,
        halos=tuple(halos),
        blocks=blocks,
        workers=at_once,
        compilations=1,
        bytes_read=blocks * sum(n * s.dtype.itemsize for n, s in zip(padded, sources, strict=True)),
        bytes_written=0,
        memory=int(ALLOCATOR_OVERHEAD * at_once * each) + FIXED_BYTES + int(CACHE_OVERHEAD * cache),
        memory_limit=limit,
    )

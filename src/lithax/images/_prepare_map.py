"""A call of `chunk_map`, worked out: checked, cut into blocks, compiled and weighed, before
anything is read or written.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lithax.chunked import (
    ALLOCATOR_OVERHEAD,
    ANY_MACHINE,
    CACHE_OVERHEAD,
    ELEMENTWISE_OVERHEAD,
    FIXED_BYTES,
    BlockReader,
    ChunkCache,
    Layout,
    MapFunction,
    MapRequest,
    choose_layout,
    choose_part,
    evaluation_bytes,
    largest_chunk,
    map_function,
)
from lithax.errors import MemoryLimitError
from lithax.geometry import Frame
from lithax.grid import ChunkGrid, Index, triple
from lithax.images._call import NOT_COMPILED, Inputs, cache_bytes, check_halo_fits, gather_inputs, size_text
from lithax.images._derived_array import stored_origins
from lithax.images._outputs import Form, Output, images_of
from lithax.images._run import Run
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import as_source
from lithax.measure import noise
from lithax.ops import PlainFunction, Program, as_steps
from lithax.storage import locate, resolve_chunks, voxel_dtype


@dataclass
class PreparedMap:
    """A call of `chunk_map`, checked and compiled, before anything is read or written."""

    inputs: Inputs
    program: Program
    request: MapRequest
    function: MapFunction
    layout: Layout
    frame: Frame
    chunks: tuple[Index, ...]
    shards: tuple[Index | None, ...]
    out: tuple[VoxelImage, ...] | None
    in_place: bool
    run: Run
    cache: int
    held: int
    """Bytes of results that stay in memory."""
    states: list[dict[str, Any]] = field(default_factory=list)
    """What the inputs held when the call began, known by the first process of calls whose output
    outlives them.
    """

    @property
    def forms(self) -> list[Form]:
        """What the results will be."""
        parts = zip(self.function.out_dtypes, self.chunks, self.shards, strict=True)
        return [Form(self.frame, *part) for part in parts]

    @property
    def bytes_read(self) -> int:
        """Bytes of voxels that blocks ask for, halos included."""
        request = self.request
        each = sum(math.prod(s) * d.itemsize for s, d in zip(request.block_shapes, request.dtypes, strict=True))
        return len(self.layout.grid) * len(ChunkGrid(self.layout.block, request.core)) * each

    @property
    def many(self) -> bool:
        """Whether there are several results."""
        return len(self.function.out_dtypes) > 1

    @property
    def backend(self) -> Any:
        """What computes."""
        return self.run.backend

    @property
    def reader(self) -> BlockReader:
        """What reads the blocks of the inputs."""
        inputs, scale = self.inputs, self.program.scale
        inner = triple(math.ceil(c * s) for c, s in zip(self.function.core, scale, strict=True))
        return BlockReader(
            inputs.sources,
            Layout(inputs.frame.shape, inner),
            inputs.selection,
            ChunkCache(self.cache),
            self.backend == "jax",
            self.program.halos(len(inputs.sources)),
            *self.program.reading_rule,
            replaces=False,
        )

    @property
    def working_bytes(self) -> int:
        """An upper bound of the memory that the call needs besides results that stay in memory
        [byte].
        """
        cut = _Blocks(self.layout, self.request, self.chunks, self.shards, self.cache)
        return _working_bytes(
            cut, self.inputs, self.run, [d.itemsize for d in self.function.out_dtypes], self.function.temporary_bytes
        )

    def check_memory(self) -> None:
        """Raise MemoryLimitError if the call needs more memory than it may."""
        _check_memory(self.working_bytes, self.held, self.run, self.program)


@dataclass(frozen=True)
class _Blocks:
    """How a call is cut: the blocks, what one of them is, and the grids of the results."""

    layout: Layout
    request: MapRequest
    chunks: tuple[Index, ...]
    shards: tuple[Index | None, ...]
    cache: int


def prepare_map(
    name: str,
    fn: Callable[..., Any],
    images: Sequence[Any],
    parameters: Mapping[str, Any],
    *,
    output: Output | None = None,
    run: Run | None = None,
    where: Any = None,
    where_input: str = "exclude",
    boundary: str | None = None,
    boundary_value: Any = None,
    halo: Any = None,
    geometry: str = "same",
    seed: int = 0,
) -> PreparedMap:
    """Check a call of `chunk_map`, choose its blocks and compile its function.

    The four steps: what is computed on which images, where the results go, how the work is cut, the
    compiled function. A call that no memory holds is refused before it is compiled, by what its
    shapes need at least; what the compiled function needs is for `PreparedMap.check_memory`.
    """
    output, run = output or Output(), run or Run()
    inputs = gather_inputs(name, images, where, run.world, parameters, geometry)
    program = _program(fn, inputs, parameters, where_input, halo, boundary, boundary_value)
    run = run.settled(inputs.world)
    program = _with_noise(program, inputs, where, run, name == "plan")
    if program.host:
        run = replace(run, backend="numpy", device=None)
    frame, in_place = _results(inputs, program, output, images)
    cut = _cut(inputs, program, output, run, frame, guards=where_input == "exclude", seed=seed)
    _check_least(name, cut, inputs, program, output, run, frame)
    request, function = _compiled(cut.request, program, output, run)
    count = len(function.out_dtypes)
    if len(cut.chunks) not in (1, count):
        raise ValueError(f"chunks are given for {len(cut.chunks)} results, {program!r} returns {count} arrays.")
    chunks = cut.chunks * count if len(cut.chunks) == 1 else cut.chunks
    shards = cut.shards * count if len(cut.shards) == 1 else cut.shards
    held = _held(output, frame, [d.itemsize for d in function.out_dtypes])
    return PreparedMap(
        inputs, program, request, function, cut.layout, frame, chunks, shards, output.images, in_place, run, cut.cache,
        held,
    )  # fmt: skip


def _program(
    fn: Callable[..., Any],
    inputs: Inputs,
    parameters: Mapping[str, Any],
    where_input: str,
    halo: Any,
    boundary: str | None,
    boundary_value: Any,
) -> Program:
    """Return what is computed, checked against the images and the selection."""
    if where_input not in ("exclude", "keep"):
        raise ValueError(f"where_input={where_input!r} must be 'exclude' or 'keep'.")
    count = len(inputs.images)
    program = Program(as_steps(fn, parameters, halo=halo, boundary=boundary, boundary_value=boundary_value))
    program = program.in_voxels(inputs.frame).on_images(inputs.frame.shape)
    step = program.steps[0]
    if isinstance(step.op, PlainFunction) and isinstance(halo, list) and len(halo) != count:
        raise ValueError(f"halo={halo!r} lists {len(halo)} halos for {count} images; give one per image.")
    wanted = step.op.inputs
    if wanted is not None and wanted != count:
        raise TypeError(f"{step.op.name} takes {wanted} image(s), {count} were given.")
    if inputs.selection is not None and program.scale != (1, 1, 1):
        raise ValueError(
            f"where=... cannot be used with {program!r}, whose result is on another grid; fill or mask the image first."
        )
    if inputs.selection is not None and where_input == "exclude":
        program.check_selection()
    return program


def _with_noise(program: Program, inputs: Inputs, where: Any, run: Run, planned: bool) -> Program:
    """Return the program with the noise of the first image where its first step has to know it and
    is not told; a plan, which reads no voxel, takes any.
    """
    step = program.steps[0]
    with_noise = getattr(step.op, "with_noise", None)
    if with_noise is None:
        return program
    step.op.halos(step.parameters, len(inputs.images))  # what is wrong is refused before anything is read
    options = {"memory_limit": run.memory_limit, "workers": run.workers, "world": run.world, "progress": False}
    image = inputs.images[0]
    parameters = with_noise(step.parameters, lambda: 1.0 if planned else noise(image, where, **options))
    return Program((replace(step, parameters=parameters), *program.steps[1:]))


def _results(inputs: Inputs, program: Program, output: Output, images: Sequence[Any]) -> tuple[Frame, bool]:
    """Return the frame of the results, and whether one of them is an input; check the images that
    are written into.
    """
    frame = inputs.frame
    if program.scale != (1, 1, 1):
        # A last voxel that reaches beyond the image sees there what the boundary rule says.
        shape = tuple(math.ceil(n / s) for n, s in zip(frame.shape, program.scale, strict=True))
        frame = frame.rescaled(tuple(map(float, program.scale)), shape=shape)
    in_place = False
    for target in output.images or ():
        if not isinstance(target, VoxelImage):
            raise TypeError(f"out is a {type(target).__name__}; give an image to write into.")
        as_source(target, frame, "out", "the result")
        target.stored.check_writable()
        in_place |= any(same_place(target, i) for i in (*images, *images_of(inputs.where)))
    if in_place and not program.elementwise:
        raise ValueError(
            f"out is one of the inputs, but {program!r} looks at neighbouring voxels, some of which would be overwritten before they are read; "
            f"write to another image."
        )
    return frame, in_place


def _cut(
    inputs: Inputs, program: Program, output: Output, run: Run, frame: Frame, *, guards: bool, seed: Any
) -> _Blocks:
    """Choose the blocks, and say what one of them is."""
    outs, selects = output.images, inputs.selection is not None
    chunks, shards = _grids(inputs, output, frame)
    units = [s or c for c, s in zip(chunks, shards, strict=True)]
    multiple = tuple(s.denominator for s in program.scale)
    # The same blocks everywhere: a run that was cut off on this machine may go on elsewhere, on
    # other numbers of processes.
    layout = choose_layout(frame.shape, chunks, units, ANY_MACHINE, multiple)
    halos = program.halos(len(inputs.images))
    core = layout.block
    if not any(map(any, halos)):
        core = choose_part(layout, program.scale, [s.chunks for s in inputs.sources])
    inner = triple(math.ceil(c * s) for c, s in zip(core, program.scale, strict=True))
    request = MapRequest(
        program=program,
        block_shapes=tuple(triple(c + 2 * h for c, h in zip(inner, halo, strict=True)) for halo in halos),
        dtypes=tuple(s.dtype for s in inputs.sources),
        core=core,
        image_shape=inputs.frame.shape,
        spacing=inputs.frame.voxel_length,
        origin=inputs.frame.voxel_origin,
        selects=selects,
        guards=selects and guards,
        keeps_old=outs is not None and selects,
        fill_values=None,
        out_dtypes=_dtypes(output),
        seed=_seed(seed),
    )
    sources = inputs.sources + (inputs.selection.sources if inputs.selection is not None else ())
    every = halos + (halos[0],) * (len(sources) - len(halos))
    return _Blocks(layout, request, chunks, shards, cache_bytes(sources, every, inner, run.memory_limit))


def _compiled(request: MapRequest, program: Program, output: Output, run: Run) -> tuple[MapRequest, MapFunction]:
    """Compile the function of a block, and check what it returns against where it goes."""
    fill, outs = output.fill_value, output.images
    if fill is not None and not request.selects:
        raise ValueError(f"fill_value={fill!r} is for voxels left out by where=, which is not given.")
    if request.selects and not request.keeps_old:
        # The default is NaN for what the function says is real, 0 for the rest: known when the
        # function is traced.
        fills = fill if isinstance(fill, tuple | list) else (fill,)
        request = replace(request, fill_values=tuple("default" if f is None else f for f in fills))
    function = map_function(request, run.backend, run.device)
    for target, natural in zip(outs or (), function.natural_dtypes, strict=False):
        if not np.can_cast(natural, target.dtype, "same_kind"):
            raise TypeError(
                f"{program!r} returns {natural}, which cannot be written into out of {target.dtype} without loss; "
                f"round or convert in the function, or write to a new image (store=...)."
            )
    if outs is not None and len(outs) != len(function.out_dtypes):
        raise ValueError(f"out has {len(outs)} images, {program!r} returns {len(function.out_dtypes)} arrays.")
    return request, function


def _working_bytes(cut: _Blocks, inputs: Inputs, run: Run, results: Sequence[int], temporary: int) -> int:
    """Return the memory that blocks in flight need, for results of these sizes [byte per voxel]."""
    request, layout, selection = cut.request, cut.layout, inputs.selection
    blocks = sum(math.prod(s) * d.itemsize for s, d in zip(request.block_shapes, request.dtypes, strict=True))
    made = math.prod(layout.block) * sum(results)
    each = blocks + largest_chunk(inputs.sources) + temporary + 2 * made
    if selection is not None:
        widest = triple(max(s[a] for s in request.block_shapes) for a in range(3))
        each += (2 + len(selection.sources)) * math.prod(widest)
        each += made if request.keeps_old else 0
        each += evaluation_bytes(selection.sources, [widest] * len(selection.sources))
    each += evaluation_bytes(inputs.sources, request.block_shapes)
    units = 0
    for shard, itemsize in zip(cut.shards, results, strict=False):
        if shard is not None and math.prod(shard) > math.prod(layout.block):
            units += 2 * math.prod(shard) * itemsize
    at_once = min(run.workers, len(layout.grid))
    fast = all(shape == request.core for shape in request.block_shapes)
    overhead = ALLOCATOR_OVERHEAD * (ELEMENTWISE_OVERHEAD if fast else 1.0)
    return int(overhead * each * at_once) + FIXED_BYTES + int(CACHE_OVERHEAD * cut.cache) + units


def _held(output: Output, frame: Frame, results: Sequence[int]) -> int:
    """Return the bytes of results of these sizes [byte per voxel] that stay in memory."""
    if output.images is not None:
        return 0
    stores = output.store if isinstance(output.store, tuple | list) else (output.store,) * len(results)
    return sum(math.prod(frame.shape) * n for n, store in zip(results, stores, strict=False) if store is None)


def _check_least(
    name: str, cut: _Blocks, inputs: Inputs, program: Program, output: Output, run: Run, frame: Frame
) -> None:
    """Refuse what no memory holds before it is compiled: results have a byte per voxel at least,
    and steps need nothing.
    """
    declared = cut.request.out_dtypes or (None,)
    least, likely = ([n if d is None else d.itemsize for d in declared] for n in (1, cut.request.dtypes[0].itemsize))
    working = _working_bytes(cut, inputs, run, least, 0)
    # A plan says what a call would need; only what cannot even be compiled is refused there.
    planned = name == "plan" and working < NOT_COMPILED
    if working + _held(output, frame, least) > run.memory_limit and not planned:
        _check_memory(working, _held(output, frame, likely), run, program)


def _check_memory(working: int, held: int, run: Run, program: Program) -> None:
    need, limit = working + held, run.memory_limit
    if need <= limit:
        return
    check_halo_fits(program.halos(program.steps[0].inputs), working, limit)
    way_out = (
        "give store= so that the result is written instead of kept, "
        if held > limit // 2
        else "use smaller chunks (image.copy(store, chunks=64)) or fewer workers (workers=1), "
    )
    raise MemoryLimitError(
        f"the call needs up to {size_text(need)} ({size_text(working)} for {run.workers} blocks in flight, "
        f"{size_text(held)} for results in memory), memory_limit is {size_text(limit)}; {way_out}or raise memory_limit."
    )


def _grids(inputs: Inputs, output: Output, frame: Frame) -> tuple[tuple[Index, ...], tuple[Index | None, ...]]:
    outs, chunks, shards = output.images, output.chunks, output.shards
    if outs is not None:
        if chunks is not None or shards is not None:
            raise ValueError("chunks= and shards= are those of out; leave them out.")
        return tuple(o.chunks for o in outs), tuple(o.shards for o in outs)
    first = inputs.first
    several = isinstance(chunks, list)
    result = []
    for c in chunks if several else (chunks,):
        if c is None and shards is None and first is not None and frame.shape == first.shape:
            result.append((first.chunks, first.shards))
        else:
            result.append(resolve_chunks(frame.shape, "auto" if c is None else c, shards, processes=inputs.world.count))
    return tuple(r[0] for r in result), tuple(r[1] for r in result)


def _dtypes(output: Output) -> tuple[np.dtype | None, ...] | None:
    dtype, outs = output.dtype, output.images
    if dtype is None:
        return None if outs is None else tuple(o.dtype for o in outs)
    if outs is not None:
        raise ValueError(f"dtype={dtype!r} is that of out; leave it out.")
    given = dtype if isinstance(dtype, tuple | list) else (dtype,)
    return tuple(None if d is None else voxel_dtype(d) for d in given)


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"seed={seed!r} must be a whole number from 0 to 2**31 - 1.")
    return int(seed)


def same_place(a: VoxelImage, b: Any) -> bool:
    """Whether an image is, or is read from, the array of another."""
    if not isinstance(b, VoxelImage):
        return False
    place = locate(a.zarray)
    return any(place.holds(stored) for stored in stored_origins(b.stored))

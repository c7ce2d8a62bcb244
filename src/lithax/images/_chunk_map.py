"""Apply a function to images of any size, block by block."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lithax.chunked import (
    ALLOCATOR_OVERHEAD,
    ANY_MACHINE,
    CACHE_OVERHEAD,
    FIXED_BYTES,
    BlockReader,
    ChunkCache,
    Layout,
    MapFunction,
    MapJob,
    MapRequest,
    choose_layout,
    choose_part,
    evaluation_bytes,
    largest_chunk,
    map_function,
    release_memory,
)
from lithax.errors import IncompleteImageError, MemoryLimitError
from lithax.geometry import Frame
from lithax.grid import Index, triple
from lithax.images._call import (
    Inputs,
    cache_bytes,
    gather_inputs,
    limit_or_default,
    merge_parameters,
    size_text,
    workers_or_default,
    world_of,
)
from lithax.images._collective import check_same, on_first, together
from lithax.images._derived_array import stored_origins
from lithax.images._history import applied_before, entry_of, is_listed, with_entry
from lithax.images._identity import comparable, describe_places, identity_of, provenance_of
from lithax.images._input_state import changed_while_read
from lithax.images._outputs import given_outputs, images_of, new_outputs
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import as_source
from lithax.ops import PlainFunction, Program, as_steps
from lithax.runtime import device_or_devices
from lithax.storage import (
    begin_journal,
    clear_journal,
    differing_parts,
    fingerprint,
    join_journal,
    locate,
    resolve_chunks,
    this_process,
    voxel_dtype,
)


def chunk_map(
    fn: Callable[..., Any],
    *images: Any,
    parameters: Mapping[str, Any] | None = None,
    where: Any = None,
    where_input: str = "exclude",
    out: Any = None,
    store: Any = None,
    path: Any = None,
    overwrite: bool = False,
    chunks: Any = None,
    shards: Any = None,
    dtype: Any = None,
    fill_value: Any = None,
    field_name: Any = None,
    field_unit: Any = None,
    boundary: str | None = None,
    boundary_value: Any = None,
    halo: Any = None,
    geometry: str = "same",
    seed: int = 0,
    backend: Any = "jax",
    device: Any = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
    resume: bool | str = False,
    resume_key: str | None = None,
    hash_inputs: bool = False,
    **keywords: Any,
) -> Any:
    """Apply a function to every voxel of one or more images, whatever their size.

    The result is that of the function on the whole array, for every chunk grid. Reading, decoding, computing, encoding and writing of
    different blocks proceed at the same time.

    Parameters
    ----------
    fn
        A voxel operation, a chain, a `functools.partial` of one, or a plain function of as many arrays as there are images. A plain function
        must be element-wise unless `halo` is given; it may return a tuple, and `out`, `store`, `dtype`, ... are then tuples, too.
    *images
        Images on one grid of voxels; the geometry of the result is that of the first. Arrays are accepted, too.
    parameters, **keywords
        Keyword arguments of `fn`. Python numbers are constants of the compiled function, arrays are its arguments.
    where
        Which voxels take part: `domain`, a region, or a boolean image or array of what to include. Voxels left out keep their
        old value (`out`) or get `fill_value`, and influence nothing.
    where_input
        "exclude": voxels left out do not influence their neighbours either, for which `fn` needs a masked form;
        "keep": only the output is restricted.
    out
        An image to write into; the first input itself for a change in place (element-wise functions only).
    store, path, overwrite, chunks, shards
        Where and how the result is stored, as for `create`; memory by default, chunks and shards of the first image by default.
    dtype
        Type of the result; by default what `fn` returns.
    fill_value
        Value of the voxels left out: by default NaN for real and complex results, 0 or False otherwise.
    field_name, field_unit
        What the result is; empty by default.
    boundary, boundary_value
        What a plain function with `halo` (or an operation that says nothing else) sees outside the image: "reflect" (default), "nearest",
        "mirror", "wrap" or "constant", as in scipy.ndimage.
    halo
        How far a plain function looks [voxel]: an integer, a tuple of three, or a list with one of these per image. It may return the core or
        the padded shape.
    geometry
        "same": images whose voxels are more than 1e-6 of a voxel from those of the first are refused. "first": origin, voxel length and
        unit of the others are disregarded, the voxels of one index belong together.
    seed
        For operations with a context that are random.
    backend
        "jax" (compiled), "numpy", "torch", "cupy", or an array-API namespace.
    device
        Where the backend computes: one of its devices, or for JAX a tuple of them, to which blocks go in turn. None: the devices of
        `lithax.runtime.using`, or all accelerators that `lithax.runtime.devices` names.
    memory_limit
        The call is refused if it would need more [byte]; half of the free memory by default. Text such as "2 GiB" is understood.
    workers
        Blocks in flight; by default a quarter more than there are cores.
    world
        The processes that share the work; that of the images by default.
    progress
        Show a bar for work longer than a second.
    resume
        Go on with the unfinished output of an equal call that was interrupted. "force" skips the comparison of the two calls.
    resume_key
        Names the computation where it cannot be known (plain functions on backends other than JAX).
    hash_inputs
        Compute the content hash of inputs that have none, for the record of what the result came from.

    Returns
    -------
        The result as a `VoxelImage` (a tuple of them if `fn` returns a tuple).

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.
    NotElementwiseError
        If a plain function without halo looks at more than one voxel.
    MemoryLimitError
        If more memory than `memory_limit` would be needed.
    FileExistsError, LockedError, ResumeError, IncompleteImageError
        If the output is there already, is being written, or cannot be resumed.
    """
    if resume not in (True, False, "force"):
        raise ValueError(f"resume={resume!r} must be True, False or 'force'.")
    world = world_of("chunk_map", (*images, *(out if isinstance(out, tuple | list) else (out,))), world)
    with together(world):
        prepared = prepare_map(
            "chunk_map",
            fn,
            images,
            merge_parameters(parameters, keywords),
            where=where,
            where_input=where_input,
            out=out,
            store=store,
            chunks=chunks,
            shards=shards,
            dtype=dtype,
            fill_value=fill_value,
            boundary=boundary,
            boundary_value=boundary_value,
            halo=halo,
            geometry=geometry,
            seed=seed,
            backend=backend,
            device=device,
            memory_limit=memory_limit,
            workers=workers,
            world=world,
        )
        prepared.check_memory()
        for handle in prepared.inputs.images:
            if isinstance(handle, VoxelImage):
                if handle.stored.metadata.state != "complete" and not (resume and prepared.in_place):
                    raise IncompleteImageError(
                        f"the image at {handle.stored.where} was cut off while it was written; repeat that call with resume=True."
                    )
                for stored in stored_origins(handle.stored) if hash_inputs else ():
                    if stored.metadata.content_hash is None:
                        VoxelImage(stored, handle.world).content_hash()
        recorded = store is not None or prepared.out is not None
        identity = identity_of(prepared, resume_key, needed=bool(resume), recorded=recorded)
    places = {"store": describe_places(store), "path": path, "overwrite": overwrite, "resume": resume}
    check_same(world, "chunk_map", lambda: comparable(identity) | places | {"blocks": prepared.layout})
    # What the first process knows is what is recorded: another one may have opened an input before its hash was stored.
    identity = world.broadcast(identity)
    if prepared.in_place and resume and _applied(prepared, identity, resume_key):
        assert prepared.out is not None
        return prepared.out if prepared.many else prepared.out[0]
    if prepared.out is not None:
        outputs, finished = given_outputs(prepared, store, path, resume), False
    else:
        outputs, finished = new_outputs(
            prepared,
            identity,
            store=store,
            path=path,
            overwrite=overwrite,
            field_name=field_name,
            field_unit=field_unit,
            resume=resume,
        )
    if not finished:
        _run(prepared, outputs, identity, resume, resume_key, progress)
        release_memory(prepared.working_bytes)
    return tuple(outputs) if prepared.many else outputs[0]


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
    many: bool
    backend: Any
    workers: int
    cache: int
    limit: int
    held: int
    """Bytes of results that stay in memory."""
    states: list[dict[str, Any]] = field(default_factory=list)
    """What the inputs held when the call began, known by the first process of calls whose output outlives them."""

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
        """An upper bound of the memory that the call needs besides results that stay in memory [byte]."""
        request, itemsize = self.request, [d.itemsize for d in self.request.dtypes]
        blocks = [math.prod(s) * i for s, i in zip(request.block_shapes, itemsize, strict=True)]
        results = sum(math.prod(self.layout.block) * d.itemsize for d in self.function.out_dtypes)
        each = sum(blocks) + largest_chunk(self.inputs.sources) + self.function.temporary_bytes + 2 * results
        if self.inputs.selection is not None:
            widest = tuple(max(s[a] for s in request.block_shapes) for a in range(3))
            each += (2 + len(self.inputs.selection.sources)) * math.prod(widest)
            each += results if request.keeps_old else 0
            each += evaluation_bytes(self.inputs.selection.sources, [widest] * len(self.inputs.selection.sources))
        each += evaluation_bytes(self.inputs.sources, request.block_shapes)
        units = 0
        for shard, d in zip(self.shards, self.function.out_dtypes, strict=True):
            if shard is not None and math.prod(shard) > math.prod(self.layout.block):
                units += 2 * math.prod(shard) * d.itemsize
        blocks_at_once = min(self.workers, len(self.layout.grid))
        return int(ALLOCATOR_OVERHEAD * each * blocks_at_once) + FIXED_BYTES + int(CACHE_OVERHEAD * self.cache) + units

    def check_memory(self) -> None:
        """Raise MemoryLimitError if the call needs more memory than it may."""
        need = self.working_bytes + self.held
        if need > self.limit:
            way_out = (
                "give store= so that the result is written instead of kept, "
                if self.held > self.limit // 2
                else "use smaller chunks (image.copy(store, chunks=64)) or fewer workers (workers=1), "
            )
            raise MemoryLimitError(
                f"the call needs up to {size_text(need)} ({size_text(self.working_bytes)} for {self.workers} blocks in flight, "
                f"{size_text(self.held)} for results in memory), memory_limit is {size_text(self.limit)}; {way_out}or raise memory_limit."
            )


def prepare_map(
    name: str,
    fn: Callable[..., Any],
    images: Sequence[Any],
    parameters: Mapping[str, Any],
    *,
    where: Any = None,
    where_input: str = "exclude",
    out: Any = None,
    store: Any = None,
    chunks: Any = None,
    shards: Any = None,
    dtype: Any = None,
    fill_value: Any = None,
    boundary: str | None = None,
    boundary_value: Any = None,
    halo: Any = None,
    geometry: str = "same",
    seed: int = 0,
    backend: Any = "jax",
    device: Any = None,
    memory_limit: Any = None,
    workers: int | None = None,
    world: Any = None,
) -> PreparedMap:
    """Check a call of `chunk_map`, choose its blocks and compile its function."""
    if where_input not in ("exclude", "keep"):
        raise ValueError(f"where_input={where_input!r} must be 'exclude' or 'keep'.")
    inputs = gather_inputs(name, images, where, world, parameters, geometry)
    program = Program(as_steps(fn, parameters, halo=halo, boundary=boundary, boundary_value=boundary_value))
    program = program.on_images(inputs.frame.shape)
    if program.host:
        backend, device = "numpy", None
    step = program.steps[0]
    if isinstance(step.op, PlainFunction) and isinstance(halo, list) and len(halo) != len(images):
        raise ValueError(f"halo={halo!r} lists {len(halo)} halos for {len(images)} images; give one per image.")
    wanted = step.op.inputs
    if wanted is not None and wanted != len(images):
        raise TypeError(f"{step.op.name} takes {wanted} image(s), {len(images)} were given.")
    if inputs.selection is not None and program.scale != (1, 1, 1):
        raise ValueError(
            f"where=... cannot be used with {program!r}, whose result is on another grid; fill or mask the image first."
        )
    if inputs.selection is not None and where_input == "exclude":
        program.check_selection()

    outs = None if out is None else tuple(out) if isinstance(out, tuple | list) else (out,)
    frame = inputs.frame
    if program.scale != (1, 1, 1):
        # A last voxel that reaches beyond the image sees there what the boundary rule says.
        shape = tuple(math.ceil(n / s) for n, s in zip(frame.shape, program.scale, strict=True))
        frame = frame.rescaled(tuple(map(float, program.scale)), shape=shape)
    in_place = False
    for target in outs or ():
        if not isinstance(target, VoxelImage):
            raise TypeError(f"out is a {type(target).__name__}; give an image to write into.")
        as_source(target, frame, "out", "the result")
        target.stored.check_writable()
        in_place |= any(_same_place(target, i) for i in (*images, *images_of(inputs.where)))
    if in_place and not program.elementwise:
        raise ValueError(
            f"out is one of the inputs, but {program!r} looks at neighbouring voxels, some of which would be overwritten before they are read; "
            f"write to another image."
        )

    count = workers_or_default(workers, inputs.world)
    limit = limit_or_default(memory_limit, inputs.world)
    chunk_shapes, shard_shapes = _grids(inputs, outs, frame, chunks, shards)
    units = [s or c for c, s in zip(chunk_shapes, shard_shapes, strict=True)]
    multiple = tuple(s.denominator for s in program.scale)
    # The same blocks everywhere: a run that was cut off on this machine may go on elsewhere, on other numbers of processes.
    layout = choose_layout(frame.shape, chunk_shapes, units, ANY_MACHINE, multiple)
    halos = program.halos(len(images))
    core = layout.block
    if not any(map(any, halos)):
        core = choose_part(layout, program.scale, [s.chunks for s in inputs.sources])
    inner = tuple(math.ceil(c * s) for c, s in zip(core, program.scale, strict=True))
    block_shapes = tuple(tuple(c + 2 * h for c, h in zip(inner, halo, strict=True)) for halo in halos)
    keeps_old = outs is not None and inputs.selection is not None
    declared = _dtypes(dtype, outs)
    request = MapRequest(
        program=program,
        block_shapes=block_shapes,
        dtypes=tuple(s.dtype for s in inputs.sources),
        core=core,
        image_shape=inputs.frame.shape,
        spacing=inputs.frame.voxel_length,
        origin=inputs.frame.voxel_origin,
        selects=inputs.selection is not None,
        guards=inputs.selection is not None and where_input == "exclude",
        keeps_old=keeps_old,
        fill_values=None,
        out_dtypes=declared,
        seed=_seed(seed),
    )
    if device is None and backend == "jax":
        device = device_or_devices(inputs.world)
    request, function = _function_with_fill(request, fill_value, backend, device, outs)
    for target, natural in zip(outs or (), function.natural_dtypes, strict=False):
        if not np.can_cast(natural, target.dtype, "same_kind"):
            raise TypeError(
                f"{program!r} returns {natural}, which cannot be written into out of {target.dtype} without loss; "
                f"round or convert in the function, or write to a new image (store=...)."
            )
    if outs is not None and len(outs) != len(function.out_dtypes):
        raise ValueError(f"out has {len(outs)} images, {program!r} returns {len(function.out_dtypes)} arrays.")
    if len(chunk_shapes) not in (1, len(function.out_dtypes)):
        raise ValueError(
            f"chunks are given for {len(chunk_shapes)} results, {program!r} returns {len(function.out_dtypes)} arrays."
        )
    many = len(function.out_dtypes) > 1
    chunk_shapes = chunk_shapes * len(function.out_dtypes) if len(chunk_shapes) == 1 else chunk_shapes
    shard_shapes = shard_shapes * len(function.out_dtypes) if len(shard_shapes) == 1 else shard_shapes
    stores = store if isinstance(store, tuple | list) else (store,) * len(function.out_dtypes)
    held = 0
    if outs is None:
        voxels = math.prod(frame.shape)
        held = sum(voxels * d.itemsize for d, s in zip(function.out_dtypes, stores, strict=False) if s is None)
    sources = inputs.sources + (inputs.selection.sources if inputs.selection is not None else ())
    halos += (halos[0],) * (len(sources) - len(halos))
    return PreparedMap(
        inputs, program, request, function, layout, frame, chunk_shapes, shard_shapes, outs, in_place, many, backend, count,
        cache_bytes(sources, halos, inner, limit), limit, held,
    )  # fmt: skip


def _function_with_fill(request: MapRequest, fill_value: Any, backend: Any, device: Any, outs: Any):
    from dataclasses import replace

    if not request.selects or request.keeps_old:
        if fill_value is not None and not request.selects:
            raise ValueError(f"fill_value={fill_value!r} is for voxels left out by where=, which is not given.")
        return request, map_function(request, backend, device)
    if fill_value is None and request.out_dtypes is None:
        # NaN for what the function says is real, 0 for the rest: known when the function is traced.
        request = replace(request, fill_values=("default",))
    else:
        fills = fill_value if isinstance(fill_value, tuple | list) else (fill_value,)
        request = replace(request, fill_values=tuple("default" if f is None else f for f in fills))
    return request, map_function(request, backend, device)


def _grids(inputs: Inputs, outs: Any, frame: Frame, chunks: Any, shards: Any):
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


def _dtypes(dtype: Any, outs: Any):
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


def _same_place(a: VoxelImage, b: Any) -> bool:
    if not isinstance(b, VoxelImage):
        return False
    place = locate(a.zarray)
    return any(place.holds(stored) for stored in stored_origins(b.stored))


def _applied(prepared: PreparedMap, identity: Any, resume_key: str | None) -> bool:
    """Tell whether a named change in place is done already; see `applied_before`."""
    world, outputs = prepared.inputs.world, prepared.out or ()

    def look() -> bool:
        # Killed while several outputs were called complete: all had been written, and some have been called so.
        states = [o.stored.reload_metadata().state for o in outputs]
        ended = [o for o, state in zip(outputs, states, strict=True) if state == "complete"]
        begun = [o for o, state in zip(outputs, states, strict=True) if state != "complete"]
        same = not any(differing_parts(o.metadata.run, identity) for o in begun)
        if begun and ended and same and all(is_listed(o, identity) for o in ended):
            _call_complete(prepared, begun, identity, True, resume_key)
            for output in begun:
                clear_journal(output.stored)
            return True
        return all([_is_in_place(o, prepared) and applied_before(o, identity, resume_key) for o in outputs])

    applied = on_first(world, look)
    return bool(world.broadcast(applied))


def _is_in_place(target: VoxelImage, prepared: PreparedMap) -> bool:
    return any(_same_place(target, i) for i in (*prepared.inputs.images, *images_of(prepared.inputs.where)))


def _run(
    prepared: PreparedMap, outputs: list[VoxelImage], identity: Any, resume: bool | str, key: str | None, progress: bool
) -> None:
    world = prepared.inputs.world
    journals = []
    try:
        with together(world):
            _begin_journals(journals, prepared, outputs, identity, resume)
            MapJob(
                function=prepared.function,
                reader=prepared.reader,
                sinks=[o.stored for o in outputs],
                journals=journals,
                layout=prepared.layout,
                workers=prepared.workers,
                label=repr(prepared.program)[:40],
                show_progress=progress and world.first,
                scale=prepared.program.scale,
                old=[o.stored for o in outputs] if prepared.request.keeps_old else None,
                in_place=prepared.in_place,
                kept=prepared.out is not None or any(not o.stored.in_memory for o in outputs),
                share=(world.index, world.count),
                watch=world.check,
            ).run()
            for journal in journals if world.count > 1 else ():
                journal.close()
        on_first(world, lambda: _finish(prepared, outputs, journals, identity, resume, key))
        for output in outputs if not world.first else ():
            output.stored.reload_metadata()
    except BaseException as error:
        for journal in journals:
            journal.abandon()
        if journals and (prepared.in_place or any(not o.stored.in_memory for o in outputs)):
            error.add_note(
                "The output is unfinished: repeat the call with resume=True to go on"
                + (": " if prepared.in_place else ", or with overwrite=True to begin again: ")
                + ", ".join(o.stored.where for o in outputs)
            )
        raise


def _begin_journals(
    journals: list[Any], prepared: PreparedMap, outputs: list[VoxelImage], identity: Any, resume: bool | str
) -> None:
    """Lock the outputs for all processes and give each a journal; `journals` holds what there is, also after a failure."""
    world, in_place = prepared.inputs.world, prepared.in_place
    owners = world.gather(this_process()) if world.count > 1 else ()

    def begin() -> None:
        for output in outputs:
            journals.append(begin_journal(output.stored, identity, resume=resume, in_place=in_place, owners=owners))
        for output in outputs:
            if output.metadata.state == "complete":
                before = {"before": fingerprint(output.stored, thorough=bool(resume))} if keeps_history(output) else {}
                output.stored.update_metadata(state="writing", run=identity | before, content_hash=None)

    def keeps_history(output: VoxelImage) -> bool:
        return in_place and (bool(resume) or not output.stored.in_memory)

    on_first(world, begin)
    if world.count > 1:
        begun = world.broadcast([journal.state for journal in journals])
        if not world.first:
            for output, state in zip(outputs, begun, strict=True):
                journals.append(join_journal(output.stored, state, world.index, in_place=in_place))


def _finish(
    prepared: PreparedMap,
    outputs: list[VoxelImage],
    journals: list[Any],
    identity: Any,
    resume: bool | str,
    key: str | None,
) -> None:
    """Call the outputs complete, if what was written is there and came from inputs that stayed as they were."""
    if changed := changed_while_read(prepared.states, prepared.inputs):
        raise IncompleteImageError(
            f"{', '.join(changed)} was written to while it was read, so the result may mix old and new voxels; repeat the call with "
            f"overwrite=True."
        )
    for journal in journals:
        journal.check_stored()
    _call_complete(prepared, outputs, identity, resume, key)
    for journal in journals:
        journal.finish()


def _call_complete(
    prepared: PreparedMap, outputs: Sequence[VoxelImage], identity: Any, resume: bool | str, key: str | None
) -> None:
    provenance = provenance_of(prepared)
    for output in outputs:
        changes: dict[str, Any] = {"state": "complete", "run": identity, "content_hash": None, "provenance": provenance}
        if prepared.in_place and (resume or not output.stored.in_memory):
            metadata = output.stored.reload_metadata()
            before = metadata.run.get("before") if isinstance(metadata.run, Mapping) else None
            entry = entry_of(identity, key, bool(resume), before, output)
            changes["history"] = with_entry(metadata.history, entry)
        output.stored.update_metadata(**changes)

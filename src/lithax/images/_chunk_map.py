"""Apply a function to images of any size, block by block."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lithax.chunked import MapJob, release_memory
from lithax.errors import IncompleteImageError
from lithax.images._call import merge_parameters, world_of
from lithax.images._collective import check_same, on_first, together
from lithax.images._derived_array import stored_origins
from lithax.images._history import applied_before, entry_of, is_listed, with_entry
from lithax.images._identity import comparable, describe_places, identity_of, provenance_of
from lithax.images._input_state import check_unchanged
from lithax.images._outputs import Output, given_outputs, images_of, new_outputs
from lithax.images._prepare_map import PreparedMap, prepare_map, same_place
from lithax.images._run import Run
from lithax.images._voxel_image import VoxelImage
from lithax.storage import (
    begin_journal,
    clear_journal,
    differing_parts,
    fingerprint,
    join_journal,
    this_process,
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

    The result is that of the function on the whole array, for every chunk grid. Reading, decoding,
    computing, encoding and writing of different blocks proceed at the same time.

    Parameters
    ----------
    fn
        A voxel operation, a chain, a `functools.partial` of one, or a plain function of as many
        arrays as there are images. A plain function must be element-wise unless `halo` is given; it
        may return a tuple, and `out`, `store`, `dtype`, ... are then tuples, too.
    *images
        Images on one grid of voxels; the geometry of the result is that of the first. Arrays are
        accepted, too.
    parameters, **keywords
        Keyword arguments of `fn`. Python numbers are constants of the compiled function, arrays are
        its arguments.
    where
        Which voxels take part: `domain`, a region, or a boolean image or array of what to include.
        Voxels left out keep their old value (`out`) or get `fill_value`, and influence nothing.
    where_input
        "exclude": voxels left out do not influence their neighbours either, for which `fn` needs a
        masked form; "keep": only the output is restricted.
    out
        An image to write into; the first input itself for a change in place (element-wise functions
        only).
    store, path, overwrite, chunks, shards
        Where and how the result is stored, as for `create`; memory by default, chunks and shards of
        the first image by default.
    dtype
        Type of the result; by default what `fn` returns.
    fill_value
        Value of the voxels left out: by default NaN for real and complex results, 0 or False
        otherwise.
    field_name, field_unit
        What the result is; empty by default.
    boundary, boundary_value
        What a plain function with `halo` (or an operation that says nothing else) sees outside the
        image: "reflect" (default), "nearest", "mirror", "wrap" or "constant", as in scipy.ndimage.
    halo
        How far a plain function looks [voxel]: an integer, a tuple of three, or a list with one of
        these per image. It may return the core or the padded shape.
    geometry
        "same": images whose voxels are more than 1e-6 of a voxel from those of the first are
        refused. "first": origin, voxel length and unit of the others are disregarded, the voxels of
        one index belong together.
    seed
        For operations with a context that are random.
    backend
        "jax" (compiled), "numpy", "torch", "cupy", or an array-API namespace.
    device
        Where the backend computes: one of its devices, or for JAX a tuple of them, to which blocks
        go in turn. None: the devices of `lithax.runtime.using`, or all accelerators that
        `lithax.runtime.devices` names.
    memory_limit
        The call is refused if it would need more [byte]; half of the free memory by default. Text
        such as "2 GiB" is understood.
    workers
        Blocks in flight; by default a quarter more than there are cores.
    world
        The processes that share the work; that of the images by default.
    progress
        Show a bar for work longer than a second.
    resume
        Go on with the unfinished output of an equal call that was interrupted. "force" skips the
        comparison of the two calls.
    resume_key
        Names the computation where it cannot be known (plain functions on backends other than JAX).
    hash_inputs
        Compute the content hash of inputs that have none, for the record of what the result came
        from.

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
    output = Output(
        out, store, path, overwrite, chunks, shards, dtype, fill_value, field_name, field_unit, resume, resume_key,
        hash_inputs,
    )  # fmt: skip
    world = world_of("chunk_map", (*images, *(output.images or ())), world)
    with together(world):
        prepared = prepare_map(
            "chunk_map",
            fn,
            images,
            merge_parameters(parameters, keywords),
            output=output,
            run=Run(backend, device, memory_limit, workers, world, progress),
            where=where,
            where_input=where_input,
            boundary=boundary,
            boundary_value=boundary_value,
            halo=halo,
            geometry=geometry,
            seed=seed,
        )
        prepared.check_memory()
        _check_complete(prepared, output)
        recorded = store is not None or prepared.out is not None
        identity = identity_of(prepared, resume_key, needed=bool(resume), recorded=recorded)
    places = {"store": describe_places(store), "path": path, "overwrite": overwrite, "resume": resume}
    check_same(world, "chunk_map", lambda: comparable(identity) | places | {"blocks": prepared.layout})
    # What the first process knows is what is recorded: another one may have opened an input before
    # its hash was stored.
    identity = world.broadcast(identity)
    if prepared.in_place and resume and _applied(prepared, identity, resume_key):
        assert prepared.out is not None
        return prepared.out if prepared.many else prepared.out[0]
    if prepared.out is not None:
        outputs, finished = given_outputs(prepared, output), False
    else:
        outputs, finished = new_outputs(prepared.forms, prepared.inputs, identity, output)
    if not finished:
        _run(prepared, outputs, identity, resume, resume_key)
        release_memory(prepared.working_bytes)
    return tuple(outputs) if prepared.many else outputs[0]


def _check_complete(prepared: PreparedMap, output: Output) -> None:
    """Refuse inputs that were cut off while they were written, and hash those that the record is to
    name by content.
    """
    for handle in prepared.inputs.images:
        if isinstance(handle, VoxelImage):
            if handle.stored.metadata.state != "complete" and not (output.resume and prepared.in_place):
                raise IncompleteImageError(
                    f"the image at {handle.stored.where} was cut off while it was written; repeat that call with resume=True."
                )
            for stored in stored_origins(handle.stored) if output.hash_inputs else ():
                if stored.metadata.content_hash is None:
                    VoxelImage(stored, handle.world).content_hash()


def _applied(prepared: PreparedMap, identity: Any, resume_key: str | None) -> bool:
    """Tell whether a named change in place is done already; see `applied_before`."""
    world, outputs = prepared.inputs.world, prepared.out or ()

    def look() -> bool:
        # Killed while several outputs were called complete: all had been written, and some have
        # been called so.
        states = [o.stored.reload_metadata().state for o in outputs]
        ended = [o for o, state in zip(outputs, states, strict=True) if state == "complete"]
        begun = [o for o, state in zip(outputs, states, strict=True) if state != "complete"]
        same = not any(differing_parts(o.metadata.run, identity) for o in begun)
        if begun and ended and same and all(is_listed(o, identity) for o in ended):
            _write_state(prepared, begun, identity, True, resume_key)
            for output in begun:
                clear_journal(output.stored)
            return True
        return all([_is_in_place(o, prepared) and applied_before(o, identity, resume_key) for o in outputs])

    applied = on_first(world, look)
    return bool(world.broadcast(applied))


def _is_in_place(target: VoxelImage, prepared: PreparedMap) -> bool:
    return any(same_place(target, i) for i in (*prepared.inputs.images, *images_of(prepared.inputs.where)))


def _run(prepared: PreparedMap, outputs: list[VoxelImage], identity: Any, resume: bool | str, key: str | None) -> None:
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
                scale=prepared.program.scale,
                old=[o.stored for o in outputs] if prepared.request.keeps_old else None,
                in_place=prepared.in_place,
                kept=prepared.out is not None or any(not o.stored.in_memory for o in outputs),
                **prepared.run.over_blocks(repr(prepared.program)[:40]),
            ).run()
            for journal in journals if world.count > 1 else ():
                journal.close()
        on_first(world, lambda: _mark_complete(prepared, outputs, journals, identity, resume, key))
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
    """Lock the outputs for all processes and give each a journal; `journals` holds what there is,
    also after a failure.
    """
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


def _mark_complete(
    prepared: PreparedMap,
    outputs: list[VoxelImage],
    journals: list[Any],
    identity: Any,
    resume: bool | str,
    key: str | None,
) -> None:
    """Call the outputs complete, if what was written is there and came from inputs that stayed as
    they were.
    """
    check_unchanged(prepared.states, prepared.inputs)
    for journal in journals:
        journal.check_stored()
    _write_state(prepared, outputs, identity, resume, key)
    for journal in journals:
        journal.finish()


def _write_state(
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

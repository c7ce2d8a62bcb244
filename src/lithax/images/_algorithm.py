"""Algorithms on whole images, of any size: a sequence of passes, driven once for all of them.

An algorithm is a generator of passes (`lithax.chunked.MapPass`, `FoldPass`). What every one of them
needs is here: processes agree on the arguments; the memory of all passes is known before the first
one; results and scratch images have journals, under one identity chained through the passes, so
that a killed run resumes in the pass in which it was; scratch images lie inside the output, and go
when it is complete.
"""

import contextlib
import hashlib
import json
import math
import platform
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np

from lithax.chunked import (
    ALLOCATOR_OVERHEAD,
    CACHE_OVERHEAD,
    FIXED_BYTES,
    BlockReader,
    ChunkCache,
    Field,
    FoldPass,
    Layout,
    MapJob,
    MapPass,
    Pass,
    Progress,
    SettlePass,
    beside,
    block_around,
    each_block,
    layers_fit,
    pass_block,
    pass_function,
    pass_layout,
    release_memory,
    run_all,
)
from lithax.errors import IncompleteImageError, MemoryLimitError
from lithax.grid import Index
from lithax.images._call import (
    Inputs,
    cache_bytes,
    gather_inputs,
    size_text,
    world_of,
)
from lithax.images._collective import check_same, on_first, open_shared_array, share_of, together
from lithax.images._create import new_image
from lithax.images._identity import call_of, comparable, describe_input, describe_places, version
from lithax.images._input_state import changed_while_read, input_states, without_times
from lithax.images._outputs import Output, new_outputs
from lithax.images._plan import Plan
from lithax.images._run import limit_or_default, workers_or_default
from lithax.images._voxel_image import VoxelImage, geometry_of
from lithax.storage import (
    SCRATCH,
    begin_journal,
    claim,
    differing_parts,
    join_journal,
    locate,
    open_array,
    resolve_chunks,
    this_process,
)

Passes = Generator[Pass, Any, Any]


@dataclass(frozen=True)
class WholeImage:
    """What an algorithm is given: the images of the call, and the blocks of its passes."""

    inputs: Inputs
    chunks: Index
    """Of the results."""
    shards: Index | None

    @property
    def image(self) -> Any:
        """The first image."""
        return self.inputs.images[0]

    @property
    def shape(self) -> Index:
        """Voxels along each axis."""
        return self.inputs.frame.shape

    def layout(self, spans: Sequence[int] = ()) -> Layout:
        """Return the blocks of a pass: those of the results, so that a later pass meets the same
        ones.
        """
        return pass_layout(self.shape, [self.chunks], [self.shards or self.chunks], spans)


@dataclass(frozen=True)
class ImageCall:
    """What every call of an algorithm on images has in common: where the result goes, and how the
    run is made.
    """

    name: str
    """The function that was called."""
    parameters: Mapping[str, Any]
    """Its own arguments, as JSON can hold them: what makes a run the same as an earlier one."""
    where: Any = None
    store: Any = None
    path: Any = None
    overwrite: bool = False
    chunks: Any = None
    shards: Any = None
    resume: bool | str = False
    memory_limit: int | str | None = None
    workers: int | None = None
    world: Any = None
    progress: bool = True
    names: Sequence[str] = ()
    """What each result is (`field_name`)."""
    units: Sequence[str] = ()
    """The unit of each (`field_unit`)."""


def run_algorithm(
    call: ImageCall,
    images: Sequence[Any],
    passes: Callable[[WholeImage], Passes],
    dtypes: Sequence[Any] | None = None,
) -> tuple[list[VoxelImage], Any]:
    """Run an algorithm on images.

    Parameters
    ----------
    call
        The arguments that all algorithms share.
    images
        The images, on one grid of voxels.
    passes
        Makes the generator of the passes.
    dtypes
        Types of the results; needed before the first pass if that writes a scratch image. None:
        known later.

    Returns
    -------
        The results, and what the generator returns. With `dtypes` that must be None or what JSON
        can hold: it is noted in the result, for a call with ``resume=True`` that finds it complete.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.
    MemoryLimitError
        If more memory than `memory_limit` would be needed, or the disk has no room for the scratch
        images.
    FileExistsError, LockedError, ResumeError, IncompleteImageError
        If the output is there already, is being written, or cannot be resumed.
    """
    if call.resume not in (True, False, "force"):
        raise ValueError(f"resume={call.resume!r} must be True, False or 'force'.")
    world = world_of(call.name, images, call.world)
    with together(world):
        inputs = gather_inputs(call.name, images, call.where, world)
        for handle in inputs.images:
            if isinstance(handle, VoxelImage) and handle.stored.metadata.state != "complete":
                raise IncompleteImageError(
                    f"the image at {handle.stored.where} was cut off while it was written; repeat that call with "
                    "resume=True."
                )
        run = _Run(call, inputs)
        planned = run.planned(passes)
        run.check_room(planned)
        own = run.identity()
    places = {"store": describe_places(call.store), "path": call.path, "overwrite": call.overwrite}
    check_same(world, call.name, lambda: comparable(own) | places | {"resume": call.resume})
    identity = world.broadcast(own)
    run.begin(identity, len(planned), dtypes)
    return run.drive(passes)


def plan_algorithm(call: ImageCall, images: Sequence[Any], passes: Callable[[WholeImage], Passes]) -> Plan:
    """Work out what `run_algorithm` would do: the bytes of all passes, the memory of the one that
    needs most.
    """
    inputs = gather_inputs("plan", images, call.where, world_of("plan", images, call.world))
    run = _Run(call, inputs)
    planned = run.planned(passes)
    largest = max(planned, key=lambda p: p.memory)
    return Plan(
        function=f"{call.name} in {len(planned)} passes: {', '.join(p.work.name for p in planned)}",
        image_shape=inputs.frame.shape,
        block_shape=largest.layout.block,
        halos=tuple(largest.work.halo for _ in run._inputs(largest.work)),
        blocks=sum(len(p.layout.grid) for p in planned),
        workers=min(run.workers, len(largest.layout.grid)),
        compilations=0,
        bytes_read=sum(p.bytes_read for p in planned),
        bytes_written=sum(p.bytes_written for p in planned),
        memory=run.memory(planned),
        memory_limit=run.limit,
    )


@dataclass(frozen=True)
class _Expected:
    """An image that a pass would write, as far as a plan must know it."""

    shape: Index
    dtype: np.dtype
    chunks: Index


@dataclass(frozen=True)
class _Planned:
    work: Pass
    layout: Layout
    memory: int
    bytes_read: int
    bytes_written: int
    held: int
    scratch: int


@dataclass
class _Run:
    """One run of an algorithm."""

    call: ImageCall
    inputs: Inputs
    outputs: list[VoxelImage] = field(default_factory=list)
    journals: list[Any] = field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        call, inputs = self.call, self.inputs
        self.world = inputs.world
        self.workers = workers_or_default(call.workers, self.world)
        self.limit = limit_or_default(call.memory_limit, self.world)
        first, shape = inputs.first, inputs.frame.shape
        if call.chunks is None and call.shards is None and first is not None:
            self.chunks, self.shards = first.chunks, first.shards
        else:
            wanted = "auto" if call.chunks is None else call.chunks
            self.chunks, self.shards = resolve_chunks(shape, wanted, call.shards, processes=self.world.count)
        self.whole = WholeImage(inputs, self.chunks, self.shards)
        self._number = 0
        self._total = 0
        self._identity: Mapping[str, Any] = {}
        self._states: list[dict[str, Any]] = []

    # What is known before the first pass

    def identity(self) -> dict[str, Any]:
        """Return what makes this run the same as an earlier one."""
        if self.call.store is not None and self.world.first:
            self._states = input_states(self.inputs, None, thorough=bool(self.call.resume))
        parts = call_of(self.inputs) | {
            "computation": self.call.name,
            "parameters": dict(self.call.parameters),
            "grid": [list(self.inputs.frame.shape), list(self.chunks), self.shards and list(self.shards)],
            "input_hashes": [
                i.stored.metadata.content_hash if isinstance(i, VoxelImage) else None for i in self.inputs.images
            ],
            "input_state": without_times(self._states),
            "version": version("lithax"),
        }
        return json.loads(json.dumps(parts))

    def layout(self, work: Pass) -> Layout:
        """Return the blocks of a pass."""
        return self.whole.layout(work.spans if isinstance(work, MapPass) else ())

    def planned(self, passes: Callable[[WholeImage], Passes]) -> list[_Planned]:
        """Go through the passes without doing any."""
        found: list[_Planned] = []
        generator = passes(self.whole)
        answer = None
        with contextlib.suppress(StopIteration):
            while True:
                work = generator.send(answer)
                found.append(self._plan_pass(work))
                if isinstance(work, MapPass):
                    answer = tuple(
                        _Expected(self.inputs.frame.shape, np.dtype(f.dtype), self.chunks) for f in work.fields
                    )
                else:
                    answer = work.assumed if isinstance(work, FoldPass) else None
        return found

    def _plan_pass(self, work: Pass) -> _Planned:
        layout = self.layout(work)
        shape = layout.shape
        padded = math.prod(min(b + 2 * h, n) for b, h, n in zip(layout.block, work.halo, shape, strict=True))
        core, voxels, blocks = math.prod(layout.block), math.prod(shape), len(layout.grid)
        fields = work.fields if isinstance(work, MapPass) else ()
        inputs = self._inputs(work)
        read = sum(np.dtype(i.dtype).itemsize for i in inputs)
        written = sum(np.dtype(f.dtype).itemsize for f in fields)
        chunk = max(math.prod(self._source(i).chunks) * np.dtype(i.dtype).itemsize for i in inputs)
        selects = 0 if self.inputs.selection is None else 2 + len(self.inputs.selection.sources)
        each = padded * (read + work.voxel_bytes + selects) + 2 * core * written + 2 * chunk
        at_once = min(self.workers, blocks)
        kept = int(work.kept_bytes * voxels) if isinstance(work, FoldPass) else 0
        units = 2 * math.prod(self.shards) * written if self.shards is not None else 0
        memory = int(ALLOCATOR_OVERHEAD * each * at_once) + FIXED_BYTES + units + kept
        memory += int(CACHE_OVERHEAD * self._cache(work, layout))
        memory_store = self.call.store is None
        scratch = sum(voxels * np.dtype(f.dtype).itemsize for f in fields if f.scratch)
        held = voxels * written if memory_store else 0
        return _Planned(work, layout, memory, blocks * padded * read, voxels * written, held, scratch)

    def _inputs(self, work: Pass) -> list[Any]:
        return [work.state, *work.inputs] if isinstance(work, SettlePass) else list(work.inputs)

    def _source(self, image: Any) -> Any:
        for own, source in zip(self.inputs.images, self.inputs.sources, strict=True):
            if image is own:
                return source
        return image.stored if isinstance(image, VoxelImage) else image

    def _cache(self, work: Pass, layout: Layout) -> int:
        sources = [self._source(i) for i in self._inputs(work)]
        return cache_bytes(sources, [work.halo] * len(sources), layout.block, self.limit)

    def memory(self, planned: Sequence[_Planned]) -> int:
        """Return the memory of the pass that needs most, and that of results and scratch images in
        memory [byte].
        """
        return max(p.memory for p in planned) + sum(p.held for p in planned)

    def check_room(self, planned: Sequence[_Planned]) -> None:
        """Raise MemoryLimitError if the passes need more memory than they may, or the disk has no
        room for scratch.
        """
        need = self.memory(planned)
        if need > self.limit:
            largest = max(planned, key=lambda p: p.memory)
            raise MemoryLimitError(
                f"{self.call.name} needs up to {size_text(need)} ({size_text(largest.memory)} in the pass "
                f"'{largest.work.name}' with {self.workers} blocks in flight, {size_text(sum(p.held for p in planned))} "
                f"for images in memory), memory_limit is {size_text(self.limit)}; give store= so that the result is "
                "written instead of kept, use smaller chunks= or fewer workers, or raise memory_limit."
            )
        scratch = sum(p.scratch for p in planned)
        if not scratch or self.call.store is None or not self.world.first:
            return
        store, path = (v[0] if isinstance(v, tuple | list) else v for v in (self.call.store, self.call.path))
        directory = locate(store, path).directory
        if directory is None:
            return
        there = next(p for p in (directory, *directory.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < scratch:
            raise MemoryLimitError(
                f"store={self.call.store}: {self.call.name} needs {size_text(scratch)} there for images between its passes, and "
                f"{size_text(free)} are free; make room, or write to another disk."
            )

    # The run

    def begin(self, identity: Mapping[str, Any], total: int, dtypes: Sequence[Any] | None) -> None:
        self._identity, self._total = identity, total
        if dtypes is not None:
            self._make_outputs([np.dtype(d) for d in dtypes])
        elif self.call.store is not None and not self.call.resume and not self.call.overwrite:
            # What would be refused later is refused now.
            on_first(self.world, self._check_free)

    def _check_free(self) -> None:
        stores = self.call.store if isinstance(self.call.store, tuple | list) else [self.call.store]
        paths = self.call.path if isinstance(self.call.path, tuple | list) else [self.call.path] * len(stores)
        for store, path in zip(stores, paths, strict=True):
            claim(locate(store, path), False)

    def _make_outputs(self, dtypes: Sequence[np.dtype]) -> None:
        count = len(dtypes)
        prepared = SimpleNamespace(
            inputs=self.inputs,
            frame=self.inputs.frame,
            layout=Layout(self.inputs.frame.shape, self.chunks),
            function=SimpleNamespace(out_dtypes=tuple(dtypes)),
            chunks=(self.chunks,) * count,
            shards=(self.shards,) * count,
        )
        call = self.call
        output = Output(
            store=call.store,
            path=call.path,
            overwrite=call.overwrite,
            field_name=list(call.names) or None,
            field_unit=list(call.units) or None,
            resume=call.resume,
        )
        self.outputs, self.finished = new_outputs(prepared, self._identity, output)
        if not self.finished:
            try:
                self.journals = self._journals(self.outputs, self._identity)
            except BaseException:
                self.abandon()
                raise

    def _journals(self, images: Sequence[VoxelImage], identity: Mapping[str, Any]) -> list[Any]:
        world = self.world
        owners = world.gather(this_process()) if world.count > 1 else ()
        journals: list[Any] = []

        def begin() -> None:
            for image in images:
                resume = bool(self.call.resume) or "pass" in identity
                journals.append(begin_journal(image.stored, identity, resume=resume, owners=owners))

        on_first(world, begin)
        if world.count > 1:
            begun = world.broadcast([journal.state for journal in journals])
            if not world.first:
                journals = [
                    join_journal(image.stored, state, world.index) for image, state in zip(images, begun, strict=True)
                ]
        return journals

    def drive(self, passes: Callable[[WholeImage], Passes]) -> tuple[list[VoxelImage], Any]:
        """Do the passes one after the other."""
        if self.finished:  # by an earlier call, which noted what it returned
            return self.outputs, self.outputs[0].metadata.extra.get("result")
        generator = passes(self.whole)
        answer, result = None, None
        noted = bool(self.outputs)
        try:
            while True:
                try:
                    work = generator.send(answer)
                except StopIteration as end:
                    result = end.value
                    break
                self._number += 1
                with together(self.world):
                    self._check_memory(work)
                    answer = self._do(work)
            if not self.finished:
                on_first(self.world, lambda: self._finish(result if noted else None))
                for output in self.outputs if not self.world.first else ():
                    output.stored.reload_metadata()
        except BaseException as error:
            self.abandon()
            if any(not o.stored.in_memory for o in self.outputs):
                error.add_note(
                    "The output is unfinished: repeat the call with resume=True to go on, or with overwrite=True to "
                    "begin again: " + ", ".join(o.stored.where for o in self.outputs)
                )
            raise
        release_memory(64 * 2**20)
        return self.outputs, result

    def _check_memory(self, work: Pass) -> None:
        """Raise MemoryLimitError if a pass needs more memory than it may, now that it is known how
        far it looks.
        """
        planned = self._plan_pass(work)
        if planned.memory > self.limit:
            raise MemoryLimitError(
                f"the pass '{work.name}' of {self.call.name} looks {max(work.halo)} voxels far and needs up to "
                f"{size_text(planned.memory)} with {self.workers} blocks in flight, memory_limit is {size_text(self.limit)}; "
                "use smaller chunks= or fewer workers, or raise memory_limit."
            )

    def _do(self, work: Pass) -> Any:
        if isinstance(work, FoldPass):
            return self._fold(work)
        if isinstance(work, SettlePass):
            return self._settle(work) if not self.finished else None
        return self._map(work)

    def abandon(self) -> None:
        """Leave the records for a later attempt."""
        for journal in self.journals:
            journal.abandon()

    def _label(self, work: Pass) -> str:
        of = f" of {self._total}" if self._number <= self._total else ""
        return f"{self.call.name}: pass {self._number}{of}, {work.name}"

    def _reader(self, work: Pass, layout: Layout) -> BlockReader:
        sources = tuple(self._source(i) for i in work.inputs)
        capacity = self._cache(work, layout)
        fit = layers_fit(capacity, sources)
        cache = ChunkCache(capacity, lambda source, index: fit)
        halos = (work.halo,) * len(sources)
        selection = self.inputs.selection if work.selects else None
        skips = not (isinstance(work, MapPass) and work.every_block)
        return BlockReader(sources, layout, selection, cache, False, halos, "nearest", replaces=False, skips=skips)

    def _fold(self, work: FoldPass) -> Any:
        layout = self.layout(work)
        each_block(
            self._reader(work, layout),
            lambda read: (block := pass_block(read, work.halo, layout), work.kernel(block)),
            lambda _, both: work.take(*both),
            workers=self.workers,
            label=self._label(work),
            show_progress=self.call.progress and self.world.first,
            share=share_of(self.world),
            watch=self.world.check,
        )
        return work.finish(self.world)

    def _settle(self, work: SettlePass) -> None:
        """Do blocks, and again those beside which something changed, until no process has one
        left.
        """
        layout, state = self.layout(work), work.state
        grid = layout.grid
        sources = [self._source(i) for i in self._inputs(work)]
        own = set(share_of(self.world).of(grid))
        todo, round_number = own, 0
        while True:
            round_number += 1
            touched: set[Index] = set()
            show = self.call.progress and self.world.first
            progress = Progress(len(todo), f"{self._label(work)}, round {round_number}", show)

            def change(index: Index) -> list[Index]:
                block = block_around(grid.box(index), grid.linear(index), work.halo, layout, sources)
                before, after = block.inner(block.arrays[0]), work.kernel(block)
                moved = before != after
                if not moved.any():
                    return []
                state.zarray[block.box] = after
                return beside(grid, index, moved)

            def done(_: Index, neighbours: list[Index], progress: Progress = progress, touched: set = touched) -> None:
                progress.add(1)
                touched.update(neighbours)

            try:
                run_all(sorted(todo), change, min(self.workers, max(1, len(todo))), done, self.world.check)
            finally:
                progress.close()
            everyone = set().union(*self.world.gather(touched)) if self.world.count > 1 else touched
            if not everyone:
                return
            todo = everyone & own

    def _map(self, work: MapPass) -> tuple[VoxelImage, ...]:
        scratch = [f for f in work.fields if f.scratch]
        if scratch and len(scratch) < len(work.fields):
            raise ValueError(f"the pass {work.name} writes results and scratch images; a pass writes one of the two.")
        if scratch:
            return self._map_scratch(work)
        if not self.outputs:
            self._make_outputs([np.dtype(f.dtype) for f in work.fields])
        if not self.finished:
            self._record_stage(work)
            self._write(work, self.outputs, self.journals)
        return tuple(self.outputs)

    def _record_stage(self, work: Pass) -> None:
        stage = {"pass": self._number, "of": max(self._total, self._number), "name": work.name}

        def write() -> None:
            for output in self.outputs:
                output.stored.update_metadata(extra={**output.metadata.extra, "stage": stage})

        on_first(self.world, write)

    def _map_scratch(self, work: MapPass) -> tuple[VoxelImage, ...]:
        # Whether the inputs are those of then was asked of the output, inside which this image
        # lies.
        identity = {**comparable(self._identity), "pass": [self._number, work.name]}
        identity = {"pass": self._number, "of": hashlib.sha256(json.dumps(identity).encode()).hexdigest()}
        self._record_stage(work)
        images = [self._scratch(k, f, identity) for k, f in enumerate(work.fields)]
        if all(image.metadata.state == "complete" for image in images):
            return tuple(images)
        journals = self._journals(images, identity)
        try:
            self._write(work, images, journals)

            def finish() -> None:
                for image, journal in zip(images, journals, strict=True):
                    journal.check_stored()
                    image.stored.update_metadata(state="complete", run=identity)
                    journal.finish()

            on_first(self.world, finish)
        except BaseException:
            for journal in journals:
                journal.abandon()
            raise
        return tuple(images)

    def _scratch(self, k: int, wanted: Field, identity: Mapping[str, Any]) -> VoxelImage:
        """Return a scratch image, new or that of the interrupted run."""
        options: dict[str, Any] = {"chunks": self.chunks, "shards": self.shards, "world": self.world}
        options |= {"state": "writing", "run": identity, "compressors": None}
        shape = self.inputs.frame.shape
        if self.outputs[0].stored.in_memory:
            with new_image(shape, wanted.dtype, **options) as made:
                return made
        place = locate(self.outputs[0].zarray).child(SCRATCH).child(f"{self._number}-{k}")

        def there() -> bool:
            if place.node() is None:
                return False
            return not differing_parts(open_array(place).metadata.run, identity)

        if self.world.broadcast(on_first(self.world, there)):
            with together(self.world):
                return VoxelImage(open_shared_array(place, self.world), self.world)
        geometry = geometry_of(self.inputs.frame)
        with new_image(
            shape, wanted.dtype, store=place.store, path=place.path, overwrite=True, **geometry, **options
        ) as made:
            return made

    def _write(self, work: MapPass, images: Sequence[VoxelImage], journals: Sequence[Any]) -> None:
        layout = self.layout(work)
        MapJob(
            function=pass_function(work, layout),
            reader=self._reader(work, layout),
            sinks=[image.stored for image in images],
            journals=journals,
            layout=layout,
            workers=self.workers,
            label=self._label(work),
            show_progress=self.call.progress and self.world.first,
            kept=any(not image.stored.in_memory for image in images),
            share=share_of(self.world),
            watch=self.world.check,
        ).run()
        if self.world.count > 1:
            for journal in journals:
                journal.close()
            self.world.barrier()

    def _finish(self, result: Any) -> None:
        if changed := changed_while_read(self._states, self.inputs):
            raise IncompleteImageError(
                f"{', '.join(changed)} was written to while it was read, so the result may mix old and new voxels; repeat "
                "the call with overwrite=True."
            )
        for journal in self.journals:
            journal.check_stored()
        provenance = {
            "function": self.call.name,
            "parameters": dict(self.call.parameters),
            "where": None if self.inputs.where is None else repr(self.inputs.where),
            "inputs": [describe_input(i) for i in self.inputs.images],
            "versions": {name: version(name) for name in ("lithax", "jax", "numpy", "zarr")}
            | {"python": platform.python_version()},
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for output, journal in zip(self.outputs, self.journals, strict=True):
            extra = {k: v for k, v in output.metadata.extra.items() if k != "stage"}
            if result is not None:
                extra["result"] = result
            output.stored.update_metadata(
                state="complete", run=self._identity, provenance=provenance, content_hash=None, extra=extra
            )
            journal.finish()
        for output in self.outputs[:1]:
            if not output.stored.in_memory:
                place = locate(output.zarray).child(SCRATCH)
                place.objects.delete_tree(place.path)

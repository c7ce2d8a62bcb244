"""What a pass would read, write and hold in memory, before it is done; and how it is done then."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lithax.chunked import (
    CACHE_OVERHEAD,
    FIXED_BYTES,
    KERNEL_OVERHEAD,
    MAPPED_OVERHEAD,
    BlockReader,
    ChunkCache,
    CopyPass,
    FoldPass,
    Layout,
    MapJob,
    MapPass,
    MeasurementPass,
    OperationPass,
    Pass,
    PassBlock,
    SettlePass,
    buffers_mapped,
    evaluation_bytes,
    fold_blocks,
    largest_chunk,
    layers_fit,
    pass_function,
    pass_layout,
    settle_blocks,
)
from lithax.errors import MemoryLimitError
from lithax.grid import Halo, Index, triple
from lithax.images._call import Inputs, cache_bytes, size_text
from lithax.images._copy import copy_block, copy_memory
from lithax.images._described import geometry_of
from lithax.images._outputs import Form, Output
from lithax.images._prepare_map import prepare_map
from lithax.images._reduce import measured_at_random, prepare_reduce
from lithax.images._run import Run
from lithax.images._voxel_image import VoxelImage
from lithax.storage import Metadata, creating, locate, resolve_chunks


@dataclass(frozen=True)
class WholeImage:
    """What an algorithm is given: the images of the call, and the blocks of its passes."""

    inputs: Inputs
    chunks: Index
    """Of the results."""
    shards: Index | None

    @property
    def images(self) -> tuple[Any, ...]:
        """The images of the call."""
        return self.inputs.images

    @property
    def image(self) -> Any:
        """The first image."""
        return self.inputs.images[0]

    @property
    def shape(self) -> Index:
        """Voxels along each axis."""
        return self.inputs.frame.shape

    def layout(self, spans: tuple[int, ...] = ()) -> Layout:
        """Return the blocks of a pass: those of the results, so that a later pass meets the same
        ones.
        """
        return pass_layout(self.shape, [self.chunks], [self.shards or self.chunks], spans)

    def source(self, image: Any) -> Any:
        """Return what the voxels of an image of the call, or of one written by a pass, are read
        from.
        """
        for own, source in zip(self.inputs.images, self.inputs.sources, strict=True):
            if image is own:
                return source
        return image.stored if isinstance(image, VoxelImage) else image


@dataclass(frozen=True)
class PreparedPass:
    """A pass, worked out."""

    work: Pass
    layout: Layout
    halos: tuple[Halo, ...]
    memory: int
    """Upper bound besides images in memory [byte]."""
    bytes_read: int
    do: Callable[..., Any]
    """Of a map: returns the `MapJob`, given sinks, journals and what `Run.over_blocks` says. Of a
    copy: writes it, given where. Of the others: returns the result, given the latter.
    """
    forms: tuple[Form, ...] = ()
    """What it writes."""
    compilations: int = 0

    @property
    def scratch(self) -> bool:
        """Whether it writes images that only later passes see."""
        if isinstance(self.work, MapPass):
            kinds = {field.scratch for field in self.work.fields}
            if len(kinds) > 1:
                raise ValueError(
                    f"the pass {self.work.name} writes results and scratch images; a pass writes one of the two."
                )
            return kinds == {True}
        return isinstance(self.work, OperationPass) and self.work.scratch

    @property
    def spends(self) -> tuple[Any, ...]:
        """The scratch images whose voxels go when it is complete."""
        return tuple(self.work.spends) if isinstance(self.work, MapPass | OperationPass) else ()

    def expected(self, world: Any) -> Any:
        """Return what stands for its result in a plan: images without voxels, or a result without
        meaning.
        """
        if self.forms:
            return tuple(_without_voxels(form, world) for form in self.forms)
        if isinstance(self.work, MeasurementPass):
            try:
                return measured_at_random(self.work.measurement, self.work.inputs, below=2)
            except (ValueError, ArithmeticError):  # not every measurement likes random voxels
                return None
        return self.work.assumed if isinstance(self.work, FoldPass) else None


def prepare_pass(name: str, work: Pass, whole: WholeImage, run: Run) -> PreparedPass:
    """Work out a pass of an algorithm; `name` is that of the call, or "plan"."""
    if isinstance(work, OperationPass):
        return _operation(name, work, whole, run)
    if isinstance(work, MeasurementPass):
        return _measurement(name, work, whole, run)
    if isinstance(work, CopyPass):
        return _copy(work, whole, run)
    if isinstance(work, MapPass | FoldPass | SettlePass):
        return _kernel(work, whole, run)
    raise TypeError(
        f"{name} was given a {type(work).__name__} for a pass; yield one of lx.passes, such as MapPass(...)."
    )


def _operation(name: str, work: OperationPass, whole: WholeImage, run: Run) -> PreparedPass:
    chunks, shards = work.chunks, work.shards
    if chunks is None and shards is None:
        chunks, shards = whole.chunks, whole.shards
    # Whether the results stay in memory is counted for all passes together.
    output = Output(store=name, chunks=chunks, shards=shards, dtype=work.dtype, fill_value=work.fill_value)
    where = whole.inputs.where if work.selects else None
    prepared = prepare_map(name, work.operation, work.inputs, work.parameters, output=output, run=run, where=where)
    return PreparedPass(
        work=work,
        layout=prepared.layout,
        halos=prepared.program.halos(len(work.inputs)),
        memory=prepared.working_bytes,
        bytes_read=prepared.bytes_read,
        do=partial(
            MapJob,
            function=prepared.function,
            reader=prepared.reader,
            layout=prepared.layout,
            scale=prepared.program.scale,
        ),
        forms=tuple(prepared.forms),
        compilations=1 if prepared.backend == "jax" else 0,
    )


def _measurement(name: str, work: MeasurementPass, whole: WholeImage, run: Run) -> PreparedPass:
    where = whole.inputs.where if work.selects else None
    prepared = prepare_reduce(name, work.measurement, work.inputs, where=where, run=run)
    return PreparedPass(
        work=work,
        layout=prepared.reader.layout,
        halos=prepared.reader.halos,
        memory=prepared.memory,
        bytes_read=len(prepared.reader.layout.grid) * prepared.block_bytes,
        do=lambda world, **over: prepared.measure(work.measurement, world, **over),
        compilations=1 if prepared.run.backend == "jax" else 0,
    )


def _copy(work: CopyPass, whole: WholeImage, run: Run) -> PreparedPass:
    image = work.image
    unit, shard = resolve_chunks(image.shape, work.chunks, work.shards, run.world.count)
    block, memory = copy_block(image, shard or unit, copy_memory(image, None, run.memory_limit))
    return PreparedPass(
        work=work,
        layout=Layout(image.shape, block),
        halos=((0, 0, 0),),
        memory=memory,
        bytes_read=image.nbytes,
        do=image.copy,
        forms=(Form(image.frame, image.dtype, unit, shard),),
    )


def _kernel(work: MapPass | FoldPass | SettlePass, whole: WholeImage, run: Run) -> PreparedPass:
    layout = whole.layout(work.spans if isinstance(work, MapPass) else ())
    sources = [whole.source(i) for i in ([work.state] if isinstance(work, SettlePass) else []) + [*work.inputs]]
    fields = work.fields if isinstance(work, MapPass) else ()
    halos = (work.halo,) * len(sources)
    padded = triple(min(b + 2 * h, n) for b, h, n in zip(layout.block, work.halo, layout.shape, strict=True))
    core, voxels, blocks = math.prod(layout.block), math.prod(layout.shape), len(layout.grid)
    read = sum(s.dtype.itemsize for s in sources)
    written = sum(np.dtype(f.dtype).itemsize for f in fields)
    selection = whole.inputs.selection if work.selects else None
    selects = 0 if selection is None else 2 + len(selection.sources)
    widest = max([s.dtype.itemsize for s in sources] + [np.dtype(f.dtype).itemsize for f in fields])
    mapped = buffers_mapped(core * widest)
    # Results, and then their encoded chunks: those take what the inputs took, if it was not mapped.
    each = math.prod(padded) * (read + work.voxel_bytes + selects) + core * written
    each = each + core * written if mapped else max(each, 2 * core * written)
    each += 2 * largest_chunk(sources)
    each += evaluation_bytes(sources, [padded] * len(sources))
    if selection is not None:
        each += evaluation_bytes(selection.sources, [padded] * len(selection.sources))
    kept = 0
    if isinstance(work, FoldPass):
        known = work.kept_of_stored and any(work.inputs[0] is own for own in whole.images)
        kept = int(work.kept_bytes * (_stored_voxels(sources[0], voxels) if known else voxels))
    units = 2 * math.prod(whole.shards) * written if whole.shards is not None else 0
    capacity = cache_bytes(sources, halos, layout.block, run.memory_limit)
    overhead = MAPPED_OVERHEAD if mapped else KERNEL_OVERHEAD
    memory = int(overhead * each * min(run.workers, blocks) + CACHE_OVERHEAD * capacity) + FIXED_BYTES + units

    def reader() -> BlockReader:
        fit = layers_fit(capacity, sources)
        cache = ChunkCache(capacity, lambda source, index: fit)
        skips = not (isinstance(work, MapPass) and work.every_block)
        return BlockReader(
            tuple(sources), layout, selection, cache, False, halos, "nearest", replaces=False, skips=skips
        )

    def do(**options: Any) -> Any:
        if isinstance(work, MapPass):
            return MapJob(function=pass_function(work, layout), reader=reader(), layout=layout, **options)
        if isinstance(work, FoldPass):
            return fold_blocks(_limited(work, run.memory_limit - memory, run.world.count), reader(), **options)
        return settle_blocks(work, layout, sources, **options)

    form = Form(whole.inputs.frame, np.dtype(np.bool_), whole.chunks, whole.shards)
    return PreparedPass(
        work=work,
        layout=layout,
        halos=halos,
        memory=memory + kept,
        bytes_read=blocks * math.prod(padded) * read,
        do=do,
        forms=tuple(replace(form, dtype=np.dtype(f.dtype)) for f in fields),
    )


def _stored_voxels(source: Any, voxels: int) -> int:
    """Return an upper bound of the voxels that are stored, as far as it is known without asking for
    every chunk.
    """
    units = getattr(source, "stored_units", None)
    return voxels if units is None else min(voxels, units * math.prod(source.unit))


def _without_voxels(form: Form, world: Any) -> VoxelImage:
    metadata = Metadata(**geometry_of(form.frame), state="complete")
    grids = {"chunks": form.chunks, "shards": form.shards}
    with creating(locate(None), shape=form.frame.shape, dtype=form.dtype, metadata=metadata, **grids) as stored:
        return VoxelImage(stored, world)


def _limited(work: FoldPass, room: int, processes: int) -> FoldPass:
    """Return a fold that ends before what it keeps outgrows `room` [byte].

    In the end each process has that of all; the others are taken to find as much as this one.
    """
    if work.growing is None:
        return work
    growing = work.growing

    def take(block: PassBlock, found: Any) -> None:
        work.take(block, found)
        if (kept := growing() * processes) > room:
            raise MemoryLimitError(
                f"the pass '{work.name}' has found so many parts by block {block.place + 1} that it needs {size_text(kept)} for "
                f"them, and memory_limit leaves {size_text(max(room, 0))}: noise has many more than a rock. Remove it before, by "
                "lx.ops.median or the like, take a crop, or raise memory_limit."
            )

    return replace(work, take=take)

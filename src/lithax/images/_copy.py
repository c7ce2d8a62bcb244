"""Copies with other chunks, in bounded memory whatever the two grids."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

from lithax.chunked import Progress
from lithax.errors import MemoryLimitError
from lithax.grid import Box, ChunkGrid, Index, World, box_shape, shift
from lithax.images._call import size_text
from lithax.images._collective import share_of
from lithax.images._create import new_image, refuse_itself
from lithax.images._described import description_of
from lithax.images._run import limit_or_default, workers_or_default
from lithax.images._values import check_values
from lithax.images._voxel_image import VoxelImage
from lithax.runtime import default_of
from lithax.storage import AbstractStoredArray, StoredArray, locate, map_threads, same_encoding

MEMORY = 512 * 2**20
"""How much of an image is held at once by default [byte]."""


def copy_image(
    image: VoxelImage,
    store: Any = None,
    path: str | None = None,
    *,
    chunks: Any = None,
    shards: Any = None,
    overwrite: bool = False,
    memory: int | None = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    dtype: Any = None,
    progress: bool = False,
    **overrides: Any,
) -> VoxelImage:
    """Copy an image; see `VoxelImage.copy`."""
    source = image.stored
    memory = copy_memory(image, memory, memory_limit)
    refuse_itself(source, store, path, overwrite)
    if chunks is None and shards is None:
        chunks, shards = image.chunks, image.shards
    metadata = source.metadata
    options: dict[str, Any] = {
        "chunks": "auto" if chunks is None else chunks,
        "shards": shards,
        **description_of(image),
        "fill_value": source.fill_value,
        "attributes": source.free_attributes(),
        "world": image.world,
    }
    if isinstance(source, StoredArray) and not source.in_memory and not locate(store).in_memory:
        options |= source.encoding()
        if "order" in overrides:
            del options["filters"]  # where the order of an image is kept
    options |= overrides
    dtype = image.dtype if dtype is None else dtype
    with new_image(
        image.shape, dtype, store=store, path=path, overwrite=overwrite, filled_by="copy", **options
    ) as made:
        transfer(source, made.stored, made.world, memory, progress, workers)
    if made.world.first and made.dtype == image.dtype:
        made.stored.update_metadata(content_hash=metadata.content_hash, provenance=metadata.provenance)
    return made


def copy_memory(image: VoxelImage, memory: int | None = None, memory_limit: Any = None) -> int:
    """Return how much of an image a copy may hold at once [byte].

    Raises
    ------
    MemoryLimitError
        If that has no room for a chunk.
    """
    if memory_limit is None:
        memory_limit = default_of("memory_limit")
    if memory is not None and memory_limit is not None:
        raise ValueError(f"memory={memory!r} and memory_limit={memory_limit!r} say the same; give one of them.")
    if memory_limit is None:
        return MEMORY if memory is None else memory
    limit = limit_or_default(memory_limit, image.world)
    check_room("a copy", 2 * math.prod(image.chunks) * image.dtype.itemsize, limit)
    return min(MEMORY, limit)


def copy_block(image: VoxelImage, unit: Index, room: int) -> tuple[Index, int]:
    """Return the block by which an image is copied to units of a shape, in a memory of `room`
    bytes, and what that takes [byte].
    """
    block = transfer_block(image.shape, image.chunks, unit, image.dtype.itemsize, room // 2)
    return block, max(2 * math.prod(block) * image.dtype.itemsize, min(room, image.nbytes))


def check_room(what: str, needed: int, limit: int) -> int:
    """Return what is needed [byte].

    Raises
    ------
    MemoryLimitError
        If it is more than may be taken.
    """
    if needed > limit:
        raise MemoryLimitError(
            f"{what} needs up to {size_text(needed)} for a block of voxels as it was and as it will be, memory_limit is "
            f"{size_text(limit)}; raise memory_limit."
        )
    return needed


def transfer(
    source: AbstractStoredArray,
    target: StoredArray,
    world: World,
    memory: int | None = None,
    progress: bool = False,
    threads: int | None = None,
) -> None:
    """Write all voxels of one array into another of the same shape; each process writes units that
    it alone owns.
    """
    workers = target.workers if threads is None else workers_or_default(threads)
    if isinstance(source, StoredArray) and same_encoding(source, target):
        units = share_of(world).of(target.unit_grid)
        with progress_of(target.shape, world, "copy", progress) as bar:

            def pass_on(unit: Index) -> None:
                if source.check:
                    source.checked_unit(unit)
                payload = source.read_unit(unit)
                if payload is None:
                    source.check_not_lost(unit)
                target.write_unit(unit, payload)
                bar.add(math.prod(box_shape(target.unit_grid.box(unit))))

            map_threads(pass_on, units, workers, world.check)
        return
    memory = MEMORY if memory is None else memory
    # Half for what was read, half for what becomes of it.
    block = transfer_block(source.shape, source.chunks, target.unit, source.dtype.itemsize, memory // 2)
    grid = ChunkGrid(source.shape, block)
    boxes = [grid.box(index) for index in share_of(world).of(grid)]
    # Many small blocks: one thread each, so that reading and writing overlap. A few large ones: all
    # threads on each.
    small = 2 * math.prod(block) * source.dtype.itemsize * workers <= memory and len(boxes) >= workers
    outer, inner = (workers, 1) if small else (1, workers)

    def move(box: Box) -> None:
        values = source.read(box) if inner == 1 else source.read_parallel(box, inner)
        values = check_values(values, target.dtype)
        corner = tuple(s.start for s in box)
        target.write_units(
            list(target.unit_grid.covering(box)),
            lambda part: values[shift(part, corner)].astype(target.dtype, copy=False),
            inner,
        )
        bar.add(values.size)

    with progress_of(target.shape, world, "copy", progress) as bar:
        map_threads(move, boxes, outer, world.check)


@contextlib.contextmanager
def progress_of(shape: Index, world: World, label: str, show: bool) -> Iterator[Progress]:
    """Count the voxels that this process works on; the first process shows a bar if it is to."""
    bar = Progress(math.prod(shape) // world.count, label, show and world.first)
    try:
        yield bar
    finally:
        bar.close()


def transfer_block(shape: Index, chunks: Index, unit: Index, itemsize: int, memory: int) -> Index:
    """Return the block, of whole units, by which an array is best read and written again.

    A block that cuts through chunks of the source makes them be decoded again for the next one.
    Among blocks of at most `memory` bytes it is the smallest of those that decode least.

    Examples
    --------
    >>> transfer_block((256, 256, 256), (1, 256, 256), (64, 64, 64), 1, 2**23)
    (64, 256, 256)
    """
    options = [_block_edges(n, c, u) for n, c, u in zip(shape, chunks, unit, strict=True)]
    candidates = []
    for sizes in itertools.product(*options):
        edges = tuple(edge for edge, _ in sizes)
        nbytes = math.prod(min(edge, n) for edge, n in zip(edges, shape, strict=True)) * itemsize
        if nbytes <= memory or edges == tuple(edge for edge, _ in (o[0] for o in options)):
            candidates.append((math.prod(cost for _, cost in sizes), nbytes, edges))
    least = min(cost for cost, _, _ in candidates)
    _, _, (x, y, z) = min((c for c in candidates if c[0] <= 1.05 * least), key=lambda c: c[1])
    return x, y, z


def _block_edges(n: int, chunk: int, unit: int) -> list[tuple[int, float]]:
    """Return edges of blocks along an axis, the unit first, with how often each voxel is decoded on
    average.
    """
    most = -(-n // unit)
    counts = {1, most, *(2**k for k in range(most.bit_length())), math.lcm(chunk, unit) // unit, -(-chunk // unit)}
    return [(count * unit, _decoded(n, chunk, count * unit) / n) for count in sorted(counts) if count <= most]


def _decoded(n: int, chunk: int, block: int) -> int:
    """Return how many voxels along an axis are decoded when it is read block by block."""
    total = 0
    for start in range(0, n, block):
        first, last = start // chunk, (min(start + block, n) - 1) // chunk
        total += min((last + 1) * chunk, n) - first * chunk
    return total

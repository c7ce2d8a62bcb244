"""Copies with other chunks, in bounded memory whatever the two grids."""

import itertools
import math
from typing import Any

import numpy as np

from lithax.grid import ChunkGrid, Index, World, box_shape
from lithax.images._create import new_image, within, write_box
from lithax.images._voxel_image import VoxelImage
from lithax.storage import AbstractStoredArray, StoredArray, map_threads, same_encoding

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
    dtype: Any = None,
    **overrides: Any,
) -> VoxelImage:
    """Copy an image; see `VoxelImage.copy`."""
    source = image.stored
    if chunks is None and shards is None:
        chunks, shards = image.chunks, image.shards
    metadata = source.metadata
    options: dict[str, Any] = {
        "chunks": "auto" if chunks is None else chunks,
        "shards": shards,
        "field_name": metadata.field_name,
        "field_unit": metadata.field_unit,
        "description": metadata.description,
        "voxel_origin": image.voxel_origin,
        "voxel_length": image.voxel_length,
        "voxel_unit": image.voxel_unit,
        "fill_value": source.fill_value,
        "attributes": source.free_attributes(),
        "world": image.world,
        **overrides,
    }
    dtype = image.dtype if dtype is None else dtype
    with new_image(
        image.shape, dtype, store=store, path=path, overwrite=overwrite, filled_by="copy", **options
    ) as made:
        transfer(source, made.stored, made.world, memory)
    if made.world.first and made.dtype == image.dtype:
        made.stored.update_metadata(content_hash=metadata.content_hash, provenance=metadata.provenance)
    return made


def transfer(source: AbstractStoredArray, target: StoredArray, world: World, memory: int | None = None) -> None:
    """Write all voxels of one array into another of the same shape; each process writes units that it alone owns."""
    if same_encoding(source, target):
        units = [unit for n, unit in enumerate(target.unit_grid) if n % world.count == world.index]
        map_threads(lambda unit: target.write_unit(unit, source.read_unit(unit)), units, target.workers)
        return
    memory = MEMORY if memory is None else memory
    block = transfer_block(source.shape, source.chunks, target.unit, source.dtype.itemsize, memory)
    boxes = [box for n, box in enumerate(map(ChunkGrid(source.shape, block).box, ChunkGrid(source.shape, block)))]
    boxes = [box for n, box in enumerate(boxes) if n % world.count == world.index]
    nbytes = math.prod(block) * source.dtype.itemsize
    # Many small blocks: one thread each, so that reading and writing overlap. A few large ones: all threads on each.
    small = nbytes * target.workers <= memory and len(boxes) >= target.workers
    outer, inner = (target.workers, 1) if small else (1, target.workers)

    def move(box: Any) -> None:
        values = source.read(box) if inner == 1 else source.read_parallel(box, inner)
        write_box(target, box, values, inner)

    map_threads(move, boxes, outer)


def transfer_block(shape: Index, chunks: Index, unit: Index, itemsize: int, memory: int) -> Index:
    """Return the block, of whole units, by which an array is best read and written again.

    A block that cuts through the chunks of the source makes them be decoded again for the next one. Blocks grow,
    along the axis where that saves most, until little is decoded twice or the memory is used up.
    """
    block = tuple(min(u, -(-n // u) * u) for u, n in zip(unit, shape, strict=True))

    def cost(size: Index) -> float:
        return math.prod(_decoded(n, c, b) / n for n, c, b in zip(shape, chunks, size, strict=True))

    def nbytes(size: Index) -> int:
        return math.prod(min(b, n) for b, n in zip(size, shape, strict=True)) * itemsize

    while cost(block) > 1.25:
        wider = []
        for axis in range(3):
            if block[axis] < shape[axis]:
                size = list(block)
                size[axis] += unit[axis] * max(1, size[axis] // unit[axis])
                candidate = (size[0], size[1], size[2])
                if nbytes(candidate) <= memory:
                    wider.append(candidate)
        if not wider:
            break
        best = min(wider, key=cost)
        if cost(best) >= cost(block) and all(cost(w) >= cost(block) for w in wider):
            # One step may not help although the next does (a block just below a chunk): grow the longest way.
            best = max(wider, key=nbytes)
        block = best
    x, y, z = block
    return x, y, z


def _decoded(n: int, chunk: int, block: int) -> int:
    """Return how many voxels along an axis are decoded when it is read block by block."""
    total = 0
    for start in range(0, n, block):
        first, last = start // chunk, (min(start + block, n) - 1) // chunk
        total += min((last + 1) * chunk, n) - first * chunk
    return total

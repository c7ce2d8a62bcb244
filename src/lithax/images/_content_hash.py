"""A hash of what an image holds, whatever its chunks, codec and store."""

import hashlib
import json
import math
from typing import Any

import numpy as np

from lithax.grid import ChunkGrid, Index, shift
from lithax.images._collective import share_of
from lithax.images._copy import MEMORY, check_room, progress_of, transfer_block
from lithax.images._run import limit_or_default, workers_or_default
from lithax.images._voxel_image import VoxelImage
from lithax.storage import map_threads

TILE: Index = (128, 128, 128)
"""Shape of the tiles that are hashed one by one, on the grid of the whole image."""


def content_hash(image: VoxelImage, **options: Any) -> str:
    """Return the content hash of an image, and store it; see `VoxelImage.content_hash`."""
    stored = image.stored
    # The first process's view decides: another one might read what it stores a moment later.
    known = image.world.broadcast(stored.reload_metadata().content_hash)
    if known is not None:
        return known
    result = computed_hash(image, **options)
    if image.world.first and not image.read_only:
        stored.update_metadata(content_hash=result)
    return result


def hashed_block(image: VoxelImage, memory_limit: Any = None) -> tuple[Index, int]:
    """Return the blocks by which an image is hashed, and what they take [byte]; see
    `transfer_block`.

    Raises
    ------
    MemoryLimitError
        If a block takes more than `memory_limit`.
    """
    limit = limit_or_default(memory_limit, image.world)
    block = transfer_block(image.shape, image.chunks, TILE, image.dtype.itemsize, min(MEMORY, limit // 2))
    return block, check_room("the content hash", 2 * math.prod(block) * image.dtype.itemsize, limit)


def computed_hash(
    image: VoxelImage, *, memory_limit: Any = None, workers: int | None = None, progress: bool = False
) -> str:
    """Return the content hash of what an image holds now, whatever hash is stored with it."""
    stored = image.stored
    tiles = ChunkGrid(image.shape, TILE)
    block, _ = hashed_block(image, memory_limit)
    threads = stored.workers if workers is None else workers_or_default(workers)
    grid = ChunkGrid(image.shape, block)
    little = image.dtype.newbyteorder("<")
    digests: dict[Index, str] = {}

    def digest(index: Index, values: np.ndarray) -> tuple[Index, str]:
        bar.add(values.size)
        return index, hashlib.sha256(np.ascontiguousarray(values, dtype=little).data).hexdigest()

    def of_tile(index: Index) -> tuple[Index, str]:
        return digest(index, stored.read(tiles.box(index)))

    world = image.world
    own = share_of(world).of(grid)
    with progress_of(image.shape, world, "hash", progress) as bar:
        if block == TILE:
            digests.update(map_threads(of_tile, own, threads))
        else:
            for index in own:
                outer = grid.box(index)
                values = stored.read_parallel(outer, threads)

                corner = grid.start(index)

                def of_part(tile: Index, corner: Index = corner, values: np.ndarray = values) -> tuple[Index, str]:
                    return digest(tile, values[shift(tiles.box(tile), corner)])

                digests.update(map_threads(of_part, tiles.covering(outer), threads))
    for part in world.gather(digests):
        digests.update(part)
    header = json.dumps({"lithax-content": 1, "shape": list(image.shape), "dtype": little.str, "tile": list(TILE)})
    total = hashlib.sha256(header.encode())
    for index in tiles:
        total.update(bytes.fromhex(digests[index]))
    return total.hexdigest()

"""What calls that are no map and no measurement would do: copies, hashes and checks."""

import math
from dataclasses import replace
from typing import Any

from lithax.chunked import FIXED_BYTES
from lithax.grid import ChunkGrid
from lithax.images._content_hash import hashed_block
from lithax.images._copy import copy_block, copy_memory
from lithax.images._open import open
from lithax.images._plan import Plan, joined_plan, plans
from lithax.images._run import limit_or_default, workers_or_default
from lithax.images._verify import verify
from lithax.images._voxel_image import VoxelImage
from lithax.storage import resolve_chunks


@plans(VoxelImage.content_hash)
def _plan_content_hash(image: VoxelImage, /, *, memory_limit: Any = None, workers: Any = None, progress: bool = True):
    block, memory = hashed_block(image, memory_limit)
    return _plan_storage("content_hash", image, block, memory, memory_limit, workers)


@plans(verify)
def _plan_verify(
    image: Any, /, *, content: bool = True, memory_limit: Any = None, workers: Any = None, world: Any = None, **_: Any
) -> Plan:
    image = image if isinstance(image, VoxelImage) else open(image, mode="r")
    unit = image.shards or image.chunks
    threads = image.stored.workers if workers is None else workers_or_default(workers)
    memory = 2 * threads * math.prod(unit) * image.dtype.itemsize
    checked = _plan_storage("verify", image, unit, memory, memory_limit, workers)
    if not content or image.metadata.content_hash is None:
        return checked
    return joined_plan("verify", [checked, _plan_content_hash(image, memory_limit=memory_limit, workers=workers)])


@plans(VoxelImage.copy)
def _plan_copy(
    image: VoxelImage, store: Any = None, /, *, chunks: Any = None, shards: Any = None, memory: Any = None,
    memory_limit: Any = None, workers: Any = None, **_: Any,
) -> Plan:  # fmt: skip
    room = copy_memory(image, memory, memory_limit)
    if chunks is None and shards is None:
        unit = image.shards or image.chunks
    else:
        grid, shard = resolve_chunks(image.shape, "auto" if chunks is None else chunks, shards)
        unit = shard or grid
    block, memory = copy_block(image, unit, room)
    held = image.nbytes if store is None else 0
    planned = _plan_storage("copy", image, block, memory + held, memory_limit, workers)
    return replace(planned, bytes_written=image.nbytes)


def _plan_storage(name: str, image: VoxelImage, block: Any, memory: int, memory_limit: Any, workers: Any) -> Plan:
    blocks = len(ChunkGrid(image.shape, block))
    threads = image.stored.workers if workers is None else workers_or_default(workers)
    return Plan(
        function=name,
        image_shape=image.shape,
        block_shape=block,
        halos=((0, 0, 0),),
        blocks=blocks,
        workers=threads,
        compilations=0,
        bytes_read=image.nbytes,
        bytes_written=0,
        memory=memory + FIXED_BYTES,
        memory_limit=limit_or_default(memory_limit, image.world),
    )

"""What calls that are no map and no measurement would do: connected parts, copies, hashes, checks
and pyramids.
"""

import math
from dataclasses import replace
from typing import Any

from lithax.grid import ChunkGrid
from lithax.images._connectivity import connectivity, prepare_connectivity
from lithax.images._content_hash import hashed_block
from lithax.images._copy import copy_memory, transfer_block
from lithax.images._create import empty
from lithax.images._open import open
from lithax.images._plan import Plan, joined_plan, plan_map, plan_of_reduce, plans
from lithax.images._pyramid import layout_of_level, pyramid, scales_of_levels
from lithax.images._run import limit_or_default, workers_or_default
from lithax.images._verify import verify
from lithax.images._voxel_image import VoxelImage, geometry_of
from lithax.ops import coarsen
from lithax.storage import resolve_chunks


@plans(connectivity)
def _plan_connectivity(image: Any, /, **options: Any) -> Plan:
    prepared = prepare_connectivity("plan", image, **options)
    return plan_of_reduce(prepared)


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
    block = transfer_block(image.shape, image.chunks, unit, image.dtype.itemsize, room // 2)
    held = image.nbytes if store is None else 0
    each = 2 * math.prod(block) * image.dtype.itemsize
    planned = _plan_storage("copy", image, block, max(each, min(room, image.nbytes)) + held, memory_limit, workers)
    return replace(planned, bytes_written=image.nbytes)


@plans(pyramid)
def _plan_pyramid(
    image: VoxelImage, store: Any = None, path: Any = None, /, *, method: str = "auto", smallest: int = 64,
    chunks: Any = None, shards: Any = None, memory_limit: Any = None, workers: Any = None, **_: Any,
) -> Plan:  # fmt: skip
    scales, frames = scales_of_levels(image.frame, smallest)
    layouts = [layout_of_level(image, frame.shape, chunks, shards) for frame in frames]
    # What "auto" is decided by a few voxels, and all methods read and write the same.
    operation = "mean" if method == "auto" else method
    passes = [] if store is None else [_plan_copy(image, store, memory_limit=memory_limit, workers=workers)]
    level = image
    for scale, frame, layout in zip(scales, frames[1:], layouts[1:], strict=True):
        passes.append(
            plan_map(
                coarsen(operation, scale), level, store="levels", memory_limit=memory_limit, workers=workers, **layout
            )
        )
        level = empty(frame.shape, image.dtype, **layout, **geometry_of(frame), world=image.world)
    return joined_plan("pyramid", passes) if passes else _plan_storage("pyramid", image, image.chunks, 0, None, None)


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
        memory=memory,
        memory_limit=limit_or_default(memory_limit, image.world),
    )

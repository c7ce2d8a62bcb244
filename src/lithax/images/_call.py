"""Argument checks shared by the combinators: images, frame, selection, backend, memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lithax.arrays import is_traced
from lithax.chunked import ArraySource, Selection, available_cores, stored_sources
from lithax.errors import MemoryLimitError
from lithax.geometry import Frame
from lithax.grid import BlockSource, Halo
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import Domain, as_domain, make_selection
from lithax.runtime import check_launcher, connected

CACHE_BYTES = 512 * 2**20
"""Decoded chunks are kept up to this many bytes where blocks overlap."""


@dataclass(frozen=True)
class Inputs:
    """The images of one call, on one grid of voxels."""

    images: tuple[Any, ...]
    sources: tuple[BlockSource, ...]
    frame: Frame
    where: Domain | None
    selection: Selection | None
    world: Any

    @property
    def first(self) -> VoxelImage | None:
        """The first image, if it is one and not a plain array."""
        return self.images[0] if isinstance(self.images[0], VoxelImage) else None


def gather_inputs(
    name: str, images: Sequence[Any], where: Any, world: Any, parameters: Any = (), geometry: str = "same"
) -> Inputs:
    """Check the images and the selection of a call to the combinator `name`.

    Raises
    ------
    TypeError, ValueError
        If there is no image, one is no image, or their shapes or geometries differ.
    RuntimeError
        If called inside a function that JAX is compiling.
    """
    if geometry not in ("same", "first"):
        raise ValueError(
            f"geometry={geometry!r} must be 'same' (images that lie elsewhere are refused) or 'first' (all lie where the first does)."
        )
    check_launcher()
    refuse_tracers(name, (*images, parameters))
    if not images:
        raise TypeError(f"{name}() needs at least one image after the function.")
    for position, image in enumerate(images):
        if not isinstance(image, VoxelImage) and not (hasattr(image, "shape") and hasattr(image, "dtype")):
            raise TypeError(
                f"image {position} of {name}() is a {type(image).__name__}; give an image (lx.open, lx.from_array) or an array."
            )
    handles = [i for i in images if isinstance(i, VoxelImage)]
    frame = handles[0].frame if handles else Frame(tuple(images[0].shape))
    sources = []
    for position, image in enumerate(images):
        if tuple(image.shape) != frame.shape:
            raise ValueError(
                f"image {position} has shape {tuple(image.shape)}, the first {frame.shape}; images of one call must agree."
            )
        if isinstance(image, VoxelImage):
            if geometry == "same" and not image.frame.same_grid(frame):
                raise ValueError(
                    f"image {position} has its first voxel at {image.voxel_origin} and voxels of {image.voxel_length} "
                    f"{image.voxel_unit}, the first image {frame.voxel_origin} and {frame.voxel_length} {frame.voxel_unit}; "
                    f"correct one of them with image.update(...), or pass geometry='first' if their voxels correspond all the same."
                )
            sources.append(image.stored)
        else:
            sources.append(ArraySource(image))
    world = world_of(name, images, world)
    chosen = as_domain(where)
    return Inputs(tuple(images), tuple(sources), frame, chosen, make_selection(chosen, frame), world)


def world_of(name: str, images: Sequence[Any], world: Any = None) -> Any:
    """Return the processes that share a call: those given, or those of its images, or the connected
    ones.
    """
    worlds = {id(i.world): i.world for i in images if isinstance(i, VoxelImage)}
    if len(worlds) > 1:
        raise ValueError(f"the images of {name}() belong to different worlds; open them with the same world=.")
    if world is not None and not hasattr(world, "count"):
        raise TypeError(f"world is a {type(world).__name__}; give a world of lithax.runtime, or leave it out.")
    return world or next(iter(worlds.values()), None) or connected()


def refuse_tracers(name: str, values: Any) -> None:
    """Raise RuntimeError inside a function that JAX is transforming."""
    import jax
    from jax.extend import core

    # A compiled function need not pass anything traced on to us.
    compiling = getattr(core, "unsafe_am_i_under_a_jit_DO_NOT_USE", bool)
    leaves = jax.tree_util.tree_leaves(values, is_leaf=lambda v: isinstance(v, VoxelImage))
    if compiling() or any(map(is_traced, leaves)):
        raise RuntimeError(
            f"{name}() was called inside a function that JAX is compiling or differentiating, but it reads and writes images; call it "
            f"outside. For gradients over an image use lx.chunk_value_and_grad or lx.chunk_loss, for arrays the function itself."
        )


def check_halo_fits(halos: Sequence[Halo], needed: int, limit: int) -> None:
    """Raise MemoryLimitError if a block is out of proportion because of its halo: smaller chunks
    are no way out then.
    """
    widest = max(max(halo) for halo in halos)
    if widest > _WIDE_HALO:
        raise MemoryLimitError(
            f"the halo of {widest} voxels makes blocks of which those in flight need {size_text(needed)}, memory_limit is "
            f"{size_text(limit)}; use a smaller halo, work on a coarser image (lx.ops.coarsen), or raise memory_limit."
        )


_WIDE_HALO = 256
NOT_COMPILED = 2**40
"""Blocks in flight of this size [byte] are not even compiled: the compiler itself would run out of
memory.
"""


def cache_bytes(sources: Sequence[BlockSource], halos: Sequence[Halo], block: Sequence[int], limit: int) -> int:
    """Return how much of the decoded chunks to keep: none where every chunk is read by one block
    only.
    """
    needed, seen = 0, set()
    parts = [(*part, halo) for s, halo in zip(sources, halos, strict=True) for part in stored_sources([s])]
    for source, offset, halo in parts:
        aligned = all(
            (b % c == 0 or b >= n) and o % c == 0
            for b, c, n, o in zip(block, source.chunks, source.shape, offset, strict=True)
        )
        again = id(source) in seen  # the same array in two inputs, or in an input and a condition
        seen.add(id(source))
        whole = math.prod(source.shape) * source.dtype.itemsize
        if any(halo) or not aligned:
            needed += whole
        elif again:  # by the same block: a chunk has to last until the thread that decoded it has gone on
            each = max(math.prod(block), math.prod(source.chunks)) * source.dtype.itemsize
            needed += min(whole, 2 * (available_cores() + 1) * each)
    return min(needed, CACHE_BYTES, limit // 4)


def merge_parameters(parameters: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the function, given as a mapping and as plain keywords."""
    if parameters is not None and not isinstance(parameters, Mapping):
        raise TypeError(f"parameters is a {type(parameters).__name__}; give a mapping of parameter names to values.")
    if twice := (parameters or {}).keys() & keywords.keys():
        raise TypeError(f"{sorted(twice)} are given both in parameters= and as keywords.")
    return dict(parameters or {}) | dict(keywords)


def size_text(count: int) -> str:
    """Return a number of bytes as people write it."""
    if count >= 2**60:
        return f"{count / 2**60:.3g} EiB"
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"

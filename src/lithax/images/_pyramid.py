"""Coarser levels of an image, in OME-Zarr 0.5, so that a viewer of a large image reads little."""

import contextlib
import uuid
from typing import Any

import numpy as np

from lithax.errors import IncompleteImageError
from lithax.geometry import Frame
from lithax.grid import Index, triple
from lithax.images._chunk_map import chunk_map
from lithax.images._collective import check_same, on_first, open_shared_array, refuse_memory, together
from lithax.images._copy import copy_image
from lithax.images._create import new_image
from lithax.images._voxel_image import VoxelImage, geometry_of
from lithax.ops import coarsen
from lithax.storage import (
    Location,
    claim,
    coarser_levels,
    levels_beside,
    locate,
    multiscales,
    open_array,
    own_attributes,
    path_of_level,
    replacing,
    resolve_chunks,
    write_group,
)

FEW_VALUES = 16
"""An image of integers with at most this many values in its middle is taken for a segmentation."""

_MIDDLE = 64


def pyramid(
    image: VoxelImage,
    store: Any = None,
    path: str | None = None,
    *,
    method: str = "auto",
    smallest: int = 64,
    chunks: Any = None,
    shards: Any = None,
    overwrite: bool = False,
    resume: bool = False,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
) -> VoxelImage:
    """Make coarser levels of an image, each of half the resolution of the one before.

    Viewers read from them what a screen can show; ``image.levels`` are the levels as images. On
    disk they are OME-Zarr 0.5 with the axes z, y, x, which napari, Fiji and others open. Each level
    is made from the one before, block by block; several processes share the work.

    Parameters
    ----------
    image
        The image.
    store, path
        Where to make a new OME-Zarr group that holds a copy of the image and all levels. Without a
        store only the coarser levels are made, in a group ``levels`` inside the image's own store,
        about a seventh of its size; they are forgotten when voxels of the image are changed through
        lithax.
    method
        How a voxel is made of eight: "mean", "mode" or "first", see `ops.coarsen`. "auto": "mode"
        for booleans, for integers of 32 and 64 bits (labels), and for other integers with at most
        16 different values among the 64³ voxels in the middle (a segmentation); "mean" for the
        rest.
    smallest
        Levels are added until no axis has more voxels than this; an image that is as small already
        gets none, and a new group holds its copy alone.
    chunks, shards
        Of all levels, as for `create`; both are cut to the levels that are smaller. By default
        chunks of about 128³ voxels (in a copy of an image with shards, its chunks), and no shards.
        Shards put many chunks into one file.
    overwrite
        Replace a pyramid that is there.
    resume
        Go on with a pyramid that was cut off.
    memory_limit, workers, world, progress
        As for `chunk_map`; `world` is that of the image.

    Returns
    -------
        The finest level of the new group; without a store, the image itself.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong, or the method does not suit the data type.
    FileExistsError
        If there is something else, or an earlier pyramid and `overwrite` is False.
    PermissionError
        If there is no store given and the image is read-only.
    IncompleteImageError
        If a pyramid was cut off there, and neither `resume` nor `overwrite` is True.

    Examples
    --------
    >>> from lithax.images import sphere_pack
    >>> pack = sphere_pack((40, 40, 40), voxel_length=2.5, voxel_unit="um")  # doctest: +SKIP
    >>> [level.shape for level in pyramid(pack, smallest=10).levels]  # doctest: +SKIP
    [(20, 20, 20), (10, 10, 10)]
    """
    if not isinstance(image, VoxelImage):
        raise TypeError(f"image is a {type(image).__name__}; pass an image, such as lx.from_array(array).")
    if world is not None and world is not image.world:
        raise ValueError("world= is not that of the image, whose processes make the levels; open the image with it.")
    if isinstance(smallest, bool) or not isinstance(smallest, int) or smallest < 1:
        raise ValueError(f"smallest={smallest!r} must be a positive number of voxels.")
    beside = store is None
    if beside:
        if path is not None:
            raise ValueError(f"path={path!r} is a path in store=, which is not given; leave it out, or give both.")
        if image.read_only:
            raise PermissionError(
                f"the image at {image.stored.where} is read-only, so no levels can be made beside it; pass store= to "
                "make an OME-Zarr group with a copy of it elsewhere."
            )
    method = _method(image, method)
    place = levels_beside(image.stored) if beside else locate(store, path)
    refuse_memory("store", place.label, place.unshared, image.world)
    scales, frames = scales_of_levels(image.frame, smallest)
    layouts = [layout_of_level(image, frame.shape, chunks, shards) for frame in frames]
    plan = {
        "shape": list(image.shape),
        "dtype": image.dtype.str,
        "beside": beside,
        "paths": [path_of_level(number) for number in range(len(scales) + (not beside))],
        "method": method,
        "scales": [list(scale) for scale in scales],
        # Of the finest one that is made.
        "layout": {key: value and list(value) for key, value in layouts[bool(scales) and beside].items()},
    }
    call = {"image": image.stored.where, "store": place.label, "overwrite": overwrite, "resume": resume}
    check_same(image.world, "pyramid", lambda: call | plan)
    if beside and not scales:
        on_first(image.world, lambda: _forget(image, place, plan, overwrite))
        if not image.world.first:
            image.stored.reload_metadata()
        return image
    name, fresh = image.world.broadcast(on_first(image.world, lambda: _begin(place, plan, overwrite, resume)))
    try:
        return _make(image, place, plan, name, frames, scales, layouts, beside, memory_limit, workers, progress)
    except (ValueError, TypeError, MemoryError):
        # Refused, not cut off: there is nothing that resume=True could go on with.
        if fresh and image.world.first:
            with contextlib.suppress(OSError):
                place.objects.delete_tree(place.path)
        raise


def _make(
    image: VoxelImage,
    place: Location,
    plan: dict[str, Any],
    name: str,
    frames: list[Frame],
    scales: list[Index],
    layouts: list[dict[str, Index | None]],
    beside: bool,
    memory_limit: int | str | None,
    workers: int | None,
    progress: bool,
) -> VoxelImage:
    first = image if beside else _finest(image, place, layouts[0])
    level = first
    each = zip(scales, frames[1:], layouts[1:], strict=True)
    for number, (scale, frame, layout) in enumerate(each, 0 if beside else 1):
        target = _target(level, place, number, frame, layout)
        if target.metadata.state != "complete":
            operation = coarsen(plan["method"], scale)
            options: dict[str, Any] = {"memory_limit": memory_limit, "workers": workers, "progress": progress}
            chunk_map(operation, level, out=target, resume=True, **options)
        level = target

    shown = frames[1:] if beside else frames

    def finish() -> None:
        names = [path_of_level(number) for number in range(len(shown))]
        ome = multiscales(shown, names, name=image.field_name, method=plan["method"])
        first.stored.update_metadata(levels=name)
        own = {**plan, "levels": name, "state": "complete"}
        write_group(place, {"lithax": own, **({"ome": ome} if names else {})})

    on_first(image.world, finish)
    if not image.world.first:
        first.stored.reload_metadata()
    return first


def levels_of(image: VoxelImage) -> tuple[VoxelImage, ...]:
    """Return the coarser levels of an image, the finest first; see `VoxelImage.levels`."""
    return tuple(VoxelImage(open_array(place, read_only=True), image.world) for place in coarser_levels(image.stored))


def scales_of_levels(frame: Frame, smallest: int) -> tuple[list[Index], list[Frame]]:
    """Return how many voxels of the level before each level joins along each axis, and the frames
    of all levels.

    Axes are halved together, but for those whose voxels are already twice as long as the shortest:
    so voxels become more cubic.
    """
    scales, frames = [], [frame]
    while max(frames[-1].shape) > smallest:
        last = frames[-1]
        long = [n > 1 for n in last.shape]
        shortest = min(h for h, many in zip(last.voxel_length, long, strict=True) if many)
        scale = triple(2 if many and h < 2 * shortest else 1 for h, many in zip(last.voxel_length, long, strict=True))
        scales.append(scale)
        frames.append(last.rescaled(scale, shape=triple(-(-n // s) for n, s in zip(last.shape, scale, strict=True))))
    return scales, frames


def layout_of_level(image: VoxelImage, shape: Index, chunks: Any, shards: Any) -> dict[str, Index | None]:
    """Return chunk and shard of the level of a shape: those of the finest level, as far as they
    reach into it.
    """
    if chunks is None and shards is None:
        finest = shape == image.shape and image.shards is not None
        return {"chunks": image.chunks if finest else resolve_chunks(shape)[0], "shards": None}
    chunk, shard = resolve_chunks(image.shape, "auto" if chunks is None else chunks, shards, image.world.count)
    cut = triple(min(c, n) for c, n in zip(chunk, shape, strict=True))
    if shard is None:
        return {"chunks": cut, "shards": None}
    whole = (min(s // c, -(-n // c)) * e for s, c, e, n in zip(shard, chunk, cut, shape, strict=True))
    return {"chunks": cut, "shards": triple(whole)}


def _method(image: VoxelImage, method: str) -> str:
    if method != "auto":
        coarsen(method)
        coarsen(method, 1)(np.zeros((1, 1, 1), image.dtype))
        return method
    if image.dtype.kind not in "biu":
        return "mean"
    if image.dtype.kind == "b" or image.dtype.itemsize > 2:
        return "mode"
    middle = image[tuple(slice(max(0, (n - _MIDDLE) // 2), (n + _MIDDLE) // 2) for n in image.shape)]
    return "mode" if len(np.unique(middle)) <= FEW_VALUES else "mean"


def _forget(image: VoxelImage, place: Location, plan: dict[str, Any], overwrite: bool) -> None:
    """Leave an image without levels, because it is small enough; an earlier pyramid is removed if
    that is allowed.
    """
    own = own_attributes(place)
    if own is None or "levels" not in own:
        return
    if not overwrite:
        raise FileExistsError(
            f"store={place.label} holds a pyramid already, and now none is needed; pass overwrite=True to remove it."
        )
    place.objects.delete_tree(place.path)
    image.stored.update_metadata(levels=None)


def _begin(place: Location, plan: dict[str, Any], overwrite: bool, resume: bool) -> tuple[str, bool]:
    """Make the group of the levels, or find the one that was cut off.

    Returns
    -------
        The name of the pyramid, and whether it was begun now.
    """
    own = own_attributes(place)
    if own is not None and "levels" in own:
        same = {key: own.get(key) for key in plan} == plan
        if own.get("state") != "complete" and resume and same:
            return str(own["levels"]), False
        if not overwrite:
            if own.get("state") != "complete":
                raise IncompleteImageError(
                    f"the pyramid at {place.label} was cut off while it was made; pass resume=True to go on"
                    + ("" if same else " with the method, smallest=, chunks= and shards= of then")
                    + ", or overwrite=True to begin again."
                )
            raise FileExistsError(f"store={place.label} holds a pyramid already; pass overwrite=True to replace it.")
    else:
        claim(place, overwrite)
    name = uuid.uuid4().hex
    with replacing(place):
        write_group(place, {"lithax": {**plan, "levels": name, "state": "writing"}})
    return name, True


def _finest(image: VoxelImage, place: Location, layout: dict[str, Index | None]) -> VoxelImage:
    """Return the copy of the image in the group; it is made, unless an earlier attempt came so
    far.
    """
    there = _complete(place.child("0"), image)
    if there is not None:
        return there
    return copy_image(
        image,
        place.store,
        place.child("0").path,
        chunks=layout["chunks"],
        shards=layout["shards"],
        overwrite=True,
        axes="zyx",
    )


def _complete(place: Location, image: VoxelImage) -> VoxelImage | None:
    with together(image.world):
        found = None if place.node() is None else VoxelImage(open_shared_array(place, image.world), image.world)
    return found if found is not None and found.metadata.state == "complete" else None


def _target(
    level: VoxelImage, place: Location, number: int, frame: Frame, layout: dict[str, Index | None]
) -> VoxelImage:
    """Return the image that is to become a level: new, or begun by an earlier attempt."""
    here = place.child(path_of_level(number))
    if number:
        on_first(level.world, lambda: write_group(place.child(str(number)), {}))
    if level.world.broadcast(here.node() is not None if level.world.first else None):
        with together(level.world):
            return VoxelImage(open_shared_array(here, level.world), level.world)
    with new_image(
        frame.shape,
        level.dtype,
        chunks=layout["chunks"],
        shards=layout["shards"],
        store=here.store,
        path=here.path,
        fill_value=level.fill_value,
        field_name=level.field_name,
        field_unit=level.field_unit,
        **geometry_of(frame),
        world=level.world,
        state="writing",
        axes="zyx",
    ) as made:
        return made

"""Coarser levels of an image, in OME-Zarr 0.5, so that a viewer of a large image reads little."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lithax.chunked import CopyPass, OperationPass
from lithax.geometry import Frame
from lithax.grid import Index, triple
from lithax.images._collective import check_same, on_first
from lithax.images._outputs import Output
from lithax.images._pass_driver import run_algorithm
from lithax.images._pass_group import PassGroup
from lithax.images._plan import Plan, plans
from lithax.images._plan_passes import ImageCall, Passes, plan_algorithm
from lithax.images._prepare_pass import WholeImage
from lithax.images._run import Run
from lithax.images._voxel_image import VoxelImage
from lithax.ops import coarsen
from lithax.storage import (
    Location,
    coarser_levels,
    levels_beside,
    locate,
    multiscales,
    open_array,
    own_attributes,
    path_of_level,
    resolve_chunks,
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
        Go on with a pyramid that was cut off; one that is complete, and of the same image, is kept.
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
    run = Run("jax", None, memory_limit, workers, world, progress)
    output = Output(store=store, path=path, overwrite=overwrite, chunks=chunks, shards=shards, resume=resume)
    made = _Pyramid(
        image, _method(image, method), smallest, output, levels_beside(image.stored) if beside else locate(store, path)
    )
    if not made.scales and beside:
        check_same(image.world, "pyramid", lambda: {"image": image.stored.where, "overwrite": overwrite} | made.record)
        on_first(image.world, lambda: _forget(image, made.place, overwrite))
        if not image.world.first:
            image.stored.reload_metadata()
        return image
    outputs, _ = run_algorithm(made.call(run), (image,), made.passes, made.group())
    finest = image if beside else outputs[0]
    if not image.world.first:
        finest.stored.reload_metadata()
    return finest


class _Pyramid:
    """The levels of an image, and the passes that make them: each from the one before."""

    def __init__(self, image: VoxelImage, method: str, smallest: int, output: Output, place: Location):
        self.image, self.method, self.output, self.place = image, method, output, place
        self.beside = output.store is None
        self.scales, self.frames = scales_of_levels(image.frame, smallest)
        shapes = [frame.shape for frame in self.frames]
        self.layouts = [layout_of_level(image, shape, output.chunks, output.shards) for shape in shapes]

    @property
    def record(self) -> dict[str, Any]:
        """What makes two pyramids the same."""
        finest = self.layouts[bool(self.scales) and self.beside]  # of those that are made
        return {
            "shape": list(self.image.shape),
            "dtype": self.image.dtype.str,
            "beside": self.beside,
            "method": self.method,
            "scales": [list(scale) for scale in self.scales],
            "layout": {key: value and list(value) for key, value in finest.items()},
        }

    def call(self, run: Run) -> ImageCall:
        """Return the call, for the driver of passes."""
        return ImageCall("pyramid", self.record, output=replace(self.output, chunks=None, shards=None), run=run)

    def passes(self, whole: WholeImage) -> Passes:
        """Yield a copy of the image, if it is to be in the group, and each level."""
        level = self.image
        if not self.beside:
            (level,) = yield CopyPass("copy", level, **self.layouts[0])
        coarser = zip(self.scales, self.frames[1:], self.layouts[1:], strict=True)
        for scale, frame, layout in coarser:
            name = " x ".join(map(str, frame.shape))
            operation, chunks, shards = coarsen(self.method, scale), layout["chunks"], layout["shards"]
            (level,) = yield OperationPass(name, operation, (level,), chunks=chunks, shards=shards)

    def group(self) -> PassGroup:
        """Return the group around the levels."""
        image = self.image
        options = {"fill_value": image.fill_value, "field_name": image.field_name, "field_unit": image.field_unit}
        return PassGroup(
            self.place,
            "pyramid",
            "method, smallest=, chunks= and shards=",
            {"beside": self.beside, "levels": uuid.uuid4().hex},
            {**options, "axes": "zyx"},
            path_of_level,
            self._completed,
        )

    def _completed(self, levels: Sequence[VoxelImage], record: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the finest level which levels are its own; return what other programs read."""
        finest = self.image if self.beside else levels[0]
        finest.stored.update_metadata(levels=record["levels"])
        names = [path_of_level(number) for number in range(len(levels))]
        frames = [level.frame for level in levels]
        return {"ome": multiscales(frames, names, name=self.image.field_name, method=self.method)}


@plans(pyramid)
def _plan(
    image: VoxelImage, store: Any = None, path: Any = None, /, *, method: str = "auto", smallest: int = 64,
    chunks: Any = None, shards: Any = None, memory_limit: Any = None, workers: Any = None, world: Any = None, **_: Any,
) -> Plan:  # fmt: skip
    # What "auto" is decided by a few voxels, and all methods read and write the same.
    method = "mean" if method == "auto" else method
    place = levels_beside(image.stored) if store is None else locate(store, path)
    made = _Pyramid(image, method, smallest, Output(store=store, path=path, chunks=chunks, shards=shards), place)
    call = made.call(Run("jax", None, memory_limit, workers, world))
    return plan_algorithm(call, (image,), made.passes, place)


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


def _forget(image: VoxelImage, place: Location, overwrite: bool) -> None:
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

"""Where results go: new images, all or none of them, or those of an interrupted run."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.errors import IncompleteImageError, ResumeError
from lithax.geometry import Frame
from lithax.grid import Index, World
from lithax.images._call import Inputs
from lithax.images._collective import on_first, open_shared_array, refuse_memory, together
from lithax.images._derived_array import stored_origins
from lithax.images._described import geometry_of, metadata_changes
from lithax.images._voxel_image import VoxelImage
from lithax.images._where import Domain
from lithax.storage import (
    Location,
    Metadata,
    changed_units,
    check_unlocked,
    claim,
    clear_journal,
    creating,
    describe_parts,
    differing_parts,
    locate,
    open_array,
)


@dataclass(frozen=True)
class Output:
    """Where the results of a call go, what they are called, and whether an interrupted run is gone
    on with.

    As a user gives it, for `lithax.chunk_map`; of several results, tuples.
    """

    out: Any = None
    store: Any = None
    path: Any = None
    overwrite: bool = False
    chunks: Any = None
    shards: Any = None
    dtype: Any = None
    fill_value: Any = None
    field_name: Any = None
    field_unit: Any = None
    resume: bool | str = False
    resume_key: str | None = None
    hash_inputs: bool = False

    def __post_init__(self) -> None:
        if self.resume not in (True, False, "force"):
            raise ValueError(f"resume={self.resume!r} must be True, False or 'force'.")

    @property
    def images(self) -> tuple[Any, ...] | None:
        """The images to write into, if they are given."""
        if self.out is None:
            return None
        return tuple(self.out) if isinstance(self.out, tuple | list) else (self.out,)


@dataclass(frozen=True)
class Form:
    """An image that is to be written: where its voxels lie, their type, and the grids it is stored
    by.
    """

    frame: Frame
    dtype: np.dtype
    chunks: Index
    shards: Index | None

    @property
    def nbytes(self) -> int:
        """Bytes of its voxels."""
        return math.prod(self.frame.shape) * self.dtype.itemsize


def given_outputs(prepared: Any, output: Output) -> list[VoxelImage]:
    """Check the images of ``out=`` once more, as they are now."""
    store, path, resume = output.store, output.path, output.resume
    if store is not None or path is not None:
        raise ValueError("out= is given, so the result has a place; leave store= and path= out.")
    for target in prepared.out:
        refuse_memory("out", target.stored.where, target.stored.in_memory, prepared.inputs.world)

    def check() -> None:
        for target in prepared.out:
            check_unlocked(target.stored, resume=bool(resume))
            if target.stored.reload_metadata().state != "complete" and not resume:
                raise IncompleteImageError(
                    f"the image at {target.stored.where} was cut off while it was written; repeat that call with resume=True."
                )

    on_first(prepared.inputs.world, check)
    return list(prepared.out)


def new_outputs(
    forms: Sequence[Form], inputs: Inputs, identity: Mapping[str, Any], output: Output
) -> tuple[list[VoxelImage], bool]:
    """Make the output images, or find those of the interrupted run; say whether they are complete
    already.

    The first process makes them, the others open them. Everything is looked at before anything is
    made; if one image cannot be made, none is.
    """
    count, world = len(forms), inputs.world
    store, overwrite, resume = output.store, output.overwrite, output.resume
    stores, paths = spread(store, count, "store"), spread(output.path, count, "path")
    names, units = spread(output.field_name, count, "field_name"), spread(output.field_unit, count, "field_unit")
    places = [locate(s, p) for s, p in zip(stores, paths, strict=True)]
    _check_apart(inputs, store, places)
    for place in places:
        refuse_memory("store", place.label, place.unshared, world)
    texts = [
        metadata_changes(form.frame, {"field_name": n or "", "field_unit": u or ""})
        for form, n, u in zip(forms, names, units, strict=True)
    ]

    def make() -> tuple[list[VoxelImage], bool]:
        found = [
            _earlier(form, world, identity, place, overwrite, resume) for form, place in zip(forms, places, strict=True)
        ]
        for place, earlier in zip(places, found, strict=True):
            if earlier is None:
                claim(place, overwrite)
        made: list[VoxelImage] = []
        with contextlib.ExitStack() as stack:  # unwinds what was made if a later one fails
            for form, text, place, earlier in zip(forms, texts, places, found, strict=True):
                if earlier is not None:
                    made.append(earlier)
                    continue
                stored = creating(
                    place,
                    shape=form.frame.shape,
                    dtype=form.dtype,
                    chunks=form.chunks,
                    shards=form.shards,
                    overwrite=overwrite,
                    metadata=Metadata(**text, **geometry_of(form.frame), state="writing", run=identity),
                )
                made.append(VoxelImage(stack.enter_context(stored), world))
        finished = all(e is not None and e.metadata.state == "complete" for e in found)
        for image in made if finished else ():
            refuse_damaged(image)
            clear_journal(image.stored)
        return made, finished

    result = on_first(world, make)
    finished = world.broadcast(None if result is None else result[1])
    with together(world):
        images = (
            [VoxelImage(open_shared_array(place, world), world) for place in places] if result is None else result[0]
        )
    return images, finished


def refuse_damaged(image: VoxelImage) -> None:
    """Raise ResumeError if a finished output no longer holds what was written into it."""
    lost = changed_units(image.stored)
    if lost:
        names = ", ".join(repr(image.stored.unit_key(unit)) for unit in lost[:5]) + (" and more" if lost[5:] else "")
        raise ResumeError(
            f"the complete image at {image.stored.where} has lost some of what was written there, or another program has changed it "
            f"({names}); pass overwrite=True to make it again."
        )


def _check_apart(inputs: Inputs, store: Any, places: list[Location]) -> None:
    for k, place in enumerate(places):
        if any(place.same_place(other) for other in places[:k]):
            raise ValueError(
                f"store={store!r} must name one place for each of the {len(places)} results; give tuples for store or path."
            )
        refuse_inputs(inputs, place, "; for a change in place pass out=image, otherwise write elsewhere")


def refuse_inputs(inputs: Inputs, place: Location, remedy: str) -> None:
    """Raise ValueError if what is written to a place would replace what is read."""
    for image in (*inputs.images, *images_of(inputs.where)):
        if isinstance(image, VoxelImage) and any(map(place.covers, stored_origins(image.stored))):
            raise ValueError(f"store={place.label} holds one of the inputs{remedy}.")


def _earlier(
    form: Form, world: World, identity: Mapping[str, Any], place: Location, overwrite: bool, resume: bool | str
) -> VoxelImage | None:
    """Return the image that an interrupted (or finished) equal run made at a place; None if a new
    one is to be made.
    """
    node = place.node()
    if node is None or node.kind != "array":
        return None
    image = VoxelImage(open_array(place), world)
    where, metadata = image.stored.where, image.metadata
    check_unlocked(image.stored, resume=bool(resume) or overwrite)
    if not resume:
        if metadata.state != "complete" and not overwrite:
            raise IncompleteImageError(
                f"the image at {where} was cut off while it was written; pass resume=True to finish it, or "
                f"overwrite=True to begin again."
            )
        return None
    there = (image.shape, image.dtype, image.chunks, image.shards)
    wanted = (form.frame.shape, form.dtype, form.chunks, form.shards)
    if resume != "force" and differing_parts(metadata.run, identity):
        if overwrite:
            return None
        finished = metadata.state == "complete"
        raise ResumeError(
            f"the {'complete' if finished else 'unfinished'} image at {where} comes from another call "
            f"({describe_parts(metadata.run, identity)}); repeat that call, or pass overwrite=True to begin again"
            + ("." if finished else ", or resume='force' to go on all the same.")
        )
    if there != wanted:
        if overwrite:
            return None
        raise ResumeError(
            f"the image at {where} has shape {there[0]}, dtype {there[1]}, chunks {there[2]} and shards {there[3]}, this call makes "
            f"{wanted[0]}, {wanted[1]}, {wanted[2]} and {wanted[3]}; pass overwrite=True to begin again."
        )
    return image


def images_of(where: Domain | None) -> list[Any]:
    """Return the images and arrays that a selection reads."""
    found: list[Any] = []
    for value in () if where is None else (where.exclude, where.include, where.segmentation):
        found += list(value) if isinstance(value, tuple | list) else [value]
    return found


def spread(value: Any, count: int, name: str) -> list[Any]:
    """Return one value per result."""
    if isinstance(value, tuple | list):
        if len(value) != count:
            raise ValueError(f"{name} has {len(value)} values for {count} results; give one each.")
        return list(value)
    return [value] * count

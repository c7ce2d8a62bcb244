"""Check that a store holds what it says: metadata, every chunk, the content hash, the levels of a
pyramid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lithax.chunked import Progress
from lithax.errors import LithaxError, MetadataError
from lithax.grid import box_shape
from lithax.images._collective import on_first, share_of, together, world_or_connected
from lithax.images._content_hash import computed_hash
from lithax.images._copy import check_room
from lithax.images._file_image import file_to_open, open_file
from lithax.images._run import Run, limit_or_default, workers_or_default
from lithax.images._voxel_image import VoxelImage
from lithax.storage import (
    AbstractStoredArray,
    ForeignArray,
    Location,
    Multiscales,
    StoredArray,
    UnitCheck,
    check_files,
    check_units,
    check_unlocked,
    levels_beside,
    locate,
    open_array,
    own_attributes,
)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    where
        The store.
    defects
        A sentence on each defect; empty if there is none.
    images
        How many arrays were checked: the image and its levels.
    chunks
        How many stored objects (chunks, or shards) the arrays have.
    empty
        How many of these are not stored. They read as the fill value, which is right for a chunk
        that holds nothing else.
    compared
        How many were compared with the digest that was recorded when they were written, so that one
        that is missing or changed is a defect. Of the others, in stores made by other programs or
        before lithax kept digests, nothing is known but that they can be decoded.
    hashes
        How many arrays have a stored content hash, which was compared with what they hold.
    """

    where: str
    defects: Sequence[str] = field(default_factory=tuple)
    images: int = 0
    chunks: int = 0
    empty: int = 0
    hashes: int = 0
    compared: int = 0

    @property
    def sound(self) -> bool:
        """Whether no defect was found."""
        return not self.defects

    def __bool__(self) -> bool:
        return self.sound

    def __str__(self) -> str:
        lines = [f"{self.where}: {len(self.defects) or 'no'} defect{'s' if len(self.defects) != 1 else ''}"]
        lines += [f"  {defect}" for defect in self.defects]
        lines.append(
            f"  {_count(self.images, 'array')}, {_count(self.chunks, 'chunk')} decoded, {self.empty} of them not stored (fill value)"
        )
        if not self.chunks:
            return "\n".join(lines)
        if self.compared == self.chunks:
            lines.append("  every chunk was compared with the digest recorded when it was written")
        elif self.compared:
            lines.append(
                f"  {_count(self.compared, 'chunk')} compared with the digest recorded when it was written; of the others none is recorded"
            )
        else:
            lines.append(
                "  nothing was recorded to compare the chunks with: one that is lost, or changed, shows only if it cannot be decoded"
            )
        lines.append(f"  {_count(self.hashes, 'content hash', 'es')} compared")
        return "\n".join(lines)


def verify(
    store: Any,
    path: str | None = None,
    *,
    content: bool = True,
    record: bool = False,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
    storage_options: Any = None,
    world: Any = None,
) -> Verification:
    """Check a store: its metadata, every chunk, the content hash, and the levels of a pyramid.

    Every chunk is decoded, and its stored bytes are compared with the digest that was recorded when
    it was written.

    The image is read chunk by chunk, in bounded memory; all defects are found, not only the first.
    Several processes share the work, and all get the same answer.

    Parameters
    ----------
    store, path
        Where the image is, as for `open`; also an image. A file of another format is read as a
        whole.
    content
        Compare a stored content hash with what the image holds, which reads it once more.
    record
        Take what is stored as right, and record its digests for later calls: for a store that
        another program has written to on purpose, or that was made before there were digests. A
        stored content hash is forgotten.
    memory_limit
        How much may be taken [byte], or text such as "2 GiB".
    workers
        Threads; by default as many as the store bears.
    progress
        Show a bar for work longer than a second.
    storage_options
        Options for the file system behind a URL.
    world
        The processes that share the work; the connected ones by default.

    Returns
    -------
        What was found; true if the store is sound.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    """
    world = world_or_connected(store.world if isinstance(store, VoxelImage) and world is None else world)
    if (format := file_to_open(store)) is not None:
        try:
            store = open_file(format, store, world)
        except MetadataError as error:
            return Verification(str(store), (str(error),))
    place = locate(store.zarray if isinstance(store, VoxelImage) else store, path, storage_options=storage_options)
    try:
        missing = place.node() is None and not place.children()
    except MetadataError as error:
        return Verification(place.label, (str(error),))
    if missing:
        open_array(place, read_only=True)  # says what is missing
    defects: list[str] = []
    images: list[tuple[str, VoxelImage]] = []
    for label, where in _places(place, defects):
        try:
            images.append((label, VoxelImage(open_array(where, read_only=not record), world)))
        except (LithaxError, ValueError, OSError) as error:
            defects.append(f"{label}{error}")
    chunks = empty = hashes = compared = 0
    for label, image in images:
        if record:
            _begin_record(image)
        found, checked, hashed = _check(
            image, content, record, Run("numpy", None, memory_limit, workers, world, progress)
        )
        defects += [f"{label}{line}" for line in found]
        chunks += len(image.stored.unit_grid)
        empty += sum(part.missing for part in checked)
        compared += sum(part.compared for part in checked)
        hashes += hashed
    defects += _geometry(images)
    return Verification(place.label, tuple(defects), len(images), chunks, empty, hashes, compared)


def _begin_record(image: VoxelImage) -> None:
    if not isinstance(image.stored, StoredArray):
        raise TypeError(
            f"record=True: the image at {image.stored.where} is one of another program ({image.stored.note}), beside which lithax writes "
            f"nothing; copy() it."
        )

    def begin() -> None:
        image.stored.check_writable()
        check_unlocked(image.stored, resume=True)
        image.stored.drop_content_hash()
        image.stored.start_ledger(whole=False)

    on_first(image.world, begin)


def _count(number: int, name: str, plural: str = "s") -> str:
    return f"{number} {name}{'' if number == 1 else plural}"


def _places(place: Location, defects: list[str]) -> list[tuple[str, Location]]:
    """Return what is to be checked: the array, and the levels around or beside it."""
    node = place.node()
    if node is None or node.kind == "array":
        found = [("", place)]
        group = place.child("levels")
    else:
        found, group = [], place
    levels = Multiscales.of(group)
    own = own_attributes(group)
    if own is not None and own.get("state") == "writing":
        defects.append(f"the pyramid at {group.label} was cut off while it was made; make it with resume=True.")
    if levels is None:
        return found or [("", place)]
    if not found:
        return [(f"level {number}: ", group.child(path)) for number, path in enumerate(levels.paths)]
    return [*found, *((f"levels/{name}: ", group.child(name)) for name in levels.paths)]


def _check(image: VoxelImage, content: bool, record: bool, run: Run) -> tuple[list[str], list[UnitCheck], bool]:
    stored, world = _as_stored(image.stored), image.world
    lines = []
    metadata = image.metadata
    if metadata.state != "complete":
        lines.append("the image was cut off while it was written; repeat the call that made it, with resume=True.")
    beside = own_attributes(levels_beside(image.stored))
    if beside is not None and beside.get("state") == "complete" and metadata.levels != beside.get("levels"):
        lines.append(
            "its voxels were changed after its levels were made; make them again with pyramid(overwrite=True)."
        )
    units = share_of(world).of(stored.unit_grid)
    edge = box_shape(stored.unit_grid.box((0, 0, 0)))
    bar = Progress(len(units) * math.prod(edge), "verify", run.progress and world.first)
    limit = limit_or_default(run.memory_limit, world)
    room = limit // check_room("verify", 2 * math.prod(edge) * image.dtype.itemsize, limit)
    threads = min(stored.workers if run.workers is None else workers_or_default(run.workers), room)
    try:
        with together(world):
            own = check_units(stored, units, lambda n: bar.add(n * math.prod(edge)), record=record, workers=threads)
    finally:
        bar.close()
    everyone = world.gather(own)
    if record:
        on_first(world, stored.ledger.merge)
    damaged = [line for part in everyone for line in part.defects]
    lines += damaged + (world.broadcast(check_files(image.stored) if world.first else None))
    hashed = False
    if content and metadata.content_hash is not None and not damaged:
        hashed = True
        held = computed_hash(image, memory_limit=run.memory_limit, workers=run.workers, progress=run.progress)
        if held != metadata.content_hash:
            lines.append(
                f"its content hash is {held[:16]}..., but {metadata.content_hash[:16]}... is stored: chunks were lost, or "
                "changed by a program that does not know the hash."
            )
    return lines, everyone, hashed


def _as_stored(stored: AbstractStoredArray) -> Any:
    return (stored.source or stored) if isinstance(stored, ForeignArray) else stored


def _geometry(images: Sequence[tuple[str, VoxelImage]]) -> list[str]:
    """Return a line on every level that does not lie where the finest does."""
    lines = []
    for label, image in images[1:]:
        finest = images[0][1]
        if image.dtype != finest.dtype:
            lines.append(f"{label}voxels are {image.dtype}, those of the finest level {finest.dtype}.")
        for axis, low, first, length in zip("xyz", image.extent[0], finest.extent[0], image.voxel_length, strict=True):
            # Tools that keep the first of several voxels shift a level by up to half a voxel of its
            # own.
            if abs(low - first) > 0.51 * length:
                lines.append(f"{label}it begins at {axis} = {low:g}, the finest level at {first:g}.")
    return lines

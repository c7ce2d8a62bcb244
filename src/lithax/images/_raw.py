"""Raw files: bare voxels, as scanners and other programs write them."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lithax.grid import Box, ChunkGrid, Index, World, shift
from lithax.images._collective import check_same, cleared_together, on_first, together, world_or_connected
from lithax.images._copy import progress_of
from lithax.images._create import new_image
from lithax.images._described import DESCRIBED, description_of
from lithax.images._voxel_image import VoxelImage
from lithax.storage import AbstractStoredArray, StoredArray, map_threads
from lithax.storage.formats import (
    FileFormat,
    RawDescription,
    RawPair,
    RawSink,
    RawSource,
    cast_exactly,
    check_store_name,
    raw_dtype,
    raw_order,
    read_sidecar,
    register_format,
    with_byteorder,
    write_sidecar,
)
from lithax.storage.formats import fiji_macro as macro_for_fiji

# What is read or written at once, at most, where a single unit is not larger [byte].
_PIECE = 256 * 2**20


def import_raw(
    file: Any,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    *,
    offset: int | None = None,
    order: str | None = None,
    chunks: Any = "auto",
    store: Any = None,
    path: str | None = None,
    shards: Any = None,
    overwrite: bool = False,
    field_name: str | None = None,
    field_unit: str | None = None,
    description: str | None = None,
    voxel_origin: Any = None,
    voxel_length: Any = None,
    voxel_unit: str | None = None,
    world: Any = None,
    progress: bool = False,
    **zarr_options: Any,
) -> VoxelImage:
    """Make an image of a raw file, in memory bounded by a few chunks (or shards).

    Parameters
    ----------
    file
        Path of the file, which may be compressed by gzip (".gz"). A pair of paths holds the real
        and the imaginary parts of complex voxels.
    shape
        Number of voxels along x, y and z. Without `shape` and `dtype` the JSON document that
        `VoxelImage.export_raw` wrote beside the file says what it holds; other arguments then
        override what it says.
    dtype
        Type of the voxels in the file, with its byte order: "<u2" is little-endian, ">u2"
        big-endian, "u2" as on this machine. The image has the same type in the order of this
        machine. In boolean files everything but zero is True.
    offset
        Bytes before the first voxel; 0 by default [byte].
    order
        "F", the default: x runs fastest in the file. "C": z does.
    chunks, shards, store, path, overwrite, world, **zarr_options
        As in `create`.
    field_name, field_unit, description, voxel_origin, voxel_length, voxel_unit
        As in `create`.
    progress
        Show a bar for work longer than a second.

    Returns
    -------
        The image.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the file does not exist, is shorter or longer than the arguments say, or an argument is
        wrong; then nothing is made.
    MetadataError
        If the document beside the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.arange(24, dtype="<u2").tofile(f"{folder}/rock.raw")
    ...     options = dict(voxel_length=2.5, voxel_unit="um")
    ...     image = import_raw(f"{folder}/rock.raw", (4, 3, 2), "<u2", **options)
    >>> image[:, 0, 0]
    array([0, 1, 2, 3], dtype=uint16)
    """
    check_store_name(store)
    world = world_or_connected(world)
    given = (field_name, field_unit, description, voxel_origin, voxel_length, voxel_unit)
    with contextlib.ExitStack() as opened:
        with together(world):
            source = opened.enter_context(open_raw(file, shape=shape, dtype=dtype, offset=offset, order=order))
        known = source.described() | {
            name: value for name, value in zip(DESCRIBED, given, strict=True) if value is not None
        }
        with new_image(
            source.shape,
            source.dtype,
            chunks,
            store,
            path,
            shards=shards,
            overwrite=overwrite,
            world=world,
            filled_by="import_raw",
            **known,
            **zarr_options,
        ) as image:
            fill_from_file(image.stored, source, world, progress)
    return image


def open_raw(
    file: Any, *, shape: Any = None, dtype: Any = None, offset: int | None = None, order: str | None = None
) -> RawSource | RawPair:
    """Open a raw file to read it box by box; the arguments are those of `import_raw`."""
    files, layout, known = _layout(file, shape, dtype, offset, order)
    if isinstance(files, tuple):
        return RawPair(files, known=known, **layout)
    return RawSource(files, known=known, **layout)


def _layout(
    file: Any, shape: Sequence[int] | None, dtype: Any, offset: int | None, order: str | None
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return the file or files, their layout, and what is known of the image besides."""
    layout = {"shape": shape, "dtype": dtype, "offset": offset or 0, "order": order or "F"}
    if isinstance(file, tuple | list):
        if len(file) != 2:
            raise ValueError(f"file={file!r} must be a path, or two: real and imaginary parts.")
        if shape is None or dtype is None:
            raise ValueError("shape and dtype must be given for two files.")
        return (file[0], file[1]), layout, {}
    if (shape is None) != (dtype is None):
        missing = "shape" if shape is None else "dtype"
        raise ValueError(f"{missing} is missing; shape and dtype must be given together, or both left to {file}.json.")
    if shape is not None:
        return file, layout, {}
    described = read_sidecar(file)
    if described is None:
        raise ValueError(f"shape and dtype must be given: no {os.fspath(file)}.json says what the file holds.")
    layout = {
        "shape": described.shape,
        "dtype": described.dtype,
        "offset": described.offset if offset is None else offset,
        "order": described.order if order is None else order,
    }
    known = description_of(described)
    if described.parts is None:
        return file, layout, known
    folder = Path(file).parent
    return (folder / described.parts[0], folder / described.parts[1]), layout, known


def fill_from_file(stored: StoredArray, source: Any, world: World, progress: bool = False) -> None:
    """Write all units, in the order of the file: one thread reads ahead, the others rearrange and
    compress.
    """
    pieces = _own_pieces(stored, source.order, source.stored_dtype.itemsize, world)
    if not pieces:
        return
    with (
        ThreadPoolExecutor(1, thread_name_prefix="lithax-raw") as reader,
        progress_of(stored.shape, world, "import", progress) as bar,
    ):
        ahead = reader.submit(source.read_stored, pieces[0])
        for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
            voxels = ahead.result()
            world.check()
            if following is not None:
                ahead = reader.submit(source.read_stored, following)
            _write_piece(stored, source, piece, voxels)
            bar.add(voxels.size)


def _write_piece(stored: StoredArray, source: Any, piece: Box, voxels: np.ndarray) -> None:
    def values_of(box: Box) -> np.ndarray:
        return source.arrange(voxels[_in_file(_within(piece, box), source.order)])

    stored.write_units(list(stored.unit_grid.covering(piece)), values_of)


def _own_pieces(stored: Any, order: str, itemsize: int, world: World) -> list[Box]:
    """Return the boxes of `_pieces` that this process reads or writes."""
    # Processes with other numbers of cores would divide the image in other ways.
    workers = world.broadcast(stored.workers)
    return list(_pieces(stored, order, itemsize, workers, world.count))[world.index :: world.count]


def _pieces(stored: Any, order: str, itemsize: int, workers: int, processes: int = 1) -> Iterator[Box]:
    """Divide an image into boxes of whole units, each as long as can be along the axes that run
    fast in the file.

    Their size is that of two units for each thread, but at most `_PIECE`, unless a single unit is
    larger; and there is one for each process, if there are as many units.
    """
    unit = math.prod(min(u, n) for u, n in zip(stored.unit, stored.shape, strict=True)) * itemsize
    room = min(2 * workers, max(1, _PIECE // unit), max(1, len(stored.unit_grid) // processes))
    counts = list(stored.unit_grid.counts)
    steps = [1, 1, 1]
    axes = (0, 1, 2) if order == "F" else (2, 1, 0)
    for axis in axes:
        steps[axis] = min(counts[axis], room)
        room //= steps[axis]
        if steps[axis] < counts[axis]:
            break
    x, y, z = (u * s for u, s in zip(stored.unit, steps, strict=True))
    grid = ChunkGrid(stored.shape, (x, y, z))
    if order == "C":
        yield from (grid.box(index) for index in grid)
        return
    nx, ny, nz = grid.counts
    yield from (grid.box((i, j, k)) for k in range(nz) for j in range(ny) for i in range(nx))


def _within(piece: Box, box: Box) -> Box:
    """Return a box as seen from the corner of a piece."""
    x, y, z = (s.start for s in piece)
    return shift(box, (x, y, z))


def _in_file(box: Box, order: str) -> Box:
    x, y, z = box
    return (z, y, x) if order == "F" else box


def export_raw(
    image: VoxelImage,
    file: str | os.PathLike[str],
    dtype: Any = None,
    order: str = "F",
    byteorder: str = "=",
    fiji_macro: bool = False,
    *,
    overwrite: bool = False,
    split_complex: bool = False,
    progress: bool = False,
) -> Path:
    """Write the voxels to a raw file, whole or not at all, and beside it a JSON document that says
    what it holds.

    Several processes write their parts of one file, which lies where all of them reach it.

    Parameters
    ----------
    image
        The image.
    file
        Path of the file to make; ``rock.raw.json`` is the document of ``rock.raw``.
    dtype
        Type of the voxels in the file; that of the image by default. Floating-point values may be
        rounded, but no value may be lost: integers must fit, floats that become integers must be
        whole, only 0 and 1 become booleans. Booleans are written as bytes, 0 and 1.
    order
        "F": x runs fastest in the file, as most programs expect. "C": z does.
    byteorder
        "<" or "little", ">" or "big", "=" or "native": that of this machine.
    fiji_macro
        Write a macro, too, ``rock.raw.ijm``, by which Fiji opens the file with its voxel size.
    overwrite
        Replace files that exist.
    split_complex
        Write complex voxels to two files, ``rock_real.raw`` and ``rock_imag.raw``, instead of one
        in which real and imaginary parts alternate.
    progress
        Show a bar for work longer than a second.

    Returns
    -------
        The path of the file.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, Fiji has no such type, or `dtype` cannot hold a voxel, which is
        named. No file is made then.
    FileExistsError
        If the file exists and `overwrite` is False.
    """
    file = Path(file)
    order = raw_order(order)
    target = raw_dtype(image.dtype if dtype is None else dtype)
    if not (byteorder in ("=", "native") and dtype is not None):
        target = with_byteorder(target, byteorder)
    names = [file]
    if split_complex:
        if target.kind != "c":
            raise ValueError(f"split_complex=True is for complex voxels; these are {target.name}.")
        if fiji_macro:
            raise ValueError("fiji_macro=True: Fiji does not read complex voxels; export their real parts.")
        names = [file.with_name(f"{file.stem}_{part}{file.suffix}") for part in ("real", "imag")]
    described = RawDescription(
        shape=image.shape,
        dtype=target,
        order=order,
        **description_of(image),
        parts=(names[0].name, names[1].name) if split_complex else None,
    )
    macro = macro_for_fiji(file, described) if fiji_macro else None

    part = (
        described.dtype if not split_complex else np.dtype(f"{described.dtype.str[0]}f{described.dtype.itemsize // 2}")
    )
    world = image.world
    call = {
        "file": str(file),
        "dtype": target.str,
        "order": order,
        "overwrite": overwrite,
        "split_complex": split_complex,
    }
    check_same(world, "export_raw", lambda: call | {"fiji_macro": fiji_macro})
    with cleared_together(world), contextlib.ExitStack() as opened:

        def sink(name: Path, part_of: Path | None = None) -> RawSink:
            made = RawSink(name, image.shape, part, order=order, overwrite=overwrite, part_of=part_of)
            opened.callback(made.abort)
            return made

        made = on_first(world, lambda: [sink(name) for name in names])
        with together(world):
            begun = world.broadcast([s.temporary for s in made or ()])
            sinks = [_join(sink, *both, world) for both in zip(names, begun, strict=True)] if made is None else made
            _write_pieces(image.stored, sinks, described, world, progress)
            for each in sinks:
                each.sync()

        def finish() -> None:
            for each in sinks:
                each.commit()
            write_sidecar(file, described)
            if macro is not None:
                file.with_name(f"{file.name}.ijm").write_text(macro, encoding="utf-8")

        on_first(world, finish)
    return file


def _join(sink: Callable[..., RawSink], name: Path, begun: Path, world: World) -> RawSink:
    """Open the file that the first process has begun."""
    try:
        return sink(name, begun)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"file={str(name)!r} was begun by process 0, but process {world.index} does not see it; choose a place that the machines share."
        ) from error


def _write_pieces(
    stored: AbstractStoredArray, sinks: list[RawSink], described: RawDescription, world: World, progress: bool
) -> None:
    """Write this process's pieces: while one is written, the next is decoded and arranged."""
    pieces = _own_pieces(stored, described.order, described.dtype.itemsize, world)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="lithax-raw") as writer,
        progress_of(stored.shape, world, "export", progress) as bar,
    ):
        behind = None
        for piece in pieces:
            rooms = [sink.empty(piece) for sink in sinks]

            def read(index: Index, piece: Box = piece, rooms: list[np.ndarray] = rooms) -> None:
                box = stored.grid.box(index)
                x, y, z = (s.start for s in box)
                values = cast_exactly(stored.read(box), described.dtype, (x, y, z))
                inside = _in_file(_within(piece, box), described.order)
                parts = [values] if len(sinks) == 1 else [np.real(values), np.imag(values)]
                for sink, room, voxels in zip(sinks, rooms, parts, strict=True):
                    sink.arrange(voxels, room[inside])

            map_threads(read, stored.grid.covering(piece), stored.workers, world.check)
            if behind is not None:
                behind.result()
            behind = writer.submit(_write, sinks, piece, rooms)
            bar.add(rooms[0].size)
        if behind is not None:
            behind.result()


def _write(sinks: list[RawSink], piece: Box, rooms: list[np.ndarray]) -> None:
    for sink, room in zip(sinks, rooms, strict=True):
        sink.write_stored(piece, room)


def _write_raw(image: VoxelImage, file: Path, *, overwrite: bool, progress: bool, **options: Any) -> Path:
    return export_raw(image, file, overwrite=overwrite, progress=progress, **options)


RAW_SUFFIXES = (".raw", ".bin", ".dat", ".img", ".vol")

register_format(
    FileFormat(
        "raw",
        (*RAW_SUFFIXES, *(f"{suffix}.gz" for suffix in RAW_SUFFIXES)),
        open_raw,
        _write_raw,
        open_options=("shape", "dtype", "offset", "order"),
        write_options=("dtype", "order", "byteorder", "fiji_macro", "split_complex"),
        collective=True,
    )
)

"""What formats share whose header is lines of text, and whose voxels follow it or lie in a file of
their own.
"""

import math
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lithax.errors import FileFormatError
from lithax.storage.formats._new_file import check_new_file
from lithax.storage.formats._raw_source import RawSource

LONGEST_HEADER = 1 << 20
"""A header has no more bytes than this; voxels taken for a header may have no line at all."""


def read_header(file: Path, last: Callable[[str], bool]) -> tuple[list[str], int]:
    """Return the lines of a header, up to the last one or the end of the file, and where the voxels
    begin [byte].
    """
    lines: list[str] = []
    with file.open("rb") as stream:
        while stream.tell() < LONGEST_HEADER:
            raw = stream.readline(LONGEST_HEADER)
            if not raw:
                return lines or [""], stream.tell()
            lines.append(raw.decode("utf-8").rstrip("\r\n"))
            if last(lines[-1]):
                return lines, stream.tell()
    raise ValueError(f"its header does not end within {LONGEST_HEADER} bytes")


def beside(header: Path, name: str) -> Path:
    """Return the file with the voxels that a header names: below the folder of the header, for it
    may come from anywhere.
    """
    if not name or name.upper().startswith("LIST") or "%" in name:
        raise FileFormatError(
            f"file={str(header)!r} has its voxels in several files ({name[:80]!r}); join them, or read them with NumPy and "
            "from_array()."
        )
    folder = header.resolve().parent
    found = (folder / name).resolve()
    if Path(name).is_absolute() or not found.is_relative_to(folder):
        raise FileFormatError(
            f"file={str(header)!r} names the file {name[:80]!r} outside its own folder, which is not read; put both into one."
        )
    return found


def voxels_of(
    source: RawSource, data: Path, sizes: Sequence[int], dtype: np.dtype, start: int, skip: int, packing: str | None
) -> None:
    """Open the voxels as a raw file.

    Parameters
    ----------
    source
        What is to be opened.
    data
        The file that holds the voxels.
    sizes, dtype
        Number of voxels along x, y, z, and their type.
    start
        Where they begin in `data` [byte].
    skip
        Bytes before them, after decompression; -1: they are the last bytes of the file.
    packing
        How they are compressed, as for `RawSource`.
    """
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"its sizes are {sizes}")
    nbytes = math.prod(sizes) * dtype.itemsize
    if skip < -1 or nbytes >= 2**60:
        raise ValueError(f"skip {skip}, sizes {sizes}")
    if skip == -1:
        if packing is not None:
            raise ValueError("a skip of -1 is for voxels that are not compressed")
        start, skip = data.stat().st_size - nbytes, 0
        if start < 0:
            raise ValueError(f"{data.name} has fewer than {nbytes} bytes")
    offset = skip if packing is not None else start + skip
    RawSource.__init__(
        source, data, sizes, dtype, offset=offset, order="F", exact=False, packing=packing or "", start=start
    )


def diagonal(vectors: Sequence[Sequence[float]], file: str) -> tuple[float, ...]:
    """Return the lengths of voxels whose axes are x, y and z; refuse axes that are turned or
    reversed.
    """
    if len(vectors) != 3 or any(len(v) != 3 for v in vectors):
        raise ValueError(f"its axes are {vectors}")
    for n, vector in enumerate(vectors):
        if any(v != 0 for k, v in enumerate(vector) if k != n) or not vector[n] > 0:
            raise FileFormatError(
                f"file={file!r} has axes that are turned or reversed ({', '.join(map(str, vectors))}); an image lies along "
                "x, y and z. Resample it first, or read the voxels with NumPy and from_array()."
            )
    return tuple(float(vectors[n][n]) for n in range(3))


def by_name(lines: Sequence[str]) -> dict[str, Any]:
    """Return the fields of lines "Name = value"."""
    fields = {}
    for line in lines:
        name, found, value = line.partition("=")
        if found:
            fields[name.strip()] = value.strip()
        elif line.strip():
            raise ValueError(f"its header has the line {line[:80]!r}")
    return fields


def check_new_files(
    image: Any,
    file: Path,
    *,
    types: Container[str],
    what: str,
    header_suffix: str,
    data_suffix: str,
    overwrite: bool,
) -> tuple[Path, np.dtype]:
    """Return the file that takes the voxels and their type, before anything is written.

    Parameters
    ----------
    image, file, overwrite
        As for every format.
    types
        Data types of the format, as NumPy writes them without the byte order.
    what
        The format in a message, with its article.
    header_suffix
        Ending of a file that holds the header alone; the voxels then lie beside it.
    data_suffix
        Ending of the file beside it.

    Raises
    ------
    TypeError
        If the format has no such data type; booleans become bytes, 0 and 1.
    """
    dtype = np.dtype("u1") if image.dtype.kind == "b" else image.dtype
    if dtype.str[1:] not in types:
        raise TypeError(f"voxels of {image.dtype} cannot be written to a {what}; convert them to another type first.")
    data = file.with_suffix(data_suffix) if file.suffix.lower() == header_suffix else file
    for name in {file, data}:
        check_new_file(name, overwrite)
    return data, dtype

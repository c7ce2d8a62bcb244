"""A file that is written whole or not at all: whether it may be made, and its name while it is unfinished."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path


def check_new_file(file: Path, overwrite: bool) -> None:
    """Refuse a file that may not be made.

    Raises
    ------
    IsADirectoryError
        If it is a directory.
    FileExistsError
        If there is such a file and `overwrite` is False.
    FileNotFoundError
        If its directory does not exist.
    """
    if file.is_dir():
        raise IsADirectoryError(f"file={str(file)!r} is a directory; give the name of a file.")
    if file.exists() and not overwrite:
        raise FileExistsError(f"file={str(file)!r} exists; pass overwrite=True to replace it.")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"directory {str(file.parent)!r} of file does not exist; make it first.")


def unfinished_name(file: Path) -> Path:
    """Return a name beside a file, of its own for every attempt to write it."""
    return file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")


@contextlib.contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give the name under which to write a file; it takes its own at the end, and is removed on an exception."""
    temporary = unfinished_name(file)
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)

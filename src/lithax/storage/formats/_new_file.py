"""A file that is written whole or not at all: whether it may be made, and its name while it is
unfinished.
"""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from lithax.storage._objects import explained


def check_new_file(file: Path, overwrite: bool) -> None:
    """Refuse a file that may not be made.

    Raises
    ------
    IsADirectoryError
        If it is a directory.
    FileExistsError
        If there is such a file and `overwrite` is False.
    NotADirectoryError
        If it would lie below a file. Folders that do not exist are made when it is written.
    """
    if file.is_dir():
        raise IsADirectoryError(f"file={str(file)!r} is a directory; give the name of a file.")
    if file.exists() and not overwrite:
        raise FileExistsError(f"file={str(file)!r} exists; pass overwrite=True to replace it.")
    there = next((folder for folder in file.parents if folder.exists()), file.parent)
    if not there.is_dir():
        raise NotADirectoryError(
            f"file={str(file)!r} would lie below {str(there)!r}, which is a file; choose another folder."
        )


def unfinished_name(file: Path) -> Path:
    """Return a name beside a file, of its own for every attempt to write it; folders that do not
    exist are made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")


@contextlib.contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give the name under which to write a file; it takes its own at the end, and is removed on an
    exception.
    """
    temporary = unfinished_name(file)
    try:
        with explained(file):
            yield temporary
            temporary.replace(file)
    finally:
        with contextlib.suppress(OSError):  # where it could not be made it cannot be removed either
            temporary.unlink(missing_ok=True)

"""What goes wrong in a file of any content, as one error that names the file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lithax.errors import FileFormatError, LithaxError


@contextlib.contextmanager
def readable(file: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn what a reader of foreign bytes raises into a `FileFormatError`.

    Parsers fail in a dozen ways on damaged bytes: struct.error, IndexError, zlib.error, kinds of
    their own. That a file is missing, or may not be read, and that a package is, stay what they
    are.

    Parameters
    ----------
    file
        The file.
    kind
        What it should be, with its article: "a TIFF file".
    """
    try:
        yield
    except (LithaxError, FileNotFoundError, PermissionError, IsADirectoryError, InterruptedError, ImportError, Warning):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if "mmap length" in text:
            text = "it is shorter than its header says"
        text = text if len(text) <= 200 else text[:197] + "..."
        raise FileFormatError(
            f"file={os.fspath(file)!r} cannot be read as {kind}: {text.rstrip('.')}. It is damaged, was cut off, "
            "or has another format than its name says."
        ) from error


def check_beginning(file: str | os.PathLike[str], signatures: tuple[bytes, ...]) -> None:
    """Refuse a file that does not begin with one of the signatures of its format; to be called
    inside `readable`.
    """
    with Path(file).open("rb") as stream:
        head = stream.read(max(map(len, signatures)))
    if not head:
        raise ValueError("it is empty")
    if not head.startswith(signatures):
        raise ValueError("it does not begin like one")


def check_file(file: str | os.PathLike[str]) -> None:
    """Refuse what is not a file that can be read from its beginning to its end."""
    name = os.fspath(file)
    if not os.path.lexists(name):
        raise FileNotFoundError(f"file={name!r} does not exist; check the path.")
    if Path(name).is_dir():
        raise IsADirectoryError(f"file={name!r} is a directory; give the name of a file.")
    if not Path(name).is_file():
        raise FileFormatError(f"file={name!r} is a pipe, a device or a broken link; give the name of a file.")

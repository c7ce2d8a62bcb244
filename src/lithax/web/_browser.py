"""Open a page whose address is a secret: a command line can be read by every user of the machine, a
private file cannot.
"""

import contextlib
import html
import os
import shutil
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def redirect_file(url: str) -> Iterator[Path]:
    """Give a file that only this user can read and that sends a browser to an address; it is
    removed at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="lithax-view-"))  # only this user may look into it
    try:
        file = folder / "open.html"
        address = html.escape(url, quote=True)
        page = (
            f'<!DOCTYPE html><meta charset="utf-8"><title>lithax</title><meta http-equiv="refresh" content="0; url={address}">'
            f'<p>This page leads to <a href="{address}">the image</a>.</p>\n'
        )
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(page)
        yield file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_in_browser(file: Path) -> bool:
    """Let the browser show a redirect file; False if there is no browser."""
    return webbrowser.open(file.as_uri())

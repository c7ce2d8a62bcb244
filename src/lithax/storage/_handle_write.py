"""A write by a handle: refused while a run writes, and where the image is no longer the one that
was opened.
"""

import contextlib
from collections.abc import Iterator

from lithax.errors import IncompleteImageError
from lithax.storage._journal import check_unlocked
from lithax.storage._schema import KEY
from lithax.storage._stored_array import StoredArray


@contextlib.contextmanager
def handle_write(array: StoredArray) -> Iterator[None]:
    """Let the ``with`` block change voxels; the metadata are read once, and what no longer holds is
    dropped from them.

    Raises
    ------
    PermissionError
        If the array is read-only.
    LockedError
        If a run is writing to the array, in this process or another one.
    StaleHandleError
        If another array stands in its place.
    IncompleteImageError
        If a run that was cut off has left it unfinished since the handle was opened.
    """
    array.check_writable()
    with array.locks.writing():
        check_unlocked(array, resume=True)
        attributes = array.check_current()
        own = attributes.get(KEY) or {}
        if own.get("state") == "writing" and array.metadata.state == "complete":
            raise IncompleteImageError(
                f"the image at {array.where} is being written, or was cut off while it was; repeat the call that was writing it "
                f"with resume=True before this part is changed."
            )
        array.drop_content_hash(attributes)
        yield

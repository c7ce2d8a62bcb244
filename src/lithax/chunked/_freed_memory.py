"""Ask the C library to keep the memory of finished blocks for the next ones, and to give it back
after the last.
"""

import ctypes
import functools
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST = 32 * 2**20  # the most that glibc accepts
_KEPT = 256 * 2**20
_WORTHWHILE = 256 * 2**20


@functools.cache
def _glibc() -> Any:
    """Return the C library if it is glibc; others are left as they are."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


@functools.cache
def keep_freed_memory() -> None:
    """Let blocks be allocated from memory that earlier ones have touched already.

    By default glibc returns blocks of some MiB to the system when they are freed, so that every
    page of the next one is cleared and mapped again: a quarter of the time of an element-wise pass.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


def release_memory(used: int, least: int = _WORTHWHILE) -> None:
    """Return freed buffers to the system after work that used `used` bytes, where that is `least`
    or more.

    glibc keeps up to several hundred MiB of them for later otherwise, and one large call after
    another would add up.
    """
    library = _glibc()
    if library is not None and used >= least:
        library.malloc_trim(0)

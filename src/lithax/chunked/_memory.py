"""What block buffers cost beyond their size, and how to give them back."""

import ctypes
import sys

ALLOCATOR_OVERHEAD = 1.75
"""Memory in use per byte of block buffers: the C library keeps freed buffers in one pool per thread. Measured on
images of 1 GiB: 1.3 to 1.7."""

CACHE_OVERHEAD = 1.7
"""The same for decoded chunks that are kept: they come and go among the block buffers. Measured on an image of 4 GiB: 1.5."""

FIXED_BYTES = 16 * 2**20
"""Thread stacks, codec tables, the compiled function."""

_WORTHWHILE = 256 * 2**20


def release_memory(used: int) -> None:
    """Return freed buffers to the system after work that used `used` bytes, where that is much and can be done.

    glibc keeps up to several hundred MiB of them for later otherwise, and one large call after another would add up.
    """
    if used < _WORTHWHILE or not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

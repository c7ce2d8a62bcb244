"""What block buffers cost beyond their size."""

ALLOCATOR_OVERHEAD = 1.75
"""Memory in use per byte of block buffers: the C library keeps freed buffers in one pool per
thread. Measured on images of 1 GiB: 1.3 to 1.7."""

ELEMENTWISE_OVERHEAD = 1.6
"""What functions without a halo use more than that: they are so fast that what is read, written and
compressed is alive at once. Measured on images of 1 GiB: 1.1 to 1.45.
"""

KERNEL_OVERHEAD = 1.4
"""The same for functions of a block in host memory, which hold a few large arrays at a time.
Measured on distances, labels and balls of 384³ to 1024³: 1.0 to 1.3.
"""

MAPPED_OVERHEAD = 1.15
"""The same for buffers that the system maps (`buffers_mapped`) and takes back at once."""
_MAPPED = 32 * 2**20


def buffers_mapped(size: int) -> bool:
    """Tell whether the C library asks the system for a buffer of this size [byte]: from the most on
    that glibc can be told to keep.
    """
    return size >= _MAPPED


CACHE_OVERHEAD = 1.7
"""The same for decoded chunks that are kept: they come and go among the block buffers. Measured on
an image of 4 GiB: 1.5.
"""

FIXED_BYTES = 16 * 2**20
"""Thread stacks, codec tables, the compiled function."""
